//! The image at a second, out of raw segments with twenty changes of each key.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tailrace::manifest::{Log, Manifest, Segments};
use tailrace::platform::ids::Ids;
use tailrace::replay::sink::{Item, SinkError};
use tailrace::replay::{self, Bounds, Options, Plan, Point, Sink, Steps};
use tailrace::segment::{SegmentMeta, Tier, encode, name, open_checked};
use tailrace::store::memory::MemoryStore;
use tailrace::store::{Keep, ObjectStore};
use tokio::runtime::Runtime;

use crate::support::log::{added, commit, first, idle, open, table};
use crate::support::traffic::{BEGIN, Traffic, before_first, facts};
use crate::support::{Role, Table};

const SEGMENTS: usize = 8;
const ROWS: usize = 4_000;
const KEYS: usize = SEGMENTS * ROWS / 20;

/// What phase 1 needs to know.
const NARROW: [&str; 6] = ["key_hash", "kind", "cut_at", "epoch", "shard_rank", "sequence"];

/// Counts what it gets.
#[derive(Default)]
struct Counter(usize);

#[async_trait]
impl Sink for Counter {
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        self.0 += items.iter().map(|item| item.image.len()).sum::<usize>();
        Ok(())
    }
    async fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

struct Archive {
    store: Arc<dyn ObjectStore>,
    log: Log,
    manifest: Manifest,
    stored: Vec<(Bytes, SegmentMeta)>,
}

impl Archive {
    async fn make() -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
        let (log, mut manifest) = open(&store).await;
        commit(&log, &mut manifest, BEGIN, first()).await;
        let (mut traffic, ids) = (Traffic::new(KEYS), Ids::seeded(3));
        let (mut stored, mut after) = (Vec::new(), before_first());
        for _ in 0..SEGMENTS {
            let changes = traffic.changes(ROWS);
            let last = changes.last().unwrap();
            let (through, cut) = (last.change.sequence, last.cut_at);
            let encoded = encode::changes(changes, &facts()).unwrap().remove(0);
            let path = name::raw(&encoded.dt, &ids.ulid(u64::try_from(cut.0).unwrap() * 1000));
            store.put_new(&log.path(&path), encoded.bytes.clone(), Keep::Short).await.unwrap();
            let meta = encoded.meta(path, None, Tier::Raw, None);
            stored.push((encoded.bytes, meta.clone()));
            commit(&log, &mut manifest, traffic.now(), added(vec![meta], after, through, ROWS as u64, cut)).await;
            after = through;
        }
        let now = traffic.now().plus(600);
        commit(&log, &mut manifest, now, idle(after, now.plus(-120))).await;
        Self { store, log, manifest, stored }
    }

    fn columns(&self, wanted: Option<&[&str]>) -> usize {
        let rows = |bytes: &Bytes| {
            let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
            if let Some(wanted) = wanted {
                let mask = ProjectionMask::columns(reader.parquet_schema(), wanted.iter().copied());
                reader = reader.with_projection(mask);
            }
            reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>()
        };
        self.stored.iter().map(|(bytes, _)| rows(bytes)).sum()
    }
}

pub(crate) fn run(runtime: &Runtime) {
    let archive = runtime.block_on(Archive::make());
    let segments = Segments::new(Arc::clone(&archive.store), table().folder());
    let point = Point::at(archive.manifest.closed_through.unwrap());
    let plan: Plan = replay::plan(&archive.manifest, point, &Options::default()).unwrap();
    let rows = SEGMENTS * ROWS;
    assert_eq!(archive.columns(None), rows);
    let bytes: usize = archive.stored.iter().map(|(bytes, _)| bytes.len()).sum();
    let title = format!("replay: {rows} changes of {KEYS} keys in {SEGMENTS} raw segments, {bytes} bytes, in memory");
    let amount = rows as f64;
    let mut table = Table::new(title, "changes");
    let fresh = || (archive.manifest.clone(), plan.clone(), Counter::default());
    table.prepared(
        Role::Ours,
        "winners and their images into a sink",
        amount,
        fresh,
        |(mut manifest, plan, mut sink)| {
            let run =
                replay::run(&archive.log, &mut manifest, &segments, plan, (Bounds::DEFAULT, Steps::SILENT), &mut sink);
            let total = runtime.block_on(run).unwrap();
            assert!(total.items > 0 && sink.0 > 0);
            manifest
        },
    );
    table.way(Role::Step, "every segment opened once: proven, decoded", amount, || {
        archive.stored.iter().map(|(bytes, meta)| open_checked(bytes.clone(), meta).unwrap().len()).sum::<usize>()
    });
    table.way(Role::Floor, "every column decoded by parquet", amount, || archive.columns(None));
    table.way(Role::Floor, "the columns that find the winners decoded by parquet", amount, || {
        archive.columns(Some(&NARROW))
    });
    table.print();
}
