//! Capture against a stream in memory and a faulty store: every change exactly once, whatever happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tailrace::capture::{Capture, CaptureError, CaptureInput, CaptureOptions, CaptureSummary, Ended, Memory, Progress};
use tailrace::change::{KeyAttribute, KeySchema, KeyType, Second, TableIdentity};
use tailrace::manifest::{GapReason, Log, Manifest};
use tailrace::platform::ids::Ids;
use tailrace::platform::{clock, tasks};
use tailrace::segment::decode;
use tailrace::shard::table::{Billing, StreamFacts, TableFacts};
use tailrace::shard::{StreamSource, StreamStatus};
use tailrace::store::ObjectStore;
use tailrace::store::fault::{Fault, FaultyStore, Rates};
use tailrace::store::memory::MemoryStore;
use tokio_util::sync::CancellationToken;

use crate::support::fake_stream::FakeStream;

/// 2026-11-22T12:00:00Z
pub(super) const NOON: Second = Second(1_795_348_800);

pub(super) fn facts(seed: u64) -> TableFacts {
    TableFacts {
        identity: TableIdentity {
            account: "000000000000".into(),
            region: "local".into(),
            name: "orders".into(),
            table_id: format!("t{seed}"),
        },
        arn: "arn:aws:dynamodb:local:000000000000:table/orders".into(),
        created: NOON.plus(-5),
        keys: KeySchema(vec![KeyAttribute { name: "pk".into(), kind: KeyType::S }]),
        billing: Billing::OnDemand,
        stream: Some(StreamFacts {
            arn: "arn:stream".into(),
            view_type: "NEW_AND_OLD_IMAGES".into(),
            created: NOON.plus(-5).micros(),
            status: StreamStatus::Enabled,
        }),
        restored: false,
        replicated: false,
        items: 0,
        bytes: 0,
        definition: serde_json::json!({"TableName": "orders"}),
    }
}

/// The stream of a table that was turned off and on again.
const NEXT: &str = "arn:next";

/// A table, its stream, and the archive that it is captured into.
struct Scene {
    seed: u64,
    stream: Arc<FakeStream>,
    /// Without faults: for looking at what was committed.
    archive: Arc<MemoryStore>,
    rates: Rates,
    /// Mutations of the store that fail in this way, by number; instead of the rates.
    script: Vec<(u64, Fault)>,
    /// What the table is described as later, and the stream that it has then.
    later: Option<(TableFacts, Arc<FakeStream>)>,
    said: Arc<Mutex<Vec<Progress>>>,
}

impl Scene {
    fn new(seed: u64, faults: u64, rates: Rates) -> Self {
        let stream = FakeStream::new(seed, NOON, faults);
        let (script, later) = (vec![], None);
        Self { seed, stream, archive: Arc::new(MemoryStore::new()), rates, script, later, said: Arc::default() }
    }

    fn calm(seed: u64) -> Self {
        Self::new(seed, 0, Rates::NONE)
    }

    fn input(&self, writer: u64, options: CaptureOptions) -> CaptureInput {
        let first: Arc<dyn StreamSource> = Arc::<FakeStream>::clone(&self.stream);
        let next = self.later.as_ref().map(|(_, stream)| Arc::<FakeStream>::clone(stream) as Arc<dyn StreamSource>);
        let described = self.later.as_ref().map_or_else(|| facts(self.seed), |(facts, _)| facts.clone());
        let said = Arc::clone(&self.said);
        let inner: Arc<dyn ObjectStore> = Arc::<MemoryStore>::clone(&self.archive);
        let seeded = || FaultyStore::seeded(Arc::clone(&inner), self.seed * 1000 + writer, self.rates);
        let scripted = || FaultyStore::scripted(Arc::clone(&inner), self.script.clone(), []);
        CaptureInput {
            facts: facts(self.seed),
            describe: Arc::new(move || {
                let described = described.clone();
                Box::pin(async move { Ok(described) })
            }),
            streams: Arc::new(move |arn| Arc::clone(next.as_ref().filter(|_| arn == NEXT).unwrap_or(&first))),
            store: Arc::new(if self.script.is_empty() { seeded() } else { scripted() }),
            origin: "origin".into(),
            ids: Ids::seeded(self.seed * 1000 + writer),
            options,
            let_go: CancellationToken::new(),
            memory: Memory::new(64 << 20),
            observer: Arc::new(move |progress| said.lock().unwrap().push(progress.clone())),
        }
    }

