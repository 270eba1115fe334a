//! Opening a segment that the log names: nothing is decoded before the bytes are proven.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{BaseRow, Footer, Row, SegmentError, SegmentMeta, decode, digest};

/// The rows of a raw or sealed segment, in stored order, if `bytes` are what `meta` says: length, SHA-256,
/// tier, day, number of rows, their digest, and their root if there is one.
///
/// # Errors
/// [`SegmentError::Damaged`] if anything differs; [`SegmentError::Newer`].
pub fn open_checked(bytes: Bytes, meta: &SegmentMeta) -> Result<Vec<Row>, SegmentError> {
    check_bytes(&bytes, meta)?;
    let (footer, rows) = decode::read_changes(bytes)?;
    check_rows(&footer, rows.len(), digest::changes(&rows), meta)?;
    check_root(meta, || digest::changes_root(&rows))?;
    Ok(rows)
}

/// The rows of a base segment, likewise.
///
/// # Errors
/// As [`open_checked`].
pub fn open_checked_base(bytes: Bytes, meta: &SegmentMeta) -> Result<Vec<BaseRow>, SegmentError> {
    check_bytes(&bytes, meta)?;
    let (footer, rows) = decode::read_base(bytes)?;
    check_rows(&footer, rows.len(), digest::base(&rows), meta)?;
    check_root(meta, || digest::base_root(&rows))?;
    Ok(rows)
}

/// Whether `bytes` are the object that `meta` names: before this, nothing in them is to be believed.
///
/// # Errors
/// [`SegmentError::Damaged`] for another length or SHA-256.
pub fn check_bytes(bytes: &Bytes, meta: &SegmentMeta) -> Result<(), SegmentError> {
    if bytes.len() as u64 != meta.bytes {
        return Err(differs(meta, "its length"));
    }
    let same = hex::encode(Sha256::digest(bytes)) == meta.sha256;
    if same { Ok(()) } else { Err(differs(meta, "its SHA-256")) }
}

fn check_rows(footer: &Footer, rows: usize, digest: u128, meta: &SegmentMeta) -> Result<(), SegmentError> {
    if footer.tier != meta.tier {
        return Err(differs(meta, "its tier"));
    }
    if footer.dt != meta.dt {
        return Err(differs(meta, "its day"));
    }
    if rows as u64 != meta.rows {
        return Err(differs(meta, "its number of rows"));
    }
    let same = format!("{digest:032x}") == meta.row_digest;
    if same { Ok(()) } else { Err(differs(meta, "the digest of its rows")) }
}

fn check_root(meta: &SegmentMeta, root: impl FnOnce() -> [u8; 32]) -> Result<(), SegmentError> {
    let same = meta.rows_root.as_ref().is_none_or(|committed| *committed == hex::encode(root()));
    if same { Ok(()) } else { Err(differs(meta, "the root of its rows")) }
}

fn differs(meta: &SegmentMeta, what: &str) -> SegmentError {
    SegmentError::Damaged(format!("{what} is not what was committed: {}", meta.path))
}
