//! What every store must do, proven on each of them by the same suite.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tailrace::platform::clock;
use tailrace::platform::ids::Ids;
use tailrace::store::counting::CountingStore;
use tailrace::store::fault::{Fault, FaultyStore, Rates};
use tailrace::store::local::LocalStore;
use tailrace::store::memory::MemoryStore;
use tailrace::store::s3::S3Store;
use tailrace::store::{Keep, Landed, ObjectStore, StoreError, put_verified};

use crate::support::s3_server::{BUCKET, Rules, S3Server};

mod archive;
mod faults;
mod local;
mod s3;

type Store = Arc<dyn ObjectStore>;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn s3_store(server: &S3Server, prefix: &str) -> Store {
    Arc::new(S3Store::new(&server.config, BUCKET, prefix, None).unwrap())
}

/// Puts, reads, probes, lists and removes.
async fn conforms(store: &dyn ObjectStore) {
    puts_once(store).await;
    lists_in_order(store).await;
    one_of_eight_wins(store).await;
    for path in ["", "/a", "a/", "a//b", "a/../b", "a/.hidden", "a\\b"] {
        let put = store.put_new(path, bytes("x"), Keep::Full).await;
        assert!(matches!(put, Err(StoreError::Refused { .. })), "{path:?} gave {put:?}");
    }
}

async fn puts_once(store: &dyn ObjectStore) {
    let path = "once/00000000000000000000.entry";
    assert!(!store.occupied(path).await.unwrap());
    assert!(matches!(store.get(path, None).await, Err(StoreError::Absent { .. })));
    assert!(matches!(store.get_oldest(path).await, Err(StoreError::Absent { .. })));
    let version = store.put_new(path, bytes("first"), Keep::Full).await.unwrap();
    let again = store.put_new(path, bytes("second"), Keep::Full).await;
    assert!(matches!(again, Err(StoreError::Taken { .. })), "{again:?}");
    assert!(store.occupied(path).await.unwrap());
    for read in [store.get(path, None), store.get_oldest(path), store.get(path, version.as_deref())] {
        let read = read.await.unwrap();
        assert_eq!((read.bytes, read.version_id), (bytes("first"), version.clone()));
    }
    // No bytes, and all bytes there are.
    let all: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    store.put_new("once/none", Bytes::new(), Keep::Derived).await.unwrap();
    store.put_new("once/all", Bytes::from(all.clone()), Keep::Short).await.unwrap();
    assert_eq!(store.get("once/none", None).await.unwrap().bytes, Bytes::new());
    assert_eq!(store.get("once/all", None).await.unwrap().bytes, Bytes::from(all.clone()));
    for (from, length, found) in
        [(0, 10, 0..10), (69_990, 10, 69_990..70_000), (69_990, 99, 69_990..70_000), (5, 0, 5..5)]
    {
        assert_eq!(store.get_range("once/all", from, length).await.unwrap(), all[found], "{length} bytes from {from}");
    }
    for (path, from) in [("once/all", 70_000), ("once/all", 80_000), ("once/none", 0)] {
        assert_eq!(store.get_range(path, from, 10).await.unwrap(), Bytes::new(), "{path} from {from}");
    }
    assert!(matches!(store.get_range("once/absent", 0, 10).await, Err(StoreError::Absent { .. })));
    store.delete(path, version.as_deref()).await.unwrap();
    store.delete(path, version.as_deref()).await.unwrap();
    assert!(!store.occupied(path).await.unwrap());
    store.put_new(path, bytes("third"), Keep::Full).await.unwrap();
}

async fn lists_in_order(store: &dyn ObjectStore) {
    // `a-b` sorts before `a/…`, `a.c` between: a walk of folders must not confuse them.
    let paths = ["list/a-b", "list/a.c", "list/a/1", "list/a/2/deep", "list/a0", "list/b/1"];
    for path in paths.iter().rev() {
        store.put_new(path, bytes(path), Keep::Full).await.unwrap();
    }
    let listed = async |after: Option<&str>, limit| {
        let listed = store.list("list/", after, limit).await.unwrap();
        listed.into_iter().map(|object| object.path).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, None).await, paths);
    for (n, path) in paths.iter().enumerate() {
        assert_eq!(listed(Some(path), None).await, paths[n + 1..], "after {path}");
        assert_eq!(listed(None, Some(n)).await, paths[..n], "at most {n}");
    }
    let first = store.list("list/", None, Some(1)).await.unwrap().remove(0);
    assert_eq!(first.bytes, "list/a-b".len() as u64);
    assert!(first.modified.is_some());
    assert_eq!(store.list_folders("list/").await.unwrap(), ["a", "b"]);
    assert!(store.list_folders("").await.unwrap().contains(&"list".to_owned()));
    assert_eq!(store.list("nothing/here/", None, None).await.unwrap(), []);
    assert_eq!(store.list_folders("nothing/here/").await.unwrap(), Vec::<String>::new());
}

