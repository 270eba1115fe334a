//! Live tables: what cannot be captured, what goes on beside it, and the whole way there and back.

use aws_sdk_dynamodb::types::{AttributeValue, StreamSpecification, StreamViewType};

use serde_json::json;

use super::damage::{append, last_entry};
use super::places::on_a_full_disk;
use super::*;

/// `capture` until everything is archived, as fast as an endpoint that is not AWS's allows.
fn once<'a>(tables: &'a [&'a str]) -> Vec<&'a str> {
    let named = tables.iter().flat_map(|table| ["--table", table]);
    ["capture", "--once", "--settle", "1s", "--flush-age", "1s"].into_iter().chain(named).collect()
}

pub(super) async fn put(dynamo: &Dynamo, table: &str, key: &str, value: &str) {
    let put = dynamo.client.put_item().table_name(table);
    let put = put.item("pk", AttributeValue::S(key.into())).item("sk", AttributeValue::N("1".into()));
    put.item("v", AttributeValue::S(value.into())).send().await.unwrap();
}

pub(super) async fn delete(dynamo: &Dynamo, table: &str, key: &str) {
    let delete = dynamo.client.delete_item().table_name(table);
    let delete = delete.key("pk", AttributeValue::S(key.into())).key("sk", AttributeValue::N("1".into()));
    delete.send().await.unwrap();
}

async fn turn_off(dynamo: &Dynamo, table: &str) {
    let off = StreamSpecification::builder().stream_enabled(false).build().unwrap();
    dynamo.client.update_table().table_name(table).stream_specification(off).send().await.unwrap();
}

pub(super) async fn turn_on(dynamo: &Dynamo, table: &str) {
    let on = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewAndOldImages);
    let on = on.build().unwrap();
    dynamo.client.update_table().table_name(table).stream_specification(on).send().await.unwrap();
}

