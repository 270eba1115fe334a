//! A random table, its changes as the archive holds them, and the model's answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::change::{
    Change, ChangeKind, ItemKey, KeyAttribute, KeySchema, KeyType, Origin, Second, Sequence, ShardId, Stamped, Text,
};
use crate::manifest::{
    Base, BaseCommitted, BaseKind, Epoch, EpochStarted, Gap, GapId, GapReason, Interval, Manifest, Segments, Shard,
    ShardKey,
};
use crate::platform::ids::Ids;
use crate::segment::{BaseRow, Facts, SegmentMeta, Tier, encode, name};
use crate::store::memory::MemoryStore;
use crate::store::{Keep, ObjectStore};

/// Keys and their images.
pub(super) type Images = BTreeMap<String, String>;

/// Five minutes before a midnight, so that days change within a history.
pub(super) const START: Second = Second(1_795_305_600 - 300);

/// One change of the table.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) key: usize,
    pub(super) cut: Second,
    pub(super) lineage: u32,
    pub(super) rank: u32,
    pub(super) sequence: Sequence,
    pub(super) new: Option<u64>,
    pub(super) old: Option<u64>,
    /// Trimmed before it was read.
    pub(super) lost: bool,
}

impl Made {
    pub(super) fn event_id(&self) -> String {
        format!("{:032x}", self.sequence.as_delivered().parse::<u128>().unwrap())
    }

    fn shard(&self) -> ShardId {
        ShardId::new(format!("shard-{}-{}", self.lineage, self.rank))
    }
}

#[derive(Debug)]
struct Taken {
    fence: Second,
    complete: Second,
    rows: Images,
}

#[derive(Debug)]
pub(super) struct History {
    pub(super) manifest: Manifest,
    /// In order of time; of one key and one lineage in order of position.
    pub(super) changes: Vec<Made>,
    store: Arc<MemoryStore>,
    keys: usize,
    gaps: Vec<(Second, Second)>,
    bases: Vec<Taken>,
    both_images: bool,
    before: Vec<Option<u64>>,
    draw: Ids,
}

pub(super) fn keys() -> KeySchema {
    KeySchema(vec![KeyAttribute { name: "id".to_owned(), kind: KeyType::S }])
}

pub(super) fn facts() -> Facts {
    let text = |text: &str| text.to_owned();
    Facts { origin: text("o"), table_arn: text("arn"), table_id: text("t"), keys: keys(), writer: text("test") }
}

pub(super) fn pk(key: usize) -> String {
    format!("key-{key}")
}

pub(super) fn image(key: usize, version: u64) -> String {
    format!("{{\"id\":{{\"S\":\"{}\"}},\"v\":{{\"N\":\"{version}\"}},\"same\":{{\"BOOL\":true}}}}", pk(key))
}

impl History {
    pub(super) async fn random(seed: u64) -> Self {
        let draw = Ids::seeded(seed);
        let keys = 3 + usize::try_from(draw.below(8)).unwrap();
        let before = (0..keys).map(|key| (draw.below(3) > 0).then_some(key as u64 + 1)).collect();
        let mut history = Self {
            manifest: Manifest::default(),
            changes: Vec::new(),
            store: Arc::new(MemoryStore::new()),
            keys,
            gaps: vec![(Second(i64::MIN), START.plus(1))],
            bases: Vec::new(),
            both_images: draw.below(3) > 0,
            before,
            draw,
        };
        let end = START.plus(600);
        history.make_gaps(end);
        let single = history.draw.below(3) == 0;
        history.make_changes(end, if single { 1 } else { 2 }, single);
        let closed = end.plus(-i64::try_from(history.draw.below(60)).unwrap());
        history.make_manifest(closed);
        history.store_changes().await;
        for _ in 0..history.draw.below(4) {
            history.take_base(closed).await;
        }
        history
    }

    fn second(&self, from: Second, to: Second) -> Second {
        from.plus(i64::try_from(self.draw.below(u64::try_from(to.0 - from.0).unwrap() + 1)).unwrap())
    }

