//! Every mutation of every command that has one fails once in every way, and its caller dies once at each of them:
//! never a lost, a doubled or a dangling object, and the same command run again succeeds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tailrace::change::TableIdentity;
use tailrace::manifest::{Log, Manifest};
use tailrace::platform::ids::Ids;
use tailrace::platform::{clock, tasks};
use tailrace::segment::decode;
use tailrace::store::ObjectStore;
use tailrace::store::fault::{Effect, Fault, FaultyStore};
use tailrace::store::local::LocalStore;
use tailrace::store::memory::MemoryStore;
use tailrace::store::s3::S3Store;
use tailrace::verify::{self, Level};

use crate::support::fake_stream::FakeStream;
use crate::support::s3_server::{BUCKET, Rules, S3Server};

mod base;
mod capture;
mod damaged;
mod init;
mod packs;

type Store = Arc<dyn ObjectStore>;

/// Later than the first repetition of a put.
const LATE: Duration = Duration::from_millis(300);
/// After this everything late has landed.
const SETTLED: Duration = Duration::from_millis(400);
/// Nothing here takes so long, unless it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// Its outcome is unknown to the caller, who lives on.
const UNKNOWN: [Fault; 3] = [Fault::Lost, Fault::Unanswered, Fault::Late(LATE)];
/// An operator must act.
const REFUSED: [Fault; 2] = [Fault::Refused, Fault::Denied];
/// The caller dies.
const DEATHS: [Fault; 3] = [Fault::Hung(Effect::Never), Fault::Hung(Effect::Now), Fault::Hung(Effect::Late(LATE))];

fn every_way() -> Vec<Fault> {
    [&UNKNOWN[..], &REFUSED, &DEATHS].concat()
}

/// What a place is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Versioned,
    Local,
    S3,
}

/// Where an archive lies, without faults.
struct Place {
    store: Store,
    folder: Option<tempfile::TempDir>,
    server: Option<S3Server>,
}

impl Place {
    async fn new(kind: Kind) -> Self {
        let (mut folder, mut server) = (None, None);
        let store: Store = match kind {
            Kind::Memory => Arc::new(MemoryStore::new()),
            Kind::Versioned => Arc::new(MemoryStore::versioned()),
            Kind::Local => {
                let made = folder.insert(tempfile::tempdir().unwrap());
                Arc::new(LocalStore::new(made.path()))
            }
            Kind::S3 => {
                let started = server.insert(S3Server::start(Rules { versioned: true, ..Rules::default() }).await);
                Arc::new(S3Store::new(&started.config, BUCKET, "keep", None).unwrap())
            }
        };
        Self { store, folder, server }
    }

    /// The same place, failing so in mutation `k`.
    fn failing(&self, k: u64, fault: Fault) -> Arc<FaultyStore> {
        Arc::new(FaultyStore::scripted(Arc::clone(&self.store), [(k, fault)], []))
    }

    /// The same place, counting.
    fn counting(&self) -> Arc<FaultyStore> {
        Arc::new(FaultyStore::scripted(Arc::clone(&self.store), [], []))
    }

    async fn manifest(&self, table: &TableIdentity) -> Manifest {
        let (log, mut manifest) = Log::open(Arc::clone(&self.store), table, Ids::random()).await.unwrap();
        log.load_segments(&mut manifest, None, None).await.unwrap();
        manifest
    }

    /// Everything that lies here is committed, derived, or told of as the rest of an interrupted write; all that is
    /// committed is there and whole.
    async fn assert_accounted_for(&self, table: &TableIdentity, case: &str) {
        let mut told = Vec::new();
        let counts = verify::table(&self.store, table, Level::Full, |found| told.push(found.clone()), |_, _| {});
        let counts = counts.await.unwrap();
        assert!(counts.is_sound(), "{case}: {told:?}");
        verify::root(&self.store, |found| told.push(found.clone())).await.unwrap();
        let orphans: BTreeSet<String> = told.into_iter().map(|finding| finding.object).collect();
        let manifest = self.manifest(table).await;
        let mut left = self.committed(&manifest, table);
        for object in self.store.list("", None, None).await.unwrap() {
            let derived = object.path.contains("/fold/") || object.path.contains("/pack/");
            // Outputs of an open intent are no orphans: whoever began it may still be at work.
            let name = object.path.rsplit('/').next().unwrap_or_default();
            let begun = |n: &u64| object.path.contains("/base/") && name.starts_with(&format!("{n}-"));
            let open = manifest.intents.keys().any(begun);
            let known = left.remove(&object.path) || derived || open || orphans.contains(&object.path);
            assert!(known, "{case}: {} dangles", object.path);
        }
        assert_eq!(left, BTreeSet::new(), "{case}: committed and not there");
        let derived = counts.folds + counts.packs;
        assert!(manifest.next < 20 || derived > 0, "{case}: {} entries without a fold", manifest.next);
        self.assert_no_temporaries(case);
    }

