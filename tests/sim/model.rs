//! The reckoning: what was archived against what was written, promise by promise, and replays against the model.
//!
//! N1  every record is in exactly one committed segment, or lost
//! N2  what was lost lies within a stretch that the log declares unknown; nothing is lost without a cause
//! N3  `verify` finds no damage
//! N4  a replay at T is the table at T, or refuses; what was answered once is answered again
//! N5  `proven_through` ≤ `closed_through` ≤ what is archived

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tailrace::change::{Second, ShardId};
use tailrace::manifest::unknown;
use tailrace::manifest::{Action, BaseKind, Entry, Log, Manifest, Segments, ShardKey};
use tailrace::platform::ids::Ids;
use tailrace::replay::sink::{Item, SinkError};
use tailrace::replay::{self, Bounds, Options, Plan, Point, Refusal, ReplayError, Sink, Steps};
use tailrace::segment::{Row, decode};
use tailrace::store::ObjectStore;
use tailrace::store::memory::MemoryStore;
use tailrace::verify::{self, Level};

use crate::dice::Dice;
use crate::service::{KEYS, Made, State, identity, image, pk};
use crate::worker::Place;

/// A row that is lifted further than this leaves a label.
const LATE: i64 = 300;
/// A snapshot may hold a change that is lifted further than this.
const SOFT: i64 = 30;
/// The service's machines differ by so much, so a stamp may be capped by as much.
const SKEW: i64 = 2;
/// A run shorter than this has no reason to lose anything.
const SAFE: i64 = 20 * 3600;
/// Times that are replayed in the end.
const TIMES: u64 = 12;

type Images = BTreeMap<String, String>;
/// Of each archived record: its `cut_at`, and the entry that holds it.
type Cuts = BTreeMap<usize, (Second, u64)>;

#[derive(Default)]
pub(crate) struct Kept(pub(crate) Images);

#[async_trait]
impl Sink for Kept {
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        for item in items {
            assert!(self.0.insert(item.pk.as_str().to_owned(), item.image.as_str().to_owned()).is_none());
        }
        Ok(())
    }
    async fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Reads the archive as a replay would, without faults, and remembers what it was told.
pub(crate) struct Reader {
    place: Place,
    dice: Dice,
    told: Vec<(Second, Images)>,
}

/// Everything committed.
struct Archived {
    log: Log,
    manifest: Manifest,
    rows: Vec<Row>,
    /// The entry of each row.
    entries: Vec<u64>,
}

/// Where a change stood in its stream.
fn place(row: &Row) -> (u32, String, String) {
    (row.epoch, row.shard_id.as_str().to_owned(), row.sequence.to_string())
}

impl Reader {
    pub(crate) fn new(place: &Place) -> Self {
        Self { place: place.clone(), dice: Dice::new(place.seed ^ 0xa11), told: vec![] }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::<MemoryStore>::clone(&self.place.archive)
    }

    async fn open(&self) -> (Log, Manifest) {
        let (log, mut manifest) = Log::open(self.store(), &identity(), Ids::seeded(1)).await.unwrap();
        log.load_segments(&mut manifest, None, None).await.unwrap();
        (log, manifest)
    }

    /// Whether everything up to `goal` is archived, and the stream of a deleted table is drained.
    pub(crate) async fn reached(&self, goal: i64) -> bool {
        let (_, manifest) = self.open().await;
        let epochs = self.place.service.state().streams.len();
        let ended = self.place.service.state().deleted && manifest.coverage_ended.is_some();
        let last = manifest
            .open_epoch()
            .is_some_and(|(_, epoch)| epoch.started.stream_arn == format!("arn:stream:{}", epochs - 1));
        (last && manifest.closed_through >= Some(Second(goal))) || ended
    }

    pub(crate) async fn standing(&self) -> String {
        let (_, manifest) = self.open().await;
        let Manifest { closed_through, shards, awaited, epochs, coverage_ended, .. } = manifest;
        format!("{closed_through:?} {coverage_ended:?} {epochs:#?} {shards:#?} {awaited:#?}")
    }

    /// Replays what is final now, for comparison with what is said in the end.
    pub(crate) async fn look(&mut self) {
        let (log, mut manifest) = self.open().await;
        let (Some(closed), Some((_, first))) = (manifest.closed_through, manifest.epochs.first_key_value()) else {
            return;
        };
        let from = first.started.floor.0;
        for _ in 0..2 {
            let at = Second(self.dice.between(from.min(closed.0), closed.0));
            match self.replay(&log, &mut manifest, at).await {
                Ok((_, images)) => self.told.push((at, images)),
                Err(refusal) => self.place.service.trace.note("refused meanwhile", refusal),
            }
        }
    }

