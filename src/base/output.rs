//! The files of a base: cut from sorted rows, put if absent, read back and compared.

use super::BaseError;
use super::spill::SpillError;
use crate::change::Second;
use crate::platform::patience::Patience;
use crate::platform::tasks;
use crate::segment::cut::OutputCut;
use crate::segment::encode::{self, Encoded};
use crate::segment::{BaseRow, Facts, SegmentError, SegmentMeta, Tier, name, open_checked_base};
use crate::store::{Keep, Object, ObjectStore, StoreError};

/// A table up to this size has one bucket.
const BUCKET_BYTES: u64 = 256 << 20;
/// At most 512 buckets.
const MOST_BITS: u8 = 9;

/// Leading hash bits that choose a bucket, for a table of this size.
#[must_use]
pub fn bits_for(table_bytes: u64) -> u8 {
    let buckets = table_bytes.div_ceil(BUCKET_BYTES).max(1).next_power_of_two();
    u8::try_from(buckets.trailing_zeros()).unwrap_or(MOST_BITS).min(MOST_BITS)
}

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

/// Where the files of one base go.
pub(super) struct Shelf<'a> {
    pub(super) store: &'a dyn ObjectStore,
    /// The table's folder.
    pub(super) folder: String,
    pub(super) facts: &'a Facts,
    /// The entry of `base_started`.
    pub(super) intent: u64,
    pub(super) started: Second,
    pub(super) bits: u8,
    /// How failures of the store are borne.
    pub(super) patience: Patience,
}

impl Shelf<'_> {
    /// Stores one file and gives what the entry says of the bytes that were *read back*.
    pub(super) async fn put(&self, output: Output) -> Result<SegmentMeta, BaseError> {
        let Output { bucket, k, rows } = output;
        let path = name::base(self.started, bucket, self.intent, k);
        let (facts, started, bits) = (self.facts.clone(), self.started, self.bits);
        // The rows end here: what is read back is compared with their digest and root, not with a copy.
        let encoded = tasks::compute(move || encode::base(rows, &facts, started, bits));
        let encoded = encoded.await.map_err(|error| BaseError::Interrupted(error.to_string()))??;
        let stored = self.stored(&format!("{}/{path}", self.folder), &encoded).await?;
        let mut meta = encoded.meta(path, stored.version_id, Tier::Base, Some(bucket));
        drop(encoded);
        tasks::compute(move || {
            (meta.bytes, meta.sha256) = (stored.bytes.len() as u64, sha256_hex(&stored.bytes));
            match open_checked_base(stored.bytes, &meta) {
                Ok(_) => Ok(meta),
                Err(_) => Err(BaseError::Differs { path: meta.path }),
            }
        })
        .await
        .map_err(|error| BaseError::Interrupted(error.to_string()))?
    }

    /// Puts until something stands there, and reads it.
    async fn stored(&self, at: &str, encoded: &Encoded) -> Result<Object, BaseError> {
        let mut patience = self.patience.clone();
        loop {
            // Taken: an earlier put of ours may have landed; the comparison decides.
            let put = match self.store.put_new(at, encoded.bytes.clone(), Keep::Full).await {
                Ok(_) | Err(StoreError::Taken { .. } | StoreError::Unknown { .. }) => self.store.get(at, None).await,
                Err(error) => Err(error),
            };
            match put {
                Ok(object) => return Ok(object),
                Err(error) => patience.bear("writing the snapshot", error).await?,
            }
        }
    }
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
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

    #[test]
    fn buckets_follow_the_size_of_the_table() {
        let mib = |n: u64| bits_for(n << 20);
        assert_eq!([mib(0), mib(256), mib(257), mib(1024), mib(1 << 40)], [0, 0, 1, 2, 9]);
    }
}
