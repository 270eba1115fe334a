//! Making and opening archives.

use tailrace::change::Second;
use tailrace::failure::Exit;
use tailrace::store::archive::{self, AccessLog, LockMode, Modes, Retention};

use super::*;

const CREATED: Second = Second(1_795_305_600);

async fn init(store: &Store) -> Result<archive::Archive, archive::ArchiveError> {
    archive::init(store, Modes::default(), &Ids::random(), CREATED).await
}

#[tokio::test]
async fn init_makes_an_archive_once_and_leaves_no_probe() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, versioned) = (Rules::default(), Rules { versioned: true, ..Rules::default() });
    let old = Rules { plain: true, ..Rules::default() };
    let mut stores: Vec<Store> = vec![
        Arc::new(MemoryStore::new()),
        Arc::new(MemoryStore::versioned()),
        Arc::new(LocalStore::new(folder.path())),
    ];
    for rules in [plain, versioned, old] {
        stores.push(s3_store(&S3Server::start(rules).await, "keep"));
    }
    for store in &stores {
        let none = archive::open(store.as_ref()).await.unwrap_err().failure();
        assert_eq!(none.exit, Exit::ArchiveNotFound, "{none}");
        let made = init(store).await.unwrap();
        assert_eq!(archive::open(store.as_ref()).await.unwrap(), made);
        let left = store.list("", None, None).await.unwrap();
        assert_eq!(left.iter().map(|object| object.path.as_str()).collect::<Vec<_>>(), ["archive.json"]);
        let again = init(store).await.unwrap_err().failure();
        assert_eq!(again.exit, Exit::DestinationNotEmpty, "{again}");
        assert_eq!(archive::open(store.as_ref()).await.unwrap(), made);
    }
}

#[tokio::test]
async fn probes_leave_no_version_and_no_marker() {
    let server = S3Server::start(Rules { versioned: true, ..Rules::default() }).await;
    init(&s3_store(&server, "")).await.unwrap();
    assert_eq!(server.bucket.keys(), ["archive.json"]);
}

#[tokio::test]
async fn a_place_with_anything_else_in_it_is_refused_but_left_probes_are_not_foreign() {
    for (path, foreign) in [("data.csv", true), ("zebra/x", true), ("probe/left", false)] {
        let store: Store = Arc::new(MemoryStore::new());
        store.put_new("probe/0", bytes("x"), Keep::Derived).await.unwrap();
        store.put_new(path, bytes("x"), Keep::Derived).await.unwrap();
        let made = init(&store).await;
        assert_eq!(matches!(made, Err(archive::ArchiveError::NotEmpty { .. })), foreign, "{path}: {made:?}");
        assert_eq!(store.occupied("archive.json").await.unwrap(), !foreign);
    }
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_and_nothing_is_left() {
    for versioned in [false, true] {
        let server = S3Server::start(Rules { ignores_conditions: true, versioned, ..Rules::default() }).await;
        let refused = init(&s3_store(&server, "")).await.unwrap_err();
        assert!(refused.to_string().contains("If-None-Match"), "{refused}");
        assert_eq!(server.bucket.keys(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn bucket_rules_that_fight_the_archive_are_refused() {
    let retention = Some(Retention { mode: LockMode::Governance, full_days: 30, raw_days: 0 });
    let asks = Modes { access_log: AccessLog::Required, retention };
    let tries = [
        (Rules { lock: Some(Some(9)), ..Rules::default() }, Modes::default(), Some("default retention")),
        (Rules::default(), asks, Some("Object Lock is off")),
        (Rules { plain: true, ..Rules::default() }, asks, Some("Object Lock is off")),
        (Rules { lock: Some(None), ..Rules::default() }, asks, None),
    ];
    for (rules, modes, reason) in tries {
        let server = S3Server::start(rules.clone()).await;
        let store: Store = Arc::new(S3Store::new(&server.config, BUCKET, "", modes.retention).unwrap());
        let made = archive::init(&store, modes, &Ids::random(), CREATED).await;
        match reason {
            Some(reason) => {
                assert!(made.unwrap_err().to_string().contains(reason), "{rules:?}");
                assert_eq!(server.bucket.keys(), Vec::<String>::new());
            }
            None => {
                let url = format!("s3://{BUCKET}");
                let (_, opened) = tailrace::store::open(&url, &server.config).await.unwrap();
                assert_eq!(opened, made.unwrap());
                assert!(server.bucket.versions("archive.json")[0].lock.is_some());
            }
        }
    }
}

#[tokio::test]
async fn addresses_open_and_init_what_they_name() {
    let server = S3Server::start(Rules { latency: Duration::from_millis(20), ..Rules::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/keep");
    for url in [format!("s3://{BUCKET}/team"), format!("file://{}", path.display())] {
        let closed = tailrace::store::open(&url, &server.config).await.unwrap_err();
        assert_eq!(closed.exit, Exit::ArchiveNotFound, "{closed}");
        let ids = Ids::random();
        let (_, made) = tailrace::store::init(&url, &server.config, Modes::default(), &ids).await.unwrap();
        let (store, opened) = tailrace::store::open(&url, &server.config).await.unwrap();
        assert_eq!(opened, made);
        assert!(store.occupied("archive.json").await.unwrap());
    }
    let wrong = tailrace::store::open("gs://elsewhere", &server.config).await.unwrap_err();
    assert_eq!(wrong.exit, Exit::Usage);
    let lost = tailrace::store::open("s3://no-such-bucket", &server.config).await.unwrap_err();
    assert!(lost.to_string().contains("make the bucket"), "{lost}");
}

/// Init under a fault in its n-th mutation and its n-th read; then, if nothing stands, init again.
async fn init_twice(fault: Fault, n: u64) {
    let inner: Store = Arc::new(MemoryStore::new());
    let faulty: Store = Arc::new(FaultyStore::scripted(Arc::clone(&inner), [(n, fault)], [(n, fault)]));
    let first = init(&faulty).await;
    if let Ok(standing) = archive::open(inner.as_ref()).await {
        assert!(first.is_err() || first.unwrap() == standing, "{fault:?} {n}");
    } else {
        assert!(first.is_err(), "{fault:?} {n}");
        init(&inner).await.unwrap();
    }
}

#[tokio::test]
async fn an_init_that_fails_anywhere_can_be_run_again() {
    let faults = [Fault::Lost, Fault::Unanswered, Fault::Refused];
    join_all(faults.into_iter().flat_map(|fault| (0..24).map(move |n| init_twice(fault, n)))).await;
}