#[tokio::test]
async fn a_table_that_is_not_there_is_refused_with_the_nearest_that_is() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    let shell = Shell::with_archive(&dynamo).await;
    for verb in ["capture", "base"] {
        shell.refuses(&[verb, "--table", "ordes"], Exit::Usage, &["ordes", "did you mean orders?", "region"]).await;
        shell.refuses(&[verb, "--table", "payments"], Exit::Usage, &["payments", "dynoxide", "account"]).await;
        let other = ["999999999999/dynoxide/orders", "000000000000/dynoxide/orders"];
        shell.refuses(&[verb, "--table", other[0]], Exit::Usage, &other).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_off_or_carries_too_little_is_refused_with_the_lines_that_mend_it() {
    let dynamo = Dynamo::start().await;
    let mend =
        ["aws dynamodb update-table --table-name", "StreamViewType=NEW_AND_OLD_IMAGES", "stream_enabled   = true"];
    let views = [None, Some(StreamViewType::KeysOnly), Some(StreamViewType::OldImage)];
    let names = ["off", "keys", "old"].map(|name| format!("table-{name}"));
    for (name, view) in names.iter().zip(views) {
        dynamo.create_table(name, view.clone()).await;
        put(&dynamo, name, "a", "1").await;
        let shell = Shell::with_archive(&dynamo).await;
        let exit = if view.is_some() { Exit::Configuration } else { Exit::OutsideCoverage };
        let word = view.as_ref().map_or("off", |view| view.as_str());
        let words = [&mend[..], &[name, word, "stream_view_type = \"NEW_AND_OLD_IMAGES\""]].concat();
        for arguments in [once(&[name]), vec!["base", "--table", name, "--settle", "1s"]] {
            shell.refuses(&arguments, exit, &words).await;
        }
    }
}

#[tokio::test]
async fn a_settle_that_is_too_short_for_aws_is_refused() {
    let (shell, _world) = Shell::with_world(51).await;
    let shell = shell.with_keys().with("AWS_REGION", "eu-west-1");
    for verb in ["capture", "base"] {
        shell.refuses(&[verb, "--table", "orders", "--settle", "59s"], Exit::Usage, &["--settle", "60s"]).await;
    }
}

#[tokio::test]
async fn row_30_a_table_made_anew_under_its_name_is_another_timeline_and_the_first_one_stays() {
    let dynamo = Dynamo::start().await;
    let shell = Shell::with_archive(&dynamo).await;
    let mut timelines = Vec::new();
    for key in ["first", "second"] {
        dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
        put(&dynamo, "orders", key, "1").await;
        shell.run(&once(&["orders"])).await.is(0);
        let listed = shell.run(&["list", "--json"]).await.lines();
        let names = listed.iter().filter_map(|line| line["table"].as_str().map(str::to_owned));
        timelines.extend(names.filter(|name| !timelines.contains(name)).collect::<Vec<_>>());
        dynamo.client.delete_table().table_name("orders").send().await.unwrap();
    }
    let [first, second] = &timelines[..] else { panic!("two timelines: {timelines:?}") };
    let listed = shell.run(&["list"]).await;
    assert_eq!(listed.is(0).out.matches("the table was made anew: since").count(), 1, "{listed}");
    assert!(listed.out.contains(&format!("its name belongs to {second}")), "{listed}");
    assert!(listed.out.contains("not read to its end"), "no capture ran when it was deleted: {listed}");
    let status = shell.run(&["status"]).await;
    let gone = status.is(0).out.lines().find(|line| line.contains(first.as_str()));
    assert!(gone.is_some_and(|line| line.starts_with("gone")), "{status}");
    let of = |table| ["replay", "--table", table, "--at", "latest", "--into", "file:out.jsonl"];
    shell.refuses(&of("orders"), Exit::Usage, &[first, second]).await;
    shell.run(&of(first)).await.is(0);
    let image = std::fs::read_to_string(shell.path("out.jsonl")).unwrap();
    assert!(image.contains("first") && !image.contains("second"), "{image}");
}

#[tokio::test]
async fn one_bad_table_among_twenty_stops_no_other() {
    let dynamo = Dynamo::start().await;
    let names: Vec<String> = (0..20).map(|n| format!("table-{n:02}")).collect();
    for (n, name) in names.iter().enumerate() {
        dynamo.create_table(name, (n != 7).then_some(StreamViewType::NewAndOldImages)).await;
        put(&dynamo, name, "a", name).await;
    }
    let shell = Shell::with_archive(&dynamo).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ended = shell.run(&[once(&names), vec!["--json"]].concat()).await;
    ended.is(Exit::Partial as i32);
    let error = ended.error();
    assert!(error["what"].as_str().unwrap().contains("table-07"), "{ended}");
    let summary = ended.summary();
    assert_eq!((&summary["tables"], &summary["failed"], &summary["changes"]), (&19.into(), &1.into(), &19.into()));
    let warned: Vec<Value> = ended.lines().into_iter().filter(|line| line["type"] == "warning").collect();
    assert_eq!(warned.len(), 1, "{ended}");
    assert!(warned[0]["next"].as_str().unwrap().contains("update-table --table-name table-07"), "{ended}");
    let listed = shell.run(&["list", "--json"]).await;
    let tables = listed.is(0).lines().iter().filter(|line| line["type"] == "table" && line["changes"] == 1).count();
    assert_eq!(tables, 19, "{listed}");
}

#[tokio::test]
async fn a_stream_that_is_turned_off_is_drained_and_then_told() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    put(&dynamo, "orders", "a", "1").await;
    let shell = Shell::with_archive(&dynamo).await;
    let mut capture = shell.start(&["capture", "--table", "orders", "--settle", "1s"]);
    capture.until("archiving begins after").await;
    capture.signal("TERM");
    capture.end().await.is(0);
    put(&dynamo, "orders", "a", "2").await;
    turn_off(&dynamo, "orders").await;
    let ended = shell.run(&once(&["orders"])).await;
    ended.is(Exit::OutsideCoverage as i32);
    assert!(ended.err.contains("the stream has ended") && ended.err.contains("StreamEnabled=true"), "{ended}");
    // This server forgets a stream that is turned off: what was not read by then is a gap, and never silence.
    let listed = shell.run(&["list"]).await;
    assert!(listed.is(0).out.contains("coverage ended") && listed.out.contains("gap "), "{listed}");
    let later = ["replay", "--table", "orders", "--at", "2096-01-01T00:00:00Z", "--wait", "--into", "file:out.jsonl"];
    shell.refuses(&later, Exit::OutsideCoverage, &["stream is off since", "are not archived"]).await;
    let status = shell.run(&["status"]).await;
    assert!(status.is(0).out.contains("the stream is off since"), "{status}");
    let latest = ["replay", "--table", "orders", "--at", "latest", "--into", "file:out.jsonl"];
    let ended = shell.run(&latest).await;
    assert!(ended.is(0).out.contains("likely complete up to"), "{ended}");
    // A service waits, and goes on with the stream that is turned on again.
    let mut capture = shell.start(&["capture", "--table", "orders", "--settle", "1s", "--flush-age", "1s"]);
    capture.until("archiving 1 table").await;
    turn_on(&dynamo, "orders").await;
    capture.until("archiving begins after").await;
    put(&dynamo, "orders", "a", "3").await;
    capture.signal("TERM");
    capture.end().await.is(0);
    let listed = shell.run(&["list", "--json"]).await;
    let gaps = listed.is(0).lines()[0]["gaps"].clone();
    let restart = gaps.as_array().unwrap().iter().find(|gap| gap["kind"] == "stream_restart");
    let restart = restart.unwrap_or_else(|| panic!("{listed}"));
    let inside = restart["from"].as_str().unwrap();
    let between = ["replay", "--table", "orders", "--at", inside, "--into", "file:between.jsonl"];
    shell.refuses(&between, Exit::Gap, &["somebody turned the stream off"]).await;
}

