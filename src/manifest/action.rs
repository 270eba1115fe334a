//! What an entry can say. Members are spelled as in `schemas/entry.v1.schema.json`; an unknown member of a known action is refused.

mod base;

use serde::{Deserialize, Serialize};

pub use base::{BaseCommitted, BaseKind, BaseStarted, EXPORT_MARGIN, EmptyCheck, ExportOrder};

use crate::change::{KeySchema, Micros, Second, Sequence, ShardId};
use crate::segment::SegmentMeta;

/// Who must understand an action. An unknown action with `Read` stops everybody, with `Write` only
/// writers; with `None` it is carried along. Absent means `Read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Readers and writers.
    #[default]
    Read,
    /// Writers.
    Write,
    /// Nobody.
    None,
}

/// One action of an entry. They apply in list order; an entry is valid whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A stream begins to be archived.
    EpochStarted(EpochStarted),
    /// A stream has been read to its end.
    EpochClosed(EpochClosed),
    /// A shard whose parent is unlisted was found after the epoch began.
    ShardAwaited(ShardAwaited),
    /// A shard may be read from now on.
    ShardOpened(ShardOpened),
    /// A shard has been read to its end.
    ShardClosed(ShardClosed),
    /// A closed shard no longer holds `closed_through`.
    ShardReleased(ShardReleased),
    /// Segments and the spans they hold; gaps.
    Segments(SegmentsAdded),
    /// An idle shard's floor rises.
    Heartbeat(Heartbeat),
    /// The table's definition, as of the entry.
    Definition(Definition),
    /// A seal is about to be written.
    SealStarted(SealStarted),
    /// A day is sealed.
    Seal(Seal),
    /// A base is about to be written.
    BaseStarted(BaseStarted),
    /// A base is complete.
    Base(BaseCommitted),
    /// An intent is given up; its outputs are orphans.
    IntentAbandoned(IntentAbandoned),
    /// A person says that a gap lost nothing that matters.
    GapAcknowledged(GapAcknowledged),
    /// A range of entries has no effect.
    Void(Void),
    /// Objects that may be deleted from now on.
    Collect(Collect),
    /// The table is no longer archived.
    CoverageEnded(CoverageEnded),
    /// An action of a newer tailrace: its JSON, byte for byte.
    Unknown {
        /// Its name.
        name: String,
        /// Who must understand it.
        need: Need,
        /// As it lies in the entry.
        json: String,
    },
}

/// `epoch_started`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochStarted {
    /// 1, 2, …
    pub epoch: u32,
    /// The stream.
    pub stream_arn: String,
    /// `NEW_AND_OLD_IMAGES` or `NEW_IMAGE`.
    pub view_type: String,
    /// The table's key.
    pub keys: KeySchema,
    /// The stream's creation, floored.
    pub created: Second,
    /// No row of this epoch has `cut_at ≤ floor`.
    pub floor: Second,
}

/// `epoch_closed`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochClosed {
    /// The epoch.
    pub epoch: u32,
}

/// `shard_awaited`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardAwaited {
    /// The epoch.
    pub epoch: u32,
    /// The shard.
    pub shard: ShardId,
    /// Its parent, which is unlisted.
    pub parent: ShardId,
    /// Its first sequence number.
    pub start: Sequence,
    /// The floor it will open with.
    pub floor: Second,
}

/// `shard_opened`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardOpened {
    /// The epoch.
    pub epoch: u32,
    /// The shard.
    pub shard: ShardId,
    /// `ParentShardId` as delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ShardId>,
    /// Its parent is not in the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlisted: bool,
    /// It may be the ancestor of a shard opened before it: never read, closed in the same entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub barred: bool,
    /// Depth in the lineage.
    pub rank: u32,
    /// `StartingSequenceNumber`.
    pub start: Sequence,
    /// No row of this shard has `cut_at ≤ floor`.
    pub floor: Second,
    /// No row of this shard has `cut_at < cut`.
    pub cut: Second,
}

/// `shard_closed`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardClosed {
    /// The epoch.
    pub epoch: u32,
    /// The shard.
    pub shard: ShardId,
    /// Equal to the shard's `through`.
    pub through: Sequence,
}

/// `shard_released`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardReleased {
    /// The epoch.
    pub epoch: u32,
    /// The shard.
    pub shard: ShardId,
}

/// `segments`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentsAdded {
    /// The objects.
    pub segments: Vec<SegmentMeta>,
    /// What they hold, per shard, and what is lost.
    pub spans: Vec<Span>,
}

