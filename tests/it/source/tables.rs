//! Tables and streams of an embedded DynamoDB, read end to end.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};
use tailrace::change::{ChangeKind, KeyType, Text};
use tailrace::platform::ids::Ids;
use tailrace::shard::dynamodb::DynamoStream;
use tailrace::shard::table::{Billing, TableError, describe};
use tailrace::shard::tail::{Tail, TailEvent};
use tailrace::shard::{ReadFrom, StreamSource, StreamStatus};

use crate::support::dynamo::Dynamo;

#[tokio::test]
async fn a_table_is_described_with_its_timeline_key_and_stream() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    let facts = describe(&dynamo.config, "orders").await.unwrap();
    assert_eq!((facts.identity.name.as_str(), facts.identity.region.as_str()), ("orders", "dynoxide"));
    assert_eq!(facts.identity.account, "000000000000");
    assert!(!facts.identity.table_id.is_empty() && !facts.identity.table_id.starts_with("local-"));
    let keys: Vec<_> = facts.keys.0.iter().map(|key| (key.name.as_str(), key.kind)).collect();
    assert_eq!(keys, [("pk", KeyType::S), ("sk", KeyType::N)]);
    assert_eq!(facts.billing, Billing::OnDemand);
    assert!(!facts.restored && !facts.replicated);
    assert_eq!(facts.definition["KeySchema"][1]["KeyType"], "RANGE");
    assert_eq!(facts.definition["BillingMode"], "PAY_PER_REQUEST");
    let stream = facts.live_stream().unwrap();
    assert_eq!((stream.view_type.as_str(), stream.status), ("NEW_AND_OLD_IMAGES", StreamStatus::Enabled));
    assert!(stream.arn.contains("/stream/") && stream.created.second().0 > 1_700_000_000);
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_mends_it() {
    let dynamo = Dynamo::start().await;
    let missing = describe(&dynamo.config, "nowhere").await.unwrap_err();
    assert!(matches!(missing, TableError::Missing { .. }), "{missing:?}");
    dynamo.create_table("silent", None).await;
    let off = describe(&dynamo.config, "silent").await.unwrap().live_stream().unwrap_err().to_string();
    assert!(off.contains("aws dynamodb update-table --table-name silent"), "{off}");
    assert!(off.contains("stream_view_type = \"NEW_AND_OLD_IMAGES\""), "{off}");
    dynamo.create_table("keyed", Some(StreamViewType::KeysOnly)).await;
    dynamo.create_table("old", Some(StreamViewType::OldImage)).await;
    for table in ["keyed", "old"] {
        let error = describe(&dynamo.config, table).await.unwrap().live_stream().unwrap_err();
        assert!(matches!(error, TableError::ViewType { .. }), "{error:?}");
        assert!(error.to_string().contains("StreamEnabled=false"), "{error}");
    }
    dynamo.create_table("new", Some(StreamViewType::NewImage)).await;
    assert!(describe(&dynamo.config, "new").await.unwrap().live_stream().is_ok());
}

#[tokio::test]
async fn a_written_item_comes_out_of_the_stream() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    let facts = describe(&dynamo.config, "orders").await.unwrap();
    let arn = facts.live_stream().unwrap().arn.clone();
    let source = DynamoStream::new(&dynamo.config, arn);
    let before = source.list().await.unwrap();
    assert_eq!(before.shards.len(), 1, "also while it is empty");
    let put = |note: &str| {
        dynamo
            .client
            .put_item()
            .table_name("orders")
            .item("pk", AttributeValue::S("o\"1".to_owned()))
            .item("sk", AttributeValue::N("7".to_owned()))
            .item("note", AttributeValue::S(note.to_owned()))
            .send()
    };
    put("first").await.unwrap();
    put("second").await.unwrap();
    dynamo
        .client
        .delete_item()
        .table_name("orders")
        .key("pk", AttributeValue::S("o\"1".to_owned()))
        .key("sk", AttributeValue::N("7".to_owned()))
        .send()
        .await
        .unwrap();
    let shard = source.list().await.unwrap().shards.remove(0);
    assert!(source.knows(&shard.id).await.unwrap());
    let mut tail = Tail::new(
        Arc::new(source),
        shard.id,
        Arc::new(facts.keys),
        ReadFrom::TrimHorizon,
        (Duration::from_secs(120), Duration::ZERO),
        Ids::random(),
    );
    let mut changes = Vec::new();
    while changes.len() < 3 {
        match tail.step().await {
            TailEvent::Page(page) => changes.extend(page.changes),
            other => panic!("{other:?}"),
        }
    }
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Insert, ChangeKind::Modify, ChangeKind::Remove]);
    assert!(changes.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    assert!(changes.iter().all(|change| change.sequence > before.shards[0].start.before()));
    let has = |text: Option<&Text>, note: &str| text.is_some_and(|text| text.as_str().contains(note));
    assert!(has(changes[1].old_image.as_ref(), "first") && has(changes[1].new_image.as_ref(), "second"));
    assert!(has(changes[2].old_image.as_ref(), "second") && changes[2].new_image.is_none());
    assert_eq!(changes[0].key.as_ref().unwrap().pk.text.as_str(), "o\"1");
}
