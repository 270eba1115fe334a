//! Our decoding equals the SDK's own: the same bytes go through both.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use tailrace::change::{Change, ChangeKind, KeyAttribute, KeySchema, KeyType, Text};
use tailrace::shard::dynamodb::DynamoStream;
use tailrace::shard::{ShardIterator, StreamSource, decode};

use crate::support::streams_server::{StreamsServer, record};

/// What the SDK made of a value, back in the service's JSON.
fn sdk_json(value: &AttributeValue) -> Value {
    let binary = |bytes: &aws_sdk_dynamodbstreams::primitives::Blob| STANDARD.encode(bytes);
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::B(bytes) => json!({"B": binary(bytes)}),
        AttributeValue::Bool(truth) => json!({"BOOL": truth}),
        AttributeValue::Null(truth) => json!({"NULL": truth}),
        AttributeValue::Ss(set) => json!({"SS": set}),
        AttributeValue::Ns(set) => json!({"NS": set}),
        AttributeValue::Bs(set) => json!({"BS": set.iter().map(binary).collect::<Vec<_>>()}),
        AttributeValue::L(list) => json!({"L": list.iter().map(sdk_json).collect::<Vec<_>>()}),
        AttributeValue::M(map) => json!({"M": sdk_image(map)}),
        other => panic!("{other:?}"),
    }
}

fn sdk_image(image: &HashMap<String, AttributeValue>) -> Value {
    Value::Object(image.iter().map(|(name, value)| (name.clone(), sdk_json(value))).collect())
}

fn ours(image: Option<&Text>) -> Option<Value> {
    image.map(|text| serde_json::from_str(text.as_str()).expect("an image"))
}

fn check(change: &Change, theirs: &aws_sdk_dynamodbstreams::types::Record) {
    let body = theirs.dynamodb().expect("a body");
    assert_eq!(change.kind.word(), theirs.event_name().expect("a name").as_str());
    assert_eq!(change.sequence.to_string(), body.sequence_number().expect("a number"));
    assert_eq!(change.event_id.as_ref().map(Text::as_str), theirs.event_id());
    assert_eq!(change.size_bytes, body.size_bytes());
    let stamp = body.approximate_creation_date_time().expect("a time");
    assert_eq!(i128::from(change.changed_at.0) * 1_000, stamp.as_nanos());
    assert_eq!(ours(change.new_image.as_ref()), body.new_image().map(sdk_image));
    assert_eq!(ours(change.old_image.as_ref()), body.old_image().map(sdk_image));
    let key = change.key.as_ref().expect("a key");
    assert_eq!(sdk_json(&body.keys().expect("keys")["pk"]), json!({"S": key.pk.text.as_str()}));
}

/// Sends these pairs of images through both.
async fn compare(server: &StreamsServer, images: &[(String, String)]) {
    let records: Vec<_> = images
        .iter()
        .enumerate()
        .map(|(n, (new, old))| {
            let keys = r#"{"pk":{"S":"the \u00e4 \"key\""}}"#;
            let (kind, new, old) = match n % 3 {
                0 => ("INSERT", Some(new.as_str()), None),
                1 => ("MODIFY", Some(new.as_str()), Some(old.as_str())),
                _ => ("REMOVE", None, Some(old.as_str())),
            };
            record(kind, &(10_u128.pow(30) + n as u128).to_string(), 1_795_305_600, keys, new, old)
        })
        .collect();
    let page = format!("{{\"Records\":[{}],\"NextShardIterator\":\"next\"}}", records.join(","));
    server.serve(page.clone());
    server.serve(page);
    let iterator = ShardIterator("any".to_owned());
    let raw = DynamoStream::new(&server.config(), StreamsServer::ARN).read(&iterator).await.expect("a page");
    let schema = KeySchema(vec![KeyAttribute { name: "pk".to_owned(), kind: KeyType::S }]);
    let page = decode::page(&raw, &schema).expect("a page");
    let sdk = Client::new(&server.config()).get_records().shard_iterator("any").send().await.expect("a page");
    assert_eq!(page.next, sdk.next_shard_iterator().map(|next| ShardIterator(next.to_owned())));
    assert_eq!(page.changes.len(), sdk.records().len());
    assert!(page.changes.iter().all(|change| change.kind != ChangeKind::Unknown));
    for (change, theirs) in page.changes.iter().zip(sdk.records()) {
        check(change, theirs);
    }
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof!["-?[1-9][0-9]{0,37}", "-?0\\.[0-9]{0,20}[1-9]", Just("0".to_owned()), "[1-9][0-9]{0,3}0{1,120}"]
}

fn binary() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| STANDARD.encode(bytes))
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<String>().prop_map(|text| json!({"S": text})),
        number().prop_map(|number| json!({"N": number})),
        binary().prop_map(|bytes| json!({"B": bytes})),
        any::<bool>().prop_map(|truth| json!({"BOOL": truth})),
        Just(json!({"NULL": true})),
        prop::collection::hash_set(any::<String>(), 1..4).prop_map(|set| json!({"SS": set})),
        prop::collection::hash_set("[1-9][0-9]{0,30}", 1..4).prop_map(|set| json!({"NS": set})),
        prop::collection::hash_set(binary(), 1..4).prop_map(|set| json!({"BS": set})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| json!({"L": list})),
            prop::collection::hash_map(name(), inner, 0..4).prop_map(|map| json!({"M": map})),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec!["Item", "a.b", "set", "drop", "S", "aws:rep:updatetime", "Records", "\u{0}"]);
    prop_oneof![odd.prop_map(str::to_owned), "[a-z]{1,8}", Just("n".repeat(300)), "\\PC{1,12}"]
}

fn image() -> impl Strategy<Value = String> {
    prop::collection::hash_map(name(), value(), 0..6).prop_map(|attributes| {
        let mut image: Map<String, Value> = attributes.into_iter().collect();
        image.insert("pk".to_owned(), json!({"S": "the \u{e4} \"key\""}));
        Value::Object(image).to_string()
    })
}

#[test]
fn every_image_decodes_as_the_sdk_decodes_it() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(StreamsServer::start());
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec((image(), image()), 1..10), |images| {
            runtime.block_on(compare(&server, &images));
            Ok(())
        })
        .expect("equal");
}

#[tokio::test]
async fn the_largest_and_deepest_items_decode_as_the_sdk_decodes_them() {
    let with = |value: Value| json!({"pk": {"S": "the \u{e4} \"key\""}, "x": value}).to_string();
    let deep = (0..16).fold(json!({"NULL": true}), |inner, _| json!({"L": [{"M": {"m": inner}}]}));
    let numbers = json!({"NS": ["9".repeat(38), format!("-{}", "9".repeat(38)), format!("1{}", "0".repeat(125)), format!("0.{}1", "0".repeat(129))]});
    let server = StreamsServer::start().await;
    let all: Vec<_> = [
        json!({"S": "\u{0}\u{1f}\u{7f}\\\"/\u{1f600}".repeat(20_000)}),
        json!({"B": STANDARD.encode(vec![0xff; 399_000])}),
        deep,
        numbers,
        json!({"L": []}),
        json!({"M": {}}),
        json!({"S": ""}),
        json!({"B": ""}),
        json!({"SS": [""]}),
        json!({"BS": [""]}),
    ]
    .into_iter()
    .flat_map(|value| std::iter::repeat_n((with(value.clone()), with(value)), 3))
    .collect();
    compare(&server, &all).await;
}
