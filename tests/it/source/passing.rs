//! Bytes pass through the SDK as they are, and its retries still hold.

use tailrace::change::ShardId;
use tailrace::shard::dynamodb::DynamoStream;
use tailrace::shard::{ReadFrom, ShardIterator, SourceError, StreamSource};

use crate::support::streams_server::{Fault, StreamsServer};
use tailrace::platform::aws::ServiceError;

/// A server with one shard of 1,000 records, a source, and an iterator at its beginning.
async fn ready() -> (StreamsServer, DynamoStream, ShardIterator) {
    let server = StreamsServer::start().await;
    let shard = server.open(None);
    for item in 0..1_000 {
        server.push(&shard, "INSERT", &format!("item-{item}"));
    }
    let source = DynamoStream::new(&server.config(), StreamsServer::ARN);
    let iterator = source.iterator(&ShardId::new(&shard), ReadFrom::TrimHorizon).await.unwrap();
    (server, source, iterator)
}

#[tokio::test]
async fn a_page_arrives_byte_for_byte_with_the_services_time() {
    let (server, source, iterator) = ready().await;
    let odd = "{ \"Records\" : [ ] ,\n\"NextShardIterator\":\"\\u0041\"}";
    server.serve(odd);
    let page = source.read(&iterator).await.unwrap();
    assert_eq!(page.body, odd.as_bytes());
    assert_eq!(page.at.0, server.now());
    server.advance(100);
    assert_eq!(source.read(&iterator).await.unwrap().at.0, server.now());
}

#[tokio::test]
async fn an_error_keeps_its_type_and_is_not_retried() {
    let (server, source, iterator) = ready().await;
    server.advance(901);
    assert_eq!(source.read(&iterator).await.unwrap_err(), SourceError::Expired);
    assert_eq!(server.calls("GetRecords"), 1);
}

#[tokio::test]
async fn a_cut_body_is_read_again_and_equal() {
    let (server, source, iterator) = ready().await;
    let whole = source.read(&iterator).await.unwrap().body;
    assert!(whole.len() > 300_000, "more than one frame");
    server.fault("GetRecords", Fault::Cut);
    assert_eq!(source.read(&iterator).await.unwrap().body, whole);
    assert_eq!(server.calls("GetRecords"), 3);
}

#[tokio::test]
async fn an_error_behind_a_cut_body_keeps_its_type() {
    let (server, source, iterator) = ready().await;
    server.fault("GetRecords", Fault::Cut);
    server.fault("GetRecords", Fault::Error(400, "ExpiredIteratorException"));
    assert_eq!(source.read(&iterator).await.unwrap_err(), SourceError::Expired);
    assert_eq!(server.calls("GetRecords"), 2);
}

#[tokio::test]
async fn row_01_a_lost_answer_a_server_error_and_a_wrong_checksum_are_retried() {
    let (server, source, iterator) = ready().await;
    let whole = source.read(&iterator).await.unwrap().body;
    for (calls, fault) in [(3, Fault::Lost), (5, Fault::Error(500, "InternalServerError")), (7, Fault::WrongSum)] {
        server.fault("GetRecords", fault.clone());
        assert_eq!(source.read(&iterator).await.unwrap().body, whole, "{fault:?}");
        assert_eq!(server.calls("GetRecords"), calls, "{fault:?}");
    }
}

#[tokio::test]
async fn a_body_that_stays_cut_or_wrong_is_never_a_page() {
    let (server, source, iterator) = ready().await;
    for fault in [Fault::Cut, Fault::WrongSum] {
        for _ in 0..3 {
            server.fault("GetRecords", fault.clone());
        }
        let error = source.read(&iterator).await.unwrap_err();
        assert!(matches!(error, SourceError::Service(ServiceError::Unavailable(_))), "{fault:?}: {error:?}");
    }
}
