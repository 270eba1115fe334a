//! A small archive made without any service: the log, segments and bases that a capture would have written.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tailrace::change::{
    Change, ChangeKind, ItemKey, KeyAttribute, KeySchema, KeyType, Micros, Origin, Second, Sequence, ShardId, Stamped,
    TableIdentity, Text,
};
use tailrace::manifest::action::EmptyCheck;
use tailrace::manifest::{
    Action, BaseCommitted, BaseKind, BaseStarted, EpochStarted, Heartbeat, Log, Manifest, Proposed, SegmentsAdded,
    ShardOpened, Span,
};
use tailrace::platform::ids::Ids;
use tailrace::segment::{BaseRow, Facts, Tier, encode, name};
use tailrace::store::archive::{self, Modes};
use tailrace::store::memory::MemoryStore;
use tailrace::store::{Keep, ObjectStore};
use tokio::sync::OnceCell;

/// When the stream of every world was made: 2026-11-22T00:00:00Z.
pub(crate) const CREATED: Second = Second(1_795_305_600);

/// One table of an archive, with the items that it holds at `now`.
pub(crate) struct World {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) table: TableIdentity,
    pub(crate) log: Log,
    pub(crate) manifest: Manifest,
    pub(crate) now: Second,
    /// Images by key text.
    pub(crate) items: BTreeMap<String, String>,
    ids: Ids,
    sequence: u64,
}

pub(crate) fn keys() -> KeySchema {
    KeySchema(vec![KeyAttribute { name: "id".to_owned(), kind: KeyType::S }])
}

pub(crate) fn identity(name: &str, table_id: &str) -> TableIdentity {
    let own = str::to_owned;
    TableIdentity { account: own("111122223333"), region: own("eu-west-1"), name: own(name), table_id: own(table_id) }
}

impl World {
    /// An archive with one table whose stream has just begun, empty.
    pub(crate) async fn begin(store: Arc<dyn ObjectStore>, seed: u64) -> Self {
        let ids = Ids::seeded(seed);
        archive::init(&store, Modes::default(), &ids, CREATED).await.unwrap();
        Self::beside(store, identity("orders", "0a1b2c"), seed).await
    }

    /// An archive whose log is longer than a pack. The entries are made once for all tests.
    pub(crate) async fn long(seed: u64) -> Self {
        static MADE: OnceCell<Arc<dyn ObjectStore>> = OnceCell::const_new();
        let made = MADE.get_or_init(|| async {
            let mut world = Self::begin(Arc::new(MemoryStore::new()), seed).await;
            while world.manifest.next < 10_001 {
                world.idle().await;
            }
            world.store
        });
        Self::copy(made.await, seed).await
    }

    /// A copy of everything that lies in an archive of one table, to go on with or to damage.
    pub(crate) async fn copy(from: &Arc<dyn ObjectStore>, seed: u64) -> Self {
        Self::copy_into(from, Arc::new(MemoryStore::new()), seed).await
    }

    pub(crate) async fn copy_into(from: &Arc<dyn ObjectStore>, store: Arc<dyn ObjectStore>, seed: u64) -> Self {
        for object in from.list("", None, None).await.unwrap() {
            let bytes = from.get(&object.path, None).await.unwrap().bytes;
            store.put_new(&object.path, bytes, Keep::Full).await.unwrap();
        }
        let (ids, table) = (Ids::seeded(seed.wrapping_mul(17) + 3), identity("orders", "0a1b2c"));
        let (log, manifest) = Log::open(Arc::clone(&store), &table, ids.clone()).await.unwrap();
        let now = manifest.at.unwrap();
        let through = manifest.shards.values().next().unwrap().through;
        let sequence = through.as_delivered().parse().unwrap();
        Self { store, table, log, manifest, now, items: BTreeMap::new(), ids, sequence }
    }

    /// Another table of an archive that exists.
    pub(crate) async fn beside(store: Arc<dyn ObjectStore>, table: TableIdentity, seed: u64) -> Self {
        let ids = Ids::seeded(seed.wrapping_mul(31) + 7);
        let (log, manifest) = Log::open(Arc::clone(&store), &table, ids.clone()).await.unwrap();
        let mut world =
            Self { store, table, log, manifest, now: CREATED.plus(60), items: BTreeMap::new(), ids, sequence: 100 };
        world.commit(world.first()).await;
        world
    }

