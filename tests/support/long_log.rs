//! Long logs, made fast: the entries of a table that commits once a minute, straight through the codec. Folds and packs
//! are the product's own.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tailrace::change::{Second, Sequence, ShardId, TableIdentity};
use tailrace::manifest::{
    Action, Entry, FoldPointer, Heartbeat, Log, Manifest, Proposed, SegmentsAdded, ShardClosed, ShardOpened,
    ShardReleased, Span, Writer, entry,
};
use tailrace::platform::ids::Ids;
use tailrace::segment::{SegmentMeta, Tier};
use tailrace::store::archive::{self, Modes};
use tailrace::store::{Keep, ObjectStore};

use super::world::{CREATED, begun, empty_base, identity};

/// Changes in a minute that has some.
const ROWS: u64 = 40;
/// Minutes until the service rolls a shard over.
const ROLL: u64 = 240;
/// Entries that the product commits itself at the end, so that its newest fold lies where it would in any log.
const LAST: u64 = 40;

/// A log under way.
pub(crate) struct LongLog {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) table: TableIdentity,
    pub(crate) log: Log,
    pub(crate) manifest: Manifest,
    /// Where entries are written as files, past the store's flushes: a million of those take an hour.
    folder: Option<PathBuf>,
    ids: Ids,
    next: u64,
    tail: Option<String>,
    fold: Option<FoldPointer>,
    shards: u64,
    through: u64,
    cut: Second,
    floor: Second,
}

impl LongLog {
    /// An archive with one table, and its log of `length` entries. It is folded every `stage` entries.
    pub(crate) async fn build(store: Arc<dyn ObjectStore>, folder: Option<PathBuf>, length: u64, stage: u64) -> Self {
        let ids = Ids::seeded(7);
        archive::init(&store, Modes::default(), &ids, CREATED).await.unwrap();
        let table = identity("orders", "0a1b2c");
        let (log, manifest) = Log::open(Arc::clone(&store), &table, ids.clone()).await.unwrap();
        let floor = CREATED.plus(-1);
        let (next, tail, fold, shards, through) = (0, None, None, 0, 0);
        let mut long =
            Self { store, table, log, manifest, folder, ids, next, tail, fold, shards, through, cut: floor, floor };
        while long.next < length - LAST {
            long.write().await;
            if long.next.is_multiple_of(stage) {
                long.settle().await;
                long.commit().await;
            }
        }
        long.settle().await;
        while long.next < length {
            long.commit().await;
        }
        long.log.write_packs(long.next).await.unwrap();
        long
    }

    /// Puts the next entry as a writer would have, without asking anybody.
    async fn write(&mut self) {
        let entry = Entry {
            n: self.next,
            commit_id: self.ids.commit_id(),
            prev_sha256: self.tail.take(),
            prev_version_id: None,
            at: self.now(),
            writer: Writer { id: "5ca1ab1e".to_owned(), build: "tailrace/test".to_owned() },
            fold: self.fold.clone(),
            actions: self.actions(),
        };
        let bytes = entry.encode().unwrap();
        self.tail = Some(entry::sha256(&bytes));
        let path = self.log.path(&format!("log/{:020}.entry", self.next));
        self.put(&path, bytes).await;
        self.next += 1;
    }

    async fn put(&self, path: &str, bytes: Bytes) {
        let Some(folder) = &self.folder else {
            self.store.put_new(path, bytes, Keep::Full).await.unwrap();
            return;
        };
        let file = folder.join(path);
        if self.next == 0 {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        std::fs::write(file, bytes).unwrap();
    }

    /// The product reads what was written: every predicate is asked here.
    async fn settle(&mut self) {
        self.log.write_packs(self.next).await.unwrap();
        self.log.refresh(&mut self.manifest).await.unwrap();
        assert_eq!((self.manifest.next, &self.manifest.blocked), (self.next, &None));
    }

    /// The product commits the next entry, and a fold where one is due.
    async fn commit(&mut self) {
        let (at, actions) = (self.now(), self.actions());
        let proposed = self.log.propose(&mut self.manifest, at, actions).await.unwrap();
        assert_eq!(proposed, Proposed::Committed { n: self.next });
        self.next += 1;
        (self.tail, self.fold) = (self.manifest.tail_sha256.clone(), self.manifest.fold.clone());
    }

    fn now(&self) -> Second {
        CREATED.plus(60 + 60 * i64::try_from(self.next).unwrap())
    }

    /// Minutes with changes, idle minutes, and a roll-over every four hours.
    fn actions(&mut self) -> Vec<Action> {
        match self.next {
            0 => vec![begun(), empty_base(self.now()), self.opened(None)],
            n if n.is_multiple_of(ROLL) => {
                let (parent, through) = (shard(self.shards), sequence(self.through));
                let closed = ShardClosed { epoch: 1, shard: parent.clone(), through };
                vec![Action::ShardClosed(closed), self.opened(Some(parent))]
            }
            n if n > ROLL && n % ROLL == 1 => {
                let shard = shard(self.shards - 1);
                vec![Action::ShardReleased(ShardReleased { epoch: 1, shard }), self.changes()]
            }
            n if n % 3 == 2 => vec![self.heartbeat()],
            _ => vec![self.changes()],
        }
    }

    fn opened(&mut self, parent: Option<ShardId>) -> Action {
        self.shards += 1;
        let start = self.through + 1;
        self.through = start - 1;
        let floor = self.floor;
        Action::ShardOpened(ShardOpened {
            epoch: 1,
            shard: shard(self.shards),
            parent,
            unlisted: false,
            barred: false,
            rank: u32::try_from(self.shards).unwrap(),
            start: sequence(start),
            floor,
            cut: self.cut.max(floor),
        })
    }

    fn heartbeat(&mut self) -> Action {
        self.floor = self.now().plus(-30);
        let (shard, through, floor) = (shard(self.shards), sequence(self.through), self.floor);
        Action::Heartbeat(Heartbeat { epoch: 1, shard, through, floor, settle: 30 })
    }

    fn changes(&mut self) -> Action {
        let after = self.through;
        self.through += ROWS;
        self.cut = self.now().plus(-5);
        self.floor = self.cut.plus(-1);
        let dt = self.cut.day();
        let name = self.ids.ulid(self.cut.0.cast_unsigned() * 1000);
        let hash = |ids: &Ids| format!("{}{}", ids.commit_id(), ids.commit_id());
        let meta = SegmentMeta {
            path: format!("raw/dt={dt}/{name}.parquet"),
            version_id: None,
            bytes: 12_345,
            sha256: hash(&self.ids),
            rows: ROWS,
            row_digest: self.ids.commit_id(),
            tier: Tier::Raw,
            dt,
            bucket: None,
            min_cut_at: Some(self.cut),
            max_cut_at: Some(self.cut),
            min_key_hash: Some(self.ids.commit_id()),
            max_key_hash: Some(self.ids.commit_id()),
            rows_root: None,
        };
        let span = Span {
            epoch: 1,
            shard: shard(self.shards),
            after: sequence(after),
            through: sequence(self.through),
            rows: ROWS,
            cut: self.cut,
            floor: None,
            late: Vec::new(),
            unknown: Vec::new(),
            gap: None,
        };
        Action::Segments(SegmentsAdded { segments: vec![meta], spans: vec![span] })
    }
}

fn shard(number: u64) -> ShardId {
    ShardId::new(format!("shardId-{:020}-0a1b2c3d", 1_795_305_600_000 + number * ROLL * 60_000))
}

fn sequence(number: u64) -> Sequence {
    Sequence::parse(&format!("{:021}", 100_000_000_000_000_000 + number)).unwrap()
}
