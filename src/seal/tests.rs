//! Sealing against days whose changes are known one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::change::{
    Change, ChangeKind, ItemKey, KeyAttribute, KeySchema, KeyType, Origin, Second, Sequence, ShardId, Stamped,
    TableIdentity, Text,
};
use crate::manifest::{
    Action, EpochStarted, Heartbeat, Journal, Log, Manifest, Proposed, SealStarted, Segments, SegmentsAdded,
    ShardOpened, Span,
};
use crate::platform::clock;
use crate::platform::ids::Ids;
use crate::platform::patience::Patience;
use crate::segment::{Facts, OldImage, Row, SegmentMeta, Tier, encode, name};
use crate::store::fault::{Effect, Fault, FaultyStore};
use crate::store::memory::MemoryStore;
use crate::store::{Keep, ObjectStore};

/// 2026-11-22T00:00:00Z
const MIDNIGHT: Second = Second(1_795_305_600);
const DAY: i64 = 86_400;

fn keys() -> KeySchema {
    KeySchema(vec![KeyAttribute { name: "id".to_owned(), kind: KeyType::S }])
}

fn table() -> TableIdentity {
    TableIdentity { account: "1".into(), region: "r".into(), name: "t".into(), table_id: "id".into() }
}

fn facts() -> Facts {
    Facts::new("o", "arn", "id", &keys())
}

/// A table with one shard, captured into raw files.
struct Archive {
    store: Arc<MemoryStore>,
    log: Log,
    manifest: Manifest,
    ids: Ids,
    items: BTreeMap<u64, u64>,
    through: u64,
}