    fn committed(&self, manifest: &Manifest, table: &TableIdentity) -> BTreeSet<String> {
        let bases = manifest.bases.iter().flat_map(|base| &base.base.segments).map(|meta| &meta.path);
        let segments = manifest.segments.keys().map(ToString::to_string).chain(bases.cloned());
        let entries = (0..manifest.next).map(|n| format!("log/{n:020}.entry"));
        let of_table = segments.chain(entries).map(|path| format!("{}/{path}", table.folder()));
        of_table.chain(["archive.json".to_owned()]).collect()
    }

    fn assert_no_temporaries(&self, case: &str) {
        if let Some(folder) = &self.folder {
            let left = hidden(folder.path());
            assert!(left.is_empty(), "{case}: temporary files are left: {left:?}");
        }
    }
}

/// Files whose names begin with a dot.
fn hidden(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(hidden(&path));
        } else if path.file_name().unwrap().to_string_lossy().starts_with('.') {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Runs until the end, or until a request hangs for ever: then the run is dropped where it stands.
async fn until_death<T>(faulty: &FaultyStore, run: impl Future<Output = T>) -> Option<T> {
    let run = async {
        tokio::select! {
            done = run => Some(done),
            () = faulty.hung() => None,
        }
    };
    clock::within(LIMIT, run).await.expect("a run hangs")
}

/// Everything that the stream's table wrote is committed exactly once.
async fn assert_exactly_once(place: &Place, table: &TableIdentity, stream: &FakeStream, case: &str) {
    let manifest = place.manifest(table).await;
    assert!(manifest.gaps.is_empty(), "{case}: {:?}", manifest.gaps);
    let mut kept: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for path in manifest.segments.keys() {
        let object = place.store.get(&format!("{}/{path}", table.folder()), None).await.unwrap();
        for row in decode::changes(object.bytes).unwrap() {
            kept.entry(row.shard_id.as_str().to_owned()).or_default().push(row.sequence.to_string().parse().unwrap());
        }
    }
    kept.values_mut().for_each(|rows| rows.sort_unstable());
    let written = stream.records().into_iter().filter(|(_, records)| !records.is_empty());
    let written = written.map(|(shard, records)| (shard, records.iter().map(|record| record.sequence).collect()));
    assert_eq!(kept, written.collect::<BTreeMap<String, Vec<u64>>>(), "{case}");
}

/// Which mutations of each kind were met by their fault: by the folder of the object, and by the way it failed.
#[derive(Debug, Default)]
struct Met(BTreeMap<(String, String), u64>);

impl Met {
    fn note(&mut self, path: &str, fault: Fault) {
        *self.0.entry((kind_of(path), format!("{fault:?}"))).or_default() += 1;
    }

    /// Every way was met at least once in every kind of object.
    fn assert_all(&self, kinds: &[&str], ways: &[Fault]) {
        for kind in kinds {
            for way in ways {
                // Which of a fold's objects is the k-th mutation depends on the clock: either counts for both.
                let way = format!("{way:?}");
                let met = self.0.keys().any(|(of, by)| of.starts_with(kind) && *by == way);
                assert!(met, "no {kind} met {way}: {:?}", self.0);
            }
        }
    }
}

/// `log`, `raw`, `base`, `fold`, `fold/day`, `probe`, …
fn kind_of(path: &str) -> String {
    let names: Vec<&str> = ["log", "raw", "base", "fold", "pack", "probe", "archive.json"]
        .into_iter()
        .filter(|kind| path.split('/').any(|part| part == *kind))
        .collect();
    let kind = names.first().copied().unwrap_or(path);
    if path.contains("/day=") { format!("{kind}/day") } else { kind.to_owned() }
}

/// Runs all cases side by side; each gives the path of the mutation that met its fault, if its run came so far.
async fn all<C, F>(cases: Vec<C>, one: impl Fn(C) -> F) -> Met
where
    C: Copy + Debug + Into<Fault>,
    F: Future<Output = Option<String>> + Send + 'static,
{
    let runs: Vec<_> = cases.into_iter().map(|case| (case, tasks::spawn(one(case)))).collect();
    let mut met = Met::default();
    for (case, run) in runs {
        if let Some(path) = run.await.unwrap_or_else(|_| panic!("{case:?} failed")) {
            met.note(&path, case.into());
        }
    }
    met
}

/// One run: mutation `k` of a command in this place fails so.
#[derive(Debug, Clone, Copy)]
struct Case {
    kind: Kind,
    fault: Fault,
    k: u64,
}

impl From<Case> for Fault {
    fn from(case: Case) -> Self {
        case.fault
    }
}

fn cases(kind: Kind, ways: &[Fault], mutations: usize) -> Vec<Case> {
    let all = |fault: &Fault| (0..mutations as u64).map(|k| (*fault, k)).collect::<Vec<_>>();
    ways.iter().flat_map(all).map(|(fault, k)| Case { kind, fault, k }).collect()
}
