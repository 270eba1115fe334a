//! Opening a log of 10,000 entries: from its first entry, and from a fold.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};
use tailrace::manifest::Entry;
use tailrace::store::ObjectStore;
use tailrace::store::memory::MemoryStore;
use tokio::runtime::Runtime;

use crate::support::log::{at, commit, entries, fill, minute, open};
use crate::support::{Role, Table};

const ENTRIES: u64 = 10_000;

/// The line of JSON of an entry.
fn line(entry: &Bytes) -> &[u8] {
    entry.split(|byte| *byte == b'\n').next().unwrap()
}

pub(crate) fn run(runtime: &Runtime) {
    let all = entries(ENTRIES);
    let plain: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    runtime.block_on(fill(plain.as_ref(), &all));
    let folded: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    runtime.block_on(async {
        fill(folded.as_ref(), &all).await;
        let (log, mut manifest) = open(&folded).await;
        commit(&log, &mut manifest, at(ENTRIES), minute(ENTRIES)).await;
        assert!(manifest.fold.is_some_and(|fold| fold.n == ENTRIES - 1));
    });
    let bytes: usize = all.iter().map(Bytes::len).sum();
    let title = format!("fold: a log of {ENTRIES} entries, {bytes} bytes, in memory");
    let amount = ENTRIES as f64;
    let mut table = Table::new(title, "entries");
    table.way(Role::Ours, "open from entry 0", amount, || {
        let (_, manifest) = runtime.block_on(open(&plain));
        assert_eq!((manifest.next, manifest.segments.len() as u64), (ENTRIES, ENTRIES - 1));
        manifest
    });
    table.way(Role::Step, "entries decoded: hash, no name twice, members", amount, || {
        all.iter().enumerate().map(|(n, bytes)| Entry::decode(n as u64, bytes).unwrap().actions.len()).sum::<usize>()
    });
    table.way(Role::Step, "open from a fold of all but one, every segment loaded", amount, || {
        runtime.block_on(async {
            let (log, mut manifest) = open(&folded).await;
            log.load_segments(&mut manifest, None, None).await.unwrap();
            assert_eq!(manifest.segments.len() as u64, ENTRIES);
            manifest
        })
    });
    table.way(Role::Floor, "SHA-256 and serde_json, values kept", amount, || {
        let value = |entry| (Sha256::digest(entry), serde_json::from_slice::<serde_json::Value>(line(entry)).unwrap());
        all.iter().map(value).collect::<Vec<_>>()
    });
    table.way(Role::Floor, "SHA-256 and serde_json, nothing kept", amount, || {
        for entry in &all {
            std::hint::black_box((Sha256::digest(entry), serde_json::from_slice::<IgnoredAny>(line(entry)).unwrap()));
        }
    });
    table.print();
}
