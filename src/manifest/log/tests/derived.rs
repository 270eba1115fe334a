//! Folds and packs that are lost, damaged or another log's: the manifest is the same.

use super::*;
use crate::manifest::entry::{FoldPointer, sha256};
use crate::manifest::pack;
use crate::store::Keep;
use crate::store::counting::CountingStore;

const THROUGH: u64 = START - 1;

/// Three days of segments, and some folds.
async fn three_days(seed: u64) -> (Arc<dyn ObjectStore>, Log, Manifest) {
    let store = memory();
    let (log, mut manifest) = open(&store, seed).await;
    commit(&log, &mut manifest, begin()).await;
    for n in 0..50_u64 {
        let after = THROUGH + n * 10;
        let cut = 1000 + 3_600 * i64::try_from(n).unwrap();
        commit(&log, &mut manifest, vec![rows("a", after, after + 10, cut)]).await;
    }
    (store, log, manifest)
}

async fn listed(store: &Arc<dyn ObjectStore>, tier: &str) -> Vec<String> {
    let prefix = format!("{}/{tier}/", table().folder());
    let objects = store.list(&prefix, None, None).await.unwrap();
    objects.into_iter().map(|object| object.path).collect()
}

async fn bytes(store: &Arc<dyn ObjectStore>, path: &str) -> Vec<u8> {
    store.get(path, None).await.unwrap().bytes.to_vec()
}

/// A reader, and a writer that goes on far enough to fold again, after whatever was done to the store.
async fn still_the_same(store: &Arc<dyn ObjectStore>, what: &str) {
    let expected = from_entries(store).await;
    let (log, mut opened) = open(store, 7).await;
    assert_eq!(whole(&log, opened.clone()).await, expected, "{what}");
    let begun = opened.next;
    let shard = opened.shards.values().next().unwrap();
    let (through, cut) = (shard.through.as_delivered().parse::<u64>().unwrap(), shard.cut.0 - at(0).0);
    let mut proposed = Proposed::Lost;
    for _ in 0..2 {
        // The part of the day may have to be done without: then the log is read anew, and the actions are made anew.
        if proposed == Proposed::Lost {
            let actions = vec![rows("a", through, through + 10, cut)];
            proposed = log.propose(&mut opened, at(0), actions).await.unwrap();
        }
    }
    assert!(matches!(proposed, Proposed::Committed { .. }), "{what}: {proposed:?}");
    idle_from(&log, &mut opened, through + 10, cut, 20).await;
    let expected = from_entries(store).await;
    let (log, again) = open(store, 8).await;
    assert!(again.fold.as_ref().is_some_and(|fold| fold.n + 1 >= begun), "{what}: folds are written again");
    assert_eq!(whole(&log, again).await, expected, "{what}: after more entries");
}

async fn idle_from(log: &Log, manifest: &mut Manifest, through: u64, from: i64, entries: i64) {
    for n in 0..entries {
        commit(log, manifest, vec![beat("a", through, from + n)]).await;
    }
}

#[tokio::test]
async fn any_object_of_a_fold_may_be_lost_cut_flipped_or_exchanged() {
    let count = listed(&three_days(1).await.0, "fold").await.len();
    assert!(count >= 6, "{count} objects");
    for index in 0..count {
        for damage in 0..4 {
            let (store, _, _) = three_days(1).await;
            let all = listed(&store, "fold").await;
            let path = &all[index];
            let mut now = bytes(&store, path).await;
            match damage {
                0 => store.delete(path, None).await.unwrap(),
                1 => replace(&store, path, now[..now.len() / 2].to_vec()).await,
                2 => {
                    let middle = now.len() / 2;
                    now[middle] ^= 1;
                    replace(&store, path, now).await;
                }
                _ => replace(&store, path, bytes(&store, &all[(index + 1) % count]).await).await,
            }
            still_the_same(&store, &format!("damage {damage} of {path}")).await;
        }
    }
}

#[tokio::test]
async fn a_log_needs_no_fold_at_all() {
    let (store, _, _) = three_days(1).await;
    for path in listed(&store, "fold").await {
        store.delete(&path, None).await.unwrap();
    }
    still_the_same(&store, "no fold").await;
}