async fn one_of_eight_wins(store: &dyn ObjectStore) {
    for round in 0..5 {
        let path = format!("race/{round}");
        let bodies: Vec<_> = (0..8).map(|writer| bytes(&format!("writer {writer}"))).collect();
        let puts = join_all(bodies.iter().map(|body| store.put_new(&path, body.clone(), Keep::Full))).await;
        let winners: Vec<_> = (0..8).filter(|writer| puts[*writer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{puts:?}");
        let losers = puts.iter().filter(|put| matches!(put, Err(StoreError::Taken { .. })));
        assert_eq!(losers.count(), 7);
        assert_eq!(store.get_oldest(&path).await.unwrap().bytes, bodies[winners[0]]);
    }
}

/// What only a bucket with versions shows: a delete marker hides, a put over it never replaces.
async fn keeps_the_oldest(store: &dyn ObjectStore) {
    let path = "slot/7.entry";
    let first = store.put_new(path, bytes("first"), Keep::Full).await.unwrap();
    store.delete(path, None).await.unwrap();
    assert!(matches!(store.get(path, None).await, Err(StoreError::Hidden { .. })));
    assert!(store.occupied(path).await.unwrap(), "a hidden slot is occupied");
    assert_eq!(store.get_oldest(path).await.unwrap().bytes, bytes("first"));
    for shadow in ["second", "third", "fourth"] {
        store.put_new(path, bytes(shadow), Keep::Full).await.unwrap();
        store.delete(path, None).await.unwrap();
    }
    store.put_new(path, bytes("fifth"), Keep::Full).await.unwrap();
    // A key that begins with ours has versions of its own.
    store.put_new("slot/7.entry.later", bytes("other"), Keep::Full).await.unwrap();
    assert_eq!(store.get(path, None).await.unwrap().bytes, bytes("fifth"));
    let oldest = store.get_oldest(path).await.unwrap();
    assert_eq!((oldest.bytes, oldest.version_id), (bytes("first"), first.clone()));
    store.delete(path, first.as_deref()).await.unwrap();
    assert!(matches!(store.get(path, first.as_deref()).await, Err(StoreError::Absent { .. })));
    assert_eq!(store.get_oldest(path).await.unwrap().bytes, bytes("second"));
    // A put whose name was shadowed is not told that the shadow is its own.
    let landed = put_verified(store, path, &bytes("fifth"), Keep::Full, &Ids::seeded(1)).await.unwrap();
    assert_eq!(landed, Landed::Foreign);
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&MemoryStore::new()).await;
    conforms(&MemoryStore::versioned()).await;
    keeps_the_oldest(&MemoryStore::versioned()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_local_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&LocalStore::create(folder.path().join("a/b")).await.unwrap()).await;
}

#[tokio::test]
async fn s3_conforms_with_and_without_versions() {
    for versioned in [false, true] {
        let server = S3Server::start(Rules { versioned, ..Rules::default() }).await;
        conforms(s3_store(&server, "").as_ref()).await;
        conforms(s3_store(&server, "team/keep").as_ref()).await;
        assert!(server.bucket.keys().iter().any(|key| key.starts_with("team/keep/race/")));
    }
    let server = S3Server::start(Rules { versioned: true, ..Rules::default() }).await;
    keeps_the_oldest(s3_store(&server, "p").as_ref()).await;
}

#[tokio::test]
async fn wrappers_conform_and_count() {
    let faulty = FaultyStore::scripted(Arc::new(MemoryStore::new()), [], []);
    conforms(&faulty).await;
    let counting = CountingStore::new(Arc::new(MemoryStore::new()));
    conforms(&counting).await;
    counting.take();
    counting.put_new("a", bytes("abc"), Keep::Full).await.unwrap();
    counting.get("a", None).await.unwrap();
    counting.occupied("a").await.unwrap();
    let counts = counting.take();
    assert_eq!((counts.puts, counts.bytes_put, counts.reads, counts.bytes_read, counts.probes), (1, 3, 1, 3, 1));
    assert_eq!(counting.take().reads, 0);
}
