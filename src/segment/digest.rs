//! Digests of rows: the order-free sum that a seal conserves, and the root that proves single rows.
//!
//! A field is u32 BE length ‖ bytes, and null is FFFFFFFF; integers and timestamps are 8 bytes, big-endian.

use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::Xxh3Default;

use super::row::{BaseRow, Row};

/// Where fields go.
trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn field(&mut self, bytes: Option<&[u8]>) {
        // A text of 4 GiB cannot be in a segment, so the length of none is never taken by one.
        let length = bytes.map_or(u32::MAX, |bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1));
        self.put(&length.to_be_bytes());
        self.put(bytes.unwrap_or_default());
    }

    fn text(&mut self, text: Option<&crate::change::Text>) {
        self.field(text.map(|text| text.as_str().as_bytes()));
    }

    fn integer(&mut self, integer: Option<i64>) {
        self.field(integer.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }

    fn fixed(&mut self, fixed: Option<u128>) {
        self.field(fixed.map(u128::to_be_bytes).as_ref().map(<[u8; 16]>::as_slice));
    }
}

impl Sink for Xxh3Default {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Sink for Sha256 {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// Wrapping sum over `rows` of XXH3-128 (seed 0) of the fields `epoch`, `shard_id`, `sequence`, `kind`,
/// `changed_at`, `cut_at`, `key_hash`, `new_image`, `old_digest`, in this order.
#[must_use]
pub fn changes(rows: &[Row]) -> u128 {
    let mut hash = Xxh3Default::new();
    rows.iter().fold(0, |sum: u128, row| {
        hash.reset();
        hash.integer(Some(row.epoch.into()));
        hash.field(Some(row.shard_id.as_str().as_bytes()));
        hash.field(Some(row.sequence.padded().as_bytes()));
        hash.field(Some(row.kind.word().as_bytes()));
        hash.integer(Some(row.changed_at.0));
        hash.integer(Some(row.cut_at.micros().0));
        hash.field(row.key_hash.as_ref().map(|hash| hash.0.as_slice()));
        hash.text(row.new_image.as_ref());
        hash.fixed(row.old_digest);
        sum.wrapping_add(hash.digest128())
    })
}

/// The same for a base: over all its columns.
#[must_use]
pub fn base(rows: &[BaseRow]) -> u128 {
    let mut hash = Xxh3Default::new();
    rows.iter().fold(0, |sum: u128, row| {
        hash.reset();
        put_base(&mut hash, row);
        sum.wrapping_add(hash.digest128())
    })
}

/// RFC 6962 root over SHA-256 of each row: all columns in table order, rows in stored order.
#[must_use]
pub fn changes_root(rows: &[Row]) -> [u8; 32] {
    root(rows.iter().map(|row| {
        let mut hash = Sha256::new();
        put_change(&mut hash, row);
        hash.finalize().into()
    }))
}

/// The same for a base.
#[must_use]
pub fn base_root(rows: &[BaseRow]) -> [u8; 32] {
    root(rows.iter().map(|row| {
        let mut hash = Sha256::new();
        put_base(&mut hash, row);
        hash.finalize().into()
    }))
}

fn put_change(sink: &mut impl Sink, row: &Row) {
    sink.field(row.key_hash.as_ref().map(|hash| hash.0.as_slice()));
    sink.text(row.pk.as_ref());
    sink.text(row.sk.as_ref());
    sink.field(Some(row.kind.word().as_bytes()));
    sink.integer(Some(row.changed_at.0));
    sink.integer(Some(row.cut_at.micros().0));
    sink.integer(Some(row.epoch.into()));
    sink.integer(Some(row.shard_rank.into()));
    sink.field(Some(row.sequence.padded().as_bytes()));
    sink.field(Some(row.shard_id.as_str().as_bytes()));
    sink.text(row.event_id.as_ref());
    sink.integer(row.size_bytes);
    sink.text(row.actor.as_ref());
    sink.text(row.new_image.as_ref());
    sink.text(row.old_image.as_ref());
    sink.text(row.old_delta.as_ref());
    sink.fixed(row.new_digest);
    sink.fixed(row.old_digest);
}

fn put_base(sink: &mut impl Sink, row: &BaseRow) {
    sink.field(Some(&row.key_hash.0));
    sink.text(Some(&row.pk));
    sink.text(row.sk.as_ref());
    sink.text(Some(&row.image));
    sink.fixed(Some(row.image_digest));
}

/// The RFC 6962 tree hash of `entries`: a leaf is SHA-256(00 ‖ entry), a node SHA-256(01 ‖ left ‖ right), and
/// a tree splits at the greatest power of two below its size. The hash of no entries is SHA-256 of nothing.
pub fn root(entries: impl Iterator<Item = [u8; 32]>) -> [u8; 32] {
    // Complete subtrees by falling size, as in a binary counter.
    let mut stack: Vec<(u64, [u8; 32])> = Vec::new();
    for entry in entries {
        let mut size = 1;
        let mut hash = tree_hash(&[&[0], &entry]);
        while let Some((_, left)) = stack.pop_if(|(left_size, _)| *left_size == size) {
            hash = tree_hash(&[&[1], &left, &hash]);
            size *= 2;
        }
        stack.push((size, hash));
    }
    let joined = stack.into_iter().rev().map(|(_, hash)| hash).reduce(|right, left| tree_hash(&[&[1], &left, &right]));
    joined.unwrap_or_else(|| tree_hash(&[]))
}

fn tree_hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
