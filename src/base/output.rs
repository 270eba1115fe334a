//! The files of a base: cut from sorted rows, put if absent, read back and compared.

use std::time::Duration;

use super::BaseError;
use crate::change::Second;
use crate::platform::clock;
use crate::platform::ids::Ids;
use crate::platform::retry::Backoff;
use crate::platform::tasks;
use crate::segment::cut::OutputCut;
use crate::segment::{BaseRow, Facts, SegmentMeta, Tier, decode, encode, name};
use crate::store::{Keep, ObjectStore, StoreError};

/// A table up to this size has one bucket.
const BUCKET_BYTES: u64 = 256 << 20;
/// At most 512 buckets.
const MOST_BITS: u8 = 9;
/// How often a put or its read-back is tried.
const TRIES: u32 = 12;

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

/// Cuts rows into files: a function of the rows, `bits` and `limit` alone.
pub(super) fn cut(mut rows: Vec<BaseRow>, bits: u8, limit: u64) -> Vec<Output> {
    rows.sort_unstable_by(|a, b| (a.key_hash, &a.pk, &a.sk).cmp(&(b.key_hash, &b.pk, &b.sk)));
    let mut outputs: Vec<Output> = Vec::new();
    let mut size = OutputCut::new(limit);
    for row in rows {
        let bucket = row.key_hash.bucket(bits);
        let open = outputs.last_mut().filter(|last| last.bucket == bucket);
        let Some(last) = open else {
            size = OutputCut::new(limit);
            size.begins_file(row.weight());
            outputs.push(Output { bucket, k: 0, rows: vec![row] });
            continue;
        };
        if size.begins_file(row.weight()) {
            let k = last.k + 1;
            outputs.push(Output { bucket, k, rows: vec![row] });
        } else {
            last.rows.push(row);
        }
    }
    outputs
}

/// Where the files of one base go.
#[derive(Debug)]
pub(super) struct Shelf<'a> {
    pub(super) store: &'a dyn ObjectStore,
    /// The table's folder.
    pub(super) folder: String,
    pub(super) facts: &'a Facts,
    /// The entry of `base_started`.
    pub(super) intent: u64,
    pub(super) started: Second,
    pub(super) bits: u8,
    pub(super) ids: &'a Ids,
}

impl Shelf<'_> {
    /// Stores one file and gives what the entry says of the bytes that were *read back*.
    pub(super) async fn put(&self, output: Output) -> Result<SegmentMeta, BaseError> {
        let path = name::base(self.started, output.bucket, self.intent, output.k);
        let (facts, started, bits, rows) = (self.facts.clone(), self.started, self.bits, output.rows);
        let encoded =
            tasks::compute(move || encode::base(rows.clone(), &facts, started, bits).map(|done| (done, rows)));
        let (encoded, rows) = encoded.await.map_err(|error| BaseError::Interrupted(error.to_string()))??;
        let at = format!("{}/{path}", self.folder);
        let mut pause = Backoff::new(self.ids.clone(), Duration::from_millis(200), Duration::from_secs(20));
        let stored = loop {
            // Taken: an earlier put of ours may have landed; the comparison below decides.
            match self.store.put_new(&at, encoded.bytes.clone(), Keep::Full).await {
                Ok(_) | Err(StoreError::Taken { .. } | StoreError::Unknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            match self.store.get(&at, None).await {
                Ok(object) => break object,
                Err(StoreError::Absent { .. } | StoreError::Unavailable { .. }) if pause.attempts() < TRIES => {}
                Err(error) => return Err(error.into()),
            }
            clock::sleep(pause.step()).await;
        };
        let mut meta = encoded.meta(path, stored.version_id, Tier::Base, Some(output.bucket));
        meta.bytes = stored.bytes.len() as u64;
        meta.sha256 = sha256_hex(&stored.bytes);
        let read = tasks::compute(move || decode::base(stored.bytes));
        let read = read.await.map_err(|error| BaseError::Interrupted(error.to_string()))??;
        if read == rows { Ok(meta) } else { Err(BaseError::Differs { path: meta.path }) }
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

    fn rows(n: u32) -> Vec<BaseRow> {
        let row = |n: u32| {
            let pk = KeyValue { kind: KeyType::N, text: Text::from(n.to_string()) };
            BaseRow::new(ItemKey { pk, sk: None }, Text::from(format!("{{\"id\":{{\"N\":\"{n}\"}}}}"))).unwrap()
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn files_hold_every_row_once_in_order_within_the_limit() {
        let all = rows(500);
        let limit = 20 * all.iter().map(BaseRow::weight).max().unwrap();
        for bits in [0, 1, 3] {
            let outputs = cut(all.clone(), bits, limit);
            let names: Vec<_> = outputs.iter().map(|output| (output.bucket, output.k)).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(names, sorted);
            assert!(outputs.iter().all(|output| output.rows.iter().map(BaseRow::weight).sum::<u64>() <= limit));
            assert!(
                outputs.iter().all(|output| output.rows.iter().all(|row| row.key_hash.bucket(bits) == output.bucket))
            );
            let mut expected = all.clone();
            expected.sort_by_key(|row| row.key_hash);
            assert_eq!(outputs.into_iter().flat_map(|output| output.rows).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn buckets_follow_the_size_of_the_table() {
        let mib = |n: u64| bits_for(n << 20);
        assert_eq!([mib(0), mib(256), mib(257), mib(1024), mib(1 << 40)], [0, 0, 1, 2, 9]);
    }
}