    fn first(&self) -> Vec<Action> {
        let floor = CREATED.plus(-1);
        vec![
            begun(),
            empty_base(self.now),
            Action::ShardOpened(ShardOpened {
                epoch: 1,
                shard: shard(),
                parent: None,
                unlisted: false,
                barred: false,
                rank: 1,
                start: sequence(100),
                floor,
                cut: floor,
            }),
        ]
    }

    pub(crate) async fn commit(&mut self, actions: Vec<Action>) -> u64 {
        loop {
            match self.log.propose(&mut self.manifest, self.now, actions.clone()).await.unwrap() {
                Proposed::Committed { n } => return n,
                // Nobody else writes here: the log was only read again.
                Proposed::Lost => {}
                refused @ Proposed::Refused(_) => panic!("not committed: {refused:?}"),
            }
        }
    }

    /// Commits changes: each key gets the value, or is removed without one.
    pub(crate) async fn change(&mut self, changes: &[(&str, Option<&str>)]) {
        self.now = self.now.plus(10);
        let after = sequence(self.sequence.saturating_sub(1).max(99));
        let after = self.manifest.shards.values().next().map_or(after, |shard| shard.through);
        let origin = Arc::new(Origin { epoch: 1, shard_rank: 1, shard: shard() });
        let mut rows = Vec::new();
        for (key, value) in changes {
            self.sequence += 1;
            let old = self.items.get(*key).cloned();
            let new = value.map(|value| {
                format!(r#"{{"id":{{"S":"{key}"}},"v":{{"S":"{value}"}},"n":{{"N":"{}"}}}}"#, self.sequence)
            });
            let kind = match (&old, &new) {
                (None, _) => ChangeKind::Insert,
                (Some(_), Some(_)) => ChangeKind::Modify,
                (Some(_), None) => ChangeKind::Remove,
            };
            match &new {
                Some(new) => self.items.insert((*key).to_owned(), new.clone()),
                None => self.items.remove(*key),
            };
            let change = Change {
                sequence: sequence(self.sequence),
                kind,
                changed_at: Micros(self.now.0 * 1_000_000),
                key: Some(ItemKey::from_image(&keys(), new.as_ref().or(old.as_ref()).unwrap()).unwrap()),
                event_id: Some(Text::from(format!("{:032x}", self.sequence))),
                size_bytes: Some(80),
                actor: None,
                new_image: new.map(Text::from),
                old_image: old.map(Text::from),
                new_digest: None,
                old_digest: None,
            };
            rows.push(Stamped {
                origin: Arc::clone(&origin),
                cut_at: self.now,
                change: change.with_digests().unwrap(),
            });
        }
        let span = Span {
            epoch: 1,
            shard: shard(),
            after,
            through: sequence(self.sequence),
            rows: rows.len() as u64,
            cut: self.now,
            floor: None,
            late: Vec::new(),
            unknown: Vec::new(),
            gap: None,
        };
        self.commit_rows(rows, vec![span]).await;
    }

    /// Commits rows as segments, with the spans that are said to hold them.
    pub(crate) async fn commit_rows(&mut self, rows: Vec<Stamped>, spans: Vec<Span>) -> u64 {
        let mut segments = Vec::new();
        for encoded in encode::changes(rows, &self.facts()).unwrap() {
            let path = name::raw(&encoded.dt, &self.ids.ulid(u64::try_from(self.now.0).unwrap() * 1000));
            let version_id = self.put(&path, encoded.bytes.clone(), Keep::Short).await;
            segments.push(encoded.meta(path, version_id, Tier::Raw, None));
        }
        self.commit(vec![Action::Segments(SegmentsAdded { segments, spans })]).await
    }

    /// Time passes: `closed_through` rises to this second.
    pub(crate) async fn idle(&mut self) {
        self.now = self.now.plus(130);
        let through = self.manifest.shards.values().next().unwrap().through;
        let floor = self.now.plus(-120);
        self.commit(vec![Action::Heartbeat(Heartbeat { epoch: 1, shard: shard(), through, floor, settle: 120 })]).await;
    }

    /// A snapshot of the table as it is now.
    pub(crate) async fn base(&mut self) {
        let rows = self.base_rows();
        self.base_of(0, vec![(0, rows)]).await;
    }

    /// The rows of a snapshot of the table as it is now.
    pub(crate) fn base_rows(&self) -> Vec<BaseRow> {
        let rows = self.items.values().map(|image| {
            let key = ItemKey::from_image(&keys(), image).unwrap();
            BaseRow::new(key, Text::from(image.as_str())).unwrap()
        });
        rows.collect()
    }

    /// A snapshot of 2^`bits` buckets in these files, each with its bucket.
    pub(crate) async fn base_of(&mut self, bits: u8, files: Vec<(u16, Vec<BaseRow>)>) {
        self.idle().await;
        let fence = self.manifest.closed_through.unwrap();
        let started = BaseStarted {
            kind: BaseKind::Scan,
            fence,
            started: self.now,
            slack: 0,
            bits,
            limit: 1 << 20,
            export: None,
        };
        let intent = self.commit(vec![Action::BaseStarted(started)]).await;
        let mut segments = Vec::new();
        for ((bucket, rows), k) in files.into_iter().zip(0..) {
            let encoded = encode::base(rows, &self.facts(), self.now, bits).unwrap();
            let path = name::base(self.now, bucket, intent, k);
            let version_id = self.put(&path, encoded.bytes.clone(), Keep::Full).await;
            segments.push(encoded.meta(path, version_id, Tier::Base, Some(bucket)));
        }
        self.idle().await;
        let complete_at = self.manifest.closed_through.unwrap();
        let base = BaseCommitted {
            intent: Some(intent),
            kind: BaseKind::Scan,
            fence,
            complete_at,
            name: None,
            checked: None,
            segments,
        };
        self.commit(vec![Action::Base(base)]).await;
    }

    async fn put(&self, path: &str, bytes: Bytes, keep: Keep) -> Option<String> {
        self.store.put_new(&self.log.path(path), bytes, keep).await.unwrap()
    }

    fn facts(&self) -> Facts {
        Facts {
            origin: "0f".to_owned(),
            table_arn: "arn:aws:dynamodb:eu-west-1:111122223333:table/orders".to_owned(),
            table_id: self.table.table_id.clone(),
            keys: keys(),
            writer: "tailrace/test".to_owned(),
        }
    }

    /// Some forty entries: inserts, updates, removals, a snapshot, idle time.
    pub(crate) async fn live(&mut self) {
        for round in 0..12 {
            let value = format!("value {round}");
            let first = format!("a{}", round % 5);
            let second = format!("b{}", round % 3);
            let removed = (round % 4 == 3 && self.items.contains_key(&second)).then_some(());
            self.change(&[(&first, Some(&value)), (&second, if removed.is_some() { None } else { Some(&value) })])
                .await;
            if round % 3 == 0 {
                self.idle().await;
            }
            if round == 6 {
                self.base().await;
            }
        }
        for _ in 0..12 {
            self.idle().await;
        }
    }
}

/// The epoch that every log here begins with.
pub(crate) fn begun() -> Action {
    Action::EpochStarted(EpochStarted {
        epoch: 1,
        stream_arn: "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/1".to_owned(),
        view_type: "NEW_AND_OLD_IMAGES".to_owned(),
        keys: keys(),
        created: CREATED,
        floor: CREATED.plus(-1),
    })
}

/// The table was empty when archiving began, as was seen at `at`.
pub(crate) fn empty_base(at: Second) -> Action {
    let (not_restored, no_replicas) = (true, true);
    let checked = EmptyCheck { table_created: CREATED, stream_created: CREATED, at, not_restored, no_replicas };
    let floor = CREATED.plus(-1);
    Action::Base(BaseCommitted {
        intent: None,
        kind: BaseKind::Empty,
        fence: floor,
        complete_at: floor,
        name: None,
        checked: Some(checked),
        segments: Vec::new(),
    })
}

pub(crate) fn shard() -> ShardId {
    ShardId::new("shardId-00000001795305600000-0a1b2c3d")
}

pub(crate) fn sequence(number: u64) -> Sequence {
    Sequence::parse(&format!("{number:021}")).unwrap()
}
