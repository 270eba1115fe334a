//! What the tests of the log share: actions in short, and a hand that writes entries without asking any predicate.

use std::sync::Arc;

use bytes::Bytes;

use super::action::{
    BaseCommitted, BaseKind, BaseStarted, Collect, EmptyCheck, EpochClosed, ExportOrder, GapAcknowledged,
    IntentAbandoned, Seal, SealStarted, Void,
};
use super::entry::{FoldPointer, sha256};
use super::{
    Action, Entry, EpochStarted, GapReason, GapSpan, Heartbeat, Log, Manifest, Proposed, SegmentsAdded, ShardAwaited,
    ShardClosed, ShardOpened, ShardReleased, Span, Writer,
};
use crate::change::{KeySchema, Second, Sequence, ShardId, TableIdentity};
use crate::platform::ids::Ids;
use crate::segment::{SegmentMeta, Tier};
use crate::store::memory::MemoryStore;
use crate::store::{Keep, ObjectStore};

/// Seconds in a day.
pub(super) const DAY: i64 = 86_400;
/// Where the first shard begins.
pub(super) const START: u64 = 100;

/// Seconds after 2026-11-22T00:00:00Z.
pub(super) fn at(seconds: i64) -> Second {
    Second(1_795_305_600 + seconds)
}

pub(super) fn seq(n: u64) -> Sequence {
    Sequence::parse(&n.to_string()).unwrap()
}

pub(super) fn id(shard: &str) -> ShardId {
    ShardId::new(shard)
}

pub(super) fn table() -> TableIdentity {
    TableIdentity { account: "1".into(), region: "r".into(), name: "t".into(), table_id: "id".into() }
}

pub(super) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(MemoryStore::new())
}

pub(super) async fn open(store: &Arc<dyn ObjectStore>, seed: u64) -> (Log, Manifest) {
    Log::open(Arc::clone(store), &table(), Ids::seeded(seed)).await.unwrap()
}

/// Proposes what must be committed.
pub(super) async fn commit(log: &Log, manifest: &mut Manifest, actions: Vec<Action>) -> u64 {
    match log.propose(manifest, at(0), actions).await.unwrap() {
        Proposed::Committed { n } => n,
        other => panic!("not committed: {other:?}"),
    }
}

pub(super) fn epoch(number: u32, floor: i64) -> Action {
    Action::EpochStarted(EpochStarted {
        epoch: number,
        stream_arn: format!("arn/{number}"),
        view_type: "NEW_AND_OLD_IMAGES".into(),
        keys: KeySchema(vec![]),
        created: at(floor + 1),
        floor: at(floor),
    })
}

pub(super) fn epoch_closed(epoch: u32) -> Action {
    Action::EpochClosed(EpochClosed { epoch })
}

/// A shard without a parent, of epoch 1.
pub(super) fn root(shard: &str, start: u64) -> ShardOpened {
    let (floor, cut) = (at(-1), at(-1));
    let (parent, unlisted, barred) = (None, false, false);
    ShardOpened { epoch: 1, shard: id(shard), parent, unlisted, barred, rank: 0, start: seq(start), floor, cut }
}

/// A child of a shard that is in the log.
pub(super) fn child(shard: &str, parent: &str, start: u64, floor: i64, cut: i64) -> ShardOpened {
    ShardOpened { parent: Some(id(parent)), rank: 1, floor: at(floor), cut: at(cut), ..root(shard, start) }
}

pub(super) fn opened(said: ShardOpened) -> Action {
    Action::ShardOpened(said)
}

pub(super) fn awaited(shard: &str, parent: &str, start: u64, floor: i64) -> Action {
    let floor = at(floor);
    Action::ShardAwaited(ShardAwaited { epoch: 1, shard: id(shard), parent: id(parent), start: seq(start), floor })
}

pub(super) fn closed(shard: &str, through: u64) -> Action {
    Action::ShardClosed(ShardClosed { epoch: 1, shard: id(shard), through: seq(through) })
}

pub(super) fn released(shard: &str) -> Action {
    Action::ShardReleased(ShardReleased { epoch: 1, shard: id(shard) })
}

pub(super) fn beat(shard: &str, through: u64, floor: i64) -> Action {
    let (through, floor) = (seq(through), at(floor));
    Action::Heartbeat(Heartbeat { epoch: 1, shard: id(shard), through, floor, settle: 120 })
}