/// A half-open stretch of time: `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// First second inside.
    pub from: Second,
    /// First second outside.
    pub to: Second,
}

/// A row lifted by more than this many seconds makes the answers in between late.
const LATE: i64 = 300;
/// How far `ApproximateCreationDateTime` may run behind the change itself, in seconds.
const JITTER: i64 = 5;

impl Interval {
    /// The times for which an answer is late because of a row that was lifted far past its stamp; none for one lifted
    /// only to the first second of its epoch, before which nothing is known.
    #[must_use]
    pub fn of_lifted(changed_at: Micros, cut_at: Second, epoch_floor: Second) -> Option<Self> {
        let stamped = changed_at.second();
        let late = cut_at > epoch_floor.plus(1) && cut_at.0.saturating_sub(stamped.0) > LATE;
        late.then(|| Self { from: stamped.plus(-JITTER), to: cut_at })
    }

    /// Adds it to a list in order whose intervals do not touch, joined with those that it touches.
    pub fn join(mut self, list: &mut Vec<Self>) {
        list.retain(|old| {
            let apart = old.to < self.from || self.to < old.from;
            if !apart {
                self = Self { from: old.from.min(self.from), to: old.to.max(self.to) };
            }
            apart
        });
        let place = list.partition_point(|old| old.from < self.from);
        list.insert(place, self);
    }
}

/// `(after, through]` of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The epoch.
    pub epoch: u32,
    /// The shard.
    pub shard: ShardId,
    /// The shard's `through` before.
    pub after: Sequence,
    /// The shard's `through` from now on: the last row, or the end of the gap.
    pub through: Sequence,
    /// Rows of the entry's segments in this span; 0 for a gap.
    pub rows: u64,
    /// The shard's `cut` from now on.
    pub cut: Second,
    /// The shard's `floor` after a gap; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Second>,
    /// Times for which an answer given from this archive is labelled late.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<Interval>,
    /// `cut_at` of each row that could not be decoded: each a gap of one second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Second>,
    /// What was lost, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<GapSpan>,
}

/// Why a gap was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The first page came too late to know that nothing was trimmed before it.
    PossiblyTrimmed,
    /// The shard vanished before its end was seen.
    NotFound,
    /// The shard was found after a possible descendant had been opened.
    Barred,
}

/// The loss that a gap span states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapSpan {
    /// Why.
    pub reason: GapReason,
    /// First second in which a change may be missing.
    pub from_cut: Second,
    /// Last such second.
    pub to_cut: Second,
}

/// `heartbeat`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The epoch.
    pub epoch: u32,
    /// The shard.
    pub shard: ShardId,
    /// Equal to the shard's `through`.
    pub through: Sequence,
    /// The shard's floor from now on.
    pub floor: Second,
    /// Seconds for which a record may be on its way.
    pub settle: u32,
}

/// `definition`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// When it was read, by the service's clock.
    pub at: Second,
    /// The parts of the table's definition that replay can bring back (`schemas/definition.v1.schema.json`).
    pub table: serde_json::Value,
}

/// `seal_started`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealStarted {
    /// The UTC day, `2026-11-22`.
    pub day: String,
    /// All live raw segments of that day.
    pub inputs: Vec<String>,
    /// Buckets: 2^bits.
    pub bits: u8,
    /// Greatest size of an output, counted from its rows.
    pub limit: u64,
    /// How outputs are written.
    pub settings: serde_json::Value,
}

/// `seal`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The entry of its `seal_started`.
    pub intent: u64,
    /// The outputs.
    pub segments: Vec<SegmentMeta>,
}

/// `intent_abandoned`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntentAbandoned {
    /// The entry of its `seal_started` or `base_started`.
    pub intent: u64,
}

/// `gap_acknowledged`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapAcknowledged {
    /// The gap's id, `n.k`.
    pub gap: String,
    /// The person's reason.
    pub reason: String,
}

/// `void`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Void {
    /// First entry without effect.
    pub from: u64,
    /// Last entry without effect.
    pub to: u64,
    /// The person's reason.
    pub reason: String,
}

/// `collect`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// Paths that no later entry may name.
    pub paths: Vec<String>,
}

/// `coverage_ended`: the table is gone.
pub const TABLE_DELETED: &str = "table_deleted";
/// `coverage_ended`: its stream is off.
pub const STREAM_DISABLED: &str = "stream_disabled";
/// `coverage_ended`: nobody means it any more.
pub const UNSELECTED: &str = "unselected";

/// `coverage_ended`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoverageEnded {
    /// Why: `table_deleted`, `stream_disabled` or `unselected`.
    pub reason: String,
}
