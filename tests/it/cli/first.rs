//! The first snapshot, which a capture takes by itself.

use super::live::{put, turn_on};
use super::*;

const CAPTURE: [&str; 7] = ["capture", "--table", "orders", "--settle", "1s", "--flush-age", "200ms"];

/// A table with items from before its stream.
async fn older_than_its_stream() -> (Dynamo, Shell) {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", None).await;
    for n in 0..7 {
        put(&dynamo, "orders", &format!("k{n}"), "1").await;
    }
    // A stream that begins with its table has seen it empty.
    clock::sleep(Duration::from_millis(2_100)).await;
    turn_on(&dynamo, "orders").await;
    let shell = Shell::with_archive(&dynamo).await;
    (dynamo, shell)
}

async fn snapshots(shell: &Shell) -> u64 {
    let listed = shell.run(&["list", "--json"]).await;
    listed.is(0).lines()[0]["snapshots"].as_array().map_or(0, |snapshots| snapshots.len() as u64)
}

#[tokio::test]
async fn a_capture_takes_the_first_snapshot_of_a_table_and_only_that() {
    let (dynamo, shell) = older_than_its_stream().await;
    shell.write("tailrace.toml", "[base]\nslack = \"1s\"\n");
    let mut capture = shell.start(&CAPTURE);
    capture.until("has no snapshot yet").await;
    capture.until("wrote a snapshot of").await;
    put(&dynamo, "orders", "k0", "2").await;
    capture.signal("TERM");
    let ended = capture.end().await;
    assert!(ended.is(0).out.contains("7 items, 1 files"), "{ended}");
    shell.run(&["replay", "--table", "orders", "--at", "latest", "--into", "file:all.jsonl"]).await.is(0);
    assert_eq!(std::fs::read_to_string(shell.path("all.jsonl")).unwrap().lines().count(), 7);
    let mut again = shell.start(&CAPTURE);
    again.until("archiving 1 table").await;
    clock::sleep(Duration::from_secs(3)).await;
    again.signal("TERM");
    let ended = again.end().await;
    assert!(!ended.is(0).out.contains("snapshot"), "{ended}");
    assert_eq!(snapshots(&shell).await, 1);
    shell.run(&["verify"]).await.is(0);
}

#[tokio::test]
async fn a_snapshot_that_costs_too_much_is_told_and_one_that_was_killed_is_not_paid_for_twice() {
    let (_dynamo, shell) = older_than_its_stream().await;
    let mut capture = shell.start(&[&CAPTURE[..], &["--base-budget", "0"]].concat());
    capture.until("`tailrace base --table orders` takes one").await;
    capture.signal("TERM");
    capture.end().await.is(0);
    // It stands in the log before anything is read, and waits a quarter of an hour for what it read.
    let mut capture = shell.start(&CAPTURE);
    capture.until("has no snapshot yet").await;
    clock::sleep(Duration::from_secs(4)).await;
    capture.signal("KILL");
    capture.end().await;
    let mut capture = shell.start(&CAPTURE);
    capture.until("one was begun and has not ended").await;
    capture.signal("TERM");
    capture.end().await.is(0);
    assert_eq!(snapshots(&shell).await, 0);
    // One that is stopped ends in the log: the next may begin.
    let (_dynamo, shell) = older_than_its_stream().await;
    for _ in 0..2 {
        let mut capture = shell.start(&CAPTURE);
        capture.until("about $0.01 on demand").await;
        clock::sleep(Duration::from_secs(3)).await;
        capture.signal("TERM");
        capture.end().await.is(0);
    }
    shell
        .refuses(&["capture", "--table", "orders", "--base-budget", "a lot"], Exit::Usage, &["--base-budget", "$1"])
        .await;
}
