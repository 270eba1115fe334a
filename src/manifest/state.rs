//! The folded log: everything that the entries up to `next` say, as one value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::action::{BaseCommitted, BaseStarted, Definition, EpochStarted, GapReason, Interval, Need, SealStarted};
use super::entry::FoldPointer;
use crate::change::{Second, Sequence, ShardId};
use crate::segment::SegmentMeta;

/// A shard within the table: ids of two epochs never meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardKey {
    /// The epoch.
    pub epoch: u32,
    /// The shard.
    pub id: ShardId,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// The unlisted parent.
    pub parent: ShardId,
    /// First sequence number.
    pub start: Sequence,
    /// The floor it will open with.
    pub floor: Second,
}

/// A gap's id: the k-th gap of entry n, from 0; shown as `n.k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GapId {
    /// The entry.
    pub n: u64,
    /// Which gap of it.
    pub k: u32,
}

impl GapId {
    /// Reads `n.k`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (n, k) = text.split_once('.')?;
        Some(Self { n: n.parse().ok()?, k: k.parse().ok()? })
    }
}

impl fmt::Display for GapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.n, self.k)
    }
}

/// Something lost: it counts for every key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The entry of its commit.
    pub n: u64,
    /// What was committed.
    pub base: BaseCommitted,
}

/// What an intent is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntentKind {
    /// A seal.
    Seal(SealStarted),
    /// A base.
    Base(BaseStarted),
}

/// An intent that is neither fulfilled nor abandoned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// What for.
    pub kind: IntentKind,
    /// The writer that began it.
    pub writer: String,
}

/// An action that this build does not know, as it lies in its entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownAction {
    /// The entry.
    pub n: u64,
    /// Its name.
    pub name: String,
    /// Who must understand it.
    pub need: Need,
    /// Its JSON, byte for byte.
    pub json: String,
}

/// A range of entries that a void took out, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voided {
    /// The entry of the void.
    pub n: u64,
    /// Its range's first entry.
    pub from: u64,
    /// Its range's last entry.
    pub to: u64,
}

/// An entry that has no effect and that no void goes past: what lies behind it is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The entry.
    pub n: u64,
    /// Why it has no effect.
    pub why: String,
    /// It was written by a newer build.
    pub newer: bool,
}

/// Where the segments of one day are stored, and how they stand in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StoredDay {
    /// The part of the newest fold known, while nothing of the day changed since.
    pub(super) stored: Option<PartPointer>,
    /// Its paths are in the manifest's maps.
    pub(super) loaded: bool,
}

/// A fold's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartPointer {
    /// `2026-11-22`, or `other`.
    pub(super) day: String,
    /// SHA-256 of the stored object; it is the object's name too.
    pub(super) sha256: String,
}

/// The folded log of one table. Every entry keeps these, checked before each commit and on every reading:
///
/// 1. spans and gaps of a shard chain from `start` − 1 to `through` without hole or overlap
/// 2. rows per shard equal the span's rows
/// 3. `cut_at` of every row is above the shard's floor and never falls along a lineage
/// 4. a child opens after its parent closed
/// 5. a shard is opened once, and its rank never changes
/// 6. `through`, `cut`, `floor`, `closed_through` never fall (but by a void)
/// 7. every named object existed with this size and hash before its entry
/// 8. a path is added once, and never after a `collect` named it
/// 9. no row enters a sealed day; days seal in order
/// 10. a seal or base conserves counts and digests
/// 11. entries number without holes and chain by hash
/// 12. nothing live, under a hold, or needed by the oldest served point is collected
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
    /// Live raw and sealed segments, by path; of the days that are loaded (`Log::load_segments`). Shared, for
    /// every commit begins with a copy of the manifest.
    pub segments: BTreeMap<Arc<str>, Arc<SegmentMeta>>,
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
    /// Actions of newer builds, as they lie.
    pub unknown: Vec<UnknownAction>,
    /// The last sealed day.
    pub sealed_through: Option<String>,
    /// The last sealed day that has rows: raw segments of earlier days may be collected.
    pub sealed_rows_through: Option<String>,
    /// Voids that had effect, in order: a later one is judged by the log without their ranges.
    pub voids: Vec<Voided>,
    /// Paths that a void un-named: like every used path they are never added again.
    pub retired: BTreeSet<String>,
    /// Set while an entry without effect stands in the way.
    pub blocked: Option<Blocked>,
    /// What the fold stores, day by day.
    pub(crate) days: BTreeMap<String, StoredDay>,
    /// A fold that this process verified and no entry names yet.
    pub(crate) verified: Option<FoldPointer>,
}

impl Manifest {
    /// The open epoch, of which there is at most one.
    #[must_use]
    pub fn open_epoch(&self) -> Option<(u32, &Epoch)> {
        self.epochs.iter().find(|(_, epoch)| epoch.border_from.is_none()).map(|(number, epoch)| (*number, epoch))
    }
}
