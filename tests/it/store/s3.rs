//! S3 over a wire that fails.

use tailrace::failure::Exit;
use tailrace::store::archive::{LockMode, Retention};

use super::*;
use crate::support::s3_server::Wire;

async fn server() -> (S3Server, Store) {
    let server = S3Server::start(Rules::default()).await;
    let store = s3_store(&server, "p");
    (server, store)
}

#[tokio::test]
async fn row_13_every_failed_put_is_settled_without_harm() {
    for wire in
        [Wire::Before(500), Wire::Before(503), Wire::Before(409), Wire::After(500), Wire::Dropped, Wire::FlippedUp]
    {
        let (server, store) = server().await;
        server.fail([(0, wire)]);
        let put = put_verified(store.as_ref(), "a", &bytes("ours"), Keep::Full, &Ids::random()).await;
        assert_eq!(put.unwrap(), Landed::Ours { version_id: None }, "{wire:?}");
        assert_eq!(server.bucket.versions("p/a")[0].bytes, Some(bytes("ours")), "{wire:?}");
        assert!(server.asked() > 1, "{wire:?} was not met");
    }
}

#[tokio::test]
async fn a_whole_object_is_never_taken_for_a_part_of_it() {
    let rules = Rules { ignores_ranges: true, ..Rules::default() };
    let server = S3Server::start(rules).await;
    let store = s3_store(&server, "p");
    store.put_new("a", bytes("0123456789"), Keep::Full).await.unwrap();
    for from in [0, 4, 20] {
        let part = store.get_range("a", from, 4).await;
        let told = matches!(&part, Err(StoreError::Unavailable { reason, .. }) if reason.contains("parts of objects"));
        assert!(told, "{part:?}");
    }
}

#[tokio::test]
async fn a_put_says_what_it_knows() {
    let (server, store) = server().await;
    // No retry of the SDK's own: the answer is told as it is.
    server.fail([(0, Wire::Before(409))]);
    let put = store.put_new("a", bytes("x"), Keep::Full).await;
    assert!(matches!(put, Err(StoreError::Unknown { .. })), "{put:?}");
    server.fail([(0, Wire::After(500))]);
    // The SDK repeats, and meets our own success.
    let put = store.put_new("a", bytes("x"), Keep::Full).await;
    assert!(matches!(put, Err(StoreError::Taken { .. })), "{put:?}");
    server.fail((0..9).map(|n| (n, Wire::Before(500))));
    let put = store.put_new("b", bytes("x"), Keep::Full).await;
    assert!(matches!(put, Err(StoreError::Unknown { .. })), "{put:?}");
}

#[tokio::test]
async fn row_16_flipped_bits_are_caught_by_checksums_both_ways() {
    let (server, store) = server().await;
    server.fail([(0, Wire::FlippedUp)]);
    let put = store.put_new("a", bytes("x"), Keep::Full).await;
    assert!(matches!(put, Err(StoreError::Unknown { .. })), "{put:?}");
    assert!(server.bucket.versions("p/a").is_empty(), "changed bytes must not appear");
    store.put_new("a", bytes("0123456789"), Keep::Full).await.unwrap();
    server.fail([(0, Wire::FlippedDown)]);
    assert_eq!(store.get("a", None).await.unwrap().bytes, bytes("0123456789"), "read again after the checksum failed");
    server.fail((0..3).map(|n| (n, Wire::FlippedDown)));
    let read = store.get("a", None).await;
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
}

#[tokio::test]
async fn row_16_a_body_that_breaks_off_is_read_again_and_never_taken_short() {
    let (server, store) = server().await;
    store.put_new("a", bytes("0123456789"), Keep::Full).await.unwrap();
    server.fail([(0, Wire::Cut), (1, Wire::Cut)]);
    assert_eq!(store.get("a", None).await.unwrap().bytes, bytes("0123456789"));
    server.fail((0..40).map(|n| (n, Wire::Cut)));
    let read = store.get("a", None).await;
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
}

