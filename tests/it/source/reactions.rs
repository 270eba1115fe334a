//! Listings in full, every error with its reaction, and whole lineages read through tails.

use std::sync::Arc;
use std::time::Duration;

use tailrace::change::{KeyAttribute, KeySchema, KeyType, ShardId};
use tailrace::platform::ids::Ids;
use tailrace::shard::dynamodb::DynamoStream;
use tailrace::shard::tail::{Tail, TailEvent, TailPage};
use tailrace::shard::{ReadFrom, SourceError, StreamSource, StreamStatus};

use crate::support::streams_server::{Fault, StreamsServer};
use tailrace::platform::aws::ServiceError;

fn source(server: &StreamsServer) -> DynamoStream {
    DynamoStream::new(&server.config(), StreamsServer::ARN)
}

fn tail(server: &StreamsServer, shard: &str, from: ReadFrom) -> Tail {
    let keys = KeySchema(vec![KeyAttribute { name: "pk".to_owned(), kind: KeyType::S }]);
    let source = Arc::new(source(server));
    Tail::new(
        source,
        ShardId::new(shard),
        Arc::new(keys),
        from,
        (Duration::from_secs(120), Duration::ZERO),
        Ids::random(),
    )
}

async fn page(tail: &mut Tail) -> TailPage {
    loop {
        match tail.step().await {
            TailEvent::Page(page) => return page,
            TailEvent::Retrying { .. } => {}
            other => panic!("no page but {other:?}"),
        }
    }
}

/// All that a shard has, up to its end.
async fn drain(server: &StreamsServer, shard: &str) -> Vec<String> {
    let mut tail = tail(server, shard, ReadFrom::TrimHorizon);
    let mut all = Vec::new();
    loop {
        let page = page(&mut tail).await;
        all.extend(page.changes.iter().map(|change| change.key.as_ref().expect("a key").pk.text.as_str().to_owned()));
        if page.null {
            return all;
        }
    }
}

#[tokio::test]
async fn row_25_a_listing_holds_every_shard_of_every_page() {
    let server = StreamsServer::start().await;
    server.listing_page(7);
    let root = server.open(None);
    let mut leaves = vec![root.clone()];
    while leaves.len() < 125 {
        let parent = leaves.remove(0);
        leaves.extend(server.split(&parent, 2));
    }
    let begun = server.now();
    let listing = source(&server).list().await.unwrap();
    assert_eq!(listing.shards.len(), 249);
    assert_eq!((listing.begun.0, listing.status), (begun, StreamStatus::Enabled));
    assert_eq!(server.calls("DescribeStream"), 36);
    assert_eq!(listing.shards.iter().filter(|shard| shard.end.is_none()).count(), 125);
    let root = ShardId::new(&root);
    assert_eq!(listing.shards.iter().filter(|shard| shard.parent.as_ref() == Some(&root)).count(), 2);
}

#[tokio::test]
async fn a_listing_without_end_is_an_error_and_not_a_listing() {
    let server = StreamsServer::start().await;
    server.open(None);
    server.list_for_ever();
    assert!(matches!(source(&server).list().await, Err(SourceError::Service(ServiceError::Malformed(_)))));
    assert_eq!(server.calls("DescribeStream"), 2);
}

#[tokio::test]
async fn an_unlisted_shard_is_known_until_it_is_gone() {
    let server = StreamsServer::start().await;
    let shard = server.open(None);
    let source = source(&server);
    server.set_listed(&shard, false);
    assert!(source.list().await.unwrap().shards.is_empty());
    assert!(source.knows(&ShardId::new(&shard)).await.unwrap());
    server.forget(&shard);
    assert!(!source.knows(&ShardId::new(&shard)).await.unwrap());
    server.set_status("DISABLED");
    assert_eq!(source.list().await.unwrap().status, StreamStatus::Disabled);
}

