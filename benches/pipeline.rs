//! The whole way of a change on one core: from the bytes of `GetRecords` to the bytes of a segment, with keys, digests,
//! order and differences; the same by the SDK's typed records; and what each step takes of it.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tailrace::change::{Change, Origin, Stamped, Text, digest};
use tailrace::segment::{decode as rows_of, digest as rows_digest, encode};
use tailrace::shard::decode;
use tailrace::shard::{RawPage, ShardIterator, StreamSource as _};
use tokio::runtime::Runtime;

use crate::decode::{canned, image_text};
use crate::encode::{deltas, images};
use crate::support::traffic::{Traffic, facts, keys, shard};
use crate::support::{Role, Table};

/// Pages of about 1 MB that become one segment.
const PAGES: usize = 16;
const RECORDS: usize = 425;

fn stamped(origin: &Arc<Origin>, change: Change) -> Stamped {
    Stamped { origin: Arc::clone(origin), cut_at: change.changed_at.second(), change }
}

fn changes(page: &RawPage) -> Vec<Change> {
    decode::page(page, &keys()).unwrap().changes
}

fn digests(changes: &[Change]) -> u128 {
    let one = |change: &Change| match (&change.new_image, &change.old_image) {
        (Some(new), Some(old)) => {
            let (new, old) = digest::images(new.as_str(), old.as_str()).unwrap();
            new.wrapping_add(old)
        }
        (new, old) => new.as_ref().or(old.as_ref()).map_or(0, |image| digest::image(image.as_str()).unwrap()),
    };
    changes.iter().map(one).fold(0, u128::wrapping_add)
}

pub(crate) fn run(_: &Runtime) {
    // One core: nothing is handed to another thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut traffic = Traffic::new(3_000);
    traffic.pages(3_000);
    let pages: Vec<RawPage> = (0..PAGES).map(|_| traffic.pages(RECORDS).remove(0)).collect();
    let origin = Arc::new(Origin { epoch: 1, shard_rank: 1, shard: shard() });
    let iterator = ShardIterator("iterator".to_owned());
    let calls: Vec<_> = pages.iter().map(|page| canned(&page.body)).collect();
    let all: Vec<Change> = pages.iter().flat_map(changes).collect();
    let rows: Vec<Stamped> = all.iter().cloned().map(|change| stamped(&origin, change)).collect();
    let segment = encode::changes(rows.clone(), &facts()).unwrap().remove(0);
    let decoded = rows_of::changes(segment.bytes.clone()).unwrap();
    let amount = (PAGES * RECORDS) as f64;
    let bytes: usize = pages.iter().map(|page| page.body.len()).sum();
    let title = format!(
        "pipeline: {PAGES} responses, {bytes} bytes, {amount} changes, to a segment of {} bytes, on one core",
        segment.bytes.len()
    );
    let raw = images(&rows);
    let mut table = Table::new(title, "changes");
    table.way(Role::Ours, "responses to a segment", amount, || {
        let read = calls.iter().flat_map(|(stream, _)| {
            let page = runtime.block_on(stream.read(&iterator)).unwrap();
            changes(&page).into_iter().map(|change| stamped(&origin, change))
        });
        encode::changes(read.collect(), &facts()).unwrap()
    });
    table.way(Role::Step, "1. the calls, bodies passed through", amount, || {
        calls.iter().map(|(stream, _)| runtime.block_on(stream.read(&iterator)).unwrap().body.len()).sum::<usize>()
    });
    table.way(Role::Step, "2. bodies to changes, with keys and digests", amount, || {
        pages.iter().map(|page| changes(page).len()).sum::<usize>()
    });
    table.way(Role::Step, "   of which digests of images", amount, || digests(&all));
    table.prepared(
        Role::Step,
        "3. changes to a segment",
        amount,
        || rows.clone(),
        |rows| encode::changes(rows, &facts()).unwrap(),
    );
    table.way(Role::Step, "   of which differences of old images", amount, || deltas(&rows));
    table.way(Role::Step, "   of which digest of the rows", amount, || rows_digest::changes(&decoded));
    table.way(Role::Step, "   of which SHA-256 of the segment", amount, || Sha256::digest(&segment.bytes));
    table.way(Role::Peer, "the same by the SDK's typed records", amount, || {
        let read = calls.iter().zip(all.chunks(RECORDS)).flat_map(|((_, client), ours)| {
            let typed = runtime.block_on(client.get_records().shard_iterator("iterator").send()).unwrap();
            let typed = typed.records.unwrap().into_iter().map(|record| {
                let record = record.dynamodb.unwrap();
                (record.new_image.as_ref().map(image_text), record.old_image.as_ref().map(image_text))
            });
            // Keys, stamps and numbers come from ours, for free; only the images take the long way.
            let text = |image: Option<String>| image.map(Text::from);
            let whole = typed.zip(ours).map(|((new, old), ours)| {
                let change = Change { new_image: text(new), old_image: text(old), ..ours.clone() };
                stamped(&origin, change.with_digests().unwrap())
            });
            whole.collect::<Vec<_>>()
        });
        encode::changes(read.collect(), &facts()).unwrap()
    });
    table.way(Role::Floor, "zstd -1 of the images as they were sent", amount, || {
        zstd::encode_all(raw.as_slice(), 1).unwrap()
    });
    table.print();
}
