//! 3. What is true: the commit log of one table, folded.
//!
//! The entry is the commit and the checkpoint at once: one conditional put of the next number makes
//! segments visible and moves the shards' positions. Everything else here is derived from the entries.

pub mod action;
mod apply;
pub mod audit;
mod codec;
mod days;
pub mod entry;
#[cfg(test)]
mod fixture;
mod fold;
pub mod invariants;
mod journal;
mod log;
mod pack;
mod passing;
mod segments;
mod shelf;
pub mod state;
mod strict;
pub mod unknown;

pub use action::{
    Action, BaseCommitted, BaseKind, BaseStarted, Definition, EXPORT_MARGIN, EpochClosed, EpochStarted, ExportOrder,
    GapReason, GapSpan, Heartbeat, IntentAbandoned, Interval, Need, Seal, SealStarted, SegmentsAdded, ShardAwaited,
    ShardClosed, ShardOpened, ShardReleased, Span,
};
pub use apply::Stored;
pub use entry::{Entry, EntryError, FoldPointer, Writer};
pub use invariants::Violation;
pub use journal::{Journal, JournalError};
pub use log::{Log, LogError, Proposed};
pub use segments::{Known, ReadError, Segments, WHOLE_BYTES, unpacked};
pub use shelf::{Label, Shelf, ShelfError};
pub use state::{
    Awaited, Base, Blocked, Epoch, Gap, GapId, Intent, IntentKind, Manifest, Shard, ShardKey, UnknownAction, Voided,
};
pub use unknown::{Cause, Unknown};
