//! Bases beside a capture that another process writes, over a log in memory.

mod exports;
mod failures;
mod images;
mod memory;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::ready::{Ready, ready};
use super::scan::{Page, Part, TableScan};
use super::*;
use crate::change::{
    Change, ChangeKind, ItemKey, KeyAttribute, KeySchema, KeyType, Origin, Sequence, ShardId, Stamped, TableIdentity,
    Text,
};
use crate::manifest::{
    Action, BaseKind, BaseStarted, Cause, Definition, EpochClosed, EpochStarted, GapReason, GapSpan, Heartbeat, Log,
    Manifest, Proposed, Segments, SegmentsAdded, ShardClosed, ShardOpened, ShardReleased, Span,
};
use crate::platform::ids::Ids;
use crate::platform::{clock, tasks};
use crate::replay::{Options, Point, plan};
use crate::segment::{Facts, Tier, encode, name};
use crate::store::memory::MemoryStore;
use crate::store::{Keep, Object, ObjectInfo, ObjectStore};

const FLOOR: Second = Second(1_795_305_600);

/// How long all sides pause between two looks at the log.
const TICK: Duration = Duration::from_millis(10);

fn keys() -> KeySchema {
    KeySchema(vec![KeyAttribute { name: "id".to_owned(), kind: KeyType::N }])
}

fn identity() -> TableIdentity {
    TableIdentity { account: "1".into(), region: "r".into(), name: "t".into(), table_id: "id".into() }
}

fn facts() -> Facts {
    let text = |text: &str| text.to_owned();
    Facts { origin: text("o"), table_arn: text("arn"), table_id: text("id"), keys: keys(), writer: text("test") }
}

fn image(n: u32) -> Text {
    Text::from(format!("{{\"id\":{{\"N\":\"{n}\"}}}}"))
}

/// A table of `items` items, in pages of 7, and the service's clock.
#[derive(Debug)]
struct Table {
    items: u32,
    now: Arc<AtomicI64>,
}

#[async_trait]
impl TableScan for Table {
    async fn now(&self) -> Result<Second, ServiceError> {
        Ok(Second(self.now.load(Ordering::SeqCst)))
    }
    async fn page(&self, part: Part, after: Option<&Text>) -> Result<Page, ServiceError> {
        let of_part = |n: &u32| n % part.of == part.number;
        let begin: u32 = after.map_or(0, |after| after.as_str().parse().unwrap());
        let items: Vec<u32> = (begin..self.items).filter(of_part).take(7).collect();
        let next = items.last().map(|last| last + 1).filter(|next| *next < self.items);
        let next = next.map(|next| Text::from(next.to_string()));
        Ok(Page { items: items.into_iter().map(image).collect(), next, at: self.now().await?, units: 1 })
    }
}

type Taking = tokio::task::JoinHandle<Result<BaseSummary, BaseError>>;

fn options() -> BaseOptions {
    BaseOptions { name: Some("first".into()), poll: TICK, ..BaseOptions::default() }
}

/// A service, an archive, and the process that captures.
struct World {
    store: Arc<dyn ObjectStore>,
    now: Arc<AtomicI64>,
    log: Log,
    manifest: Manifest,
    last: Sequence,
    changes: u32,
}

impl World {
    async fn begin() -> Self {
        Self::over(Arc::new(MemoryStore::new())).await
    }

    /// The stream begins to be captured into this store.
    async fn over(store: Arc<dyn ObjectStore>) -> Self {
        let (log, manifest) = Log::open(Arc::clone(&store), &identity(), Ids::seeded(1)).await.unwrap();
        let now = Arc::new(AtomicI64::new(FLOOR.0 + 3600));
        let mut world = Self { store, now, log, manifest, last: Sequence::parse("99").unwrap(), changes: 0 };
        let view_type = "NEW_AND_OLD_IMAGES".into();
        let started =
            EpochStarted { epoch: 1, stream_arn: "arn".into(), view_type, keys: keys(), created: FLOOR, floor: FLOOR };
        let opened = ShardOpened {
            epoch: 1,
            shard: ShardId::new("s"),
            parent: None,
            unlisted: false,
            barred: false,
            rank: 0,
            start: Sequence::parse("100").unwrap(),
            floor: FLOOR,
            cut: FLOOR,
        };
        world.commit(vec![Action::EpochStarted(started), Action::ShardOpened(opened)]).await;
        world
    }

    fn second(&self) -> Second {
        Second(self.now.load(Ordering::SeqCst))
    }

    /// Makes the actions from what the log says, until they are committed.
    async fn commit_made(&mut self, make: impl Fn(&Manifest) -> Vec<Action>) {
        loop {
            self.log.refresh(&mut self.manifest).await.unwrap();
            let (at, actions) = (self.second(), make(&self.manifest));
            match self.log.propose(&mut self.manifest, at, actions).await.unwrap() {
                Proposed::Committed { .. } => return,
                Proposed::Lost => {}
                Proposed::Refused(violation) => panic!("{violation}"),
            }
        }
    }