    fn make_gaps(&mut self, end: Second) {
        for _ in 0..self.draw.below(3) {
            let from = self.second(START.plus(2), end);
            self.gaps.push((from, from.plus(i64::try_from(self.draw.below(60)).unwrap())));
        }
    }

    /// Changes at random; a shard of a lineage gives way to its child now and then, whose numbers begin anew.
    fn make_changes(&mut self, end: Second, lineages: u32, single: bool) {
        let mut state = self.before.clone();
        let mut ranks = vec![0; usize::try_from(lineages).unwrap()];
        let (mut at, mut version) = (START.plus(2), 100);
        let pace = 2 + self.draw.below(20);
        while at < end {
            at = at.plus(i64::try_from(self.draw.below(pace)).unwrap());
            let key = usize::try_from(self.draw.below(self.keys as u64)).unwrap();
            let lineage = u32::try_from(key).unwrap() % lineages;
            let rank = &mut ranks[lineage as usize];
            if !single && self.draw.below(12) == 0 {
                *rank += 1;
            }
            let old = state[key];
            let new = (old.is_none() || self.draw.below(4) > 0).then_some(version);
            version += 1;
            state[key] = new;
            // Later shards have lower numbers: only the rank tells the order of two shards.
            let number =
                1_000_000 - 10_000 * u64::from(*rank) + 3 * self.changes.len() as u64 + u64::from(lineage) * 5_000;
            let sequence = Sequence::parse(&format!("{number:021}")).unwrap();
            let inside = self.gaps.iter().any(|(from, to)| *from <= at && at <= *to);
            let lost = inside && self.draw.below(2) == 0;
            self.changes.push(Made { key, cut: at, lineage, rank: *rank, sequence, new, old, lost });
        }
    }

    fn make_manifest(&mut self, closed: Second) {
        let manifest = &mut self.manifest;
        let view_type = if self.both_images { "NEW_AND_OLD_IMAGES" } else { "NEW_IMAGE" }.to_owned();
        let started = EpochStarted {
            epoch: 1,
            stream_arn: "arn".to_owned(),
            view_type,
            keys: keys(),
            created: START,
            floor: START,
        };
        manifest.epochs.insert(1, Epoch { started, started_in: 0, border_from: None, judged_in: None });
        manifest.closed_through = Some(closed);
        manifest.proven_through = Some(closed);
        for (k, (from_cut, to_cut)) in self.gaps.iter().enumerate().skip(1) {
            let shard = ShardKey { epoch: 1, id: ShardId::new("shard-0-0") };
            let id = GapId { n: 7, k: u32::try_from(k).unwrap() };
            let (from_cut, to_cut) = (*from_cut, *to_cut);
            let reason = Some(GapReason::PossiblyTrimmed);
            manifest.gaps.push(Gap { id, shard, reason, from_cut, to_cut, acknowledged: None });
        }
        manifest.late.push(Interval { from: START, to: START.plus(50) });
        for change in self.changes.iter().filter(|change| !change.lost) {
            let key = ShardKey { epoch: 1, id: change.shard() };
            let parent =
                change.rank.checked_sub(1).map(|rank| ShardId::new(format!("shard-{}-{rank}", change.lineage)));
            let sequence = change.sequence;
            let (floor, rank) = (START, change.rank);
            let shard = manifest.shards.entry(key).or_insert(Shard {
                parent,
                unlisted: false,
                barred: false,
                rank,
                start: sequence,
                through: sequence,
                floor,
                cut: change.cut,
                sure: None,
                proven: floor,
                closed_at: None,
                released: false,
                gaps: 0,
            });
            shard.cut = shard.cut.max(change.cut);
        }
    }

