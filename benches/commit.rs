//! Proposals one after the other: into memory, beside many live segments, and into a folder with its flushes.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tailrace::manifest::{Log, Manifest};
use tailrace::store::local::LocalStore;
use tailrace::store::memory::MemoryStore;
use tailrace::store::{Keep, ObjectStore};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::log::{at, commit, entries, fill, first, minute, open};
use crate::support::{Role, Table};

/// A run of proposals holds two folds.
const PROPOSALS: u64 = 32;

/// Segments that are live in the log of a busy week.
const LIVE: u64 = 10_000;

/// An open log, with its first entry.
async fn begin(store: Arc<dyn ObjectStore>) -> (Log, Manifest) {
    let (log, mut manifest) = open(&store).await;
    commit(&log, &mut manifest, at(0), first()).await;
    (log, manifest)
}

async fn propose(log: &Log, manifest: &mut Manifest) {
    for _ in 0..PROPOSALS {
        let n = manifest.next;
        commit(log, manifest, at(n), minute(n)).await;
    }
}

/// Put if absent and flushed, and nothing else.
fn bare(folder: &Path, n: usize, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).create_new(true).open(folder.join(format!("{n:020}"))).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    File::open(folder).unwrap().sync_all().unwrap();
}

pub(crate) fn run(runtime: &Runtime) {
    let amount = PROPOSALS as f64;
    let same: Vec<Bytes> = entries(PROPOSALS + 1).split_off(1);
    memory(runtime, amount, &same);
    let mut table = Table::new(format!("commit: {PROPOSALS} proposals into a folder"), "commits");
    let folder = || {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::new(folder.path()));
        (folder, runtime.block_on(begin(store)))
    };
    table.prepared(Role::Ours, "proposals", amount, folder, |(folder, (log, mut manifest))| {
        runtime.block_on(propose(&log, &mut manifest));
        folder
    });
    let put = |(folder, store): (TempDir, LocalStore)| {
        runtime.block_on(fill(&store, &same));
        folder
    };
    let stored = || {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path());
        (folder, store)
    };
    table.prepared(Role::Step, "the store's puts of the same entries", amount, stored, put);
    table.prepared(
        Role::Floor,
        "create, write, flush, flush the folder",
        amount,
        || tempfile::tempdir().unwrap(),
        |folder| {
            same.iter().enumerate().for_each(|(n, bytes)| bare(folder.path(), n, bytes));
            folder
        },
    );
    table.print();
}

fn memory(runtime: &Runtime, amount: f64, same: &[Bytes]) {
    let full: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    runtime.block_on(fill(full.as_ref(), &entries(LIVE)));
    let full = RefCell::new(runtime.block_on(open(&full)));
    let mut table = Table::new(format!("commit: {PROPOSALS} proposals into memory"), "commits");
    let fresh = || runtime.block_on(begin(Arc::new(MemoryStore::new())));
    table.prepared(Role::Ours, "proposals", amount, fresh, |(log, mut manifest)| {
        runtime.block_on(propose(&log, &mut manifest));
        manifest
    });
    table.way(Role::Step, &format!("the same beside {LIVE} live segments"), amount, || {
        let (log, manifest) = &mut *full.borrow_mut();
        runtime.block_on(propose(log, manifest));
    });
    table.prepared(Role::Floor, "puts of the same entries", amount, MemoryStore::new, |store| {
        runtime.block_on(async {
            for (n, bytes) in same.iter().enumerate() {
                store.put_new(&format!("{n:020}"), bytes.clone(), Keep::Full).await.unwrap();
            }
        });
        store
    });
    table.print();
}