pub(super) fn raw(path: &str, rows: u64, cut: i64) -> SegmentMeta {
    let dt = at(cut).day();
    SegmentMeta {
        path: format!("raw/dt={dt}/{path}.parquet"),
        version_id: None,
        bytes: 1000,
        sha256: sha256(path.as_bytes()),
        rows,
        row_digest: format!("{rows:032x}"),
        tier: Tier::Raw,
        dt,
        bucket: None,
        min_cut_at: Some(at(cut)),
        max_cut_at: Some(at(cut)),
        min_key_hash: None,
        max_key_hash: None,
        rows_root: None,
    }
}

pub(super) fn span(shard: &str, after: u64, through: u64, rows: u64, cut: i64) -> Span {
    let (after, through) = (seq(after), seq(through));
    let (floor, late, unknown, gap) = (None, vec![], vec![], None);
    Span { epoch: 1, shard: id(shard), after, through, rows, cut: at(cut), floor, late, unknown, gap }
}

/// A gap that keeps cut and floor, or with `lifts` raises both to its end.
pub(super) fn gap(shard: &str, after: u64, through: u64, reason: GapReason, from: i64, to: i64, lifts: bool) -> Span {
    let gap = Some(GapSpan { reason, from_cut: at(from), to_cut: at(to) });
    let (cut, floor) = if lifts { (to, to - 1) } else { (from - 1, from - 1) };
    Span { floor: Some(at(floor)), gap, ..span(shard, after, through, 0, cut) }
}

pub(super) fn added(segments: Vec<SegmentMeta>, spans: Vec<Span>) -> Action {
    Action::Segments(SegmentsAdded { segments, spans })
}

/// One segment with all rows of one span.
pub(super) fn rows(shard: &str, after: u64, through: u64, cut: i64) -> Action {
    let count = through - after;
    let path = format!("{shard}-{through}-{cut}");
    added(vec![raw(&path, count, cut)], vec![span(shard, after, through, count, cut)])
}

/// The first entry of most logs: an epoch and the shard `a`, floors one second before time 0.
pub(super) fn begin() -> Vec<Action> {
    vec![epoch(1, -1), opened(root("a", START))]
}

pub(super) fn seal_started(day: i64, inputs: &[&SegmentMeta]) -> Action {
    let inputs = inputs.iter().map(|meta| meta.path.clone()).collect();
    let settings = serde_json::json!({ "zstd": 3 });
    Action::SealStarted(SealStarted { day: at(day * DAY).day(), inputs, bits: 0, limit: 1 << 20, settings })
}

/// What a seal of that intent writes for one raw segment of the day.
pub(super) fn sealed(intent: u64, of: &SegmentMeta) -> SegmentMeta {
    let path = format!("sealed/dt={}/part=heads/bucket=000/{intent}-0.parquet", of.dt);
    SegmentMeta { path, tier: Tier::Heads, bucket: Some(0), rows_root: Some("00".repeat(32)), ..of.clone() }
}

pub(super) fn seal(intent: u64, segments: Vec<SegmentMeta>) -> Action {
    Action::Seal(Seal { intent, segments })
}

pub(super) fn abandoned(intent: u64) -> Action {
    Action::IntentAbandoned(IntentAbandoned { intent })
}

