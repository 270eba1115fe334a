//! The folded log: everything that the entries up to `next` say, as one value.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{
    BaseCommitted, BaseStarted, Definition, EpochStarted, GapReason, Interval, SealStarted, SegmentMeta,
};
use super::entry::FoldPointer;
use crate::change::{Second, Sequence, ShardId};

/// A shard within the table: ids of two epochs never meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardKey {
    /// The epoch.
    pub epoch: u32,
    /// The shard.
    pub id: ShardId,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// What `epoch_started` said.
    pub started: EpochStarted,
    /// The entry that said it.
    pub started_in: u64,
    /// After `epoch_closed`: the first second of the border that follows.
    pub border_from: Option<Second>,
    /// The newest entry with a `shard_awaited` or an unlisted `shard_opened` of this epoch:
    /// openings, awaitings and releases are judged on a listing begun after it was read.
    pub judged_in: Option<u64>,
}

/// One shard of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// `ParentShardId` as delivered.
    pub parent: Option<ShardId>,
    /// Opened with a parent that is not in the log (or after it was awaited).
    pub unlisted: bool,
    /// Never read.
    pub barred: bool,
    /// Depth in the lineage.
    pub rank: u32,
    /// First sequence number.
    pub start: Sequence,
    /// Archived through here.
    pub through: Sequence,
    /// No further row has `cut_at ≤ floor`.
    pub floor: Second,
    /// `cut_at` of the last committed row: no further row is below it.
    pub cut: Second,
    /// No unread record is older than this, lifts aside; `None`: nothing is known.
    pub sure: Option<Second>,
    /// `floor` without heartbeats.
    pub proven: Second,
    /// After `shard_closed`: the `at` of that entry.
    pub closed_at: Option<Second>,
    /// No longer holds `closed_through`.
    pub released: bool,
    /// Gaps committed for this shard so far: rows read before the newest of them are dropped.
    pub gaps: u32,
}

/// A shard that waits for an unlisted parent's lineage to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The unlisted parent.
    pub parent: ShardId,
    /// First sequence number.
    pub start: Sequence,
    /// The floor it will open with.
    pub floor: Second,
}

/// A gap's id: the k-th gap of entry n, from 0; shown as `n.k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GapId {
    /// The entry.
    pub n: u64,
    /// Which gap of it.
    pub k: u32,
}

/// Something lost: it counts for every key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Its id.
    pub id: GapId,
    /// The shard.
    pub shard: ShardKey,
    /// Why; `None` for a record that could not be decoded.
    pub reason: Option<GapReason>,
    /// First second in which a change may be missing.
    pub from_cut: Second,
    /// Last such second.
    pub to_cut: Second,
    /// A person's reason why it does not matter.
    pub acknowledged: Option<String>,
}

/// A base that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The entry of its commit.
    pub n: u64,
    /// What was committed.
    pub base: BaseCommitted,
}

/// What an intent is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntentKind {
    /// A seal.
    Seal(SealStarted),
    /// A base.
    Base(BaseStarted),
}

/// An intent that is neither fulfilled nor abandoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// What for.
    pub kind: IntentKind,
    /// The writer that began it.
    pub writer: String,
}

/// The folded log of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The number of the next entry.
    pub next: u64,
    /// SHA-256 of the last entry's bytes, hex; none before entry 0.
    pub tail_sha256: Option<String>,
    /// The last entry's version, in a versioned bucket.
    pub tail_version_id: Option<String>,
    /// The last entry's `at`.
    pub at: Option<Second>,
    /// The newest fold that an entry named.
    pub fold: Option<FoldPointer>,
    /// Streams by number.
    pub epochs: BTreeMap<u32, Epoch>,
    /// Shards that were opened.
    pub shards: BTreeMap<ShardKey, Shard>,
    /// Shards that are awaited.
    pub awaited: BTreeMap<ShardKey, Awaited>,
    /// Gaps in order of id. Epoch borders are not among them: they follow from `epochs`.
    pub gaps: Vec<Gap>,
    /// Times for which an answer is labelled late, merged where they touch.
    pub late: Vec<Interval>,
    /// Live raw and sealed segments, by path.
    pub segments: BTreeMap<String, SegmentMeta>,
    /// Sealed days, with the paths of the raw segments each replaced.
    pub sealed: BTreeMap<String, Vec<String>>,
    /// Bases in order of commit.
    pub bases: Vec<Base>,
    /// Open intents by the entry that began them.
    pub intents: BTreeMap<u64, Intent>,
    /// Paths named by `collect`.
    pub collected: BTreeSet<String>,
    /// The newest definition.
    pub definition: Option<Definition>,
    /// Why coverage ended, if it did and no epoch began since.
    pub coverage_ended: Option<String>,
    /// Up to here nothing more can arrive.
    pub closed_through: Option<Second>,
    /// The same without heartbeats.
    pub proven_through: Option<Second>,
    /// Rows archived.
    pub rows: u64,
}
