//! 3. What is true: the commit log of one table, folded.
//!
//! The entry is the commit and the checkpoint at once: one conditional put of the next number makes
//! segments visible and moves the shards' positions. Everything else here is derived from the entries.

pub mod action;
pub mod entry;
pub mod state;

pub use action::{
    Action, BaseCommitted, BaseKind, BaseStarted, Definition, EpochClosed, EpochStarted, GapReason, GapSpan, Heartbeat,
    Interval, Need, SegmentMeta, SegmentsAdded, ShardAwaited, ShardClosed, ShardOpened, ShardReleased, Span, Tier,
};
pub use entry::{Entry, FoldPointer, Writer};
pub use state::{Awaited, Base, Epoch, Gap, GapId, Intent, IntentKind, Manifest, Shard, ShardKey};
