//! What stored rows may say, made by hand: sealed days that leave old images out, and records that nobody could
//! decode; and how much is read and held.

use std::sync::Arc;

use super::history::{START, facts, image, keys, pk};
use super::*;
use crate::change::{Change, ChangeKind, ItemKey, Origin, Sequence, ShardId, Stamped};
use crate::manifest::{Base, BaseCommitted, BaseKind, Epoch, EpochStarted, Gap, GapId, ShardKey};
use crate::segment::{BaseRow, Row, Tier, decode, encode, name};
use crate::store::counting::CountingStore;
use crate::store::memory::MemoryStore;
use crate::store::{Keep, ObjectStore};

/// Noon of the day after the start.
const NOON: Second = Second(START.0 + 300 + 43_200);

struct Archive {
    store: Arc<CountingStore>,
    manifest: Manifest,
}

fn stamped(key: usize, at: Second, sequence: u64, old: Option<u64>, new: Option<u64>) -> Stamped {
    let kind = match (old, new) {
        (None, _) => ChangeKind::Insert,
        (Some(_), Some(_)) => ChangeKind::Modify,
        (Some(_), None) => ChangeKind::Remove,
    };
    let text = |version: u64| Text::from(image(key, version));
    let change = Change {
        sequence: Sequence::parse(&format!("{sequence:021}")).unwrap(),
        kind,
        changed_at: at.micros(),
        key: Some(ItemKey::from_image(&keys(), &image(key, 0)).unwrap()),
        event_id: None,
        size_bytes: None,
        actor: None,
        new_image: new.map(text),
        old_image: old.map(text),
        new_digest: None,
        old_digest: None,
    };
    let origin = Arc::new(Origin { epoch: 1, shard_rank: 0, shard: ShardId::new("s") });
    Stamped { origin, cut_at: at, change: change.with_digests().unwrap() }
}

fn rows(changes: Vec<Stamped>) -> Vec<Row> {
    decode::changes(encode::changes(changes, &facts()).unwrap().remove(0).bytes).unwrap()
}

fn row(key: usize, at: Second, sequence: u64, old: Option<u64>, new: Option<u64>) -> Row {
    rows(vec![stamped(key, at, sequence, old, new)]).remove(0)
}

/// Sealing leaves out an old image that the row before it in the same day has.
fn left_out(mut row: Row) -> Row {
    (row.old_image, row.old_delta) = (None, None);
    row
}

/// A record that could not be decoded, of this key.
fn undecodable(key: usize, at: Second, sequence: u64) -> Row {
    let row = row(key, at, sequence, None, Some(1));
    Row { kind: ChangeKind::Unknown, new_digest: None, ..row }
}

impl Archive {
    /// A stream with both images, covered for two days.
    fn new() -> Self {
        let mut manifest = Manifest::default();
        let started = EpochStarted {
            epoch: 1,
            stream_arn: "arn".to_owned(),
            view_type: "NEW_AND_OLD_IMAGES".to_owned(),
            keys: keys(),
            created: START,
            floor: START,
        };
        manifest.epochs.insert(1, Epoch { started, started_in: 0, border_from: None, judged_in: None });
        manifest.closed_through = Some(NOON.plus(80_000));
        Self { store: Arc::new(CountingStore::new(Arc::new(MemoryStore::new()))), manifest }
    }

    async fn holds(&mut self, tier: Tier, name: &str, rows: Vec<Row>) {
        let encoded = encode::of_day(tier, rows[0].cut_at, rows, &facts(), encode::Layout::RAW).unwrap();
        self.store.put_new(&format!("table/{name}"), encoded.bytes.clone(), Keep::Full).await.unwrap();
        let bucket = tier.is_sealed().then_some(0);
        self.manifest.segments.insert(name.into(), Arc::new(encoded.meta(name.to_owned(), None, tier, bucket)));
    }

    async fn base(&mut self, at: Second, items: &[(usize, u64)]) {
        let row = |(key, version): &(usize, u64)| {
            let image = image(*key, *version);
            BaseRow::new(ItemKey::from_image(&keys(), &image).unwrap(), Text::from(image)).unwrap()
        };
        let encoded = encode::base(items.iter().map(row).collect(), &facts(), at, 0).unwrap();
        let path = name::base(at, 0, 1, 0);
        self.store.put_new(&format!("table/{path}"), encoded.bytes.clone(), Keep::Full).await.unwrap();
        let segments = vec![encoded.meta(path, None, Tier::Base, Some(0))];
        let (kind, intent) = (BaseKind::Scan, Some(1));
        let base = BaseCommitted { intent, kind, fence: at, complete_at: at, name: None, checked: None, segments };
        self.manifest.bases.push(Base { n: 2, base });
    }

