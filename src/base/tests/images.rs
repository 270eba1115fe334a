//! Images of the archive's own: when they pay, and that what is written is compared with the rows before it counts.

use super::*;
use crate::base::due::pays;
use crate::base::sample::compared;
use crate::manifest::{Base, BaseCommitted, Epoch};
use crate::segment::tests::{facts, key, stamped};
use crate::segment::{BaseRow, SegmentMeta};

/// 2026-11-22T00:00:00Z.
const DAY: Second = Second(1_795_305_600);
/// Its end.
const END: Second = Second(DAY.0 + 86_399);
const ITEMS: u64 = 40;

fn item(n: u64, version: u64) -> String {
    format!("{{\"id\":{{\"S\":\"k{n}\"}},\"v\":{{\"N\":\"{version}\"}}}}")
}

fn changed(n: u64, old: Option<u64>, new: Option<u64>) -> Stamped {
    let (old, new) = (old.map(|version| item(n, version)), new.map(|version| item(n, version)));
    stamped(DAY.plus(i64::try_from(n).unwrap() + 1), &format!("k{n}"), 100 + n, new.as_deref(), old.as_deref())
}

fn base_rows(items: impl Iterator<Item = (u64, u64)>) -> Vec<BaseRow> {
    let row = |(n, version)| BaseRow::new(key(&format!("k{n}")), Text::from(item(n, version))).unwrap();
    items.map(row).collect()
}

async fn stored(store: &dyn ObjectStore, name: &str, rows: Vec<BaseRow>) -> SegmentMeta {
    let encoded = encode::base(rows, &facts(), DAY, 0).unwrap();
    store.put_new(&format!("table/{name}"), encoded.bytes.clone(), Keep::Full).await.unwrap();
    encoded.meta(name.to_owned(), None, Tier::Base, Some(0))
}

/// A snapshot of all items, and a day in which every third is removed, every third changed, and as many are new.
async fn of_one_day(store: &dyn ObjectStore) -> Manifest {
    let mut manifest = Manifest::default();
    let started = EpochStarted {
        epoch: 1,
        stream_arn: "arn".to_owned(),
        view_type: "NEW_AND_OLD_IMAGES".to_owned(),
        keys: KeySchema(vec![]),
        created: DAY,
        floor: DAY.plus(-1),
    };
    manifest.epochs.insert(1, Epoch { started, started_in: 0, border_from: None, judged_in: None });
    manifest.closed_through = Some(END);
    let segments = vec![stored(store, "base/before", base_rows((0..ITEMS).map(|n| (n, 1)))).await];
    let (kind, fence) = (BaseKind::Scan, DAY);
    let base = BaseCommitted { intent: Some(1), kind, fence, complete_at: fence, name: None, checked: None, segments };
    manifest.bases.push(Base { n: 2, base });
    let changes = (0..ITEMS).filter_map(|n| match n % 3 {
        0 => Some(changed(n, Some(1), None)),
        1 => Some(changed(n, Some(1), Some(2))),
        _ => None,
    });
    let rows: Vec<Stamped> = changes.chain((ITEMS..ITEMS + 13).map(|n| changed(n, None, Some(3)))).collect();
    let rows = crate::segment::decode::changes(encode::changes(rows, &facts()).unwrap().remove(0).bytes).unwrap();
    let encoded = encode::of_day(Tier::Heads, DAY, rows, &facts(), encode::Layout::RAW).unwrap();
    store.put_new("table/heads", encoded.bytes.clone(), Keep::Full).await.unwrap();
    manifest.segments.insert("heads".into(), Arc::new(encoded.meta("heads".to_owned(), None, Tier::Heads, Some(0))));
    manifest
}

/// The items at the end of that day, in order of hash.
fn at_the_end() -> Vec<BaseRow> {
    let old = (0..ITEMS).filter(|n| n % 3 != 0).map(|n| (n, if n % 3 == 1 { 2 } else { 1 }));
    let mut rows = base_rows(old.chain((ITEMS..ITEMS + 13).map(|n| (n, 3))));
    rows.sort_by_key(|row| row.key_hash);
    rows
}

#[tokio::test]
async fn an_image_that_is_not_what_the_rows_say_is_not_committed() {
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    let manifest = of_one_day(&*store).await;
    let planned = plan(&manifest, Point::at(END), &Options::default()).unwrap();
    let segments = Segments::new(Arc::clone(&store), "table".to_owned());
    let right = at_the_end();
    let check = async |name: &str, rows: Vec<BaseRow>, halves: bool| {
        let middle = if halves { rows.len() / 2 } else { 0 };
        let mut written = Vec::new();
        for (number, half) in
            [&rows[..middle], &rows[middle..]].into_iter().enumerate().filter(|(_, half)| !half.is_empty())
        {
            written.push(stored(&*store, &format!("{name}/{number}"), half.to_vec()).await);
        }
        compared(&segments, &planned, &written, 7).await
    };
    for halves in [false, true] {
        let name = |what: &str| format!("{what}-{halves}");
        check(&name("right"), right.clone(), halves).await.unwrap();
        for at in [0, right.len() / 2, right.len() - 1] {
            let mut lacks = right.clone();
            let lost = lacks.remove(at);
            let error = check(&name(&format!("lacks-{at}")), lacks, halves).await.unwrap_err();
            assert!(matches!(error, BaseError::Differs(_)), "{lost:?} is lost: {error}");
            let mut other = right.clone();
            other[at].image = Text::from(item(99, 9));
            let error = check(&name(&format!("other-{at}")), other, halves).await.unwrap_err();
            assert!(matches!(error, BaseError::Differs(_)), "{error}");
        }
        let mut more = right.clone();
        more.extend(base_rows([(0, 1)].into_iter()));
        more.sort_by_key(|row| row.key_hash);
        let error = check(&name("removed"), more, halves).await.unwrap_err();
        assert!(matches!(error, BaseError::Differs(_)), "an item that was removed: {error}");
    }
    let error = compared(&segments, &planned, &[], 7).await.unwrap_err();
    assert!(matches!(error, BaseError::Differs(_)), "all items are lost: {error}");
}

#[tokio::test]
async fn an_image_pays_once_the_changes_outweigh_the_one_before() {
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    let mut manifest = of_one_day(&*store).await;
    assert!(!pays(&manifest, END), "a few items");
    let heavy = |manifest: &mut Manifest, heads: u64, image: u64| {
        let meta = manifest.segments.values().next().unwrap();
        let meta = SegmentMeta { bytes: heads, ..(**meta).clone() };
        manifest.segments.insert("heads".into(), Arc::new(meta));
        manifest.bases[0].base.segments[0].bytes = image;
    };
    for (heads, image, expected) in
        [(15 << 20, 1, false), (17 << 20, 1, true), (99 << 20, 100 << 20, false), (101 << 20, 100 << 20, true)]
    {
        heavy(&mut manifest, heads, image);
        assert_eq!(pays(&manifest, END), expected, "{heads} bytes since an image of {image}");
    }
    manifest.bases[0].base.complete_at = END.plus(1);
    assert!(!pays(&manifest, END), "no image stands before it");
}