pub(super) fn collect(paths: &[&str]) -> Action {
    Action::Collect(Collect { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

pub(super) fn acknowledged(gap: &str) -> Action {
    Action::GapAcknowledged(GapAcknowledged { gap: gap.into(), reason: "seen".into() })
}

pub(super) fn void(from: u64, to: u64) -> Action {
    Action::Void(Void { from, to, reason: "forged".into() })
}

pub(super) fn base_started(kind: BaseKind, fence: i64) -> Action {
    let export = (kind == BaseKind::Export).then(|| ExportOrder {
        time: at(fence + 300),
        token: "token".to_owned(),
        bucket: "exports".to_owned(),
        prefix: "t/token".to_owned(),
    });
    let (fence, started) = (at(fence), at(fence));
    Action::BaseStarted(BaseStarted { kind, fence, started, slack: 0, bits: 0, limit: 1 << 20, export })
}

pub(super) fn based(intent: u64, kind: BaseKind, fence: i64, complete: i64) -> BaseCommitted {
    let meta = raw("base", 2, fence);
    let path = format!("base/at=2026-11-22T000000Z/bucket=000/{intent}-0.parquet");
    let root = Some("00".repeat(32));
    let (min_cut_at, max_cut_at) = (None, None);
    let output =
        SegmentMeta { path, tier: Tier::Base, bucket: Some(0), rows_root: root, min_cut_at, max_cut_at, ..meta };
    let (fence, complete_at) = (at(fence), at(complete));
    let (name, checked) = (None, None);
    BaseCommitted { intent: Some(intent), kind, fence, complete_at, name, checked, segments: vec![output] }
}

pub(super) fn base(base: BaseCommitted) -> Action {
    Action::Base(base)
}

/// The empty base that fits [`begin`].
pub(super) fn empty_base() -> BaseCommitted {
    let checked =
        EmptyCheck { table_created: at(0), stream_created: at(0), at: at(60), not_restored: true, no_replicas: true };
    let (intent, name, segments) = (None, None, vec![]);
    let (kind, fence, complete_at) = (BaseKind::Empty, at(-1), at(-1));
    BaseCommitted { intent, kind, fence, complete_at, name, checked: Some(checked), segments }
}

/// An action of a newer build.
pub(super) fn unknown(name: &str, need: Option<&str>) -> Action {
    let need = need.map(|need| format!(r#","need":"{need}""#)).unwrap_or_default();
    let json = format!(r#"{{ "action" : "{name}"{need}, "x": [1,  2.50] }}"#);
    let asked = serde_json::from_str::<serde_json::Value>(&json).unwrap()["need"].as_str().map(str::to_owned);
    let need = match asked.as_deref() {
        Some("write") => super::Need::Write,
        Some("none") => super::Need::None,
        _ => super::Need::Read,
    };
    Action::Unknown { name: name.into(), need, json }
}

/// Writes slots as it is told: what a forger, a zombie or a newer build may leave in a log.
pub(super) struct Scribe {
    store: Arc<dyn ObjectStore>,
    pub(super) next: u64,
    pub(super) tail: Option<String>,
    pub(super) fold: Option<FoldPointer>,
    pub(super) writer: Writer,
}

impl Scribe {
    /// Goes on where `manifest` ends.
    pub(super) fn after(store: &Arc<dyn ObjectStore>, manifest: &Manifest) -> Self {
        let (next, tail, fold) = (manifest.next, manifest.tail_sha256.clone(), manifest.fold.clone());
        let writer = Writer { id: "scribe".into(), build: "test".into() };
        Self { store: Arc::clone(store), next, tail, fold, writer }
    }

    pub(super) fn entry(&self, actions: Vec<Action>) -> Entry {
        Entry {
            n: self.next,
            commit_id: format!("scribe {}", self.next),
            prev_sha256: self.tail.clone(),
            prev_version_id: None,
            at: at(0),
            writer: self.writer.clone(),
            fold: self.fold.clone(),
            actions,
        }
    }

    /// Puts an entry into the next slot, whatever it says; gives its number.
    pub(super) async fn put(&mut self, actions: Vec<Action>) -> u64 {
        let bytes = self.entry(actions).encode().unwrap();
        self.put_bytes(bytes).await
    }

    pub(super) async fn put_bytes(&mut self, bytes: Bytes) -> u64 {
        let n = self.next;
        self.tail = Some(sha256(&bytes));
        self.store.put_new(&slot(n), bytes, Keep::Full).await.unwrap();
        self.next += 1;
        n
    }
}

/// The path of a slot.
pub(super) fn slot(n: u64) -> String {
    format!("{}/log/{n:020}.entry", table().folder())
}

/// Puts other bytes where an object stands, which no writer of ours does.
pub(super) async fn replace(store: &Arc<dyn ObjectStore>, path: &str, bytes: impl Into<Bytes>) {
    store.delete(path, None).await.unwrap();
    store.put_new(path, bytes.into(), Keep::Full).await.unwrap();
}

/// What the log says, all days loaded, without what one process remembers of its own folds.
pub(super) async fn whole(log: &Log, mut manifest: Manifest) -> Manifest {
    log.load_segments(&mut manifest, None, None).await.unwrap();
    said(manifest)
}

/// The same for a manifest of which everything is loaded.
pub(super) fn said(mut manifest: Manifest) -> Manifest {
    manifest.verified = None;
    for day in manifest.days.values_mut() {
        (day.stored, day.loaded) = (None, true);
    }
    manifest
}

/// The log from entry 0, without any fold or pack.
pub(super) async fn from_entries(store: &Arc<dyn ObjectStore>) -> Manifest {
    let log = Log::unread(Arc::clone(store), &table(), Ids::seeded(0));
    let mut manifest = Manifest::default();
    log.refresh(&mut manifest).await.unwrap();
    said(manifest)
}