    async fn commit(&mut self, actions: Vec<Action>) {
        self.commit_made(|_| actions.clone()).await;
    }

    async fn beat(&mut self) {
        let (through, floor) = (self.last, self.second().plus(-120));
        if self.manifest.closed_through.is_none_or(|closed| closed < floor) {
            let beat = Heartbeat { epoch: 1, shard: ShardId::new("s"), through, floor, settle: 120 };
            self.commit(vec![Action::Heartbeat(beat)]).await;
        }
    }

    /// A minute of an idle table each tick, until `end`.
    async fn idle(&mut self, end: Second) {
        while self.second() < end {
            self.now.fetch_add(60, Ordering::SeqCst);
            self.beat().await;
            clock::sleep(TICK).await;
        }
    }

    fn span(&mut self, sequence: &str, cut: Second) -> Span {
        let through = Sequence::parse(sequence).unwrap();
        let after = std::mem::replace(&mut self.last, through);
        let shard = ShardId::new("s");
        Span { epoch: 1, shard, after, through, rows: 1, cut, floor: None, late: vec![], unknown: vec![], gap: None }
    }

    /// A minute of an idle table each tick, until the base is taken or not.
    async fn outcome(&mut self, base: Taking) -> Result<BaseSummary, BaseError> {
        while !base.is_finished() {
            self.idle(self.second().plus(60)).await;
        }
        base.await.unwrap()
    }

    /// A change that was made at `changed` and archived at `cut`; gives the path of its segment.
    async fn change(&mut self, changed: Second, cut: Second) -> String {
        self.changes += 1;
        let sequence = (100 + 50 * self.changes).to_string();
        let change = Change {
            sequence: Sequence::parse(&sequence).unwrap(),
            kind: ChangeKind::Insert,
            changed_at: changed.micros(),
            key: Some(ItemKey::from_image(&keys(), image(5000).as_str()).unwrap()),
            event_id: None,
            size_bytes: None,
            actor: None,
            new_image: Some(image(5000)),
            old_image: None,
            new_digest: None,
            old_digest: None,
        };
        let origin = Arc::new(Origin { epoch: 1, shard_rank: 0, shard: ShardId::new("s") });
        let stamped = Stamped { origin, cut_at: cut, change: change.with_digests().unwrap() };
        let encoded = encode::changes(vec![stamped], &facts()).unwrap().remove(0);
        let path = name::raw(&encoded.dt, &Ids::random().ulid(1));
        self.store.put_new(&self.log.path(&path), encoded.bytes.clone(), Keep::Short).await.unwrap();
        let span = self.span(&sequence, cut);
        let segments = vec![encoded.meta(path.clone(), None, Tier::Raw, None)];
        self.commit(vec![Action::Segments(SegmentsAdded { segments, spans: vec![span] })]).await;
        self.log.path(&path)
    }

    /// The shard may have lost something before `to`.
    async fn lose(&mut self, to: Second) {
        let last = self.last;
        self.commit_made(|manifest| {
            let from_cut = manifest.closed_through.unwrap().plus(1);
            let gap = Some(GapSpan { reason: GapReason::PossiblyTrimmed, from_cut, to_cut: to });
            let (shard, floor) = (ShardId::new("s"), Some(to.plus(-1)));
            let (late, unknown) = (vec![crate::manifest::Interval { from: from_cut.plus(-900), to: from_cut }], vec![]);
            let span =
                Span { epoch: 1, shard, after: last, through: last, rows: 0, cut: to, floor, late, unknown, gap };
            vec![Action::Segments(SegmentsAdded { segments: vec![], spans: vec![span] })]
        })
        .await;
    }

    /// Takes a base of 100 items in a process of its own.
    fn take(&self, stop: &CancellationToken) -> Taking {
        let table = Table { items: 100, now: Arc::clone(&self.now) };
        self.take_of(Arc::new(table), Arc::clone(&self.store), options(), stop)
    }

    fn take_of(
        &self,
        table: Arc<dyn TableScan>,
        store: Arc<dyn ObjectStore>,
        options: BaseOptions,
        stop: &CancellationToken,
    ) -> Taking {
        let stop = stop.clone();
        tasks::spawn(async move {
            let (log, mut manifest) = loop {
                if let Ok(opened) = Log::open(Arc::clone(&store), &identity(), Ids::random()).await {
                    break opened;
                }
            };
            run(BaseInput {
                log: &log,
                manifest: &mut manifest,
                store,
                folder: identity().folder(),
                source: BaseSource::Scan(&*table),
                facts: facts(),
                options,
                ids: Ids::seeded(3),
                tell: Arc::new(|_| {}),
                stop,
            })
            .await
        })
    }