    /// Captures for a while and stops in an orderly way.
    async fn capture(&self, writer: u64, options: CaptureOptions, time: Duration) -> CaptureSummary {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let timer = tasks::spawn(async move {
            clock::sleep(time).await;
            stopped.cancel();
        });
        let summary = Capture::new(self.input(writer, options)).run(stop).await;
        timer.abort();
        summary.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed))
    }

    /// Captures until everything up to now is archived, as the log itself tells.
    async fn catch_up(&self, writer: u64) -> CaptureSummary {
        let options = CaptureOptions { once: true, ..quick() };
        let summary = self.capture(writer, options, Duration::from_secs(120)).await;
        assert_eq!(summary.ended, Ended::CaughtUp, "seed {}", self.seed);
        summary
    }

    /// Captures for a while and dies in the middle of whatever it does.
    async fn capture_and_die(&self, writer: u64, options: CaptureOptions, time: Duration) {
        let run = Capture::new(self.input(writer, options)).run(CancellationToken::new());
        if let Some(Err(error)) = clock::within(time, run).await {
            panic!("seed {}: {error}", self.seed);
        }
    }

    async fn manifest(&self) -> Manifest {
        let store: Arc<dyn ObjectStore> = Arc::<MemoryStore>::clone(&self.archive);
        let (log, mut manifest) = Log::open(store, &facts(self.seed).identity, Ids::seeded(1)).await.unwrap();
        // Segments that a fold holds are loaded only when they are asked for.
        log.load_segments(&mut manifest, None, None).await.unwrap();
        manifest
    }

    /// Every committed row, by shard, in order of sequence, with its `cut_at`.
    async fn rows(&self, manifest: &Manifest) -> BTreeMap<String, Vec<(u64, Second)>> {
        let mut rows: BTreeMap<String, Vec<(u64, Second)>> = BTreeMap::new();
        for path in manifest.segments.keys() {
            let path = format!("{}/{path}", facts(self.seed).identity.folder());
            let object = self.archive.get(&path, None).await.unwrap();
            for row in decode::changes(object.bytes).unwrap() {
                let sequence = row.sequence.to_string().parse().unwrap();
                rows.entry(row.shard_id.as_str().to_owned()).or_default().push((sequence, row.cut_at));
            }
        }
        rows.values_mut().for_each(|rows| rows.sort_unstable());
        rows
    }

    /// Whether something was told that `is` takes.
    fn heard(&self, is: impl Fn(&Progress) -> bool) -> bool {
        self.said.lock().unwrap().iter().any(is)
    }

    /// Everything that the table wrote is archived exactly once, and stamps never fall along a shard.
    async fn assert_exactly_once(&self) {
        let manifest = self.manifest().await;
        assert!(manifest.gaps.is_empty(), "seed {}: {:?}", self.seed, manifest.gaps);
        let rows = self.rows(&manifest).await;
        for (shard, written) in self.stream.records() {
            let written: Vec<u64> = written.iter().map(|record| record.sequence).collect();
            let kept = rows.get(&shard).cloned().unwrap_or_default();
            let sequences: Vec<u64> = kept.iter().map(|(sequence, _)| *sequence).collect();
            assert_eq!(sequences, written, "seed {}, shard {shard}", self.seed);
            assert!(kept.is_sorted_by_key(|(_, cut)| *cut), "seed {}, shard {shard}: stamps fall", self.seed);
        }
    }
}

/// Fast enough for a test: the service's seconds are real ones here.
pub(super) fn quick() -> CaptureOptions {
    CaptureOptions {
        flush_age: Duration::from_millis(150),
        settle: Duration::from_secs(2),
        ..CaptureOptions::default()
    }
}

/// A table at work: writes and splits at random until told to end.
async fn work(stream: Arc<FakeStream>, millis: u64) {
    let mut left = millis;
    while left > 0 {
        let pause = (10 + stream.choose(60)).min(left);
        clock::sleep(Duration::from_millis(pause)).await;
        left -= pause;
        for _ in 0..stream.choose(6) {
            stream.write();
        }
        if stream.choose(25) == 0 {
            stream.split();
        }
    }
}

async fn together<F: Future<Output = ()> + Send + 'static>(seeds: std::ops::Range<u64>, one: impl Fn(u64) -> F) {
    let runs: Vec<_> = seeds.map(|seed| (seed, tasks::spawn(one(seed)))).collect();
    for (seed, run) in runs {
        assert!(run.await.is_ok(), "seed {seed} failed");
    }
}

