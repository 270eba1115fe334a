//! How the files of one base or seal part its keys: by bucket, and no key stands in two files.

use crate::change::{KeyHash, Text};
use crate::segment::{BaseRow, Row, SegmentMeta, Tier};

/// The most bits that a bucket has.
const BITS: u8 = 9;

type Key = (Option<KeyHash>, Option<Text>, Option<Text>);

/// From which key to which a file reaches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    tier: Tier,
    first: Key,
    last: Key,
    path: String,
}

impl Extent {
    /// Of a sealed segment; none without rows.
    pub(super) fn of_changes(rows: &[Row], meta: &SegmentMeta) -> Option<Self> {
        let key = |row: &Row| (row.key_hash, row.pk.as_ref().map(own), row.sk.as_ref().map(own));
        Self::new(meta, rows.first().map(key), rows.last().map(key))
    }

    /// Of a base segment, likewise.
    pub(super) fn of_base(rows: &[BaseRow], meta: &SegmentMeta) -> Option<Self> {
        let key = |row: &BaseRow| (Some(row.key_hash), Some(own(&row.pk)), row.sk.as_ref().map(own));
        Self::new(meta, rows.first().map(key), rows.last().map(key))
    }

    fn new(meta: &SegmentMeta, first: Option<Key>, last: Option<Key>) -> Option<Self> {
        Some(Self { tier: meta.tier, first: first?, last: last?, path: meta.path.clone() })
    }
}

/// A copy: the text itself would keep its whole column in memory.
fn own(text: &Text) -> Text {
    Text::from(text.as_str())
}

/// Checks the files of one entry. The error says which file holds what another holds, too.
pub(super) fn apart(mut files: Vec<Extent>) -> Result<(), (String, String)> {
    files.sort();
    for pair in files.windows(2) {
        let [before, after] = pair else { continue };
        // Undecoded rows without a key are of no item.
        if before.tier == after.tier && after.first <= before.last && before.last.0.is_some() {
            return Err((after.path.clone(), format!("it holds a key that lies within {}, too", before.path)));
        }
    }
    Ok(())
}

/// Checks that keys with these hashes belong into the bucket of the file.
pub(super) fn bucket(meta: &SegmentMeta, bits: u8, hashes: impl Iterator<Item = KeyHash>) -> Result<(), String> {
    let bucket = meta.bucket.ok_or("it has no bucket")?;
    if bits > BITS || !meta.path.contains(&format!("/bucket={bucket:03}/")) {
        return Err(format!("its path is not that of bucket {bucket} of {bits} bits"));
    }
    for of_key in hashes.map(|hash| hash.bucket(bits)) {
        if of_key != bucket {
            return Err(format!("a key of bucket {of_key} stands in bucket {bucket}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(tier: Tier, first: u8, last: u8) -> Extent {
        let key = |at: u8| (Some(KeyHash([at; 16])), Some(Text::from("k")), None);
        Extent { tier, first: key(first), last: key(last), path: format!("{first}-{last}") }
    }

    #[test]
    fn a_key_in_two_files_of_one_part_is_found() {
        let heads = |first, last| extent(Tier::Heads, first, last);
        assert_eq!(apart(vec![heads(4, 6), heads(1, 3), extent(Tier::Rest, 1, 9)]), Ok(()));
        for wrong in [heads(3, 3), heads(6, 9), heads(2, 5), heads(0, 1)] {
            let (path, reason) = apart(vec![heads(4, 6), heads(1, 3), wrong]).unwrap_err();
            assert!(reason.contains("too"), "{path}: {reason}");
        }
    }

    #[test]
    fn a_bucket_is_the_top_bits_of_the_hash() {
        let meta = |bucket: u16, path: &str| SegmentMeta {
            path: path.to_owned(),
            version_id: None,
            bytes: 1,
            sha256: String::new(),
            rows: 1,
            row_digest: String::new(),
            tier: Tier::Base,
            dt: String::new(),
            bucket: Some(bucket),
            min_cut_at: None,
            max_cut_at: None,
            min_key_hash: None,
            max_key_hash: None,
            rows_root: None,
        };
        let path = "base/at=x/bucket=005/1-0.parquet";
        let hash = |first: u8| KeyHash([first; 16]);
        let check = |meta: &SegmentMeta, bits, first| bucket(meta, bits, std::iter::once(hash(first)));
        assert_eq!(check(&meta(5, path), 3, 0b1011_0000), Ok(()));
        assert_eq!(check(&meta(0, "base/at=x/bucket=000/1-0.parquet"), 0, 0xff), Ok(()));
        assert_eq!(check(&meta(511, "base/at=x/bucket=511/1-0.parquet"), 9, 0xff), Ok(()));
        assert!(check(&meta(5, path), 3, 0b1001_0000).is_err());
        assert!(check(&meta(4, path), 3, 0b1001_0000).is_err());
        assert!(check(&meta(5, path), 10, 0).is_err());
        assert!(check(&SegmentMeta { bucket: None, ..meta(5, path) }, 3, 0b1011_0000).is_err());
    }
}
