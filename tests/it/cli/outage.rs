//! Three real minutes without a store: the real binary, 200 shards and S3 over HTTP.

use std::collections::BTreeSet;

use tailrace::change::TableIdentity;
use tailrace::manifest::{Log, Manifest, Segments};
use tailrace::platform::ids::Ids;
use tailrace::segment::Tier;

use super::*;
use crate::support::s3_server::{BUCKET, Rules, S3Server};
use crate::support::streams_server::StreamsServer;

const SHARDS: usize = 200;
/// Items of one shard in a second, and bytes of each: 3 MB of records a second in all.
const RATE: u64 = 10;
const PAD: usize = 1000;
/// Seconds before, of, and after the outage in which changes are made.
const PHASES: [u64; 3] = [20, 180, 20];
/// The longest it may take until everything is archived.
const RECOVERS: Duration = Duration::from_secs(240);
/// The most memory that a capture may take, in KiB.
const MOST: u64 = 512 << 10;

fn identity() -> TableIdentity {
    let text = str::to_owned;
    let table_id = text("11111111-2222-3333-4444-555555555555");
    TableIdentity { account: text("123456789012"), region: text("us-east-1"), name: text("orders"), table_id }
}

async fn manifest(store: &Arc<dyn ObjectStore>) -> Manifest {
    let (log, mut manifest) = Log::open(Arc::clone(store), &identity(), Ids::random()).await.unwrap();
    log.load_segments(&mut manifest, None, None).await.unwrap();
    manifest
}

/// Makes changes for so many seconds; gives how many of each shard there are.
async fn changes(streams: &StreamsServer, shards: &[String], seconds: u64, mut made: u64) -> u64 {
    for _ in 0..seconds {
        streams.catch_up();
        for shard in shards {
            streams.push_items(shard, made, RATE, PAD);
        }
        made += RATE;
        clock::sleep(Duration::from_secs(1)).await;
    }
    made
}

/// Every change once.
async fn compare(store: &Arc<dyn ObjectStore>, shards: &[String], made: u64) {
    let manifest = manifest(store).await;
    assert_eq!(manifest.gaps.iter().filter(|gap| gap.reason.is_some()).count(), 0);
    let segments = Segments::new(Arc::clone(store), identity().folder());
    let mut found = BTreeSet::new();
    for meta in manifest.segments.values().filter(|meta| meta.tier == Tier::Raw) {
        for row in segments.changes(meta).await.unwrap() {
            let pk = row.pk.as_ref().unwrap().as_str().to_owned();
            assert!(found.insert(pk.clone()), "{pk} is archived twice");
        }
    }
    for shard in shards {
        for n in 0..made {
            assert!(found.remove(&format!("{shard}-{n}")), "{shard}-{n} is lost");
        }
    }
    assert_eq!(found, BTreeSet::new());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: a campaign"]
async fn campaign_real_outage() {
    let (streams, s3) = (StreamsServer::start().await, S3Server::start(Rules::default()).await);
    streams.listing_page(100);
    // The service gives at most 1 MB.
    streams.records_page(700);
    let shards: Vec<String> = (0..SHARDS).map(|_| streams.open(None)).collect();
    let shell = Shell::new()
        .with_aws(&streams.config())
        .with("AWS_ENDPOINT_URL_S3", s3.config.endpoint_url().unwrap())
        .with("TAILRACE_ARCHIVE", &format!("s3://{BUCKET}/archive"));
    shell.run(&["init"]).await.is(0);
    let capture = shell.start(&["capture", "--table", "orders", "--settle", "2s", "--flush-age", "5s"]);
    let [before, outage, after] = PHASES;
    let made = changes(&streams, &shards, before, 0).await;
    s3.set_down(true);
    let made = changes(&streams, &shards, outage, made).await;
    s3.set_down(false);
    let made = changes(&streams, &shards, after, made).await;
    let location = tailrace::store::Location::parse(&format!("s3://{BUCKET}/archive")).unwrap();
    let store = tailrace::store::connect(&location, &s3.config, None).unwrap();
    let total = made * SHARDS as u64;
    let since = clock::now();
    let all = async {
        while manifest(&store).await.rows < total {
            streams.catch_up();
            clock::sleep(Duration::from_secs(1)).await;
        }
    };
    assert!(clock::within(RECOVERS, all).await.is_some(), "it does not come up to date: {}", capture.told());
    let took = since.elapsed();
    let peak = capture.peak_kib();
    capture.signal("TERM");
    capture.end().await.is(0);
    compare(&store, &shards, made).await;
    assert!(peak <= MOST, "{peak} KiB");
    println!(
        "campaign: {SHARDS} shards, {total} changes, {outage} s without a store, 0 lost, up to date {} s after the last \
         change, peak RSS {} MiB",
        took.as_secs(),
        peak >> 10
    );
}
