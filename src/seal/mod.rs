//! 5. Raw to sealed: a day that nothing can be added to any more, sorted, with the last change of each key apart.
//!
//! A replay at a later day reads one change for each key of the day ([`Tier::Heads`](crate::segment::Tier)) instead of
//! all; and the versions of a key lie side by side, so that one is stored as its difference to the one before it.
//!
//! ```text
//! closed day → intent in the log → raw files, merged by key → heads and rest, cut into files
//!            → put if absent, read back, compared → seal in the log, which conserves counts and digests
//! ```
//!
//! Any number of sealers may run beside captures, replays and each other, and any of them may be killed at any point: the
//! outputs are named by the intent, whoever comes next goes on with it, and what it finds under a name counts if its rows
//! are the same.

mod outputs;
mod run;
mod split;

pub use run::{SealInput, SealOptions, Sealer};

use serde::Serialize;

use crate::manifest::{JournalError, ReadError, ShelfError};
use crate::platform::tasks::Interrupted;
use crate::segment::SegmentError;
use crate::spill::SpillError;

/// A day that was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealedDay {
    /// The UTC day.
    pub day: String,
    /// Changes.
    pub changes: u64,
    /// Items that changed.
    pub items: u64,
    /// Old images that were left out, for the version before them says the same.
    pub left_out: u64,
    /// Raw files that it replaces, and their bytes.
    pub raw: (usize, u64),
    /// Its files, and their bytes.
    pub sealed: (usize, u64),
}

/// Why a day was not sealed, by what the caller must do. Nothing of it is visible then, and another run goes on with it.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] JournalError),
    /// A raw file could not be read: run `verify`.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A temporary file could not be written or read back: a person must make room, or name another folder.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// Rows that no day can hold.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A file does not stand as it was to be written.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// The runtime ended a task.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

#[cfg(test)]
mod tests;