    fn gap(&mut self, from_cut: Second, to_cut: Second) {
        let shard = ShardKey { epoch: 1, id: ShardId::new("s") };
        let id = GapId { n: 1, k: u32::try_from(self.manifest.gaps.len()).unwrap() };
        self.manifest.gaps.push(Gap { id, shard, reason: None, from_cut, to_cut, acknowledged: None });
    }

    async fn at(&self, at: Second, bounds: Bounds) -> Result<Images, ReplayError> {
        self.planned(&plan(&self.manifest, Point::at(at), &Options::default())?, bounds).await
    }

    async fn planned(&self, plan: &Plan, bounds: Bounds) -> Result<Images, ReplayError> {
        let segments = Segments::new(Arc::clone(&self.store) as Arc<dyn ObjectStore>, "table".to_owned());
        let (mut kept, mut total) = (Kept::default(), Total::default());
        image::run(plan, &segments, (bounds, Steps::SILENT), &mut kept, &mut total).await?;
        Ok(kept.0.into_iter().map(|item| (item.pk.as_str().to_owned(), item.image.as_str().to_owned())).collect())
    }
}

fn images(items: &[(usize, u64)]) -> Images {
    items.iter().map(|(key, version)| (pk(*key), image(*key, *version))).collect()
}

/// Key 1 has three versions in one sealed day, of which only the first keeps its old image; key 2 is removed.
async fn sealed_day() -> Archive {
    let mut archive = Archive::new();
    let rest = vec![
        row(1, NOON, 1, Some(10), Some(11)),
        left_out(row(1, NOON.plus(10), 2, Some(11), Some(12))),
        row(2, NOON.plus(1), 3, None, Some(20)),
    ];
    let heads = vec![
        left_out(row(1, NOON.plus(30), 5, Some(12), Some(13))),
        left_out(row(2, NOON.plus(20), 4, Some(20), None)),
    ];
    archive.holds(Tier::Rest, "sealed/rest.parquet", rest).await;
    archive.holds(Tier::Heads, "sealed/heads.parquet", heads).await;
    archive.base(NOON.plus(60), &[(1, 13), (3, 30)]).await;
    archive
}

#[tokio::test]
async fn an_old_image_that_sealing_left_out_is_the_one_before_it_in_its_day() {
    let mut archive = sealed_day().await;
    // Right before each time a change is lost, so that only the way back through old images is left.
    for (at, expected) in [
        (NOON.plus(-1), vec![(1, 10), (3, 30)]),
        (NOON.plus(5), vec![(1, 11), (2, 20), (3, 30)]),
        (NOON.plus(15), vec![(1, 12), (2, 20), (3, 30)]),
        (NOON.plus(25), vec![(1, 12), (3, 30)]),
    ] {
        archive.manifest.gaps.clear();
        archive.gap(at.plus(-1), at.plus(-1));
        for bounds in [Bounds::DEFAULT, TIGHT] {
            assert_eq!(archive.at(at, bounds).await.unwrap(), images(&expected), "at {at}");
        }
    }
}

#[tokio::test]
async fn an_old_image_that_is_nowhere_or_another_is_damage() {
    let mut archive = sealed_day().await;
    archive.gap(NOON.plus(14), NOON.plus(14));
    let other = vec![
        row(1, NOON, 1, Some(10), Some(11)),
        left_out(row(1, NOON.plus(10), 2, Some(11), Some(99))),
        row(2, NOON.plus(1), 3, None, Some(20)),
    ];
    archive.holds(Tier::Rest, "sealed/rest-2.parquet", other).await;
    archive.manifest.segments.remove("sealed/rest.parquet");
    let error = archive.at(NOON.plus(15), Bounds::DEFAULT).await.unwrap_err();
    assert!(matches!(&error, ReplayError::Read(ReadError::Damaged { path, .. }) if path.contains("rest-2")), "{error}");
    archive.manifest.segments.remove("sealed/rest-2.parquet");
    let error = archive.at(NOON.plus(15), Bounds::DEFAULT).await.unwrap_err();
    assert!(matches!(&error, ReplayError::Read(ReadError::Damaged { path, .. }) if path.contains("heads")), "{error}");
}

#[tokio::test]
async fn a_record_that_nobody_could_decode_is_a_gap_of_the_log_or_damage() {
    let mut archive = Archive::new();
    archive.base(NOON, &[(1, 10)]).await;
    archive.holds(Tier::Raw, "raw/a.parquet", vec![undecodable(1, NOON.plus(10), 1)]).await;
    let no_key = Row { key_hash: None, pk: None, ..undecodable(1, NOON.plus(20), 2) };
    archive.holds(Tier::Raw, "raw/b.parquet", vec![no_key, row(2, NOON.plus(15), 3, None, Some(20))]).await;
    assert_eq!(archive.at(NOON.plus(9), Bounds::DEFAULT).await.unwrap(), images(&[(1, 10)]));
    for (at, path) in [(10, "raw/a.parquet"), (20, "raw/b.parquet")] {
        let error = archive.at(NOON.plus(at), TIGHT).await.unwrap_err();
        assert!(
            matches!(&error, ReplayError::Read(ReadError::Damaged { path: found, .. }) if found == path),
            "{error}"
        );
        archive.manifest.segments.remove(path);
    }
    archive.base(NOON.plus(40), &[(1, 11)]).await;
    archive.holds(Tier::Raw, "raw/c.parquet", vec![undecodable(1, NOON.plus(10), 1)]).await;
    archive.gap(NOON.plus(10), NOON.plus(10));
    for at in [10, 30] {
        assert_eq!(archive.at(NOON.plus(at), Bounds::DEFAULT).await.unwrap(), images(&[(1, 11)]));
    }
}

