//! Long logs open with a handful of requests, whatever their length.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use tailrace::manifest::{Log, Manifest};
use tailrace::platform::ids::Ids;
use tailrace::store::ObjectStore;
use tailrace::store::counting::{CountingStore, Counts};
use tailrace::store::local::LocalStore;
use tailrace::store::memory::MemoryStore;
use tailrace::verify::{self, Level};

use crate::support::long_log::LongLog;

/// Requests that opening may cost.
const MOST: u64 = 50;

fn requests(counts: &Counts) -> u64 {
    counts.reads + counts.probes + counts.lists + counts.puts + counts.deletes
}

/// Opens the log; gives what it says, and what that cost.
async fn opened(long: &LongLog) -> (Manifest, u64) {
    let counting = Arc::new(CountingStore::new(Arc::clone(&long.store)));
    let store: Arc<dyn ObjectStore> = Arc::<CountingStore>::clone(&counting);
    let (_, manifest) = Log::open(store, &long.table, Ids::seeded(1)).await.unwrap();
    (manifest, requests(&counting.take()))
}

/// `verify --level log`; gives the entries found sound, and what that cost.
async fn verified(long: &LongLog) -> (u64, u64) {
    let counting = Arc::new(CountingStore::new(Arc::clone(&long.store)));
    let store: Arc<dyn ObjectStore> = Arc::<CountingStore>::clone(&counting);
    let found = verify::table(&store, &long.table, Level::Log, |finding| panic!("{finding}"), |_, _| {}).await;
    (found.unwrap().entries, requests(&counting.take()))
}

fn agrees(opened: &Manifest, long: &LongLog) {
    let own = &long.manifest;
    assert_eq!((opened.next, &opened.tail_sha256), (own.next, &own.tail_sha256));
    assert_eq!((opened.closed_through, opened.rows), (own.closed_through, own.rows));
    assert_eq!((&opened.shards, &opened.blocked), (&own.shards, &None));
}

#[tokio::test]
async fn a_long_log_opens_with_a_handful_of_requests() {
    let long = LongLog::build(Arc::new(MemoryStore::new()), None, 20_500, 100_000).await;
    let (manifest, asked) = opened(&long).await;
    agrees(&manifest, &long);
    assert!(asked <= MOST, "{asked} requests");
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn status(folder: &Path) -> (f64, String) {
    let begun = Instant::now();
    let done = Command::new(env!("CARGO_BIN_EXE_tailrace")).arg("status").arg("--archive").arg(folder).output();
    let (done, seconds) = (done.unwrap(), begun.elapsed().as_secs_f64());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    (seconds, String::from_utf8_lossy(&done.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a campaign: .ci/campaign long-log"]
async fn campaign_long_log() {
    let length = std::env::var("ENTRIES").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let folder = Folder(std::env::temp_dir().join(format!("tailrace-long-log-{}", std::process::id())));
    let store = LocalStore::create(&folder.0).await.unwrap();
    let begun = Instant::now();
    let long = LongLog::build(Arc::new(store), Some(folder.0.clone()), length, 50_000).await;
    println!("campaign: {length} entries made in {:.0} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let (manifest, asked) = opened(&long).await;
    agrees(&manifest, &long);
    println!("campaign: opened with {asked} requests in {:.2} s", begun.elapsed().as_secs_f64());
    assert!(asked <= MOST, "{asked} requests");
    let (seconds, said) = status(&folder.0);
    assert!(said.contains("likely complete up to"), "{said}");
    println!("campaign: status in {seconds:.2} s");
    let begun = Instant::now();
    let (entries, asked) = verified(&long).await;
    assert_eq!(entries, length);
    println!("campaign: verify --level log with {asked} requests in {:.0} s", begun.elapsed().as_secs_f64());
}
