//! 2. The file format: bytes in, bytes out, no I/O.
//!
//! A segment is one immutable Parquet object: rows of changes (raw and sealed tiers) or of items (base).
//! [`encode`] writes one, [`open_checked`] and [`open_checked_base`] read one and prove that it is the one
//! that the log names.

pub mod cut;
pub mod decode;
pub mod digest;
pub mod encode;
mod footer;
mod meta;
pub mod name;
mod open;
pub mod parts;
mod row;
pub mod schema;
pub mod select;

pub use encode::Encoded;
pub use footer::{BUILD, Facts, Footer};
pub use meta::{SegmentMeta, Tier};
pub use open::{check_bytes, open_checked, open_checked_base};
pub use row::{BaseRow, OldImage, Row};

use crate::change::image::ImageError;

/// Why a segment cannot be written or read, by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// Written by a newer tailrace: use that.
    #[error("the segment has format {found}, and this tailrace reads format 1; use a newer one")]
    Newer {
        /// Its format.
        found: u64,
    },
    /// The bytes are not what was committed, or no segment of ours: an integrity alarm.
    #[error("the segment is damaged: {0}")]
    Damaged(String),
    /// Rows that no segment can hold: the caller's mistake.
    #[error("these rows cannot be stored: {0}")]
    Rows(&'static str),
    /// An image that cannot be read: the caller's mistake when writing, damage when reading.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The Parquet writer failed.
    #[error("the segment cannot be written: {0}")]
    Write(String),
}

#[cfg(test)]
pub(crate) mod tests;
