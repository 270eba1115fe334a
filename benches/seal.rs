//! A closed day sorted into heads and rest, against what its images take by themselves.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tailrace::change::{Second, Stamped};
use tailrace::manifest::{Journal, Log};
use tailrace::platform::ids::Ids;
use tailrace::platform::patience::Patience;
use tailrace::seal::{SealInput, SealOptions, SealedDay, Sealer};
use tailrace::segment::{Tier, encode, name};
use tailrace::store::memory::MemoryStore;
use tailrace::store::{Keep, ObjectStore};
use tokio::runtime::Runtime;

use crate::encode::images;
use crate::support::log::{added, commit, first, idle, open, table};
use crate::support::traffic::{BEGIN, Traffic, before_first, facts};
use crate::support::{Role, Table};

const SEGMENTS: usize = 8;
const ROWS: usize = 4_000;

/// A day as it was captured, and nothing more to come.
struct Day {
    store: Arc<MemoryStore>,
    changes: Vec<Stamped>,
    /// Bytes of its raw files.
    raw: usize,
}

impl Day {
    async fn make(keys: usize) -> Self {
        let store = Arc::new(MemoryStore::new());
        let archive: Arc<dyn ObjectStore> = Arc::<MemoryStore>::clone(&store);
        let (log, mut manifest) = open(&archive).await;
        commit(&log, &mut manifest, BEGIN, first()).await;
        let (mut traffic, ids) = (Traffic::new(keys), Ids::seeded(3));
        let (mut all, mut after, mut raw) = (Vec::new(), before_first(), 0);
        for _ in 0..SEGMENTS {
            let changes = traffic.changes(ROWS);
            let last = changes.last().unwrap();
            let (through, cut) = (last.change.sequence, last.cut_at);
            let encoded = encode::changes(changes.clone(), &facts()).unwrap().remove(0);
            all.extend(changes);
            raw += encoded.bytes.len();
            let path = name::raw(&encoded.dt, &ids.ulid(u64::try_from(cut.0).unwrap() * 1000));
            store.put_new(&log.path(&path), encoded.bytes.clone(), Keep::Short).await.unwrap();
            let meta = encoded.meta(path, None, Tier::Raw, None);
            commit(&log, &mut manifest, traffic.now(), added(vec![meta], after, through, ROWS as u64, cut)).await;
            after = through;
        }
        let next_day = Second(traffic.now().day_start().0 + 86_400);
        commit(&log, &mut manifest, next_day.plus(120), idle(after, next_day)).await;
        Self { store, changes: all, raw }
    }

    /// The same archive, untouched.
    async fn copy(&self) -> Arc<dyn ObjectStore> {
        let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
        for object in self.store.list("", None, None).await.unwrap() {
            let bytes = self.store.get(&object.path, None).await.unwrap().bytes;
            store.put_new(&object.path, bytes, Keep::Full).await.unwrap();
        }
        store
    }
}

async fn seal(store: Arc<dyn ObjectStore>) -> SealedDay {
    let (log, mut manifest) = Log::open(Arc::clone(&store), &table(), Ids::seeded(5)).await.unwrap();
    let journal = Journal {
        log: &log,
        manifest: &mut manifest,
        patience: Patience::new(Arc::new(|_| {}), Ids::seeded(6), false),
    };
    let (folder, facts, options) = (table().folder(), facts(), SealOptions::default());
    let mut sealer = Sealer::new(SealInput { journal, store, folder, facts, options });
    let mut largest: Option<SealedDay> = None;
    while let Some(day) = sealer.next().await.unwrap() {
        largest = largest.filter(|largest| largest.changes >= day.changes).or(Some(day));
    }
    largest.unwrap()
}

fn gzip(bytes: &[u8]) -> usize {
    let mut packed = GzEncoder::new(Vec::new(), Compression::new(6));
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap().len()
}

pub(crate) fn run(runtime: &Runtime) {
    for each in [5, 20, 100] {
        let rows = SEGMENTS * ROWS;
        let day = runtime.block_on(Day::make(rows / each));
        let raw = images(&day.changes);
        let sealed = runtime.block_on(async { seal(day.copy().await).await });
        assert_eq!(sealed.changes, rows as u64);
        // Two digests of 16 bytes and an event id of 32 digits do not compress.
        let title = format!(
            "seal: {rows} changes, {each} of each key; bytes for each change: {} of images as sent, {} gzip -6 of them, {} \
             captured, {} sealed (of which 64 are digests and event id); {} % of the old images left out",
            raw.len() / rows,
            gzip(&raw) / rows,
            day.raw / rows,
            sealed.sealed.1 as usize / rows,
            sealed.left_out * 100 / rows as u64
        );
        let amount = rows as f64;
        let mut table = Table::new(title, "changes");
        let fresh = || runtime.block_on(day.copy());
        table.prepared(
            Role::Ours,
            "a day in memory sealed: read, merged, written, read back",
            amount,
            fresh,
            |store| runtime.block_on(seal(store)),
        );
        table.way(Role::Floor, "zstd -1 of the images as they were sent", amount, || {
            zstd::encode_all(raw.as_slice(), 1).unwrap()
        });
        table.print();
    }
}
