//! Why the capture of one table stopped. Nothing is lost by it: the next run begins where the log ends.

use crate::change::{Sequence, ShardId};
use crate::manifest::{LogError, Violation};
use crate::segment::SegmentError;
use crate::shard::tail::TailStop;
use crate::store::StoreError;

/// Why the capture of one table stopped.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The table has no stream, and none was archived.
    #[error("table {table} has no stream; turn it on with the view NEW_AND_OLD_IMAGES")]
    NoStream {
        /// The table.
        table: String,
    },
    /// The stream does not carry new images.
    #[error(
        "the stream of table {table} carries {view_type}, which cannot bring items back; \
         a stream's view is fixed, so turn it off and on again with NEW_AND_OLD_IMAGES"
    )]
    ViewType {
        /// The table.
        table: String,
        /// What it carries.
        view_type: String,
    },
    /// Listing the shards is not allowed, or the call is wrong.
    #[error("the service refuses to list the shards: {0}")]
    Listing(String),
    /// A shard cannot be read any further.
    #[error(transparent)]
    Shard(#[from] TailStop),
    /// Dropping the record would lose it; keeping it would sort an item's changes wrongly.
    #[error(
        "shard {shard} delivered record {sequence}, which is not above {above}, delivered before it in its lineage"
    )]
    Disorder {
        /// The shard.
        shard: ShardId,
        /// The record.
        sequence: Sequence,
        /// What it must lie above.
        above: Sequence,
    },
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Our own checks refuse what we would commit, again and again.
    #[error("the archive's own checks refuse the next entry: {0}")]
    Refused(Violation),
    /// Rows cannot be encoded.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The store refuses a segment: an operator must act.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of this process died.
    #[error("a task of this process died: {0}")]
    Task(String),
}
