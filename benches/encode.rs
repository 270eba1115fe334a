//! From changes to a segment: differences, digests, order, Parquet, hash.

use sha2::{Digest as _, Sha256};
use tailrace::change::{ChangeKind, ItemKey, Stamped, image};
use tailrace::segment::{decode, digest, encode};
use tokio::runtime::Runtime;

use crate::support::traffic::{Traffic, facts};
use crate::support::{Role, Table};

const CHANGES: usize = 8_000;

/// Both images of every change, as they were sent.
pub(crate) fn images(changes: &[Stamped]) -> Vec<u8> {
    let images = changes.iter().flat_map(|stamped| stamped.change.new_image.iter().chain(&stamped.change.old_image));
    images.flat_map(|image| image.as_str().bytes()).collect()
}

/// Bytes of the differences of all old images.
pub(crate) fn deltas(changes: &[Stamped]) -> usize {
    let modified = changes.iter().map(|stamped| &stamped.change).filter(|change| change.kind == ChangeKind::Modify);
    let delta = modified.filter_map(|change| {
        let (old, new) = (change.old_image.as_ref()?, change.new_image.as_ref()?);
        image::delta(old.as_str(), new.as_str()).ok()
    });
    delta.map(|delta| delta.len()).sum()
}

pub(crate) fn run(_: &Runtime) {
    let mut traffic = Traffic::new(3_000);
    traffic.pages(3_000);
    let changes = traffic.changes(CHANGES);
    let raw = images(&changes);
    let encoded = encode::changes(changes.clone(), &facts()).unwrap().remove(0);
    let rows = decode::changes(encoded.bytes.clone()).unwrap();
    let mut unsorted = rows.clone();
    unsorted.sort_by_key(|row| row.sequence);
    assert_eq!(rows.len(), CHANGES);
    let squeezed = zstd::encode_all(raw.as_slice(), 1).unwrap().len();
    let each = |bytes: usize| bytes / CHANGES;
    let title = format!(
        "encode: {CHANGES} changes, {} bytes of images each in, {} bytes each out; zstd -1 of the images alone: {}",
        each(raw.len()),
        each(encoded.bytes.len()),
        each(squeezed)
    );
    let amount = CHANGES as f64;
    let mut table = Table::new(title, "changes");
    let fresh = || changes.clone();
    table.prepared(Role::Ours, "changes to a segment", amount, fresh, |changes| {
        encode::changes(changes, &facts()).unwrap()
    });
    table.way(Role::Step, "differences of old images", amount, || deltas(&changes));
    table.way(Role::Step, "hashes of keys", amount, || {
        changes
            .iter()
            .filter_map(|stamped| stamped.change.key.as_ref())
            .map(ItemKey::hash)
            .filter(Option::is_some)
            .count()
    });
    let shuffled = || unsorted.clone();
    table.prepared(Role::Step, "order", amount, shuffled, |mut rows| {
        rows.sort_unstable_by(|a, b| {
            let order = |row: &tailrace::segment::Row| (row.key_hash, row.epoch, row.shard_rank, row.sequence);
            order(a).cmp(&order(b))
        });
        rows
    });
    table.way(Role::Step, "digest of the rows", amount, || digest::changes(&rows));
    table.way(Role::Step, "SHA-256 of the segment", amount, || Sha256::digest(&encoded.bytes));
    table.way(Role::Floor, "zstd -1 of the images as they were sent", amount, || {
        zstd::encode_all(raw.as_slice(), 1).unwrap()
    });
    table.print();
}
