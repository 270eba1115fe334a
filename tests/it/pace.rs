//! What an idle table costs and how soon a change is safe, under the defaults, on the paused clock.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tailrace::capture::{Capture, CaptureInput, CaptureOptions, Memory, Progress};
use tailrace::change::ShardId;
use tailrace::platform::clock::{Instant, now, sleep};
use tailrace::platform::ids::Ids;
use tailrace::platform::tasks;
use tailrace::shard::{Listing, RawPage, ReadFrom, ShardIterator, SourceError, StreamSource};
use tailrace::store::memory::MemoryStore;
use tokio_util::sync::CancellationToken;

use crate::capture::{NOON, facts};
use crate::support::fake_stream::FakeStream;

/// A stream whose reads are counted.
#[derive(Debug)]
struct Counted(Arc<FakeStream>, AtomicU64);

#[async_trait]
impl StreamSource for Counted {
    async fn list(&self) -> Result<Listing, SourceError> {
        self.0.list().await
    }
    async fn knows(&self, shard: &ShardId) -> Result<bool, SourceError> {
        self.0.knows(shard).await
    }
    async fn iterator(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, SourceError> {
        self.0.iterator(shard, from).await
    }
    async fn read(&self, iterator: &ShardIterator) -> Result<RawPage, SourceError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(iterator).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_costs_a_call_in_five_seconds_and_a_change_is_safe_ten_seconds_after_the_flush() {
    const HOURS: u64 = 6;
    const CHANGES: u64 = 300;
    let stream = FakeStream::new(1, NOON, 0);
    let source = Arc::new(Counted(Arc::clone(&stream), AtomicU64::new(0)));
    let durable: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (streams, told) = (Arc::clone(&source), Arc::clone(&durable));
    let input = CaptureInput {
        facts: facts(1),
        describe: Arc::new(|| Box::pin(async { Ok(facts(1)) })),
        streams: Arc::new(move |_| Arc::<Counted>::clone(&streams)),
        store: Arc::new(MemoryStore::new()),
        origin: "origin".into(),
        ids: Ids::seeded(1),
        options: CaptureOptions::default(),
        let_go: CancellationToken::new(),
        memory: Memory::new(64 << 20),
        observer: Arc::new(move |progress| {
            if let Progress::Committed { rows, .. } = progress {
                told.lock().unwrap().extend((0..*rows).map(|_| now()));
            }
        }),
    };
    let stop = CancellationToken::new();
    let capture = tasks::spawn(Capture::new(input).run(stop.clone()));
    sleep(Duration::from_secs(HOURS * 3600)).await;
    let calls = source.1.load(Ordering::Relaxed);
    assert!(calls <= HOURS * 3600 / 5, "{calls} calls in {HOURS} hours");
    let mut written = Vec::new();
    for _ in 0..CHANGES {
        sleep(Duration::from_millis(stream.choose(60_000))).await;
        stream.write();
        written.push(now());
    }
    sleep(Duration::from_secs(120)).await;
    let durable = durable.lock().unwrap().clone();
    let mut ages: Vec<Duration> = written.iter().zip(&durable).map(|(from, to)| *to - *from).collect();
    ages.sort_unstable();
    assert_eq!(ages.len() as u64, CHANGES);
    let p99 = ages[ages.len() * 99 / 100];
    let limit = CaptureOptions::default().flush_age + Duration::from_secs(10);
    assert!(p99 <= limit, "a change is durable after {p99:?} (p99), more than {limit:?}");
    stop.cancel();
    capture.await.unwrap().unwrap();
}
