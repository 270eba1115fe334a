//! Much to read and little to read it with: backlogs, outages, and a capture that cannot keep up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tailrace::capture::{Capture, CaptureSummary, Memory, Progress};
use tailrace::change::Second;
use tailrace::config::limits;
use tailrace::manifest::{Action, Gap, Log, Manifest, Segments};
use tailrace::platform::clock::sleep;
use tailrace::platform::ids::Ids;
use tailrace::platform::tasks;
use tailrace::replay::{self, Bounds, Options, Point, Sink, Steps};
use tailrace::segment::decode;
use tailrace::store::ObjectStore;
use tailrace::store::fault::{FaultyStore, Rates};
use tailrace::store::local::LocalStore;
use tailrace::store::memory::MemoryStore;
use tokio_util::sync::CancellationToken;

use crate::flood::{Flood, KEYS, sequence};
use crate::model::{Kept, entries, sound};
use crate::service::identity;

const HOUR: u64 = 3600;
/// The store gives no answer.
pub(crate) const DOWN: Rates = Rates { lost: 1000, reads: 1000, ..Rates::NONE };

/// What captures told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// The service's time of each commit, and `closed_through` after it.
    pub(crate) commits: Vec<(i64, Second)>,
    /// Waits, and whether a person is waited for.
    pub(crate) waits: Vec<(String, bool)>,
}

pub(crate) type Told = Arc<Mutex<Heard>>;

/// A capture that runs.
pub(crate) struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<CaptureSummary>,
}

