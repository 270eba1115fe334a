//! Signals: what holds unwritten work writes it first, anything else ends at once.

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};

use super::*;
use crate::support::s3_server::{BUCKET, Rules, S3Server, Wire};

const CAPTURE: [&str; 7] = ["capture", "--table", "orders", "--settle", "1s", "--flush-age", "1h"];

async fn put(dynamo: &Dynamo, key: &str) {
    let put = dynamo.client.put_item().table_name("orders");
    let put = put.item("pk", AttributeValue::S(key.into())).item("sk", AttributeValue::N("1".into()));
    put.send().await.unwrap();
}

/// A table with one item.
async fn orders() -> Dynamo {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    put(&dynamo, "first").await;
    dynamo
}

/// Read, and far from due to be written.
const READ: &str = "read from the stream";

#[tokio::test]
async fn row_38_a_capture_that_is_told_to_stop_writes_what_it_holds() {
    let dynamo = orders().await;
    let shell = Shell::with_archive(&dynamo).await;
    for (signal, code, json) in [("TERM", 0, true), ("INT", Exit::Interrupted as i32, false)] {
        put(&dynamo, signal).await;
        let more = if json { &["--json", "-vv"][..] } else { &["-vv"] };
        let mut capture = shell.start(&[&CAPTURE[..], more].concat());
        capture.until(READ).await;
        capture.signal(signal);
        let ended = capture.end().await;
        ended.is(code);
        if json {
            assert_eq!(ended.summary()["changes"], 2, "{ended}");
        } else {
            assert!(ended.out.contains("orders: 1 changes"), "{ended}");
        }
    }
    let verified = shell.run(&["verify", "--json"]).await;
    assert_eq!(verified.is(0).summary()["rows"], 3, "{verified}");
}

#[tokio::test]
async fn row_38_a_second_signal_waits_for_nothing() {
    let (dynamo, server) = (orders().await, S3Server::start(Rules::default()).await);
    let place = format!("s3://{BUCKET}/keep");
    let endpoint = server.config.endpoint_url().unwrap();
    let shell = Shell::new().with_aws(&dynamo.config).with("AWS_ENDPOINT_URL_S3", endpoint);
    let shell = shell.with("TAILRACE_ARCHIVE", &place);
    shell.run(&["init"]).await.is(0);
    let mut capture = shell.start(&[&CAPTURE[..], &["-vv"]].concat());
    capture.until(READ).await;
    let (written, asked) = (server.bucket.keys(), server.asked());
    server.fail((0..100_000).map(|n| (n, Wire::Before(503))));
    capture.signal("TERM");
    while server.asked() == asked {
        clock::sleep(Duration::from_millis(10)).await;
    }
    capture.signal("TERM");
    let ended = capture.end().await;
    ended.is(Exit::Terminated as i32);
    assert!(ended.err.contains("second signal") && ended.err.contains("start it again"), "{ended}");
    assert_eq!(server.bucket.keys(), written);
}

#[tokio::test]
async fn a_demo_ends_when_it_is_told_to() {
    let shell = Shell::new();
    let mut demo = shell.start(&["demo", "--keep-running"]);
    demo.until("while a shop writes orders to it").await;
    demo.signal("INT");
    demo.end().await.is(Exit::Interrupted as i32);
}

#[tokio::test]
async fn a_replay_that_waits_ends_at_once_and_leaves_no_file() {
    let (shell, _world) = Shell::with_world(41).await;
    let before = files(shell.folder.path());
    let replay = ["replay", "--table", "orders", "--at", "2096-01-01T00:00:00Z", "--wait", "--into", "file:out.jsonl"];
    for (signal, exit) in [("TERM", Exit::Terminated), ("INT", Exit::Interrupted)] {
        let mut running = shell.start(&replay);
        running.until("waiting until the archive covers the time").await;
        running.signal(signal);
        let ended = running.end().await;
        ended.is(exit as i32);
        assert!(ended.err.contains("stopped before its end"), "{ended}");
        assert_eq!(files(shell.folder.path()), before);
    }
}

#[tokio::test]
async fn a_table_that_was_being_filled_is_named_when_the_replay_is_stopped() {
    let (shell, mut world) = Shell::with_world(42).await;
    let keys: Vec<String> = (0..100).map(|n| format!("key {n}")).collect();
    world.change(&keys.iter().map(|key| (key.as_str(), Some("v"))).collect::<Vec<_>>()).await;
    let dynamo = Dynamo::start().await;
    let shell = shell.with_aws(&dynamo.config);
    let slow = ["--write-units", "20", "--into", "dynamodb:copy", "--json"];
    let mut running = shell.start(&[&["replay", "--table", "orders", "--at", "latest"], &slow[..]].concat());
    running.until("\"plan\"").await;
    let count = async || dynamo.client.scan().table_name("copy").send().await.map_or(0, |scanned| scanned.count);
    while count().await == 0 {
        clock::sleep(Duration::from_millis(50)).await;
    }
    running.signal("TERM");
    let ended = running.end().await;
    ended.is(Exit::Terminated as i32);
    assert!(count().await < 101, "it was not stopped");
    assert!(ended.error()["next"].as_str().unwrap().contains("delete-table --table-name copy"), "{ended}");
}