    /// The log as anybody finds it.
    async fn found(&self) -> Manifest {
        Log::open(Arc::clone(&self.store), &identity(), Ids::seeded(9)).await.unwrap().1
    }
}

#[tokio::test]
async fn row_32_a_base_is_taken_beside_a_capture_and_serves_replays() {
    let mut world = World::begin().await;
    let base = world.take(&CancellationToken::new());
    world.idle(FLOOR.plus(9000)).await;
    let summary = base.await.unwrap().unwrap();
    let (first, last) = summary.read;
    assert_eq!((summary.items, summary.files), (100, 1));
    assert!(summary.fence <= first.plus(-120) && last.plus(900) <= summary.complete_at);
    let found = world.found().await;
    assert_eq!((found.intents.len(), found.bases.len()), (0, 1));
    assert_eq!(found.bases[0].base.name.as_deref(), Some("first"));
    let planned = plan(&found, Point::at(summary.complete_at), &Options::default()).unwrap();
    let segments = Segments::new(Arc::clone(&world.store), identity().folder());
    let rows = segments.base(&planned.base.segments[0]).await.unwrap();
    assert_eq!(rows.len(), 100);
}

#[tokio::test]
async fn a_change_that_was_placed_late_holds_the_base_back() {
    let mut world = World::begin().await;
    let base = world.take(&CancellationToken::new());
    world.idle(FLOOR.plus(4200)).await;
    let cut = FLOOR.plus(7000);
    world.now.store(cut.0, Ordering::SeqCst);
    world.change(cut.plus(-31), cut).await;
    clock::sleep(20 * TICK).await;
    assert!(!base.is_finished(), "closed_through is one second short of the late change");
    world.idle(cut.plus(600)).await;
    assert!(base.await.unwrap().unwrap().complete_at >= cut);
}

#[tokio::test]
async fn a_gap_while_it_is_taken_drops_the_base() {
    let mut world = World::begin().await;
    let base = world.take(&CancellationToken::new());
    world.idle(FLOOR.plus(4200)).await;
    world.lose(FLOOR.plus(4300)).await;
    world.idle(FLOOR.plus(9000)).await;
    assert!(matches!(base.await.unwrap(), Err(BaseError::Spoilt(_))));
    let found = world.found().await;
    assert_eq!((found.intents.len(), found.bases.len()), (0, 0));
}

#[tokio::test]
async fn a_stream_that_is_turned_off_before_the_base_is_complete_spoils_it_at_once() {
    let mut world = World::begin().await;
    let base = world.take(&CancellationToken::new());
    world.idle(FLOOR.plus(4200)).await;
    let (epoch, shard, through) = (1, ShardId::new("s"), world.last);
    let closed = ShardClosed { epoch, shard: shard.clone(), through };
    let actions = vec![
        Action::ShardClosed(closed),
        Action::ShardReleased(ShardReleased { epoch, shard }),
        Action::EpochClosed(EpochClosed { epoch }),
    ];
    world.commit(actions).await;
    let spoilt = clock::within(Duration::from_secs(30), base).await.expect("it would wait for ever").unwrap();
    assert!(matches!(spoilt, Err(BaseError::Spoilt(unknown)) if unknown.cause == Cause::StreamOff { reason: None }));
    assert_eq!(world.found().await.intents.len(), 0);
}

#[tokio::test]
async fn what_a_crash_left_is_abandoned_when_it_cannot_be_alive_any_more() {
    let mut world = World::begin().await;
    world.idle(FLOOR.plus(3700)).await;
    let (kind, fence) = (BaseKind::Scan, world.manifest.closed_through.unwrap());
    let left = BaseStarted { kind, fence, started: fence, slack: 900, bits: 0, limit: 1, export: None };
    world.commit(vec![Action::BaseStarted(left)]).await;
    world.now.store(fence.plus(48 * 3600 - 2000).0, Ordering::SeqCst);
    let base = world.take(&CancellationToken::new());
    world.outcome(base).await.unwrap();
    let found = world.found().await;
    assert_eq!((found.intents.len(), found.bases.len()), (1, 1), "it may still be read");
    world.now.store(fence.plus(48 * 3600 + 1).0, Ordering::SeqCst);
    let base = world.take(&CancellationToken::new());
    world.outcome(base).await.unwrap();
    let found = world.found().await;
    assert_eq!((found.intents.len(), found.bases.len()), (0, 2));
}

#[tokio::test]
async fn two_runs_do_not_end_each_other() {
    let mut world = World::begin().await;
    let first = world.take(&CancellationToken::new());
    world.idle(FLOOR.plus(4200)).await;
    assert_eq!(world.found().await.intents.len(), 1);
    let second = world.take(&CancellationToken::new());
    let (first, second) = (world.outcome(first).await.unwrap(), world.outcome(second).await.unwrap());
    assert!(first.n < second.n);
    let found = world.found().await;
    assert_eq!((found.intents.len(), found.bases.len()), (0, 2));
}