    fn stamped(&self, change: &Made) -> Stamped {
        let text = |version: u64| Text::from(image(change.key, version));
        let kind = match (change.old, change.new) {
            (None, _) => ChangeKind::Insert,
            (Some(_), Some(_)) => ChangeKind::Modify,
            (Some(_), None) => ChangeKind::Remove,
        };
        let old = change.old.filter(|_| self.both_images);
        let key = ItemKey::from_image(&keys(), &image(change.key, 0)).unwrap();
        let plain = Change {
            sequence: change.sequence,
            kind,
            changed_at: change.cut.micros(),
            key: Some(key),
            event_id: Some(Text::from(change.event_id())),
            size_bytes: None,
            actor: None,
            new_image: change.new.map(text),
            old_image: old.map(text),
            new_digest: None,
            old_digest: None,
        };
        let origin = Origin { epoch: 1, shard_rank: change.rank, shard: change.shard() };
        Stamped { origin: Arc::new(origin), cut_at: change.cut, change: plain.with_digests().unwrap() }
    }

    async fn store_changes(&mut self) {
        let archived: Vec<Stamped> =
            self.changes.iter().filter(|made| !made.lost).map(|made| self.stamped(made)).collect();
        let mut rest = archived.as_slice();
        while !rest.is_empty() {
            let count = (1 + usize::try_from(self.draw.below(30)).unwrap()).min(rest.len());
            for encoded in encode::changes(rest[..count].to_vec(), &facts()).unwrap() {
                let path = name::raw(&encoded.dt, &self.draw.ulid(0));
                self.store.put_new(&format!("table/{path}"), encoded.bytes.clone(), Keep::Short).await.unwrap();
                let meta = encoded.meta(path.clone(), None, Tier::Raw, None);
                self.manifest.segments.insert(path.into(), Arc::new(meta));
            }
            rest = &rest[count..];
        }
    }