#[tokio::test]
async fn a_hidden_part_is_a_lost_part() {
    let store: Arc<dyn ObjectStore> = Arc::new(crate::store::memory::MemoryStore::versioned());
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    commit(&log, &mut manifest, vec![rows("a", THROUGH, 109, 700)]).await;
    idle_from(&log, &mut manifest, 109, 700, 40).await;
    for path in listed(&store, "fold/day=2026-11-22").await {
        store.delete(&path, None).await.unwrap();
    }
    let (log, opened) = open(&store, 2).await;
    assert!(opened.segments.is_empty(), "the fold is used, its part is not read yet");
    assert_eq!(whole(&log, opened).await, said(manifest));
}

#[tokio::test]
async fn a_sealed_day_without_rows_survives_a_fold() {
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    commit(&log, &mut manifest, vec![rows("a", THROUGH, 109, 700)]).await;
    commit(&log, &mut manifest, vec![beat("a", 109, 3 * DAY)]).await;
    commit(&log, &mut manifest, vec![seal_started(0, &[&raw("a-109-700", 10, 700)])]).await;
    commit(&log, &mut manifest, vec![seal(3, vec![sealed(3, &raw("a-109-700", 10, 700))])]).await;
    idle_from(&log, &mut manifest, 109, 3 * DAY + 1, 20).await;
    let (log, mut manifest) = open(&store, 2).await;
    commit(&log, &mut manifest, vec![seal_started(1, &[])]).await;
    let intent = manifest.next - 1;
    commit(&log, &mut manifest, vec![seal(intent, vec![])]).await;
    idle_from(&log, &mut manifest, 109, 3 * DAY + 30, 20).await;
    let (log, opened) = open(&store, 3).await;
    let opened = whole(&log, opened).await;
    assert_eq!(opened.sealed.len(), 2);
    assert_eq!(opened, from_entries(&store).await);
}

#[tokio::test]
async fn a_damaged_part_is_written_again_under_another_name() {
    let (store, _, _) = three_days(1).await;
    let parts = listed(&store, "fold/day=2026-11-22").await;
    for path in &parts {
        replace(&store, path, b"damaged".to_vec()).await;
    }
    let (log, mut manifest) = open(&store, 2).await;
    log.load_segments(&mut manifest, None, None).await.unwrap();
    let begun = manifest.next;
    let last = manifest.shards.values().next().unwrap();
    let (through, floor) = (last.through.as_delivered().parse().unwrap(), last.floor.0 - at(0).0 + 1);
    idle_from(&log, &mut manifest, through, floor, 20).await;
    assert!(manifest.fold.as_ref().is_some_and(|fold| fold.n + 1 >= begun), "folds are named again");
    let (log, again) = open(&store, 3).await;
    let stored = again.days["2026-11-22"].stored.clone().unwrap();
    assert!(parts.iter().all(|path| !path.contains(&stored.sha256)));
    assert_eq!(whole(&log, again).await, said(manifest));
}

#[tokio::test]
async fn a_part_lost_while_a_writer_runs_does_not_stop_it() {
    let (store, _, _) = three_days(1).await;
    let (log, mut running) = open(&store, 2).await;
    let old: Vec<String> = listed(&store, "fold/day=2026-11-22").await;
    assert!(!old.is_empty() && running.days.values().any(|day| !day.loaded));
    for path in &old {
        store.delete(path, None).await.unwrap();
    }
    // It names the lost day: read anew once, then it holds.
    let gone = vec![collect(&["raw/dt=2026-11-22/orphan.parquet"])];
    assert_eq!(log.propose(&mut running, at(0), gone.clone()).await.unwrap(), Proposed::Lost);
    commit(&log, &mut running, gone).await;
    assert_eq!(said(running), from_entries(&store).await);
}

#[tokio::test]
async fn a_fold_that_no_entry_names_does_not_exist() {
    let (store, _, manifest) = three_days(1).await;
    let newest = listed(&store, "fold").await.into_iter().rfind(|path| !path.contains("day=")).unwrap();
    let foreign = format!("{}/fold/{:020}.json.zst", table().folder(), manifest.next - 1);
    let planted = bytes(&store, &newest).await;
    let _ = store.put_new(&foreign, planted.into(), Keep::Derived).await;
    let (log, opened) = open(&store, 2).await;
    assert_eq!(whole(&log, opened).await, said(manifest));
}

