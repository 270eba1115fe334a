//! Sorted changes, key by key; what the version before a change says is left out of it.

use super::SealError;
use crate::change::ChangeKind;
use crate::segment::{Row, SegmentError};
use crate::spill::SpillError;

/// The changes of one key on one day, in order; at least one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) rows: Vec<Row>,
    /// Old images that were left out.
    pub(super) left_out: u64,
}

/// Sorted changes as the versions of one key after another.
pub(super) struct Split<R> {
    rows: R,
    /// The first row of the next key.
    first: Option<Row>,
}

impl<R: Iterator<Item = Result<Row, SpillError>>> Split<R> {
    pub(super) const fn new(rows: R) -> Self {
        Self { rows, first: None }
    }

    /// The next key's.
    pub(super) fn next(&mut self) -> Result<Option<Versions>, SealError> {
        let first = match self.first.take() {
            Some(row) => Some(row),
            None => self.rows.next().transpose()?,
        };
        let Some(mut before) = first else { return Ok(None) };
        let (mut rows, mut left_out) = (Vec::new(), 0);
        while let Some(mut row) = self.rows.next().transpose()? {
            // Counts and digests of both sides would agree, and the day would hold the change twice for ever.
            if row.order() <= before.order() {
                return Err(SegmentError::Rows("a day holds one change twice").into());
            }
            if (row.key_hash, &row.pk, &row.sk) != (before.key_hash, &before.pk, &before.sk) {
                self.first = Some(row);
                break;
            }
            left_out += u64::from(leave_out(&before, &mut row));
            rows.push(std::mem::replace(&mut before, row));
        }
        rows.push(before);
        Ok(Some(Versions { rows, left_out }))
    }
}

/// Drops the old image of `row` if the new one of the version before it has the same digest.
fn leave_out(before: &Row, row: &mut Row) -> bool {
    let decoded = |row: &Row| row.kind != ChangeKind::Unknown;
    let same = decoded(before) && decoded(row) && row.old_digest.is_some() && row.old_digest == before.new_digest;
    if same {
        (row.old_image, row.old_delta) = (None, None);
    }
    same
}
