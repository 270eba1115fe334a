//! The log over a store in memory.

use std::sync::Arc;

use super::*;
use crate::change::{KeySchema, Sequence, ShardId};
use crate::manifest::{Action, EpochStarted, Heartbeat, ShardOpened, Violation};
use crate::store::memory::MemoryStore;

const FLOOR: Second = Second(1_795_305_600);

fn table() -> TableIdentity {
    TableIdentity { account: "1".into(), region: "r".into(), name: "t".into(), table_id: "id".into() }
}

fn seq(n: u64) -> Sequence {
    Sequence::parse(&n.to_string()).unwrap()
}

fn begin() -> Vec<Action> {
    let started = EpochStarted {
        epoch: 1,
        stream_arn: "arn".into(),
        view_type: "NEW_AND_OLD_IMAGES".into(),
        keys: KeySchema(vec![]),
        created: FLOOR,
        floor: FLOOR,
    };
    let opened = ShardOpened {
        epoch: 1,
        shard: ShardId::new("s"),
        parent: None,
        unlisted: false,
        barred: false,
        rank: 0,
        start: seq(100),
        floor: FLOOR,
        cut: FLOOR,
    };
    vec![Action::EpochStarted(started), Action::ShardOpened(opened)]
}

fn beat(floor: i64) -> Vec<Action> {
    let floor = FLOOR.plus(floor);
    vec![Action::Heartbeat(Heartbeat { epoch: 1, shard: ShardId::new("s"), through: seq(99), floor, settle: 120 })]
}

async fn open(store: &Arc<dyn ObjectStore>, seed: u64) -> (Log, Manifest) {
    Log::open(Arc::clone(store), &table(), Ids::seeded(seed)).await.unwrap()
}

async fn grow(log: &Log, manifest: &mut Manifest, entries: i64) {
    for n in 0..entries {
        let actions = if n == 0 { begin() } else { beat(n) };
        let proposed = log.propose(manifest, FLOOR.plus(n), actions).await.unwrap();
        assert_eq!(proposed, Proposed::Committed { n: n.cast_unsigned() });
    }
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(MemoryStore::new())
}

#[tokio::test]
async fn a_log_opens_as_its_writer_left_it_also_from_its_fold() {
    let store = memory();
    let (log, mut own) = open(&store, 1).await;
    grow(&log, &mut own, 40).await;
    assert!(own.fold.is_some());
    let (_, opened) = open(&store, 2).await;
    assert_eq!(opened.shards, own.shards);
    assert_eq!((opened.next, opened.closed_through), (40, Some(FLOOR.plus(39))));
    assert_eq!(opened.proven_through, Some(FLOOR));
    assert_eq!(opened.tail_sha256, own.tail_sha256);
}

#[tokio::test]
async fn the_loser_of_a_race_has_the_winners_entry() {
    let store = memory();
    let (first, mut one) = open(&store, 1).await;
    grow(&first, &mut one, 3).await;
    let (second, mut two) = open(&store, 2).await;
    grow_on(&first, &mut one, 3).await;
    let proposed = second.propose(&mut two, FLOOR, beat(3)).await.unwrap();
    assert_eq!(proposed, Proposed::Lost);
    assert_eq!((two.next, &two.shards), (4, &one.shards));
    let Proposed::Refused(Violation { invariant, n, .. }) = second.propose(&mut two, FLOOR, beat(3)).await.unwrap()
    else {
        panic!("a heartbeat that lifts nothing was committed")
    };
    assert_eq!((invariant, n), (6, 4));
}

async fn grow_on(log: &Log, manifest: &mut Manifest, floor: i64) {
    assert!(matches!(log.propose(manifest, FLOOR, beat(floor)).await.unwrap(), Proposed::Committed { .. }));
}
