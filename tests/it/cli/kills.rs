//! The real binary under load, killed with -9 or stopped and continued at any moment: every change is archived
//! exactly once, and the replay is the table.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};
use tailrace::platform::ids::Ids;
use tailrace::platform::tasks;

use super::*;
use crate::support::s3_server::{BUCKET, Rules, S3Server};

const CAPTURE: [&str; 8] = ["capture", "--table", "orders", "--settle", "1s", "--flush-age", "200ms", "--json"];
/// Keys that are written to, again and again.
const KEYS: u64 = 40;

/// A table that is written to all the time, and the archive that it is captured into.
struct Scene {
    shell: Shell,
    dynamo: Arc<Dynamo>,
    _server: S3Server,
    draw: Ids,
    over: Arc<AtomicBool>,
    /// Changes made.
    made: Arc<AtomicU64>,
}

impl Scene {
    async fn begin(seed: u64) -> (Self, tokio::task::JoinHandle<BTreeMap<String, String>>) {
        let (dynamo, server) = (Arc::new(Dynamo::start().await), S3Server::start(Rules::default()).await);
        dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
        let shell = Shell::new()
            .with_aws(&dynamo.config)
            .with("AWS_ENDPOINT_URL_S3", server.config.endpoint_url().unwrap())
            .with("TAILRACE_ARCHIVE", &format!("s3://{BUCKET}/killed"));
        shell.run(&["init"]).await.is(0);
        let scene = Self {
            shell,
            dynamo,
            _server: server,
            draw: Ids::seeded(seed),
            over: Arc::default(),
            made: Arc::default(),
        };
        let load = load(Arc::clone(&scene.dynamo), seed, Arc::clone(&scene.over), Arc::clone(&scene.made));
        (scene, tasks::spawn(load))
    }

    /// Up to `most` milliseconds.
    async fn a_while(&self, most: u64) {
        clock::sleep(Duration::from_millis(self.draw.below(most))).await;
    }

    /// Ends the load, captures what is left, and compares: rows with changes, the replay with the table.
    async fn reckon(self, load: tokio::task::JoinHandle<BTreeMap<String, String>>) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        let table = load.await.unwrap();
        let made = self.made.load(Ordering::SeqCst);
        let once = [&CAPTURE[..], &["--once"]].concat();
        self.shell.run(&once).await.is(0);
        let verified = self.shell.run(&["verify", "--json"]).await;
        assert_eq!(verified.is(0).summary()["rows"], made, "a change is missing, or there twice\n{verified}");
        let replay = ["replay", "--table", "orders", "--at", "latest", "--into", "file:out.jsonl"];
        self.shell.run(&replay).await.is(0);
        let replayed = std::fs::read_to_string(self.shell.path("out.jsonl")).unwrap();
        let replayed: BTreeMap<String, String> = replayed.lines().map(item).collect();
        assert_eq!(replayed, table, "the replay is not the table");
        made
    }
}

/// Key and value of a line of a replay.
fn item(line: &str) -> (String, String) {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| line["Item"][name]["S"].as_str().unwrap().to_owned();
    (text("pk"), text("v"))
}

/// Writes and removes items until it is over; every call is a change. What the table then holds.
async fn load(dynamo: Arc<Dynamo>, seed: u64, over: Arc<AtomicBool>, made: Arc<AtomicU64>) -> BTreeMap<String, String> {
    let (draw, mut table) = (Ids::seeded(seed ^ 0x10ad), BTreeMap::new());
    while !over.load(Ordering::SeqCst) {
        let key = format!("key-{}", draw.below(KEYS));
        let (pk, sk) = (AttributeValue::S(key.clone()), AttributeValue::N("1".into()));
        if draw.below(5) == 0 && table.contains_key(&key) {
            let removal = dynamo.client.delete_item().table_name("orders").key("pk", pk).key("sk", sk);
            removal.send().await.unwrap();
            table.remove(&key);
        } else {
            let value = format!("value {}", made.load(Ordering::SeqCst));
            let put = dynamo.client.put_item().table_name("orders").item("pk", pk).item("sk", sk);
            put.item("v", AttributeValue::S(value.clone())).send().await.unwrap();
            table.insert(key, value);
        }
        made.fetch_add(1, Ordering::SeqCst);
        clock::sleep(Duration::from_millis(draw.below(20))).await;
    }
    table
}

/// Kills a capture at a random moment of its life, again and again.
async fn killed(seed: u64, cycles: u64) -> u64 {
    let (scene, load) = Scene::begin(seed).await;
    for _ in 0..cycles {
        let capture = scene.shell.start(&CAPTURE);
        scene.a_while(1200).await;
        capture.signal("KILL");
        let ended = capture.end().await;
        assert_eq!(ended.code, None, "it ended before it was killed\n{ended}");
    }
    scene.reckon(load).await
}

/// Stops a capture for a while, during which another takes over, then lets it go on: one of them is too late with
/// everything it holds.
async fn zombies(seed: u64, cycles: u64) -> u64 {
    let (scene, load) = Scene::begin(seed).await;
    let mut first = scene.shell.start(&CAPTURE);
    first.until("archiving begins after").await;
    for _ in 0..cycles {
        scene.a_while(500).await;
        first.signal("STOP");
        let second = scene.shell.start(&CAPTURE);
        clock::sleep(Duration::from_millis(800)).await;
        scene.a_while(800).await;
        first.signal("CONT");
        scene.a_while(500).await;
        first.signal("TERM");
        first.end().await.is(0);
        first = second;
    }
    first.signal("TERM");
    first.end().await.is(0);
    scene.reckon(load).await
}

#[tokio::test(flavor = "multi_thread")]
async fn row_39_a_capture_that_is_killed_thirty_times_loses_and_repeats_nothing() {
    assert!(killed(1, 30).await > 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_09_ten_zombies_that_come_back_lose_and_repeat_nothing() {
    assert!(zombies(2, 10).await > 100);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half an hour: .ci/campaign kills"]
async fn campaign_kills() {
    let mut made = 0;
    for seed in 0..10 {
        made += killed(100 + seed, 30).await;
    }
    println!("campaign: 300 kills with -9 under load, {made} changes, each archived once, every replay the table");
    let mut made = 0;
    for seed in 0..5 {
        made += zombies(200 + seed, 10).await;
    }
    println!("campaign: 50 zombies, {made} changes, each archived once, every replay the table");
}