/// Two snapshots that overlap: the first lacks a change that came while it was read, and the second begins behind that
/// change and is complete after the first.
#[tokio::test]
async fn a_snapshot_that_is_complete_later_hides_no_change_that_the_first_one_lacks() {
    let mut archive = Archive::new();
    archive.base(NOON, &[(1, 10), (2, 20)]).await;
    archive.base(NOON.plus(30), &[(1, 11), (2, 20)]).await;
    for (base, complete_at) in archive.manifest.bases.iter_mut().zip([100, 700]) {
        base.base.complete_at = NOON.plus(complete_at);
    }
    archive.holds(Tier::Raw, "raw/a.parquet", vec![row(1, NOON.plus(20), 1, Some(10), Some(11))]).await;
    for bounds in [Bounds::DEFAULT, TIGHT] {
        assert_eq!(archive.at(NOON.plus(90), bounds).await.unwrap(), images(&[(1, 11), (2, 20)]));
        assert_eq!(archive.at(NOON.plus(10), bounds).await.unwrap(), images(&[(1, 10), (2, 20)]));
    }
}

#[tokio::test]
async fn a_head_that_nobody_could_decode_and_that_is_gone_past_does_not_hide_the_change_before_it() {
    let mut archive = Archive::new();
    archive.base(NOON, &[(1, 10), (2, 20)]).await;
    let rest = vec![row(1, NOON.plus(10), 1, Some(10), Some(11))];
    let heads = vec![undecodable(1, NOON.plus(20), 2), row(2, NOON.plus(15), 3, Some(20), Some(21))];
    archive.holds(Tier::Rest, "sealed/rest.parquet", rest).await;
    archive.holds(Tier::Heads, "sealed/heads.parquet", heads).await;
    archive.gap(NOON.plus(20), NOON.plus(20));
    let next_day = NOON.plus(60_000);
    let refused = archive.at(next_day, Bounds::DEFAULT).await;
    assert!(matches!(refused, Err(ReplayError::Refused(Refusal::Gap { .. }))));
    let accepted = Options { accepted: [archive.manifest.gaps[0].id].into(), ..Options::default() };
    let plan = plan(&archive.manifest, Point::at(next_day), &accepted).unwrap();
    assert_eq!(archive.planned(&plan, Bounds::DEFAULT).await.unwrap(), images(&[(1, 11), (2, 21)]));
}

/// Many keys in many raw segments over all hashes, and a base of one key.
async fn many(segments: u64, each: u64, keys: usize) -> Archive {
    let mut archive = Archive::new();
    archive.base(NOON, &[(0, 1)]).await;
    for segment in 0..segments {
        let made = (0..each).map(|at| {
            let number = segment * each + at;
            let key = usize::try_from(number * 7919).unwrap() % keys;
            stamped(key, NOON.plus(1 + i64::try_from(segment).unwrap()), number, None, Some(number))
        });
        archive.holds(Tier::Raw, &format!("raw/{segment:03}.parquet"), rows(made.collect())).await;
    }
    archive
}

#[tokio::test]
async fn objects_are_read_as_often_as_keys_and_images_demand_and_not_oftener() {
    let archive = many(20, 50, 300).await;
    let at = NOON.plus(1000);
    archive.store.take();
    let whole = archive.at(at, Bounds::DEFAULT).await.unwrap();
    assert_eq!((whole.len(), archive.store.take().reads), (300, 21), "what is kept is read once");
    let none_kept = Bounds { kept: 0, ..Bounds::DEFAULT };
    assert_eq!(archive.at(at, none_kept).await.unwrap(), whole);
    let reads = archive.store.take().reads;
    assert!((22..=42).contains(&reads), "once for the winners, once for their images: {reads}");
    // 300 keys of some 100 bytes each, and as many images.
    let five_stretches = Bounds { keys: 300 * 100 / 5, images: 1 << 20, kept: 0, reading: 1 << 20 };
    assert_eq!(archive.at(at, five_stretches).await.unwrap(), whole);
    let reads = archive.store.take().reads;
    assert!((21 * 4..=42 * 8).contains(&reads), "{reads}");
}