#[tokio::test]
async fn a_missing_bucket_permission_or_region_is_told_apart() {
    let (server, store) = server().await;
    let lost: Store = Arc::new(S3Store::new(&server.config, "no-such-bucket", "", None).unwrap());
    let (read, put) = (lost.get("a", None).await, lost.put_new("a", bytes("x"), Keep::Full).await);
    for refused in [read.unwrap_err(), put.unwrap_err()] {
        assert!(matches!(&refused, StoreError::Refused { reason, .. } if reason.contains("NoSuchBucket")), "{refused}");
    }
    assert!(matches!(lost.get_oldest("a").await, Err(StoreError::Refused { .. })));
    server.fail([(0, Wire::Before(403)), (1, Wire::Before(403)), (2, Wire::Before(403))]);
    let (read, put) = (store.get("a", None).await, store.put_new("a", bytes("x"), Keep::Full).await);
    for denied in [read.unwrap_err(), put.unwrap_err(), store.occupied("a").await.unwrap_err()] {
        assert_eq!(denied.failure("here").exit, Exit::Credentials, "{denied}");
    }
    let nowhere = aws_config::SdkConfig::builder().behavior_version(aws_config::BehaviorVersion::latest()).build();
    let region = S3Store::new(&nowhere, BUCKET, "", None).unwrap_err();
    assert_eq!(region.failure("here").exit, Exit::Credentials);
    let unsigned = server.config.to_builder().credentials_provider(no_credentials()).build();
    let unsigned = S3Store::new(&unsigned, BUCKET, "", None).unwrap();
    let (read, put) = (unsigned.get("a", None).await, unsigned.put_new("a", bytes("x"), Keep::Full).await);
    for denied in [read.unwrap_err(), put.unwrap_err()] {
        assert!(matches!(denied, StoreError::Denied { .. }), "{denied:?}");
    }
}

fn no_credentials() -> aws_credential_types::provider::SharedCredentialsProvider {
    let provider = aws_credential_types::credential_fn::provide_credentials_fn(|| async {
        Err(aws_credential_types::provider::error::CredentialsError::not_loaded("nobody is signed in"))
    });
    aws_credential_types::provider::SharedCredentialsProvider::new(provider)
}

#[tokio::test]
async fn retention_is_set_per_object_and_holds() {
    let server = S3Server::start(Rules { lock: Some(None), ..Rules::default() }).await;
    let retention = Retention { mode: LockMode::Compliance, full_days: 2555, raw_days: 7 };
    let store = S3Store::new(&server.config, BUCKET, "", Some(retention)).unwrap();
    let full = store.put_new("log", bytes("x"), Keep::Full).await.unwrap();
    let short = store.put_new("raw", bytes("x"), Keep::Short).await.unwrap();
    let derived = store.put_new("fold", bytes("x"), Keep::Derived).await.unwrap();
    let lock = |key: &str| server.bucket.versions(key)[0].lock.clone();
    assert_eq!(lock("log").unwrap().0, "COMPLIANCE");
    assert!(lock("log").unwrap().1 > lock("raw").unwrap().1);
    assert_eq!(lock("fold"), None);
    for (path, version) in [("log", full), ("raw", short)] {
        let removed = store.delete(path, version.as_deref()).await;
        assert!(matches!(removed, Err(StoreError::Denied { .. })), "{removed:?}");
    }
    store.delete("fold", derived.as_deref()).await.unwrap();
    assert_eq!(server.bucket.keys(), ["log", "raw"]);
}

#[tokio::test]
async fn listings_turn_pages() {
    let server = S3Server::start(Rules::default()).await;
    let store = s3_store(&server, "");
    let puts = (0..1203).map(|n| (n, format!("f{:02}/{n:04}", n % 12)));
    for (n, path) in puts {
        store.put_new(&path, bytes(&n.to_string()), Keep::Full).await.unwrap();
    }
    let all = store.list("", None, None).await.unwrap();
    assert_eq!(all.len(), 1203);
    assert!(all.is_sorted_by(|a, b| a.path < b.path));
    assert_eq!(store.list("", None, Some(1100)).await.unwrap(), all[..1100]);
    assert_eq!(store.list("", Some(&all[1000].path), None).await.unwrap(), all[1001..]);
    assert_eq!(store.list_folders("").await.unwrap().len(), 12);
}
