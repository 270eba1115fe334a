//! What a capture tells while it runs, and when it ends.

use std::sync::Arc;

use crate::change::{Second, ShardId};
use crate::manifest::GapSpan;

/// Why a capture ended without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop; everything read is committed.
    Stopped,
    /// It was told to stop and could not commit what it had read in time; the next run reads that again.
    StoppedUndrained,
    /// `once`: `closed_through` reached the service's time at the start.
    CaughtUp,
    /// The stream is off or gone, or nobody means the table any more: what was readable is archived, and coverage ends.
    CoverageEnded {
        /// `stream_disabled`, `table_deleted` or `unselected`, as committed.
        reason: String,
    },
}

/// What one capture did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureSummary {
    /// Why it ended.
    pub ended: Ended,
    /// What was counted.
    pub counts: Counts,
    /// Up to here nothing more can arrive.
    pub closed_through: Option<Second>,
    /// The same without heartbeats.
    pub proven_through: Option<Second>,
}

/// What this process added to the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Entries.
    pub entries: u64,
    /// Changes.
    pub rows: u64,
    /// Bytes of segments.
    pub bytes: u64,
    /// Gaps.
    pub gaps: u64,
    /// Rows lifted past their stamp.
    pub lifted: u64,
    /// Records that could not be decoded.
    pub unknown: u64,
    /// Rows that the service stamped more than a minute ahead of its own time.
    pub ahead: u64,
    /// Races for an entry that another writer won.
    pub lost_races: u64,
}

/// Something that an operator may want to see at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A stream begins to be archived.
    EpochStarted {
        /// Its number.
        epoch: u32,
        /// Nothing is known at or before.
        floor: Second,
        /// The table was empty then.
        empty_base: bool,
    },
    /// An entry was committed.
    Committed {
        /// Its number.
        n: u64,
        /// Changes in it.
        rows: u64,
        /// Bytes of its segments.
        bytes: u64,
        /// Pages of the stream that were read since the entry before: each is a call that is billed.
        pages: u64,
        /// Up to here nothing more can arrive.
        closed_through: Option<Second>,
    },
    /// Alarm: changes may be lost.
    Gap {
        /// The shard.
        shard: ShardId,
        /// Why and when.
        gap: GapSpan,
    },
    /// Alarm: a record could not be decoded; it is kept whole.
    Unknown {
        /// The shard.
        shard: ShardId,
        /// Under this second.
        cut_at: Second,
    },
    /// Alarm: the service stamped records more than a minute ahead of its own time.
    Ahead {
        /// How many.
        rows: u64,
    },
    /// A call fails and is tried again.
    Waiting {
        /// Which, and why.
        why: String,
        /// Failures in a row.
        attempts: u32,
        /// Nothing but a person can mend it (credentials, permissions).
        operator: bool,
    },
    /// A person must look; the rest of the table goes on.
    Alarm {
        /// What and where.
        what: String,
    },
}

/// Told of every step; must return at once.
pub type Observer = Arc<dyn Fn(&Progress) + Send + Sync>;
