//! A small folded log for the unit tests of the write path.

use crate::change::{Change, ChangeKind, KeySchema, Micros, Second, Sequence, ShardId};
use crate::manifest::{Epoch, EpochStarted, Manifest, Shard, ShardKey};
use crate::shard::{ListedShard, Listing, StreamStatus};

pub(crate) fn seq(n: u64) -> Sequence {
    Sequence::parse(&n.to_string()).unwrap()
}

pub(crate) fn epoch_started(floor: Second) -> EpochStarted {
    EpochStarted {
        epoch: 1,
        stream_arn: "arn:stream".into(),
        view_type: "NEW_AND_OLD_IMAGES".into(),
        keys: KeySchema(vec![]),
        created: floor,
        floor,
    }
}

pub(crate) fn epoch(floor: Second) -> Epoch {
    Epoch { started: epoch_started(floor), started_in: 0, border_from: None, judged_in: None }
}

pub(crate) fn key(id: &str) -> ShardKey {
    ShardKey { epoch: 1, id: ShardId::new(id) }
}

/// An open shard of epoch 1 that begins at `start`, with `floor` 1,000.
pub(crate) fn shard(parent: Option<&str>, start: u64) -> Shard {
    Shard {
        parent: parent.map(ShardId::new),
        unlisted: false,
        barred: false,
        rank: 0,
        start: seq(start),
        through: seq(start).before(),
        floor: Second(1_000),
        cut: Second(1_000),
        sure: Some(Second(1_000)),
        proven: Second(1_000),
        closed_at: None,
        released: false,
        gaps: 0,
    }
}

pub(crate) fn manifest(shards: &[(&str, Shard)]) -> Manifest {
    let mut manifest = Manifest { next: 1, closed_through: Some(Second(1_000)), ..Manifest::default() };
    manifest.epochs.insert(1, epoch(Second(1_000)));
    for (id, shard) in shards {
        manifest.shards.insert(key(id), shard.clone());
    }
    manifest
}

pub(crate) fn listed(id: &str, parent: Option<&str>, start: u64, end: Option<u64>) -> ListedShard {
    ListedShard { id: ShardId::new(id), parent: parent.map(ShardId::new), start: seq(start), end: end.map(seq) }
}

pub(crate) fn listing(begun: i64, shards: Vec<ListedShard>) -> Listing {
    Listing { begun: Second(begun), status: StreamStatus::Enabled, shards }
}

/// A change without images.
pub(crate) fn change(sequence: u64, changed_at: Micros, kind: ChangeKind) -> Change {
    Change {
        sequence: seq(sequence),
        kind,
        changed_at,
        key: None,
        event_id: None,
        size_bytes: None,
        actor: None,
        new_image: None,
        old_image: None,
        new_digest: None,
        old_digest: None,
    }
}