    async fn replay(&self, log: &Log, manifest: &mut Manifest, at: Second) -> Result<(Plan, Images), Refusal> {
        let plan = replay::plan(manifest, Point::at(at), &Options::default())?;
        let segments = Segments::new(self.store(), identity().folder());
        let mut kept = Kept::default();
        match replay::run(log, manifest, &segments, plan.clone(), (Bounds::DEFAULT, Steps::SILENT), &mut kept).await {
            Ok(_) => Ok((plan, kept.0)),
            Err(ReplayError::Refused(refusal)) => Err(refusal),
            Err(error) => panic!("the replay at {at} failed: {error}"),
        }
    }

    async fn archived(&self) -> Archived {
        let (log, manifest) = self.open().await;
        let named = self.named(manifest.next).await;
        // What was sealed was captured by an entry of its own.
        let mut captured = BTreeMap::new();
        for path in manifest.sealed.values().flatten() {
            captured.extend(self.rows(path).await.iter().map(|row| (place(row), named[path])));
        }
        let (mut rows, mut entries) = (vec![], vec![]);
        for path in manifest.segments.keys() {
            for row in self.rows(path).await {
                entries.push(named.get(&**path).copied().unwrap_or_else(|| captured[&place(&row)]));
                rows.push(row);
            }
        }
        Archived { log, manifest, rows, entries }
    }

    async fn rows(&self, path: &str) -> Vec<Row> {
        let object = self.place.archive.get(&format!("{}/{path}", identity().folder()), None).await.unwrap();
        decode::changes(object.bytes).unwrap()
    }

    /// The entry that names each segment.
    async fn named(&self, length: u64) -> BTreeMap<String, u64> {
        let mut named = BTreeMap::new();
        for (entry, n) in entries(&self.store(), length).await.into_iter().zip(0..) {
            for action in entry.actions {
                let Action::Segments(added) = action else { continue };
                named.extend(added.segments.into_iter().map(|meta| (meta.path, n)));
            }
        }
        named
    }

    /// Checks every promise; how many replays were compared.
    pub(crate) async fn reckon(&self) -> u64 {
        let mut archived = self.archived().await;
        let manifest = &archived.manifest;
        assert!(manifest.proven_through <= manifest.closed_through, "N5: proven beyond closed");
        let cuts = self.exactly_once(&archived);
        self.stamps(&archived);
        self.lifts(&archived);
        self.losses(manifest, &cuts);
        sound(&self.store()).await;
        let made = self.place.service.state().made.clone();
        let lost_at = |made: &Made| refused_from(manifest, made.at).unwrap_or(made.at);
        let second = |(made, n): (&Made, usize)| cuts.get(&n).map_or_else(|| lost_at(made), |(cut, _)| cut.0);
        let seconds = made.iter().zip(0..).map(second).collect();
        // A snapshot cannot wait for what is archived only after it.
        let before = |n: usize| cuts.get(&n).is_none_or(|(_, of)| manifest.bases.iter().any(|base| base.n < *of));
        let soft = (0..made.len()).map(before).collect();
        let truth = Truth { seconds, soft, made };
        let mut replays = 0;
        for at in self.times(&truth, manifest) {
            replays += u64::from(self.compare(&mut archived, &truth, at).await);
        }
        for (at, images) in &self.told {
            let again = self.replay(&archived.log, &mut archived.manifest, *at).await;
            let (_, again) = again.unwrap_or_else(|refusal| panic!("N4: {at} was answered once, and now: {refusal}"));
            assert_eq!(&again, images, "N4: another answer at {at}");
            replays += 1;
        }
        replays
    }

    /// N1: no row twice, none that was not written, every one as it was written; the `cut_at` of each record.
    fn exactly_once(&self, archived: &Archived) -> Cuts {
        let state = self.place.service.state();
        let mut by_place = BTreeMap::new();
        for (n, made) in state.made.iter().enumerate() {
            if let Some((stream, shard)) = made.place {
                by_place.insert((stream, state.streams[stream].shards[shard].id.clone(), made.sequence), n);
            }
        }
        let mut cuts = BTreeMap::new();
        for (row, entry) in archived.rows.iter().zip(&archived.entries) {
            let arn = &archived.manifest.epochs[&row.epoch].started.stream_arn;
            let stream = state.streams.iter().position(|stream| stream.arn == *arn).unwrap();
            let sequence: u64 = row.sequence.to_string().parse().unwrap();
            let place = (stream, row.shard_id.as_str().to_owned(), sequence);
            let n = *by_place.get(&place).unwrap_or_else(|| panic!("N1: {place:?} was never written"));
            assert!(cuts.insert(n, (row.cut_at, *entry)).is_none(), "N1: {place:?} is archived twice");
            let made = &state.made[n];
            let new = made.new.map(|version| image(made.key, version));
            assert_eq!(row.new_image, new, "N1: {place:?} has another image");
        }
        let mut last: BTreeMap<(usize, usize), Second> = BTreeMap::new();
        for (n, (cut, _)) in &cuts {
            let before = last.insert(state.made[*n].place.unwrap(), *cut);
            assert!(before <= Some(*cut), "N1: cut_at falls at {:?}", state.made[*n]);
        }
        cuts
    }

