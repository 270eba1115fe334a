//! What only a folder can do wrong.

use std::fs;
use std::process::Command;

use super::*;

#[tokio::test]
async fn a_missing_folder_is_refused_and_never_made() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("unmounted");
    let store = LocalStore::new(&root);
    for path in ["archive.json", "tables/x/log/0.entry"] {
        let put = store.put_new(path, bytes("x"), Keep::Full).await;
        assert!(matches!(&put, Err(StoreError::Refused { reason, .. }) if reason.contains("missing")), "{put:?}");
    }
    assert!(!root.exists());
    assert!(matches!(store.get("archive.json", None).await, Err(StoreError::Absent { .. })));
}

#[tokio::test]
async fn row_40_only_whole_objects_have_names_that_a_glob_can_meet() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::new(folder.path());
    // What a crash between writing and linking leaves.
    fs::create_dir(folder.path().join("raw")).unwrap();
    fs::write(folder.path().join("raw/.put-0123"), "half").unwrap();
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    store.put_new("raw/a.parquet", bytes("x"), Keep::Short).await.unwrap();
    let listed = store.list("", None, None).await.unwrap();
    assert_eq!(listed.iter().map(|object| object.path.as_str()).collect::<Vec<_>>(), ["raw/a.parquet"]);
    let put = store.put_new("raw/a.parquet", bytes("y"), Keep::Short).await;
    assert!(matches!(put, Err(StoreError::Taken { .. })), "{put:?}");
    let names = fs::read_dir(folder.path().join("raw")).unwrap().count();
    assert_eq!(names, 2, "a put that lost leaves no file of its own behind");
}

#[tokio::test]
async fn a_folder_removed_under_a_running_store_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::new(folder.path());
    store.put_new("raw/dt=1/a.parquet", bytes("x"), Keep::Short).await.unwrap();
    fs::remove_dir_all(folder.path().join("raw")).unwrap();
    // The first put finds out, the next one makes the folder.
    let first = store.put_new("raw/dt=1/b.parquet", bytes("x"), Keep::Short).await;
    assert!(matches!(first, Err(StoreError::Refused { .. })), "{first:?}");
    store.put_new("raw/dt=1/b.parquet", bytes("x"), Keep::Short).await.unwrap();
}

#[tokio::test]
async fn a_file_where_a_folder_must_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("raw"), "a file").unwrap();
    let store = LocalStore::new(folder.path());
    let put = store.put_new("raw/a.parquet", bytes("x"), Keep::Short).await;
    assert!(matches!(put, Err(StoreError::Refused { .. })), "{put:?}");
    fs::create_dir(folder.path().join("a.parquet")).unwrap();
    assert!(matches!(store.get("a.parquet", None).await, Err(StoreError::Absent { .. })));
}

#[tokio::test]
async fn a_folder_without_permission_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::new(folder.path());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let put = store.put_new("a", bytes("x"), Keep::Full).await;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    // The system's own user is above permissions.
    if !put.as_ref().is_ok_and(|_| is_root()) {
        assert!(matches!(put, Err(StoreError::Denied { .. })), "{put:?}");
    }
}

/// A real full disk: a small file system in memory, in a name space of the test's own.
#[test]
fn a_full_disk_is_refused_and_leaves_nothing_half() {
    const INSIDE: &str = "TAILRACE_TEST_FULL_DISK";
    if let Ok(folder) = std::env::var(INSIDE) {
        return fill(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=256k tmpfs \"$1\" && exec \"$2\" --exact store::local::a_full_disk_is_refused_and_leaves_nothing_half --nocapture";
    let unshare = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", command, "sh"]);
        unshare.arg(folder.path()).arg(std::env::current_exe().unwrap()).env(INSIDE, folder.path());
        unshare.output()
    };
    if !unshare("mount -t tmpfs -o size=256k tmpfs \"$1\"").is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: this machine lets nobody mount a file system in a name space of their own");
        return;
    }
    let run = unshare(mount).unwrap();
    let told = [run.stdout, run.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(run.status.success() && told.contains("1 passed"), "{}: {told}", run.status);
}

fn fill(folder: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = LocalStore::new(folder);
        let mut landed = 0;
        let refused = loop {
            match store.put_new(&format!("raw/{landed}"), Bytes::from(vec![7; 60_000]), Keep::Short).await {
                Ok(_) => landed += 1,
                Err(error) => break error,
            }
            assert!(landed < 10, "a disk of 256 KiB took {landed} objects of 60 kB");
        };
        assert!(matches!(&refused, StoreError::Refused { reason, .. } if reason.contains("make room")), "{refused}");
        assert_eq!(fs::read_dir(format!("{folder}/raw")).unwrap().count(), landed, "nothing half is left");
        store.delete("raw/0", None).await.unwrap();
        // The system may give the room back a moment later than it forgets the name.
        let mut again = Err(refused);
        for _ in 0..200 {
            again = store.put_new("raw/again", Bytes::from(vec![7; 60_000]), Keep::Short).await;
            if again.is_ok() {
                break;
            }
            clock::sleep(Duration::from_millis(50)).await;
        }
        again.unwrap();
    });
}

/// A write that stops half way on any machine: in a process that may not write more than 32 KiB to a file.
#[test]
fn a_write_that_breaks_off_is_refused_and_leaves_nothing_half() {
    const INSIDE: &str = "TAILRACE_TEST_SHORT_FILES";
    if let Ok(folder) = std::env::var(INSIDE) {
        return break_off(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    // The signal that comes with the limit is ignored, so that the write fails instead.
    let limited = "trap '' XFSZ && ulimit -f 32 && exec \"$1\" --exact store::local::a_write_that_breaks_off_is_refused_and_leaves_nothing_half --nocapture";
    let mut shell = Command::new("sh");
    shell.args(["-c", limited, "sh"]).arg(std::env::current_exe().unwrap()).env(INSIDE, folder.path());
    let run = shell.output().unwrap();
    let told = [run.stdout, run.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(run.status.success() && told.contains("1 passed"), "{}: {told}", run.status);
}

fn break_off(folder: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = LocalStore::new(folder);
        let put = store.put_new("raw/long", Bytes::from(vec![7; 60_000]), Keep::Short).await;
        assert!(matches!(put, Err(StoreError::Refused { .. })), "{put:?}");
        assert_eq!(fs::read_dir(format!("{folder}/raw")).unwrap().count(), 0, "nothing half is left");
        store.put_new("raw/short", Bytes::from(vec![7; 6_000]), Keep::Short).await.unwrap();
        assert_eq!(store.get("raw/short", None).await.unwrap().bytes.len(), 6_000);
    });
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout == b"0\n")
}