impl Running {
    pub(crate) fn start(flood: &Flood, store: Arc<dyn ObjectStore>, memory: Memory, told: &Told) -> Self {
        let (stop, told, clock) = (CancellationToken::new(), Arc::clone(told), flood.clone());
        let input = flood.input(
            store,
            memory,
            Arc::new(move |progress| match progress {
                Progress::Committed { closed_through: Some(through), .. } => {
                    told.lock().unwrap().commits.push((clock.now(), *through));
                }
                Progress::Waiting { why, operator, .. } => told.lock().unwrap().waits.push((why.clone(), *operator)),
                _ => {}
            }),
        );
        let run = Capture::new(input).run(stop.clone());
        Self { stop, task: tasks::spawn(async move { run.await.unwrap() }) }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

pub(crate) async fn hours(hours: u64) {
    sleep(Duration::from_secs(hours * HOUR)).await;
}

/// What of a flood is archived, and what the log says is lost.
pub(crate) struct Archived {
    pub(crate) manifest: Manifest,
    log: Log,
    /// Of each lane, the changes that are archived, in order of the log.
    pub(crate) lanes: BTreeMap<u64, Vec<u64>>,
    /// Of each lane, the changes that lie in a gap.
    lost: BTreeMap<u64, BTreeSet<u64>>,
}

fn index(sequence: &str) -> i64 {
    let n: i64 = sequence.parse().unwrap();
    (n - 100_000).div_euclid(10)
}

impl Archived {
    pub(crate) async fn of(store: &Arc<dyn ObjectStore>) -> Self {
        let folder = identity().folder();
        let (log, mut manifest) = Log::open(Arc::clone(store), &identity(), Ids::seeded(1)).await.unwrap();
        log.load_segments(&mut manifest, None, None).await.unwrap();
        let (mut lanes, mut lost) = (BTreeMap::<u64, Vec<u64>>::new(), BTreeMap::<u64, BTreeSet<u64>>::new());
        for path in manifest.segments.keys() {
            let object = store.get(&format!("{folder}/{path}"), None).await.unwrap();
            for row in decode::changes(object.bytes).unwrap() {
                let n = index(&row.sequence.to_string()).unsigned_abs();
                lanes.entry(Flood::lane_of(&row.shard_id)).or_default().push(n);
            }
        }
        for entry in entries(store, manifest.next).await {
            for action in entry.actions {
                let Action::Segments(added) = action else { continue };
                for span in added.spans.iter().filter(|span| span.gap.is_some()) {
                    let (after, through) = (index(&span.after.to_string()), index(&span.through.to_string()));
                    let range = (after + 1).max(0)..=through;
                    let lane = lost.entry(Flood::lane_of(&span.shard)).or_default();
                    lane.extend(range.map(i64::unsigned_abs));
                }
            }
        }
        Self { manifest, log, lanes, lost }
    }

    /// Each change up to `closed_through` is archived once or lies in a gap; how many are archived, and how many lost.
    pub(crate) fn whole(&mut self, flood: &Flood) -> (u64, u64) {
        let closed = self.manifest.closed_through.unwrap().0;
        let (mut archived, mut lost) = (0, 0);
        for lane in 0..flood.lanes {
            let rows = self.lanes.entry(lane).or_default();
            let count = rows.len();
            rows.sort_unstable();
            rows.dedup();
            assert_eq!(rows.len(), count, "lane {lane}: a change is archived twice");
            let gaps = self.lost.entry(lane).or_default();
            assert!(!rows.iter().any(|n| gaps.contains(n)), "lane {lane}: a change is archived and lies in a gap");
            let made = flood.before(lane, closed);
            let mut all: Vec<u64> = rows.iter().chain(gaps.iter()).copied().filter(|n| *n < made).collect();
            all.sort_unstable();
            assert!(all.iter().copied().eq(0..made), "lane {lane}: of {made} changes there are {}", all.len());
            archived += count as u64;
            lost += gaps.len() as u64;
        }
        (archived, lost)
    }

    /// A replay at the end is the table at the end.
    pub(crate) async fn replays(&mut self, store: &Arc<dyn ObjectStore>, flood: &Flood) {
        let at = self.manifest.closed_through.unwrap();
        let plan = replay::plan(&self.manifest, Point::at(at), &Options::default()).unwrap();
        let segments = Segments::new(Arc::clone(store), identity().folder());
        let mut kept = Kept::default();
        replay::run(&self.log, &mut self.manifest, &segments, plan, (Bounds::DEFAULT, Steps::SILENT), &mut kept)
            .await
            .unwrap();
        kept.finish().await.unwrap();
        let mut expected = BTreeMap::new();
        for lane in 0..flood.lanes {
            let made = flood.before(lane, at.0 + 1);
            for n in made.saturating_sub(KEYS)..made {
                expected.insert(Flood::pk(lane, n), flood.image(lane, n));
            }
        }
        assert!(kept.0 == expected, "the replay at {at} differs: {} items of {}", kept.0.len(), expected.len());
    }
}

pub(crate) fn in_memory() -> Arc<dyn ObjectStore> {
    Arc::new(MemoryStore::new())
}

/// Captures for an hour, is down for so many, and captures again; the flood's clock when it came back, and what is archived.
async fn down_for(off: u64, flood: &Flood, store: &Arc<dyn ObjectStore>) -> (i64, Archived) {
    let told = Told::default();
    let memory = || Memory::new(8 << 20);
    let first = Running::start(flood, Arc::clone(store), memory(), &told);
    hours(1).await;
    first.stop().await;
    hours(off).await;
    let back = flood.now();
    let second = Running::start(flood, Arc::clone(store), memory(), &told);
    hours(3).await;
    second.stop().await;
    sound(store).await;
    (back, Archived::of(store).await)
}

/// Every change that is not archived was trimmed before the capture came back, and lies within a gap's time.
fn lost_before(back: i64, flood: &Flood, archived: &mut Archived) -> u64 {
    let (mut lost, closed) = (0, archived.manifest.closed_through.unwrap().0);
    assert!(closed > back, "the capture came up to date");
    for lane in 0..flood.lanes {
        let rows: BTreeSet<u64> = archived.lanes.entry(lane).or_default().iter().copied().collect();
        for n in (0..flood.before(lane, closed)).filter(|n| !rows.contains(n)) {
            let at = flood.made(lane, n);
            let covers = |gap: &&Gap| gap.from_cut.0 <= at && at <= gap.to_cut.0;
            assert!(
                archived.manifest.gaps.iter().any(|gap| covers(&gap)),
                "lost in silence: {n} of lane {lane} at {at}"
            );
            assert!(at < back + 120 - 24 * 3600, "it could still be read: {n} of lane {lane} at {at}");
            lost += 1;
        }
    }
    lost
}

#[tokio::test(start_paused = true)]
async fn down_for_30_hours_and_for_60_hours_leaves_gaps_and_never_silence() {
    for off in [30, 60] {
        let (flood, store) = (Flood::new(3, 20), in_memory());
        let (back, mut archived) = down_for(off, &flood, &store).await;
        let lost = lost_before(back, &flood, &mut archived);
        let trimmed = (off - 24) * HOUR * flood.lanes / 20;
        assert!(lost.abs_diff(trimmed) <= 3 * flood.lanes, "{lost} are lost, and {trimmed} were trimmed");
    }
}

#[tokio::test(start_paused = true)]
async fn row_28_a_backlog_of_20_hours_is_read_in_time_at_three_times_the_ingest() {
    // Three records in 20 seconds can be read, and one is made.
    let flood = Flood { page: 3, latency: Duration::from_secs(20), ..Flood::new(3, 20) };
    let (store, told) = (in_memory(), Told::default());
    let begin = Running::start(&flood, Arc::clone(&store), Memory::new(8 << 20), &told);
    sleep(Duration::from_secs(600)).await;
    begin.stop().await;
    hours(20).await;
    let back = Running::start(&flood, Arc::clone(&store), Memory::new(8 << 20), &told);
    hours(12).await;
    back.stop().await;
    sound(&store).await;
    let mut archived = Archived::of(&store).await;
    let (_, lost) = archived.whole(&flood);
    assert_eq!((lost, archived.manifest.gaps.as_slice()), (0, [].as_slice()));
    let behind = flood.now() - archived.manifest.closed_through.unwrap().0;
    assert!(behind < 600, "after twelve hours it is still {behind} s behind");
    archived.replays(&store, &flood).await;
}

#[tokio::test(start_paused = true)]
async fn row_06_a_capture_that_cannot_keep_up_declares_exactly_what_it_lost() {
    // One record in 20 seconds can be read, and two are made: after two days the first ones are trimmed unread.
    let flood = Flood { page: 1, latency: Duration::from_secs(20), roll: 10_000 * 3600, ..Flood::new(2, 10) };
    let (store, told) = (in_memory(), Told::default());
    let running = Running::start(&flood, Arc::clone(&store), Memory::new(8 << 20), &told);
    hours(51).await;
    running.stop().await;
    sound(&store).await;
    let mut archived = Archived::of(&store).await;
    let (kept, lost) = archived.whole(&flood);
    assert!(lost > 500, "it kept up: {kept} are archived, {lost} lost");
}

/// Half an hour without a store, within so many bytes of memory: nothing is lost, and what waited longest is read first.
/// How far behind the capture is a quarter of an hour later, in seconds.
async fn outage(flood: &Flood, store: Arc<dyn ObjectStore>, bytes: u64) -> i64 {
    let faulty = Arc::new(FaultyStore::seeded(Arc::clone(&store), 3, Rates::NONE));
    let (told, memory) = (Told::default(), Memory::new(bytes));
    let behind: Arc<dyn ObjectStore> = Arc::<FaultyStore>::clone(&faulty);
    let running = Running::start(flood, behind, memory, &told);
    sleep(Duration::from_secs(300)).await;
    faulty.set_rates(DOWN);
    sleep(Duration::from_secs(1800)).await;
    faulty.set_rates(Rates { slow: 1000, slow_within: Duration::from_millis(400), ..Rates::NONE });
    let up = flood.now();
    sleep(Duration::from_secs(900)).await;
    running.stop().await;
    let told = told.lock().unwrap().commits.clone();
    assert!(told.iter().all(|(at, _)| *at < up - 1790 || *at >= up), "nothing is committed without a store");
    let ages: Vec<i64> = told.iter().filter(|(at, _)| *at >= up).map(|(at, through)| at - through.0).collect();
    assert!(ages[0] > 1700, "the outage is seen: {ages:?}");
    assert!(ages.windows(2).all(|pair| pair[1] <= pair[0] + 90), "the oldest unread record gets older: {ages:?}");
    *ages.last().unwrap()
}

#[tokio::test(start_paused = true)]
async fn row_14_two_hundred_shards_outlive_half_an_hour_without_a_store() {
    let flood = Flood { padding: 3000, ..Flood::new(200, 40) };
    let store = in_memory();
    let age = outage(&flood, Arc::clone(&store), 8 << 20).await;
    assert!(age < 300, "a quarter of an hour later it is still {age} s behind");
    let mut archived = Archived::of(&store).await;
    let (_, lost) = archived.whole(&flood);
    assert_eq!(lost, 0);
}

/// The same at 1,000 changes of 1 KB in a second, and in a process of its own, so that its memory can be told.
#[test]
#[ignore = "a minute, in a release build"]
fn campaign_outage() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "load::row_23_an_outage_of_a_process_of_its_own", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{out}\n{}", String::from_utf8_lossy(&child.stderr));
    let line = out.lines().find(|line| line.starts_with("campaign: ")).unwrap();
    println!("{line}");
}

#[tokio::test(start_paused = true)]
#[ignore = "only as a process of its own"]
async fn row_23_an_outage_of_a_process_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::create(folder.path()).await.unwrap());
    let flood = Flood { padding: 450, ..Flood::new(1000, 1) };
    let age = outage(&flood, Arc::clone(&store), limits::MEMORY).await;
    let peak = peak_memory();
    let mut archived = Archived::of(&store).await;
    let (rows, lost) = archived.whole(&flood);
    println!(
        "campaign: 1000 shards, {rows} changes, 30 min without a store, {lost} lost, {age} s behind at the end, peak RSS {peak} MiB"
    );
    assert_eq!(lost, 0);
    assert!(peak <= 512, "{peak} MiB");
}

/// The process's largest resident set so far, in MiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

#[test]
fn changes_are_numbered() {
    assert_eq!(index(&sequence(7).to_string()), 7);
    assert_eq!((index(&(sequence(7) - 1).to_string()), index(&(sequence(7) - 6).to_string())), (6, 6));
}