    /// A row never lies before its stamp; one that lies far behind it is labelled.
    fn stamps(&self, archived: &Archived) {
        let manifest = &archived.manifest;
        for row in &archived.rows {
            let (cut, stamp) = (row.cut_at, row.changed_at.second());
            assert!(cut.0 >= stamp.0 - SKEW, "N4: a row stamped {stamp} lies at {cut}");
            let known = manifest.epochs[&row.epoch].started.floor.plus(1);
            if cut.0 > stamp.0 + LATE && cut > known {
                let labelled = manifest.late.iter().any(|late| late.from <= stamp && cut <= late.to);
                assert!(labelled, "N4: a row stamped {stamp} lies at {cut}, and no label says so");
            }
        }
    }

    /// N5: where nothing comes late, `closed_through` never runs ahead of what is archived, so nothing is lifted.
    fn lifts(&self, archived: &Archived) {
        let (manners, manifest) = (&self.place.service.manners, &archived.manifest);
        let prompt = manners.stragglers == 0 && !manners.chaos;
        let settle = self.place.options.settle_seconds();
        if !prompt || manners.lag >= settle || settle < 6 {
            return;
        }
        // A root may be listed only after the others have gone on.
        let has_parent = |row: &&Row| {
            let key = ShardKey { epoch: row.epoch, id: row.shard_id.clone() };
            let shard = manifest.shards.get(&key);
            shard.is_some_and(|shard| shard.parent.is_some() && !shard.unlisted) && !has_gap(manifest, key)
        };
        for row in archived.rows.iter().filter(has_parent) {
            let (cut, stamp) = (row.cut_at, row.changed_at.second());
            let first = manifest.epochs[&row.epoch].started.floor.plus(1);
            assert!(
                cut <= stamp.plus(SKEW + manners.jitter) || cut <= first,
                "N5: a row stamped {stamp} was lifted to {cut}"
            );
        }
    }

    /// N2.
    fn losses(&self, manifest: &Manifest, cuts: &Cuts) {
        let state = self.place.service.state();
        let mut lost = 0;
        for (n, made) in state.made.iter().enumerate() {
            if cuts.contains_key(&n) {
                continue;
            }
            lost += u64::from(made.place.is_some());
            let hidden = refused_from(manifest, made.at).is_some();
            assert!(hidden, "N2: {made:?} is lost in silence; declared: {:?}", unknown::all(manifest));
            let key = made.place.and_then(|place| logged(manifest, &state, place));
            let known = |key: &ShardKey| manifest.epochs[&key.epoch].started.floor.0 + 1 < made.stamp;
            let own = key.filter(known).is_none_or(|key| has_gap(manifest, key));
            assert!(own, "N2: {made:?} is lost, and the log says that its shard was read to its end");
        }
        self.place.service.trace.note(if lost > 0 { "lost and declared" } else { "nothing lost" }, lost);
        let short = self.place.service.now() < crate::service::NOON + SAFE;
        let no_cause = short && !self.place.service.manners.chaos && state.streams.len() == 1;
        if no_cause {
            assert_eq!((lost, manifest.gaps.as_slice()), (0, [].as_slice()), "N2: lost without a cause");
        }
    }

    /// Random times, and times next to what happened.
    fn times(&self, truth: &Truth, manifest: &Manifest) -> BTreeSet<Second> {
        let (Some(closed), Some((_, first))) = (manifest.closed_through, manifest.epochs.first_key_value()) else {
            return BTreeSet::new();
        };
        let edges = unknown::all(manifest).into_iter().flat_map(|unknown| [unknown.from, unknown.to]);
        let bases = manifest.bases.iter().flat_map(|base| [base.base.fence, base.base.complete_at]);
        let mut events: Vec<i64> = edges.chain(bases).map(|second| second.0).collect();
        events.extend(&truth.seconds);
        events.retain(|second| (first.started.floor.0..=closed.0).contains(second));
        let near = |n: u64| match events.len() {
            0 => closed,
            _ if n.is_multiple_of(3) => Second(self.dice.between(first.started.floor.0, closed.0)),
            _ => Second(self.dice.pick(&events)).plus(self.dice.between(-2, 2)),
        };
        (0..TIMES).map(near).chain([closed]).collect()
    }