    /// A base whose rows are read at some time between its fence and its completion, each at its own.
    async fn take_base(&mut self, closed: Second) {
        let fence = self.second(START.plus(1), closed);
        let complete = if self.draw.below(4) == 0 { fence } else { self.second(fence, closed) };
        if self.meets(fence, complete) {
            return;
        }
        let mut rows = Images::new();
        for key in 0..self.keys {
            let read = self.second(fence, complete);
            let seen = self.truth_of(key, |_, change| change.cut <= read);
            rows.extend(seen.map(|version| (pk(key), image(key, version))));
        }
        let base_row = |text: &String| {
            BaseRow::new(ItemKey::from_image(&keys(), text).unwrap(), Text::from(text.as_str())).unwrap()
        };
        let encoded = encode::base(rows.values().map(base_row).collect(), &facts(), fence, 0).unwrap();
        let n = 100 + self.bases.len() as u64;
        let path = name::base(fence, 0, n, 0);
        self.store.put_new(&format!("table/{path}"), encoded.bytes.clone(), Keep::Full).await.unwrap();
        let segments = vec![encoded.meta(path, None, Tier::Base, Some(0))];
        let base = BaseCommitted {
            intent: Some(n),
            kind: BaseKind::Scan,
            fence,
            complete_at: complete,
            name: None,
            checked: None,
            segments,
        };
        self.manifest.bases.push(Base { n: n + 1, base });
        self.bases.push(Taken { fence, complete, rows });
    }

    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::<MemoryStore>::clone(&self.store)
    }

    pub(super) fn segments(&self) -> Segments {
        Segments::new(self.store(), "table".to_owned())
    }

    /// Times worth asking for: the borders of everything, and some between.
    pub(super) fn times(&self) -> Vec<Second> {
        let closed = self.manifest.closed_through.unwrap();
        let mut times: BTreeSet<Second> = (0..6).map(|_| self.second(START, closed.plus(2))).collect();
        let borders = self.gaps.iter().skip(1).flat_map(|(from, to)| [*from, *to]);
        let borders = borders.chain(self.bases.iter().flat_map(|base| [base.fence, base.complete]));
        times.extend(borders.flat_map(|at| [at.plus(-1), at, at.plus(1)]));
        times.into_iter().collect()
    }

    /// Some archived changes.
    pub(super) fn events(&self) -> Vec<usize> {
        let archived: Vec<usize> = (0..self.changes.len()).filter(|at| !self.changes[*at].lost).collect();
        (0..4).map(|_| archived[usize::try_from(self.draw.below(archived.len() as u64)).unwrap()]).collect()
    }

    fn truth_of(&self, key: usize, counts: impl Fn(usize, &Made) -> bool) -> Option<u64> {
        let of_key = self.changes.iter().enumerate().filter(|(at, change)| change.key == key && counts(*at, change));
        of_key.last().map_or(self.before[key], |(_, change)| change.new)
    }

    /// The table as it was, with what the archive lost.
    pub(super) fn truth_by(&self, counts: impl Fn(usize, &Made) -> bool) -> Images {
        let version = |key: usize| self.truth_of(key, &counts);
        (0..self.keys).filter_map(|key| version(key).map(|version| (pk(key), image(key, version)))).collect()
    }

    pub(super) fn truth(&self, counts: impl Fn(&Made) -> bool) -> Images {
        self.truth_by(|_, change| counts(change))
    }

    pub(super) fn meets(&self, after: Second, through: Second) -> bool {
        self.gaps.iter().any(|(from, to)| *from <= through && *to > after)
    }

    /// The model: what may be answered, and what the answer is.
    pub(super) fn answer(&self, asked_at: Second) -> Option<Images> {
        if asked_at > self.manifest.closed_through? || asked_at < START.plus(1) {
            return None;
        }
        let numbered = || self.bases.iter().enumerate();
        let before =
            numbered().filter(|(_, base)| base.complete <= asked_at).max_by_key(|(n, base)| (base.complete, *n));
        if let Some((_, base)) = before
            && !self.meets(base.fence, asked_at)
        {
            return Some(self.forward(base, asked_at));
        }
        let next = numbered().filter(|(_, base)| base.complete > asked_at).min_by_key(|(n, base)| (base.complete, *n));
        // A gap in between hides items that nobody knows of.
        let (_, next) = next.filter(|(_, next)| self.both_images && !self.meets(asked_at, next.complete))?;
        let clear = |base: &&Taken| base.fence < asked_at && !self.meets(base.fence, asked_at);
        let fence = self.bases.iter().filter(clear).map(|base| base.fence).max();
        let mut images = Images::new();
        for key in 0..self.keys {
            let rows = || self.changes.iter().filter(move |change| change.key == key && !change.lost);
            let last = rows().rfind(|change| fence.is_none_or(|fence| change.cut > fence) && change.cut <= asked_at);
            let first = rows().find(|change| change.cut > asked_at && change.cut <= next.complete);
            let version = match (last, first) {
                (Some(last), _) if !self.meets(last.cut.plus(-1), asked_at) => {
                    last.new.map(|version| image(key, version))
                }
                (_, Some(first)) => first.old.map(|version| image(key, version)),
                (_, None) => next.rows.get(&pk(key)).cloned(),
            };
            images.extend(version.map(|image| (pk(key), image)));
        }
        Some(images)
    }

    fn forward(&self, base: &Taken, asked_at: Second) -> Images {
        let mut images = base.rows.clone();
        for change in
            self.changes.iter().filter(|change| !change.lost && base.fence < change.cut && change.cut <= asked_at)
        {
            match change.new {
                Some(version) => images.insert(pk(change.key), image(change.key, version)),
                None => images.remove(&pk(change.key)),
            };
        }
        images
    }

    pub(super) async fn remove(&self, path: &str) {
        self.store.delete(&format!("table/{path}"), None).await.unwrap();
    }

    pub(super) async fn flip_a_bit(&self, path: &str) {
        let at = format!("table/{path}");
        let mut bytes = self.store.get(&at, None).await.unwrap().bytes.to_vec();
        let place = usize::try_from(self.draw.below(bytes.len() as u64)).unwrap();
        bytes[place] ^= 1 << self.draw.below(8);
        self.remove(path).await;
        self.store.put_new(&at, bytes.into(), Keep::Short).await.unwrap();
    }

    pub(super) fn change_the_hash(&mut self, path: &str) {
        let of_base = self.manifest.bases.iter_mut().flat_map(|base| &mut base.base.segments);
        let all = self.manifest.segments.values_mut().map(Arc::make_mut).chain(of_base);
        let wrong = |meta: &mut SegmentMeta| meta.sha256 = "0".repeat(64);
        all.filter(|meta| meta.path == path).for_each(wrong);
    }
}
