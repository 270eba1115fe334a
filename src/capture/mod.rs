//! 4. The write path of one table.
//!
//! ```text
//! open the log → list shards → tails → buffers → stamp → encode → upload → commit
//! ```
//!
//! One task owns the folded log and makes every decision; the tails run beside it and hand over pages
//! through a bounded queue. The judgements themselves ([`openings`], [`trim`], [`stamp`], [`heartbeat`],
//! [`start`]) are pure.

pub mod buffer;
pub mod heartbeat;
pub mod openings;
mod options;
pub mod reader;
mod report;
pub mod stamp;
pub mod start;
pub mod trim;

#[cfg(test)]
pub(crate) mod fixture;

use std::sync::Arc;

pub use options::CaptureOptions;
pub use report::{CaptureSummary, Counts, Ended, Observer, Progress};

use crate::platform::ids::Ids;
use crate::shard::StreamSource;
use crate::shard::table::TableFacts;
use crate::store::ObjectStore;

/// Opens a stream by its ARN: an epoch that was left open is read to its end before the next begins.
pub type Streams = Arc<dyn Fn(&str) -> Arc<dyn StreamSource> + Send + Sync>;

/// What a capture of one table needs.
pub struct CaptureInput {
    /// The live table.
    pub facts: TableFacts,
    /// Its streams.
    pub streams: Streams,
    /// The archive.
    pub store: Arc<dyn ObjectStore>,
    /// Names and jitter.
    pub ids: Ids,
    /// How to go about it.
    pub options: CaptureOptions,
    /// Who is told.
    pub observer: Observer,
}
