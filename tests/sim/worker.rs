//! One process that captures the table, or takes a snapshot of it: it may stop, freeze, or die at any point.

use std::sync::Arc;
use std::time::Duration;

use tailrace::base::export::Exporting;
use tailrace::base::{self, ArchiveInput, BaseError, BaseInput, BaseOptions, BaseSource};
use tailrace::capture::{Capture, CaptureError, CaptureInput, CaptureOptions, Memory, Progress};
use tailrace::change::Second;
use tailrace::manifest::{Journal, Log, Manifest};
use tailrace::platform::clock::sleep;
use tailrace::platform::ids::Ids;
use tailrace::platform::patience::Patience;
use tailrace::platform::tasks;
use tailrace::replay::Bounds;
use tailrace::seal::{SealError, SealInput, SealOptions, Sealer};
use tailrace::segment::Facts;
use tailrace::shard::StreamSource;
use tailrace::shard::table::TableError;
use tailrace::store::ObjectStore;
use tailrace::store::fault::{Effect, Fault, FaultyStore, Rates};
use tailrace::store::memory::MemoryStore;
use tokio_util::sync::CancellationToken;

use crate::export::{Exported, Exports};
use crate::gate::{Gate, Gated};
use crate::scan::Scanned;
use crate::service::{Service, identity};
use crate::stream::Source;

/// How long whoever is told to stop may take.
const DRAIN: Duration = Duration::from_secs(30);

/// How a worker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Told to stop after this time.
    Stopped(Duration),
    /// Killed after this time.
    Killed(Duration),
    /// Killed at its mutation of this number, whatever becomes of that one; otherwise stopped after the time.
    KilledAt(u64, Effect, Duration),
    /// Frozen after the first time for the second one, and stopped after the third.
    Frozen(Duration, Duration, Duration),
}

/// What all workers of a run share.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) service: Arc<Service>,
    pub(crate) archive: Arc<MemoryStore>,
    pub(crate) options: CaptureOptions,
    pub(crate) rates: Rates,
    /// The table held items before its stream began.
    pub(crate) before: bool,
    pub(crate) seed: u64,
    /// What the service exported.
    pub(crate) exports: Arc<Exports>,
}

/// One worker of a run.
struct Worker {
    number: u64,
    place: Place,
    gate: Arc<Gate>,
    store: Arc<FaultyStore>,
    ids: Ids,
}

impl Worker {
    fn new(place: &Place, number: u64, end: End) -> Self {
        let gate = Gate::open();
        let seed = place.seed.wrapping_mul(1_000_003) + number;
        let archive: Arc<dyn ObjectStore> = Arc::<MemoryStore>::clone(&place.archive);
        let mut store = FaultyStore::seeded(archive, seed, place.rates);
        if let End::KilledAt(mutation, effect, _) = end {
            store = store.and(mutation, Fault::Hung(effect));
        }
        Self { number, place: place.clone(), gate, store: Arc::new(store), ids: Ids::seeded(seed) }
    }

    fn archive(&self) -> Arc<dyn ObjectStore> {
        let inner: Arc<dyn ObjectStore> = Arc::<FaultyStore>::clone(&self.store);
        Arc::new(Gated { inner, gate: Arc::clone(&self.gate) })
    }

    fn input(&self) -> CaptureInput {
        let number = self.number;
        let Place { service, options, before, .. } = self.place.clone();
        let (described, watched, gate) = (Arc::clone(&service), Arc::clone(&service), Arc::clone(&self.gate));
        CaptureInput {
            facts: service.facts(before),
            describe: Arc::new(move || {
                let service = Arc::clone(&described);
                Box::pin(async move { describe(&service, before) })
            }),
            streams: Arc::new(move |arn| {
                let stream = service.state().streams.iter().position(|stream| stream.arn == arn).unwrap();
                let (service, gate) = (Arc::clone(&service), Arc::clone(&gate));
                Arc::new(Source { service, stream, gate }) as Arc<dyn StreamSource>
            }),
            store: self.archive(),
            origin: "origin".into(),
            ids: self.ids.clone(),
            options,
            let_go: CancellationToken::new(),
            memory: Memory::new(64 << 20),
            observer: Arc::new(move |progress| {
                watched.trace.note(kind(progress), format_args!("worker {number}: {progress:?}"));
            }),
        }
    }

