//! Bugs that were seen in the field, in other tools or in drafts of this one, each planted where it would stand here.
//!
//! A test of the tests: the simulation must find every one of them. They exist only in builds with the feature
//! `bug-bank`, and of them only the one that was planted; in any other build [`planted`] is `false` as written.

/// A bug, named by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// A position that was trimmed is read on from the trim horizon, and nobody is told.
    TrimmedIsSkipped = 1,
    /// A child is read from its present end: what it held before is missed.
    ChildBeginsAtLatest,
    /// An empty page is taken for the end of its shard.
    EmptyPageEndsShard,
    /// A 200 response without `Records` is taken for the end of its shard.
    NoRecordsEndsShard,
    /// A shard that vanished is taken for one that was read to its end.
    NotFoundEndsShard,
    /// Restart after 30 h: a first read from the trim horizon raises no error, so nothing is missing.
    FirstReadMissesNothing,
    /// Restart after 60 h: a parent that nobody knows any more had nothing left to read.
    UnknownParentMissesNothing,
    /// Whether something was trimmed is judged by a floor that a heartbeat, or another shard, had lifted.
    TrimJudgedByFloor,
    /// Records that come again after an expired iterator are taken for new ones.
    RepeatsAreKept,
    /// A child is read while its parent still is.
    ChildBeforeParent,
    /// A shard found after its descendant was opened is read, after all.
    LateAncestorIsRead,
    /// A parent is released before all of its children can have been listed.
    ParentReleasedEarly,
    /// The depth of a shard is counted in the listing at hand.
    RankFromListing,
    /// A heartbeat claims the present second.
    HeartbeatClaimsNow,
    /// The archive's second is the service's stamp, wherever it steps back to.
    StampsStepBack,
    /// Rows stay buffered that were read before another writer committed a gap.
    RowsKeptAcrossGap,
    /// After a lost race the file of the wider span is committed with the narrower one.
    FileReusedForNarrowedSpan,
    /// After a lost race the file is collected as an orphan, then committed.
    OrphanIsCommitted,
    /// Rows that another writer committed meanwhile stay in the buffer.
    RaceKeepsRows,
    /// A commit whose outcome is unknown is taken for done.
    UnknownIsDone,
    /// A segment is committed though its upload may have failed.
    CommittedBeforeDurable,
    /// A snapshot does not wait for a straggler that was lifted past its scan.
    StragglerAfterBase,
    /// A gap during a snapshot does not spoil it.
    SnapshotAcrossGap,
    /// Changes made while a snapshot was scanned are taken for part of it.
    SnapshotWithoutOverlap,
    /// A replay passes over a gap.
    GapIsPassedOver,
    /// Two streams of a table are joined as if nothing had been between them.
    EpochsAreJoined,
    /// Of two changes in one second the one that is read first wins.
    SecondsDecideOrder,
}

#[cfg(feature = "bug-bank")]
mod bank {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants this bug, and no other, in the whole process.
    pub fn plant(bug: Bug) {
        PLANTED.store(bug as u8, Ordering::SeqCst);
    }

    /// Whether this bug is planted.
    #[must_use]
    pub fn planted(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }
}
#[cfg(feature = "bug-bank")]
pub use bank::{plant, planted};

/// Whether this bug is planted: never, in this build.
#[cfg(not(feature = "bug-bank"))]
#[must_use]
pub const fn planted(_bug: Bug) -> bool {
    false
}