impl Archive {
    async fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let inner: Arc<dyn ObjectStore> = Arc::<MemoryStore>::clone(&store);
        let ids = Ids::seeded(seed);
        let (log, manifest) = Log::open(inner, &table(), ids.clone()).await.unwrap();
        let mut archive = Self { store, log, manifest, ids, items: BTreeMap::new(), through: 99 };
        let (floor, created) = (MIDNIGHT.plus(-1), MIDNIGHT);
        let (stream_arn, view_type) = ("arn/stream/1".into(), "NEW_AND_OLD_IMAGES".into());
        let begun = EpochStarted { epoch: 1, stream_arn, view_type, keys: keys(), created, floor };
        let (parent, unlisted, barred, start) = (None, false, false, Sequence::parse("100").unwrap());
        let shard = ShardId::new("a");
        let opened = ShardOpened { epoch: 1, shard, parent, unlisted, barred, rank: 0, start, floor, cut: floor };
        archive.commit(vec![Action::EpochStarted(begun), Action::ShardOpened(opened)]).await;
        archive
    }

    async fn commit(&mut self, actions: Vec<Action>) {
        let done = self.log.propose(&mut self.manifest, MIDNIGHT, actions).await.unwrap();
        assert!(matches!(done, Proposed::Committed { .. }), "{done:?}");
    }

    /// Random changes of few keys, in files of a few rows, spread over a day; its old images as sent, or forgotten.
    async fn captures(&mut self, day: i64, files: u64) {
        for file in 0..files {
            let cut = MIDNIGHT.plus(day * DAY + 60 * i64::try_from(file).unwrap());
            let after = self.through;
            let rows: Vec<Stamped> = (0..1 + self.ids.below(8)).map(|_| self.change(cut)).collect();
            let count = rows.len() as u64;
            let path = name::raw(&cut.day(), &format!("{day}-{file:03}"));
            let encoded = encode::changes(rows, &facts()).unwrap().remove(0);
            let at = format!("{}/{path}", table().folder());
            self.store.put_new(&at, encoded.bytes.clone(), Keep::Short).await.unwrap();
            let sequence = |n: u64| Sequence::parse(&n.to_string()).unwrap();
            let (after, through, late, unknown) = (sequence(after), sequence(self.through), vec![], vec![]);
            let shard = ShardId::new("a");
            let span =
                Span { epoch: 1, shard, after, through, rows: count, cut, floor: None, late, unknown, gap: None };
            let segments = vec![encoded.meta(path, None, Tier::Raw, None)];
            self.commit(vec![Action::Segments(SegmentsAdded { segments, spans: vec![span] })]).await;
        }
    }

    fn change(&mut self, cut: Second) -> Stamped {
        self.through += 1;
        let key = self.ids.below(12);
        let image = |version: u64| {
            let pad = "x".repeat(usize::try_from(version % 60).unwrap());
            Text::from(format!(r#"{{"id":{{"S":"k{key}"}},"v":{{"N":"{version}"}},"pad":{{"S":"{pad}"}}}}"#))
        };
        let old = self.items.get(&key).copied();
        let new = (old.is_none() || self.ids.below(4) > 0).then_some(self.through);
        match new {
            Some(version) => drop(self.items.insert(key, version)),
            None => drop(self.items.remove(&key)),
        }
        let kind = match (old, new) {
            (None, _) => ChangeKind::Insert,
            (_, Some(_)) => ChangeKind::Modify,
            (_, None) => ChangeKind::Remove,
        };
        let change = Change {
            sequence: Sequence::parse(&self.through.to_string()).unwrap(),
            kind,
            changed_at: cut.micros(),
            key: Some(ItemKey::from_image(&keys(), image(0).as_str()).unwrap()),
            event_id: Some(Text::from(format!("{:032x}", self.through))),
            size_bytes: Some(7),
            actor: None,
            new_image: new.map(image),
            old_image: old.map(image),
            new_digest: None,
            old_digest: None,
        };
        let origin = Arc::new(Origin { epoch: 1, shard_rank: 0, shard: ShardId::new("a") });
        Stamped { origin, cut_at: cut, change: change.with_digests().unwrap() }
    }

    /// Nothing more comes before this day.
    async fn closes(&mut self, day: i64) {
        let through = Sequence::parse(&self.through.to_string()).unwrap();
        let (shard, floor) = (ShardId::new("a"), MIDNIGHT.plus(day * DAY));
        self.commit(vec![Action::Heartbeat(Heartbeat { epoch: 1, shard, through, floor, settle: 120 })]).await;
    }

    /// A table of two days, both closed.
    async fn of_two_days(seed: u64) -> Self {
        let mut archive = Self::new(seed).await;
        archive.captures(0, 9).await;
        archive.captures(1, 4).await;
        archive.closes(2).await;
        archive
    }

    /// What a new process reads.
    async fn read(&self) -> Manifest {
        let store: Arc<dyn ObjectStore> = Arc::<MemoryStore>::clone(&self.store);
        let (log, mut manifest) = Log::open(store, &table(), Ids::seeded(9)).await.unwrap();
        log.load_segments(&mut manifest, None, None).await.unwrap();
        manifest
    }

    async fn rows(&self, metas: impl Iterator<Item = &SegmentMeta>) -> Vec<Row> {
        let store: Arc<dyn ObjectStore> = Arc::<MemoryStore>::clone(&self.store);
        let segments = Segments::new(store, table().folder());
        let mut rows = Vec::new();
        for meta in metas {
            rows.extend(segments.changes(meta).await.unwrap());
        }
        rows.sort_by(|a, b| a.order().cmp(&b.order()));
        rows
    }
}

/// One sealer, until no closed day is left.
async fn seal(store: Arc<dyn ObjectStore>, seed: u64, held: u64) -> Result<Vec<SealedDay>, SealError> {
    let ids = Ids::seeded(seed);
    let (log, mut manifest) = Log::open(Arc::clone(&store), &table(), ids.clone()).await.unwrap();
    let mut sealer = Sealer::new(SealInput {
        journal: Journal { log: &log, manifest: &mut manifest, patience: Patience::new(Arc::new(|_| {}), ids, false) },
        store,
        folder: table().folder(),
        facts: facts(),
        options: SealOptions { held, ..SealOptions::default() },
    });
    let mut days = Vec::new();
    while let Some(day) = sealer.next().await? {
        days.push(day);
    }
    Ok(days)
}

fn whole(archive: &Archive) -> Arc<dyn ObjectStore> {
    Arc::<MemoryStore>::clone(&archive.store)
}

/// The rows with the old images that were left out, taken from the version before.
fn restored(rows: &[Row]) -> Vec<(Row, OldImage)> {
    let mut before: Option<&Row> = None;
    let mut restored = Vec::new();
    for row in rows {
        let old = match row.old_image_json().unwrap() {
            OldImage::Previous(digest) => {
                let before = before.filter(|before| before.pk == row.pk && before.new_digest == Some(digest)).unwrap();
                OldImage::Json(before.new_image.clone().unwrap())
            }
            old => old,
        };
        let plain = Row { old_image: None, old_delta: None, ..row.clone() };
        restored.push((plain, old));
        before = Some(row);
    }
    restored
}

#[tokio::test(start_paused = true)]
async fn every_change_comes_out_once_as_it_went_in_whatever_is_held_in_memory() {
    for seed in 0..12 {
        let archive = Archive::of_two_days(seed).await;
        let raw = archive.rows(archive.manifest.segments.values().map(|meta| &**meta)).await;
        let held = if seed % 2 == 0 { 64 << 20 } else { 1500 };
        let days = seal(whole(&archive), seed, held).await.unwrap();
        assert_eq!(days.iter().map(|day| day.changes).sum::<u64>(), raw.len() as u64);
        assert!(days.iter().any(|day| day.left_out > 0));
        let manifest = archive.read().await;
        assert_eq!(manifest.sealed_through.as_deref(), Some("2026-11-23"));
        assert!(manifest.segments.values().all(|meta| meta.tier.is_sealed()));
        let several = manifest.segments.values().filter(|meta| meta.tier == Tier::Rest && meta.dt == "2026-11-22");
        assert_eq!(several.count() > 1, held < 2000, "seed {seed}");
        for day in ["2026-11-22", "2026-11-23"] {
            let of = |tier| {
                manifest.segments.values().map(|meta| &**meta).filter(move |meta| meta.tier == tier && meta.dt == day)
            };
            let heads = archive.rows(of(Tier::Heads)).await;
            let rest = archive.rows(of(Tier::Rest)).await;
            let both = archive.rows(of(Tier::Heads).chain(of(Tier::Rest))).await;
            let captured: Vec<Row> = raw.iter().filter(|row| row.cut_at.day() == day).cloned().collect();
            assert!(restored(&both) == restored(&captured), "seed {seed}, {day}");
            for (at, head) in heads.iter().enumerate() {
                assert!(at == 0 || heads[at - 1].pk < head.pk || heads[at - 1].key_hash < head.key_hash);
                assert!(rest.iter().filter(|row| row.pk == head.pk).all(|row| row.sequence < head.sequence));
            }
            let known = |row: &Row| heads.iter().any(|head| head.pk == row.pk);
            assert!(rest.iter().all(known), "a key without a head");
        }
    }
}

fn of_first_day(segments: &BTreeMap<Arc<str>, Arc<SegmentMeta>>) -> Vec<(Arc<str>, u64)> {
    let first = segments.iter().filter(|(_, meta)| meta.dt == "2026-11-22");
    first.map(|(path, meta)| (Arc::clone(path), meta.rows)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sealer_that_dies_at_any_mutation_is_followed_by_one_that_makes_the_same_files() {
    let expected = {
        let archive = Archive::of_two_days(3).await;
        seal(whole(&archive), 1, 1500).await.unwrap();
        archive.read().await.segments
    };
    assert!(of_first_day(&expected).len() > 2);
    let mut anew = 0;
    for mutation in 0.. {
        let mut reached = false;
        for effect in [Effect::Never, Effect::Now, Effect::Late(std::time::Duration::from_secs(20))] {
            let archive = Archive::of_two_days(3).await;
            let faulty = Arc::new(FaultyStore::scripted(whole(&archive), [], []).and(mutation, Fault::Hung(effect)));
            let store: Arc<dyn ObjectStore> = Arc::<FaultyStore>::clone(&faulty);
            tokio::select! {
                done = seal(store, 1, 1500) => drop(done.unwrap()),
                () = faulty.hung() => reached = true,
            }
            let left = seal(whole(&archive), 2, 64 << 20).await.unwrap();
            clock::sleep(std::time::Duration::from_secs(60)).await;
            let manifest = archive.read().await;
            assert_eq!(manifest.sealed.len(), 2);
            // Either the first one's intent stood, and with it where files end, or the second one began anew.
            let first = of_first_day(&manifest.segments);
            assert!(first == of_first_day(&expected) || first.len() == 2, "mutation {mutation}, {effect:?}: {first:?}");
            anew += u64::from(first.len() == 2);
            assert!(left.len() <= 2 && manifest.intents.is_empty());
        }
        if !reached {
            assert!(mutation > 6 && anew <= 2, "{mutation} mutations, {anew} times begun anew");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_sealers_at_once_seal_each_day_once() {
    let archive = Archive::of_two_days(5).await;
    let (one, other) = tokio::join!(seal(whole(&archive), 1, 1500), seal(whole(&archive), 2, 1500));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.len() <= 2 && other.len() <= 2 && one.len() + other.len() >= 2);
    let manifest = archive.read().await;
    assert_eq!((manifest.sealed.len(), manifest.intents.len(), &manifest.blocked), (2, 0, &None));
}

#[tokio::test(start_paused = true)]
async fn days_wait_until_they_are_closed_and_days_without_changes_are_sealed_too() {
    let mut archive = Archive::new(1).await;
    archive.captures(0, 2).await;
    assert_eq!(seal(whole(&archive), 1, 1500).await.unwrap(), []);
    archive.log.refresh(&mut archive.manifest).await.unwrap();
    archive.closes(3).await;
    let days = seal(whole(&archive), 1, 1500).await.unwrap();
    let sealed: Vec<(&str, bool)> = days.iter().map(|day| (&*day.day, day.changes > 0)).collect();
    assert_eq!(sealed, [("2026-11-22", true), ("2026-11-23", false), ("2026-11-24", false)]);
}

/// The first day begun by hand, in a way of its own.
async fn begun(archive: &mut Archive, settings: serde_json::Value) -> u64 {
    let day = "2026-11-22".to_owned();
    let inputs = archive.manifest.raw_of(&day).map(|meta| meta.path.clone()).collect();
    archive.commit(vec![Action::SealStarted(SealStarted { day, inputs, bits: 0, limit: 1 << 20, settings })]).await;
    archive.manifest.next - 1
}

#[tokio::test(start_paused = true)]
async fn an_intent_that_cannot_be_fulfilled_is_given_up_for_a_new_one() {
    let mut unknown = Archive::of_two_days(7).await;
    begun(&mut unknown, serde_json::json!({ "zstd": 3, "later": 1 })).await;
    let mut impossible = Archive::of_two_days(7).await;
    begun(&mut impossible, serde_json::json!({ "zstd": 99 })).await;
    let mut foreign = Archive::of_two_days(7).await;
    let intent = begun(&mut foreign, serde_json::json!({ "zstd": 3 })).await;
    let path = name::sealed("2026-11-22", Tier::Heads, 0, intent, 0);
    let at = format!("{}/{path}", table().folder());
    foreign.store.put_new(&at, Bytes::from_static(b"another"), Keep::Full).await.unwrap();
    for archive in [unknown, impossible, foreign] {
        assert_eq!(seal(whole(&archive), 1, 1500).await.unwrap().len(), 2);
        let manifest = archive.read().await;
        assert_eq!((manifest.sealed.len(), manifest.intents.len()), (2, 0));
        let own = |meta: &Arc<SegmentMeta>| !meta.path.ends_with(&format!("/{intent}-0.parquet"));
        assert!(manifest.segments.values().all(own));
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_file_that_is_gone_is_named_and_nothing_is_sealed() {
    let archive = Archive::of_two_days(8).await;
    let path = Arc::<str>::clone(archive.manifest.segments.keys().next().unwrap());
    archive.store.delete(&format!("{}/{path}", table().folder()), None).await.unwrap();
    let error = seal(whole(&archive), 1, 1500).await.unwrap_err();
    assert!(matches!(&error, SealError::Read(_)) && error.to_string().contains(&*path), "{error}");
    assert_eq!(archive.read().await.sealed_through, None);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_stands_twice_is_never_sealed() {
    let archive = Archive::of_two_days(9).await;
    let rows = archive.rows(archive.manifest.segments.values().map(|meta| &**meta)).await;
    let twice = rows.iter().take(3).chain([&rows[2]]).chain(&rows[3..]).cloned().map(Ok);
    let mut outputs = outputs::Outputs::new(twice, 0, 1 << 20);
    assert!(matches!(outputs.next(), Err(SealError::Segment(_))));
}