/// Captures until the table's first changes are committed.
async fn begun(dynamo: &Dynamo, shell: &Shell) {
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    put(dynamo, "orders", "a", "1").await;
    let mut capture = shell.start(&["capture", "--table", "orders", "--settle", "1s", "--flush-age", "100ms", "-v"]);
    capture.until("rows=1").await;
    capture.signal("TERM");
    capture.end().await.is(0);
}

#[tokio::test]
async fn a_log_that_is_damaged_or_newer_gets_no_further_entry() {
    let dynamo = Dynamo::start().await;
    let shell = Shell::with_archive(&dynamo).await;
    begun(&dynamo, &shell).await;
    let (path, whole) = last_entry(&shell);
    let writers = [once(&["orders"]), vec!["base", "--table", "orders", "--settle", "1s"]];
    let mut bent = whole.clone();
    bent[whole.len() / 2] ^= 1;
    std::fs::write(&path, bent).unwrap();
    for writer in &writers {
        shell.refuses(writer, Exit::VerificationFailed, &["has no effect", "tailrace verify"]).await;
    }
    std::fs::write(&path, whole).unwrap();
    append(&shell, 1, &json!([{"action": "teleported", "need": "write"}]));
    for writer in &writers {
        shell.refuses(writer, Exit::FormatNewer, &["teleported", "tailrace/9.8.7", "newer tailrace"]).await;
    }
    shell.run(&["verify"]).await.is(0);
}

#[tokio::test]
async fn row_22_a_capture_on_a_full_disk_waits_or_fails_and_the_next_one_goes_on() {
    let dynamo = Dynamo::start().await;
    let shell = Shell::with_archive(&dynamo).await;
    begun(&dynamo, &shell).await;
    let before = files(shell.folder.path());
    put(&dynamo, "orders", "b", &"x".repeat(10_000)).await;
    let capture = ["capture", "--table", "orders", "--settle", "1s", "--flush-age", "100ms"];
    // A service waits until somebody makes room; told to stop, it says that something is left.
    let mut waiting = on_a_full_disk(&shell, 1, &capture);
    waiting.until("File too large").await;
    waiting.signal("TERM");
    let ended = waiting.end().await;
    assert!(ended.out.contains("the next run reads it again"), "{ended}");
    let full = on_a_full_disk(&shell, 1, &[&capture[..], &["--once"]].concat()).end().await;
    full.is(Exit::Failure as i32);
    assert!(full.err.contains("File too large") && full.err.contains("mend what the store says"), "{full}");
    let after = files(shell.folder.path());
    let written = after.iter().filter(|(path, bytes)| bytes.is_some() && !before.contains_key(*path));
    assert_eq!(written.count(), 0, "{after:?}");
    let mut again = shell.start(&[&capture[..], &["-v"]].concat());
    again.until("rows=1").await;
    again.signal("TERM");
    again.end().await.is(0);
    let verified = shell.run(&["verify", "--json"]).await;
    assert_eq!(verified.is(0).summary()["rows"], 2, "{verified}");
}

#[tokio::test]
async fn the_whole_way_there_and_back() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    for n in 0..30 {
        put(&dynamo, "orders", &format!("k{n}"), "1").await;
    }
    let shell = Shell::with_archive(&dynamo).await;
    // A snapshot archives what it needs by itself: nothing was captured before.
    let quick = ["--settle", "1s", "--flush-age", "1s", "--slack", "1s"];
    let based = shell.run(&[&["base", "--table", "orders", "--name", "first", "--json"], &quick[..]].concat()).await;
    assert_eq!(based.is(0).summary()["snapshot"]["items"], 30, "{based}");
    let fresh = shell.run(&["status", "--fail-if-older", "1h"]).await;
    assert!(fresh.is(0).out.contains("likely complete up to"), "{fresh}");
    let listed = shell.run(&["list"]).await;
    assert!(listed.is(0).out.contains("\"first\"") && listed.out.contains("restorable"), "{listed}");
    let found = shell.run(&["files", "--table", "orders", "--json"]).await;
    let paths: Vec<String> = found.is(0).lines().iter().filter_map(|l| Some(l["path"].as_str()?.to_owned())).collect();
    assert!(paths.len() >= 2 && paths.iter().all(|path| shell.path(path).is_file()), "{found}");
    shell.run(&["verify"]).await.is(0);

    let mut digests = std::collections::BTreeSet::new();
    for into in ["file:a.jsonl", "file:a.jsonl.zst", "file:a.parquet", "file:parts/", "dynamodb:copy"] {
        let replay = ["replay", "--table", "orders", "--at", "latest", "--json", "--into", into];
        let summary = shell.run(&replay).await.is(0).summary();
        assert_eq!(summary["items"], 30, "{summary}");
        digests.insert(summary["digest"].as_str().unwrap().to_owned());
    }
    assert_eq!(digests.len(), 1, "the same point has the same items wherever they go");
    let copied = dynamo.client.scan().table_name("copy").send().await.unwrap();
    assert_eq!(copied.count, 30);
}