#[tokio::test]
async fn a_base_waits_for_a_capture_that_only_begins() {
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    let now = Arc::new(AtomicI64::new(FLOOR.0 + 3600));
    let (log, mut manifest) = Log::open(Arc::clone(&store), &identity(), Ids::seeded(2)).await.unwrap();
    let table = Table { items: 100, now: Arc::clone(&now) };
    let input = BaseInput {
        log: &log,
        manifest: &mut manifest,
        store: Arc::clone(&store),
        folder: identity().folder(),
        source: BaseSource::Scan(&table),
        facts: facts(),
        options: options(),
        ids: Ids::seeded(3),
        tell: Arc::new(|_| {}),
        stop: CancellationToken::new(),
    };
    let capture = async {
        clock::sleep(20 * TICK).await;
        let mut world = World { now, ..World::over(Arc::clone(&store)).await };
        world.idle(FLOOR.plus(9000)).await;
    };
    let (taken, ()) = tokio::join!(run(input), capture);
    assert_eq!(taken.unwrap().items, 100);
}

/// A store that notes what is read.
#[derive(Debug)]
struct Noting(Arc<dyn ObjectStore>, Mutex<Vec<String>>);

#[async_trait]
impl ObjectStore for Noting {
    fn location(&self) -> String {
        self.0.location()
    }
    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError> {
        self.1.lock().unwrap().push(path.to_owned());
        self.0.get(path, version_id).await
    }
    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        self.0.get_oldest(path).await
    }
    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        self.0.occupied(path).await
    }
    async fn put_new(&self, path: &str, bytes: Bytes, keep: Keep) -> Result<Option<String>, StoreError> {
        self.0.put_new(path, bytes, keep).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, n: Option<usize>) -> Result<Vec<ObjectInfo>, StoreError> {
        self.0.list(prefix, after, n).await
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.0.list_folders(prefix).await
    }
    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError> {
        self.0.delete(path, version_id).await
    }
}

#[tokio::test]
async fn only_what_was_archived_since_is_looked_at_for_late_changes() {
    let mut world = World::begin().await;
    // Enough entries for a fold, so that the base finds the day of the old segment unread in it; the segment ends above
    // closed_through for as long as the test needs.
    world.beat().await;
    let ahead = FLOOR.plus(5000);
    world.now.store(ahead.0, Ordering::SeqCst);
    let old = world.change(ahead, ahead).await;
    for _ in 0..40 {
        world.commit(vec![Action::Definition(Definition { at: ahead, table: serde_json::json!({}) })]).await;
    }
    let store = Arc::new(Noting(Arc::clone(&world.store), Mutex::default()));
    let table = Table { items: 100, now: Arc::clone(&world.now) };
    let base = world.take_of(Arc::new(table), Arc::clone(&store) as _, options(), &CancellationToken::new());
    while world.found().await.intents.is_empty() {
        clock::sleep(TICK).await;
    }
    let new = world.change(ahead, ahead).await;
    while !store.1.lock().unwrap().contains(&new) {
        clock::sleep(TICK).await;
    }
    world.outcome(base).await.unwrap();
    let read = store.1.lock().unwrap();
    assert!(!read.contains(&old), "what stood there before is not read");
}

#[tokio::test]
async fn a_stopped_run_abandons_what_it_began() {
    let mut world = World::begin().await;
    let stop = CancellationToken::new();
    let base = world.take(&stop);
    world.idle(FLOOR.plus(4200)).await;
    assert_eq!(world.found().await.intents.len(), 1);
    stop.cancel();
    assert!(matches!(base.await.unwrap(), Err(BaseError::Stopped)));
    assert_eq!(world.found().await.intents.len(), 0);
}

#[tokio::test]
async fn a_base_begins_only_when_every_shard_was_judged_and_every_gap_is_passed() {
    assert_eq!(ready(&Manifest::default(), None), Ready::NoStream);
    let mut world = World::begin().await;
    assert!(matches!(ready(&world.manifest, None), Ready::NotYet { .. }), "nothing was read of the shard");
    world.beat().await;
    let fence = FLOOR.plus(3480);
    assert_eq!(ready(&world.manifest, None), Ready::Yes { fence });
    world.lose(FLOOR.plus(3600)).await;
    assert!(matches!(ready(&world.manifest, None), Ready::NotYet { .. }), "the gap ends after closed_through");
    world.now.store(FLOOR.plus(3720).0, Ordering::SeqCst);
    world.beat().await;
    assert_eq!(ready(&world.manifest, None), Ready::Yes { fence: FLOOR.plus(3600) });
}
