//! 6. Images of the whole table: by scan, by export, and the empty base.

mod archive;
mod due;
pub mod export;
mod gather;
mod input;
pub mod items;
mod journal;
mod output;
pub mod ready;
mod run;
mod sample;
pub mod scan;
mod source;
mod watch;

pub use archive::{ArchiveInput, from_archive};
pub use due::due;
pub use input::{BaseInput, BaseOptions};
pub use run::run;
pub use source::BaseSource;

use serde::Serialize;

use export::ExportError;

use crate::change::Second;
use crate::change::image::ImageError;
use crate::manifest::{BaseKind, JournalError, LogError, ReadError, ShelfError, Unknown};
use crate::platform::aws::ServiceError;
use crate::platform::tasks::Interrupted;
use crate::replay::ReplayError;
use crate::segment::SegmentError;
use crate::spill::SpillError;
use crate::store::StoreError;

/// A base that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseSummary {
    /// The entry of its commit.
    pub n: u64,
    /// Items.
    pub items: u64,
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// It supersedes every change stamped at or before this second.
    pub fence: Second,
    /// The first time that it serves forward.
    pub complete_at: Second,
    /// The service's times of its first and last page; for an export, its time.
    pub read: (Second, Second),
    /// How it was made.
    pub kind: BaseKind,
}

/// Why a base was not taken, by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// Capture has not begun, or the stream is off.
    #[error("no stream of this table is archived now")]
    NoStream,
    /// A gap opened while it was taken: take another.
    #[error("the snapshot was dropped, for something was lost while it was taken: {0}")]
    Spoilt(Unknown),
    /// Another run took its place: see whether that one stands.
    #[error("another run abandoned this snapshot")]
    Abandoned,
    /// The caller stopped it.
    #[error("stopped before the snapshot was complete")]
    Stopped,
    /// An export gave no base.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// An item that cannot be read.
    #[error("an item of the table cannot be read: {0}")]
    Item(#[source] ImageError),
    /// The service does not let the table be read.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The log could not be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log's own rules refuse the base: a bug.
    #[error("the log refuses the snapshot: {0}")]
    Refused(String),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A temporary file could not be written or read back: a person must make room, or name another folder.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// A row that no file can hold.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A file does not stand as it was to be written.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// What was archived meanwhile could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The archive has no exact answer for the time of an image of its own, or it could not be read.
    #[error(transparent)]
    Replay(ReplayError),
    /// An image of the archive's own is not what its rows say: a bug, or damage that nothing else has found.
    #[error("the snapshot was dropped, for it is not what the archive's rows say: {0}")]
    Differs(String),
    /// The runtime ended a task.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<JournalError> for BaseError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Log(error) => Self::Log(error),
            JournalError::Refused(violation) => Self::Refused(violation.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