    /// Runs `work` to its end, or to this worker's. One that is told to stop and does not fails the run.
    async fn until<T>(&self, end: End, stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
        let trace = &self.place.service.trace;
        let work = self.gate.behind(work);
        let ending = async {
            match end {
                End::Stopped(time) | End::KilledAt(_, _, time) => {
                    sleep(time).await;
                    self.stop(stop).await;
                }
                End::Killed(time) => sleep(time).await,
                End::Frozen(begin, time, rest) => {
                    sleep(begin).await;
                    trace.note("frozen", format_args!("worker {}", self.number));
                    self.gate.set(true);
                    sleep(time).await;
                    trace.note("thawed", format_args!("worker {}", self.number));
                    self.gate.set(false);
                    sleep(rest).await;
                    self.stop(stop).await;
                }
            }
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = ending => {
                trace.note("killed", "at a time");
                None
            }
            () = self.store.hung() => {
                trace.note("killed", "in a mutation");
                None
            }
        }
    }
}

impl Worker {
    /// What the footers of its segments say.
    fn facts(&self) -> Facts {
        let facts = self.place.service.facts(self.place.before);
        Facts::new("origin", &facts.arn, &facts.identity.table_id, &facts.keys)
    }

    /// The log, however often the store must be asked.
    async fn opened(&self) -> (Log, Manifest) {
        loop {
            if let Ok(opened) = Log::open(self.archive(), &identity(), self.ids.clone()).await {
                return opened;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Tells the worker to stop, and waits for as long as it may take.
    async fn stop(&self, stop: &CancellationToken) {
        let Self { number, place, .. } = self;
        place.service.trace.note("stopped", format_args!("worker {number}"));
        stop.cancel();
        sleep(DRAIN).await;
        panic!("worker {number}: told to stop, it still runs after {DRAIN:?}");
    }
}

fn describe(service: &Service, before: bool) -> Result<tailrace::shard::table::TableFacts, TableError> {
    let (deleted, faults) = {
        let state = service.state();
        (state.deleted, state.faults)
    };
    if service.dice.below(1000) < faults {
        return Err(TableError::Unavailable { table: "orders".into(), reason: "500".into() });
    }
    if deleted {
        return Err(TableError::Missing { table: "orders".into(), region: "sim".into() });
    }
    Ok(service.facts(before))
}

const fn kind(progress: &Progress) -> &'static str {
    match progress {
        Progress::EpochStarted { .. } => "told of an epoch",
        Progress::Committed { .. } => "told of a commit",
        Progress::Gap { .. } => "told of a gap",
        Progress::Unknown { .. } => "told of an unknown",
        Progress::Ahead { .. } => "told of a stamp ahead",
        Progress::Waiting { .. } => "told of a wait",
        Progress::Alarm { .. } => "told of an alarm",
    }
}

/// Captures until the worker's end. A capture that gives up by itself says why: only some reasons are allowed.
pub(crate) async fn capture(place: Place, number: u64, end: End) {
    let worker = Worker::new(&place, number, end);
    let (stop, input) = (CancellationToken::new(), worker.input());
    let run = Capture::new(input).run(stop.clone());
    match worker.until(end, &stop, run).await {
        // Whoever starts with a stream that is off has nothing to do; so has one whose listing is denied.
        None | Some(Ok(_) | Err(CaptureError::NoStream { .. })) => {}
        Some(Err(error)) => panic!("worker {number} gave up: {error}"),
    }
}

/// How a snapshot is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Scan,
    Export,
}

/// Takes a snapshot, beside whatever captures.
pub(crate) async fn snapshot(place: Place, number: u64, slack: u32, way: Way, end: End) {
    let worker = Worker::new(&place, number, end);
    let stop = CancellationToken::new();
    let table = Scanned { service: Arc::clone(&place.service), gate: Arc::clone(&worker.gate) };
    let exported = Exported {
        service: Arc::clone(&place.service),
        exports: Arc::clone(&place.exports),
        gate: Arc::clone(&worker.gate),
    };
    let bucket = Arc::clone(&place.exports.bucket) as Arc<dyn ObjectStore>;
    let buckets = Arc::new(move |_: &str| Ok(Arc::clone(&bucket)));
    let exporting = Exporting { table: &exported, bucket: "exports".into(), prefix: String::new(), buckets };
    let taken = async {
        let Some((log, mut manifest)) = stop.run_until_cancelled(worker.opened()).await else {
            return Err(BaseError::Stopped);
        };
        let options = BaseOptions { slack, table_bytes: 0, parts: 2, ..BaseOptions::default() };
        base::run(BaseInput {
            log: &log,
            manifest: &mut manifest,
            store: worker.archive(),
            folder: identity().folder(),
            source: match way {
                Way::Scan => BaseSource::Scan(&table),
                Way::Export => BaseSource::Export(&exporting),
            },
            facts: worker.facts(),
            options,
            ids: worker.ids.clone(),
            tell: Arc::new(|_| {}),
            stop: stop.clone(),
        })
        .await
    };
    match worker.until(end, &stop, taken).await {
        Some(Ok(summary)) => {
            let kind = match way {
                Way::Scan => "snapshot",
                Way::Export => "snapshot by export",
            };
            place.service.trace.note(kind, format_args!("{summary:?}"));
        }
        Some(Err(BaseError::Refused(violation))) => panic!("the log refuses a snapshot: {violation}"),
        Some(Err(error)) => place.service.trace.note("snapshot dropped", error),
        None => {}
    }
}

/// Seals every day that is over, beside whatever captures or seals.
pub(crate) async fn seal(place: Place, number: u64, end: End) {
    let worker = Worker::new(&place, number, end);
    let stop = CancellationToken::new();
    let sealed = async {
        let (log, mut manifest) = worker.opened().await;
        let mut sealer = Sealer::new(SealInput {
            journal: Journal {
                log: &log,
                manifest: &mut manifest,
                patience: Patience::new(Arc::new(|_| {}), worker.ids.clone(), true),
            },
            store: worker.archive(),
            folder: identity().folder(),
            facts: worker.facts(),
            options: SealOptions { held: 2000, ..SealOptions::default() },
        });
        while let Some(day) = sealer.next().await? {
            place.service.trace.note("sealed", format_args!("worker {number}: {day:?}"));
        }
        Ok::<_, SealError>(())
    };
    if let Some(Some(Err(error))) = worker.until(end, &stop, stop.run_until_cancelled(sealed)).await {
        panic!("worker {number}: a day could not be sealed: {error}");
    }
}

/// Writes the image at a past time as a snapshot, if the archive has one.
pub(crate) async fn look_back(place: Place, number: u64, part: u64, end: End) {
    let worker = Worker::new(&place, number, end);
    let stop = CancellationToken::new();
    let taken = async {
        let (log, mut manifest) = worker.opened().await;
        let (Some(closed), Some((_, first))) = (manifest.closed_through, manifest.epochs.first_key_value()) else {
            return Err(BaseError::NoStream);
        };
        // Whoever comes later goes on with the same one: the time is of a grid.
        let (floor, grid) = (first.started.floor.0, 100);
        let at = Second((floor + (closed.0 - floor).max(0) * i64::try_from(part).unwrap() / 100) / grid * grid);
        let input = ArchiveInput {
            log: &log,
            manifest: &mut manifest,
            store: worker.archive(),
            folder: identity().folder(),
            facts: worker.facts(),
            name: None,
            scratch: std::env::temp_dir(),
            patience: Patience::new(Arc::new(|_| {}), worker.ids.clone(), true),
            bounds: Bounds::DEFAULT,
        };
        base::from_archive(input, at).await
    };
    match worker.until(end, &stop, stop.run_until_cancelled(taken)).await {
        Some(Some(Ok(summary))) => place.service.trace.note("image of the archive", format_args!("{summary:?}")),
        Some(Some(Err(error @ (BaseError::Refused(_) | BaseError::Differs(_))))) => {
            panic!("an image is wrong: {error}")
        }
        Some(Some(Err(error))) => place.service.trace.note("image dropped", error),
        _ => {}
    }
}

/// A task that panics makes its run panic.
pub(crate) async fn join(task: tokio::task::JoinHandle<()>) {
    if let Err(error) = task.await {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Starts a worker beside the others.
pub(crate) fn start(work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tasks::spawn(work)
}