const ROUGH: Rates = Rates { lost: 60, unanswered: 60, reads: 30, stale: 100, ..Rates::NONE };

#[tokio::test(flavor = "multi_thread")]
async fn row_10_row_11_exactly_once_across_deaths_and_stops_with_a_faulty_store_and_stream() {
    together(0..60, |seed| async move {
        let scene = Scene::new(seed, 50, ROUGH);
        let table = tasks::spawn(work(Arc::clone(&scene.stream), 2_000));
        for run in 0..3 {
            let time = Duration::from_millis(200 + scene.stream.choose(700));
            if scene.stream.choose(3) == 0 {
                scene.capture(run, quick(), time).await;
            } else {
                scene.capture_and_die(run, quick(), time).await;
            }
        }
        table.await.unwrap();
        scene.stream.calm();
        scene.catch_up(9).await;
        scene.assert_exactly_once().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_08_row_48_exactly_once_with_two_captures_of_the_same_table() {
    together(100..140, |seed| async move {
        let scene = Scene::new(seed, 20, Rates { lost: 20, unanswered: 20, reads: 20, ..Rates::NONE });
        let table = work(Arc::clone(&scene.stream), 2_500);
        let (one, two) = (Duration::from_secs(5), Duration::from_millis(5_300));
        let (_, one, two) = tokio::join!(table, scene.capture(1, quick(), one), scene.capture(2, quick(), two));
        scene.stream.calm();
        let last = scene.catch_up(3).await;
        scene.assert_exactly_once().await;
        let written: usize = scene.stream.records().values().map(Vec::len).sum();
        assert_eq!(one.counts.rows + two.counts.rows + last.counts.rows, written as u64, "seed {seed}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_ends_when_closed_through_has_reached_the_start() {
    let scene = Scene::calm(200);
    scene.stream.write();
    let begun = scene.stream.at();
    let options = CaptureOptions { once: true, ..quick() };
    let summary =
        clock::within(Duration::from_secs(40), Capture::new(scene.input(1, options)).run(CancellationToken::new()));
    let summary = summary.await.expect("once comes to an end").unwrap();
    assert_eq!(summary.ended, Ended::CaughtUp);
    assert!(summary.closed_through >= Some(begun), "{summary:?}");
    assert!(summary.proven_through < summary.closed_through, "{summary:?}");
    scene.assert_exactly_once().await;
    let manifest = scene.manifest().await;
    assert_eq!(manifest.bases.len(), 1, "a young stream born with its table has the empty base");
    assert!(manifest.definition.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_commits_what_was_read() {
    let scene = Scene::calm(201);
    for _ in 0..3 {
        scene.stream.write();
    }
    let options = CaptureOptions { flush_age: Duration::from_secs(600), ..quick() };
    let summary = scene.capture(1, options, Duration::from_secs(8)).await;
    assert_eq!((summary.ended, summary.counts.rows), (Ended::Stopped, 3));
    scene.assert_exactly_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_turned_off_is_drained_and_coverage_ends() {
    let scene = Scene::calm(202);
    for _ in 0..10 {
        scene.stream.write();
    }
    scene.stream.split();
    scene.stream.write();
    scene.stream.disable();
    let once = CaptureOptions { once: true, ..quick() };
    let run = Capture::new(scene.input(1, once)).run(CancellationToken::new());
    let summary = clock::within(Duration::from_secs(30), run).await.expect("once ends by itself").unwrap();
    assert!(matches!(summary.ended, Ended::CoverageEnded { .. }), "{summary:?}");
    scene.assert_exactly_once().await;
    let manifest = scene.manifest().await;
    assert!(manifest.open_epoch().is_none() && manifest.coverage_ended.is_some());
    assert!(scene.heard(|progress| matches!(progress, Progress::Alarm { .. })));
    let summary = scene.capture(2, quick(), Duration::from_secs(1)).await;
    assert_eq!(summary.ended, Ended::Stopped, "a service waits for the stream to be turned on again");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_31_a_stream_that_is_turned_on_again_is_the_next_epoch() {
    let mut scene = Scene::calm(206);
    let next = FakeStream::new(207, NOON, 0);
    let mut again = facts(206);
    if let Some(stream) = &mut again.stream {
        (stream.arn, stream.created) = (NEXT.into(), NOON.plus(30).micros());
    }
    scene.later = Some((again, Arc::clone(&next)));
    scene.stream.write();
    scene.stream.disable();
    next.write();
    next.write();
    let summary = scene.capture(1, quick(), Duration::from_secs(12)).await;
    assert_eq!((summary.ended, summary.counts.rows), (Ended::Stopped, 3));
    let manifest = scene.manifest().await;
    let arns: Vec<_> = manifest.epochs.values().map(|epoch| epoch.started.stream_arn.as_str()).collect();
    assert_eq!(arns, ["arn:stream", NEXT]);
    assert!(manifest.coverage_ended.is_none(), "coverage went on without a pause");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_29_a_deleted_table_ends_its_coverage_and_says_so() {
    let mut scene = Scene::calm(208);
    let mut recreated = facts(208);
    recreated.identity.table_id = "another".into();
    scene.later = Some((recreated, Arc::clone(&scene.stream)));
    scene.stream.write();
    scene.stream.disable();
    let run = Capture::new(scene.input(1, quick())).run(CancellationToken::new());
    let summary = clock::within(Duration::from_secs(30), run).await.expect("this timeline is over").unwrap();
    assert_eq!(summary.ended, Ended::CoverageEnded { reason: "table_deleted".into() });
    assert_eq!(scene.manifest().await.coverage_ended.as_deref(), Some("table_deleted"));
    scene.assert_exactly_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_42_a_service_waits_for_whoever_must_mend_the_store_and_once_does_not() {
    let mut scene = Scene::calm(209);
    // Numbers 0 to 9 take in the first entry, the first segment and the second entry.
    scene.script = (1..10).map(|n| (n, if n % 2 == 0 { Fault::Denied } else { Fault::Refused })).collect();
    scene.stream.write();
    let summary = scene.capture(1, quick(), Duration::from_secs(15)).await;
    assert_eq!((summary.ended, summary.counts.rows), (Ended::Stopped, 1));
    assert!(scene.heard(|progress| matches!(progress, Progress::Waiting { operator: true, .. })));
    scene.assert_exactly_once().await;
    scene.stream.write();
    scene.script = vec![(0, Fault::Denied)];
    let once = CaptureOptions { once: true, ..quick() };
    let refused = Capture::new(scene.input(2, once)).run(CancellationToken::new()).await;
    assert!(matches!(refused, Err(CaptureError::Store(_) | CaptureError::Log(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_06_what_was_trimmed_while_nobody_read_becomes_a_gap_with_exact_bounds() {
    let scene = Scene::calm(203);
    scene.stream.write();
    scene.capture(1, quick(), Duration::from_secs(1)).await;
    let floor = scene.manifest().await.shards.values().next().unwrap().floor;
    scene.stream.write();
    scene.stream.skip(30 * 3600);
    scene.stream.write();
    scene.capture(2, quick(), Duration::from_secs(2)).await;
    let manifest = scene.manifest().await;
    let [gap] = manifest.gaps.as_slice() else { panic!("{:?}", manifest.gaps) };
    assert_eq!((gap.reason, gap.from_cut), (Some(GapReason::PossiblyTrimmed), floor.plus(1)));
    let bound = scene.stream.at().plus(20 * 60 - 86_400);
    assert!(gap.to_cut <= bound && gap.to_cut >= bound.plus(-10), "{gap:?} {bound}");
    assert_eq!(scene.rows(&manifest).await.values().map(Vec::len).sum::<usize>(), 2);
    assert!(scene.heard(|progress| matches!(progress, Progress::Gap { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_vanished_unread_becomes_a_gap_and_its_children_go_on() {
    let scene = Scene::calm(204);
    scene.stream.write();
    scene.capture(1, quick(), Duration::from_secs(1)).await;
    scene.stream.write();
    scene.stream.split();
    scene.stream.skip(25 * 3600);
    scene.stream.write();
    scene.capture(2, quick(), Duration::from_secs(6)).await;
    let manifest = scene.manifest().await;
    assert!(manifest.gaps.iter().any(|gap| gap.reason == Some(GapReason::NotFound)), "{:?}", manifest.gaps);
    let kept: usize = scene.rows(&manifest).await.values().map(Vec::len).sum();
    assert_eq!(kept, 2, "the row before and the child's: {:?}", manifest.gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_new_images_is_refused() {
    let scene = Scene::calm(205);
    let mut input = scene.input(1, quick());
    if let Some(stream) = &mut input.facts.stream {
        stream.view_type = "KEYS_ONLY".into();
    }
    let refused = Capture::new(input).run(CancellationToken::new()).await;
    assert!(matches!(refused, Err(CaptureError::ViewType { .. })));
}