    /// N4 at one time; whether it was answered.
    async fn compare(&self, archived: &mut Archived, truth: &Truth, at: Second) -> bool {
        let trace = &self.place.service.trace;
        match self.replay(&archived.log, &mut archived.manifest, at).await {
            Ok((plan, images)) => {
                trace.note(if plan.late { "replayed, late" } else { "replayed" }, format_args!("{at} {:?}", plan.way));
                for key in 0..KEYS {
                    if truth.is_soft(key, at) {
                        continue;
                    }
                    let expected = truth.at(key, at);
                    let found = images.get(&pk(key)).cloned();
                    assert_eq!(found, expected, "N4: {} at {at}, {plan}\n{:?}", pk(key), truth.of(key));
                }
                true
            }
            Err(refusal) => {
                trace.note("refused", format_args!("{at} {refusal}"));
                let manifest = &archived.manifest;
                let whole = manifest.bases.iter().any(|base| base.base.kind == BaseKind::Empty);
                let known = unknown::all(manifest).iter().all(|unknown| unknown.to < at || unknown.from.0 == i64::MIN);
                let covered = manifest.closed_through >= Some(at)
                    && manifest.epochs.values().next().is_some_and(|epoch| epoch.started.floor < at);
                let gaps = manifest.gaps.is_empty() && manifest.epochs.len() == 1;
                assert!(!(whole && known && covered && gaps), "N4: {at} is refused without a reason: {refusal}");
                false
            }
        }
    }
}

/// N3: `verify` finds no damage.
pub(crate) async fn sound(store: &Arc<dyn ObjectStore>) {
    let mut damage = vec![];
    let found = |finding: &verify::Finding| {
        if finding.state.is_damage() {
            damage.push(finding.clone());
        }
    };
    verify::table(store, &identity(), Level::Full, found, |_, _| {}).await.unwrap();
    assert!(damage.is_empty(), "N3: {damage:?}");
}

/// Every entry of a log of this length.
pub(crate) async fn entries(store: &Arc<dyn ObjectStore>, length: u64) -> Vec<Entry> {
    let mut entries = vec![];
    for n in 0..length {
        let path = format!("{}/log/{n:020}.entry", identity().folder());
        entries.push(Entry::decode(n, &store.get_oldest(&path).await.unwrap().bytes).unwrap());
    }
    entries
}

/// Whether the log says that the shard lost something, or one that it comes from.
fn has_gap(manifest: &Manifest, key: ShardKey) -> bool {
    let parent = |key: &ShardKey| {
        let id = manifest.shards.get(key)?.parent.clone()?;
        Some(ShardKey { epoch: key.epoch, id })
    };
    std::iter::successors(Some(key), parent).any(|key| manifest.gaps.iter().any(|gap| gap.shard == key))
}

/// The shard, if the log knows it.
fn logged(manifest: &Manifest, state: &State, (stream, shard): (usize, usize)) -> Option<ShardKey> {
    let stream = &state.streams[stream];
    let (epoch, _) = manifest.epochs.iter().find(|(_, epoch)| epoch.started.stream_arn == stream.arn)?;
    let key = ShardKey { epoch: *epoch, id: ShardId::new(&stream.shards[shard].id) };
    manifest.shards.contains_key(&key).then_some(key)
}

/// From when on a lost change is refused, if the log says that it may be missing: its own second, or, where answers
/// of its time were final before the loss was known and are labelled now, the end of that label.
fn refused_from(manifest: &Manifest, at: i64) -> Option<i64> {
    let unknown = unknown::all(manifest).into_iter().any(|unknown| unknown.from.0 <= at && at <= unknown.to.0);
    let label = || manifest.late.iter().find(|late| late.from.0 <= at && at < late.to.0);
    if unknown { Some(at) } else { label().map(|late| late.to.0) }
}

/// What the table held.
struct Truth {
    made: Vec<Made>,
    /// The second of each: its `cut_at`, or its stamp if it is not archived.
    seconds: Vec<i64>,
    /// Whether a snapshot was there before it was archived, and may hold it nevertheless.
    soft: Vec<bool>,
}

impl Truth {
    fn of(&self, key: u64) -> Vec<(&Made, i64)> {
        let all = self.made.iter().zip(self.seconds.iter().copied());
        all.filter(|(made, _)| made.key == key).collect()
    }

    fn at(&self, key: u64, at: Second) -> Option<String> {
        let last = self.of(key).into_iter().rfind(|(_, second)| *second <= at.0);
        let version = last.and_then(|(made, _)| made.new)?;
        Some(image(key, version).as_str().to_owned())
    }

    /// Whether a snapshot may hold a change of this key that the archive dates later than `at`: one that became
    /// readable only after the snapshot was complete. Then even what is undone from the snapshot may lack it.
    fn is_soft(&self, key: u64, at: Second) -> bool {
        let mut all = self.made.iter().zip(&self.seconds).zip(&self.soft).filter(|((made, _), _)| made.key == key);
        all.any(|((made, second), soft)| *soft && *second > made.stamp + SOFT && at.0 < *second)
    }
}
