//! The files of a base, cut from sorted rows.

use super::BaseError;
use crate::segment::cut::OutputCut;
use crate::segment::{BaseRow, SegmentError};
use crate::spill::SpillError;

/// One file to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) bucket: u16,
    /// Its place in its bucket.
    pub(super) k: u32,
    pub(super) rows: Vec<BaseRow>,
}

/// Cuts sorted rows into files, one at a time: a function of the rows, `bits` and `limit` alone.
pub(super) struct Outputs<R> {
    rows: R,
    bits: u8,
    limit: u64,
    /// The row with which the next file begins.
    first: Option<BaseRow>,
    /// Bucket and place of the last file.
    last: Option<(u16, u32)>,
}

impl<R: Iterator<Item = Result<BaseRow, SpillError>>> Outputs<R> {
    pub(super) const fn new(rows: R, bits: u8, limit: u64) -> Self {
        Self { rows, bits, limit, first: None, last: None }
    }

    /// The next file.
    pub(super) fn next(&mut self) -> Result<Option<Output>, BaseError> {
        let first = match self.first.take() {
            Some(row) => Some(row),
            None => self.rows.next().transpose()?,
        };
        let Some(mut before) = first else { return Ok(None) };
        let bucket = before.key_hash.bucket(self.bits);
        let k = self.last.filter(|(last, _)| *last == bucket).map_or(0, |(_, k)| k + 1);
        self.last = Some((bucket, k));
        let mut size = OutputCut::new(self.limit);
        size.begins_file(before.weight());
        let mut rows = Vec::new();
        while let Some(row) = self.rows.next().transpose()? {
            // Two files would each be sound, and the base would hold the key twice.
            if row.order() <= before.order() {
                return Err(SegmentError::Rows("a base holds one key twice").into());
            }
            if row.key_hash.bucket(self.bits) != bucket || size.begins_file(row.weight()) {
                self.first = Some(row);
                break;
            }
            rows.push(std::mem::replace(&mut before, row));
        }
        rows.push(before);
        Ok(Some(Output { bucket, k, rows }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{ItemKey, KeyType, KeyValue, Text};

    /// In order.
    fn rows(n: u32) -> Vec<BaseRow> {
        let row = |n: u32| {
            let pk = KeyValue { kind: KeyType::N, text: Text::from(n.to_string()) };
            BaseRow::new(ItemKey { pk, sk: None }, Text::from(format!("{{\"id\":{{\"N\":\"{n}\"}}}}"))).unwrap()
        };
        let mut rows: Vec<BaseRow> = (0..n).map(row).collect();
        rows.sort_by_key(|row| row.key_hash);
        rows
    }

    fn cut(rows: &[BaseRow], bits: u8, limit: u64) -> Result<Vec<Output>, BaseError> {
        let mut outputs = Outputs::new(rows.iter().cloned().map(Ok), bits, limit);
        let mut found = Vec::new();
        while let Some(output) = outputs.next()? {
            found.push(output);
        }
        Ok(found)
    }

    #[test]
    fn files_hold_every_row_once_in_order_within_the_limit() {
        let all = rows(500);
        let limit = 20 * all.iter().map(BaseRow::weight).max().unwrap();
        for bits in [0, 1, 3] {
            let outputs = cut(&all, bits, limit).unwrap();
            let names: Vec<_> = outputs.iter().map(|output| (output.bucket, output.k)).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(names, sorted);
            assert!(names.iter().any(|(_, k)| *k > 0) && names.iter().filter(|(_, k)| *k == 0).count() == 1 << bits);
            assert!(outputs.iter().all(|output| output.rows.iter().map(BaseRow::weight).sum::<u64>() <= limit));
            assert!(
                outputs.iter().all(|output| output.rows.iter().all(|row| row.key_hash.bucket(bits) == output.bucket))
            );
            assert_eq!(outputs.into_iter().flat_map(|output| output.rows).collect::<Vec<_>>(), all);
        }
        assert_eq!(cut(&[], 0, limit).unwrap(), []);
        assert_eq!(cut(&all[..3], 0, 1).unwrap().len(), 3, "a key that passes the limit alone has its own file");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_also_at_the_border_of_two_files() {
        let mut twice = rows(3);
        twice.insert(1, twice[1].clone());
        for limit in [1, u64::MAX] {
            assert!(matches!(cut(&twice, 0, limit), Err(BaseError::Segment(SegmentError::Rows(_)))));
        }
    }
}