#[tokio::test]
async fn the_fold_of_another_log_is_not_taken_though_an_entry_names_it() {
    let (other, _, theirs) = three_days(2).await;
    let (store, _, ours) = three_days(1).await;
    let named = theirs.fold.clone().unwrap();
    let path = format!("{}/fold/{:020}.json.zst", table().folder(), named.n);
    let foreign = bytes(&other, &path).await;
    let mut scribe = Scribe::after(&store, &ours);
    scribe.fold = Some(FoldPointer { n: named.n, sha256: sha256(&foreign) });
    replace(&store, &path, foreign).await;
    scribe.put(vec![]).await;
    still_the_same(&store, "another log's fold").await;
}

/// Some more entries than a pack holds.
async fn packed(seed: u64) -> (Arc<dyn ObjectStore>, Log, Manifest) {
    let store = memory();
    let (log, mut manifest) = open(&store, seed).await;
    commit(&log, &mut manifest, begin()).await;
    commit(&log, &mut manifest, vec![rows("a", THROUGH, 109, 700)]).await;
    let mut scribe = Scribe::after(&store, &manifest);
    for floor in 700..700 + i64::try_from(pack::ENTRIES).unwrap() {
        scribe.put(vec![beat("a", 109, floor)]).await;
    }
    log.refresh(&mut manifest).await.unwrap();
    (store, log, manifest)
}

#[tokio::test]
async fn a_log_without_a_fold_opens_by_its_pack_if_that_is_sound() {
    let (store, log, manifest) = packed(1).await;
    assert_eq!(log.write_packs(manifest.next).await.unwrap(), 1);
    let path = log.path(&pack::path(0));
    let own = bytes(&store, &path).await;
    // A pack that is not the log's: one bit of it, or one of its entries.
    let mut flipped = own.clone();
    flipped[own.len() / 2] ^= 4;
    let mut entries = Vec::new();
    for n in 0..pack::ENTRIES {
        entries.push(store.get(&slot(n), None).await.unwrap().bytes);
    }
    let honest = crate::manifest::Entry::decode(5000, &entries[5000]).unwrap();
    let forged = crate::manifest::Entry { actions: vec![beat("a", 109, 9 * DAY)], ..honest };
    entries[5000] = forged.encode().unwrap();
    for (now, what) in [(flipped, "flipped"), (pack::encode(&entries).unwrap(), "forged")] {
        replace(&store, &path, now).await;
        assert_eq!(said(open(&store, 3).await.1), said(manifest.clone()), "{what}");
        assert_eq!(log.write_packs(manifest.next).await.unwrap(), 0, "{what}: nothing is put twice");
    }
    // The log's own: few requests, and what most of its entries said is not asked for again.
    replace(&store, &path, own).await;
    for n in 1..pack::ENTRIES - 1 {
        store.delete(&slot(n), None).await.unwrap();
    }
    let counting = Arc::new(CountingStore::new(Arc::clone(&store)));
    let asked: Arc<dyn ObjectStore> = Arc::<CountingStore>::clone(&counting);
    assert_eq!(said(open(&asked, 4).await.1), said(manifest));
    let counts = counting.take();
    assert!(counts.reads + counts.probes + counts.lists <= 40, "{counts:?}");
}

#[tokio::test]
async fn a_void_goes_past_an_entry_that_lies_in_a_pack() {
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    let mut scribe = Scribe::after(&store, &manifest);
    scribe.put_bytes("no entry".into()).await;
    scribe.put(vec![void(1, 1)]).await;
    for floor in 0..i64::try_from(pack::ENTRIES).unwrap() {
        scribe.put(vec![beat("a", THROUGH, floor)]).await;
    }
    log.refresh(&mut manifest).await.unwrap();
    assert_eq!((manifest.blocked.clone(), manifest.next), (None, pack::ENTRIES + 3));
    log.write_packs(manifest.next).await.unwrap();
    let (_, opened) = open(&store, 2).await;
    assert_eq!(said(opened), said(manifest));
}