#[tokio::test]
async fn every_error_has_its_reaction() {
    let server = StreamsServer::start().await;
    let shard = ShardId::new(server.open(None));
    let source = source(&server);
    for (status, code, calls) in [
        (400, "TrimmedDataAccessException", 1),
        (400, "ExpiredIteratorException", 1),
        (400, "ResourceNotFoundException", 1),
        (400, "ValidationException", 1),
        (400, "AccessDeniedException", 1),
        (400, "ExpiredTokenException", 1),
        (400, "LimitExceededException", 3),
        (400, "ThrottlingException", 3),
        (500, "InternalServerError", 3),
        (503, "ServiceUnavailable", 3),
    ] {
        let before = server.calls("GetRecords");
        for _ in 0..calls {
            server.fault("GetRecords", Fault::Error(status, code));
        }
        let iterator = source.iterator(&shard, ReadFrom::TrimHorizon).await.unwrap();
        let error = source.read(&iterator).await.expect_err(code);
        let text = format!("{code}: told so");
        let expected = match code {
            "TrimmedDataAccessException" => SourceError::Trimmed,
            "ExpiredIteratorException" => SourceError::Expired,
            "ResourceNotFoundException" => {
                SourceError::Service(ServiceError::NotFound { at: tailrace::change::Second(server.now()) })
            }
            "ValidationException" => SourceError::Service(ServiceError::Invalid(text)),
            "AccessDeniedException" | "ExpiredTokenException" => SourceError::Service(ServiceError::Denied(text)),
            "LimitExceededException" | "ThrottlingException" => SourceError::Service(ServiceError::Throttled(text)),
            _ => SourceError::Service(ServiceError::Unavailable(text)),
        };
        assert_eq!(error, expected);
        assert_eq!(server.calls("GetRecords") - before, calls, "{code}");
    }
}

#[tokio::test]
async fn a_client_without_credentials_is_told_so() {
    let server = StreamsServer::start().await;
    let mut config = server.config().into_builder();
    config.set_credentials_provider(None);
    let config = config.build();
    let error = DynamoStream::new(&config, StreamsServer::ARN).list().await.unwrap_err();
    assert!(matches!(error, SourceError::Service(ServiceError::Denied(_))), "{error:?}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_unavailable() {
    let config = crate::support::dynamo::config("http://127.0.0.1:1", "us-east-1");
    let error = DynamoStream::new(&config, StreamsServer::ARN).list().await.unwrap_err();
    assert!(matches!(error, SourceError::Service(ServiceError::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn a_body_without_records_never_ends_a_shard() {
    let server = StreamsServer::start().await;
    let shard = server.open(None);
    server.push(&shard, "INSERT", "a");
    server.close(&shard);
    for body in ["", "{}", "{\"Records\":"] {
        server.fault("GetRecords", Fault::Body(body));
        let mut tail = tail(&server, &shard, ReadFrom::TrimHorizon);
        let event = tail.step().await;
        assert!(
            matches!(event, TailEvent::Retrying { error: SourceError::Service(ServiceError::Malformed(_)), .. }),
            "{body:?}: {event:?}"
        );
        let page = page(&mut tail).await;
        assert!(page.null && page.changes.len() == 1, "the records and the end come in one page");
    }
}

#[tokio::test]
async fn row_07_a_lineage_is_read_whole_over_small_pages_empty_pages_and_an_expiry() {
    let server = StreamsServer::start().await;
    server.records_page(2);
    let root = server.open(None);
    for item in ["a", "b", "c"] {
        server.push(&root, "INSERT", item);
    }
    server.empty_pages(&root, 2);
    let children = server.split(&root, 2);
    server.push(&children[0], "MODIFY", "a");
    server.push(&children[1], "REMOVE", "b");
    server.close(&children[0]);
    server.close(&children[1]);
    assert_eq!(drain(&server, &root).await, ["a", "b", "c"]);
    assert_eq!(drain(&server, &children[0]).await, ["a"]);
    assert_eq!(drain(&server, &children[1]).await, ["b"]);
}

#[tokio::test]
async fn expiry_trimming_and_disappearance_are_told_apart() {
    let server = StreamsServer::start().await;
    let shard = server.open(None);
    server.records_page(1);
    server.push(&shard, "INSERT", "a");
    let second = server.push(&shard, "INSERT", "b");
    server.push(&shard, "INSERT", "c");
    let mut tail = tail(&server, &shard, ReadFrom::TrimHorizon);
    assert!(page(&mut tail).await.from_trim_horizon);
    server.advance(1_000);
    let renewed = page(&mut tail).await;
    assert_eq!((renewed.changes[0].sequence.to_string(), renewed.repeated), (second.to_string(), 0));
    assert!(!renewed.from_trim_horizon);
    let fourth = server.push(&shard, "INSERT", "d");
    server.trim(&shard, fourth);
    assert!(matches!(tail.step().await, TailEvent::Trimmed));
    let after = page(&mut tail).await;
    assert!(after.from_trim_horizon && after.changes.is_empty());
    server.forget(&shard);
    let gone = tail.step().await;
    assert!(matches!(gone, TailEvent::NotFound { at } if at.0 == server.now()), "{gone:?}");
}
