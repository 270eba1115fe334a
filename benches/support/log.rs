//! The log of a table that is captured once a minute: one segment and one span in each entry.

use std::sync::Arc;

use bytes::Bytes;
use tailrace::change::{Second, Sequence, TableIdentity};
use tailrace::manifest::action::EmptyCheck;
use tailrace::manifest::entry::sha256;
use tailrace::manifest::{
    Action, BaseCommitted, BaseKind, Entry, EpochStarted, Heartbeat, Log, Manifest, Proposed, SegmentsAdded,
    ShardOpened, Span, Writer,
};
use tailrace::platform::ids::Ids;
use tailrace::segment::{SegmentMeta, Tier, name};
use tailrace::store::{Keep, ObjectStore};

use super::traffic::{BEGIN, before_first, keys, shard};

/// Rows in each made-up segment.
const ROWS: u64 = 500;

pub(crate) fn table() -> TableIdentity {
    let own = str::to_owned;
    TableIdentity {
        account: own("111122223333"),
        region: own("eu-west-1"),
        name: own("orders"),
        table_id: own("0a1b2c"),
    }
}

/// The first entry: the stream began with the table.
pub(crate) fn first() -> Vec<Action> {
    let floor = BEGIN.plus(-1);
    let checked =
        EmptyCheck { table_created: BEGIN, stream_created: BEGIN, at: BEGIN, not_restored: true, no_replicas: true };
    let started = EpochStarted {
        epoch: 1,
        stream_arn: "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/1".to_owned(),
        view_type: "NEW_AND_OLD_IMAGES".to_owned(),
        keys: keys(),
        created: BEGIN,
        floor,
    };
    let base = BaseCommitted {
        intent: None,
        kind: BaseKind::Empty,
        fence: floor,
        complete_at: floor,
        name: None,
        checked: Some(checked),
        segments: Vec::new(),
    };
    let opened = ShardOpened {
        epoch: 1,
        shard: shard(),
        parent: None,
        unlisted: false,
        barred: false,
        rank: 1,
        start: Sequence::parse(&before_first().to_string()).map(next).unwrap(),
        floor,
        cut: floor,
    };
    vec![Action::EpochStarted(started), Action::Base(base), Action::ShardOpened(opened)]
}

fn next(sequence: Sequence) -> Sequence {
    numbered(sequence.to_string().parse::<u64>().unwrap() + 1)
}

fn numbered(number: u64) -> Sequence {
    Sequence::parse(&format!("{number:021}")).unwrap()
}

/// What entry `n` commits: the segment of its minute.
pub(crate) fn minute(n: u64) -> Vec<Action> {
    let cut = at(n);
    let (dt, ids) = (cut.day(), Ids::seeded(n));
    let segment = SegmentMeta {
        path: name::raw(&dt, &ids.ulid(u64::try_from(cut.0).unwrap() * 1000)),
        version_id: None,
        bytes: 180_000 + n,
        sha256: format!("{}{}", ids.commit_id(), ids.commit_id()),
        rows: ROWS,
        row_digest: ids.commit_id(),
        tier: Tier::Raw,
        dt,
        bucket: None,
        min_cut_at: Some(cut),
        max_cut_at: Some(cut),
        min_key_hash: Some(ids.commit_id()),
        max_key_hash: Some(ids.commit_id()),
        rows_root: None,
    };
    let before: u64 = before_first().to_string().parse().unwrap();
    let through = |minute: u64| numbered(before + minute * ROWS);
    added(vec![segment], through(n - 1), through(n), ROWS, cut)
}

/// A span of the one shard, with its segments.
pub(crate) fn added(
    segments: Vec<SegmentMeta>,
    after: Sequence,
    through: Sequence,
    rows: u64,
    cut: Second,
) -> Vec<Action> {
    let (late, unknown) = (Vec::new(), Vec::new());
    let span = Span { epoch: 1, shard: shard(), after, through, rows, cut, floor: None, late, unknown, gap: None };
    vec![Action::Segments(SegmentsAdded { segments, spans: vec![span] })]
}

/// The idle shard is likely complete up to `floor`.
pub(crate) fn idle(through: Sequence, floor: Second) -> Vec<Action> {
    vec![Action::Heartbeat(Heartbeat { epoch: 1, shard: shard(), through, floor, settle: 120 })]
}

/// The service's time of entry `n`.
pub(crate) fn at(n: u64) -> Second {
    BEGIN.plus(60 * i64::try_from(n).unwrap())
}

/// The bytes of the first `count` entries, chained, without folds.
pub(crate) fn entries(count: u64) -> Vec<Bytes> {
    let ids = Ids::seeded(1);
    let mut prev_sha256 = None;
    let entry = |n| {
        let writer = Writer { id: "0f".repeat(16), build: "tailrace/bench".to_owned() };
        let (commit_id, actions) = (ids.commit_id(), if n == 0 { first() } else { minute(n) });
        let prev = prev_sha256.take();
        let entry =
            Entry { n, commit_id, prev_sha256: prev, prev_version_id: None, at: at(n), writer, fold: None, actions };
        let bytes = entry.encode().unwrap();
        prev_sha256 = Some(sha256(&bytes));
        bytes
    };
    (0..count).map(entry).collect()
}

/// Puts entries into their slots.
pub(crate) async fn fill(store: &dyn ObjectStore, entries: &[Bytes]) {
    for (n, bytes) in entries.iter().enumerate() {
        let path = format!("{}/log/{n:020}.entry", table().folder());
        store.put_new(&path, bytes.clone(), Keep::Full).await.unwrap();
    }
}

/// Opens the log in `store`.
pub(crate) async fn open(store: &Arc<dyn ObjectStore>) -> (Log, Manifest) {
    Log::open(Arc::clone(store), &table(), Ids::seeded(2)).await.unwrap()
}

/// Commits the next entry.
pub(crate) async fn commit(log: &Log, manifest: &mut Manifest, at: Second, actions: Vec<Action>) {
    let proposed = log.propose(manifest, at, actions).await.unwrap();
    assert!(matches!(proposed, Proposed::Committed { .. }), "{proposed:?}");
}
