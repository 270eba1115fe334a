//! What a writer learns of its commit, and what it does when it learns nothing: never the same entry twice.

use std::time::Duration;

use super::*;
use crate::store::StoreError;
use crate::store::fault::{Fault, FaultyStore};
use crate::store::memory::MemoryStore;

/// By then what comes late in these tests has come.
const LANDED: Duration = Duration::from_millis(400);

/// The entries of the log that hold a heartbeat with this floor.
async fn with_floor(store: &Arc<dyn ObjectStore>, floor: i64) -> usize {
    let mut found = 0;
    for n in 0.. {
        let Ok(object) = store.get_oldest(&slot(n)).await else { break };
        let entry = crate::manifest::Entry::decode(n, &object.bytes).unwrap();
        let is_it = |action: &Action| matches!(action, Action::Heartbeat(beat) if beat.floor == at(floor));
        found += entry.actions.iter().filter(|action| is_it(action)).count();
    }
    found
}

/// Commits under these faults of the put, in a bucket with or without versions.
async fn committed_under(faults: &[Fault], versioned: bool) {
    let sound: Arc<dyn ObjectStore> =
        if versioned { Arc::new(MemoryStore::versioned()) } else { Arc::new(MemoryStore::new()) };
    let (log, mut manifest) = open(&sound, 1).await;
    commit(&log, &mut manifest, begin()).await;
    let script = faults.iter().enumerate().map(|(put, fault)| (put as u64, *fault));
    let faulty: Arc<dyn ObjectStore> = Arc::new(FaultyStore::scripted(Arc::clone(&sound), script, []));
    let (log, mut manifest) = open(&faulty, 2).await;
    let proposed = log.propose(&mut manifest, at(0), vec![beat("a", START - 1, 7)]).await.unwrap();
    assert_eq!(proposed, Proposed::Committed { n: 1 }, "{faults:?}");
    commit(&log, &mut manifest, vec![beat("a", START - 1, 8)]).await;
    // What was still under way has landed by now, or been refused.
    crate::platform::clock::sleep(LANDED).await;
    assert_eq!((with_floor(&sound, 7).await, with_floor(&sound, 8).await), (1, 1), "{faults:?}");
    assert_eq!(said(open(&sound, 3).await.1), said(manifest), "{faults:?}");
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_without_a_second_commit() {
    let late = Fault::Late(Duration::from_millis(120));
    let scripts = [
        &[Fault::Lost][..],
        &[Fault::Unanswered],
        &[late],
        &[Fault::Lost, Fault::Lost, Fault::Unanswered],
        &[late, Fault::Lost, late],
        &[Fault::Late(Duration::from_millis(1)), Fault::Lost],
    ];
    let both = scripts.iter().flat_map(|faults| [committed_under(faults, false), committed_under(faults, true)]);
    futures::future::join_all(both).await;
}

#[tokio::test]
async fn who_loses_the_slot_while_its_outcome_is_unknown_has_lost() {
    let sound = memory();
    let (winner, mut won) = open(&sound, 1).await;
    commit(&winner, &mut won, begin()).await;
    let faulty: Arc<dyn ObjectStore> =
        Arc::new(FaultyStore::scripted(Arc::clone(&sound), [(0, Fault::Late(Duration::from_millis(120)))], []));
    let (loser, mut lost) = open(&faulty, 2).await;
    commit(&winner, &mut won, vec![beat("a", START - 1, 9)]).await;
    let proposed = loser.propose(&mut lost, at(0), vec![beat("a", START - 1, 7)]).await.unwrap();
    assert_eq!(proposed, Proposed::Lost);
    crate::platform::clock::sleep(LANDED).await;
    assert_eq!((with_floor(&sound, 7).await, with_floor(&sound, 9).await), (0, 1));
    assert_eq!(said(lost), said(won));
}

#[tokio::test]
async fn a_refused_put_is_an_error_and_leaves_the_manifest_as_it_was() {
    let sound = memory();
    let (log, mut manifest) = open(&sound, 1).await;
    commit(&log, &mut manifest, begin()).await;
    for fault in [Fault::Refused, Fault::Denied] {
        let faulty: Arc<dyn ObjectStore> = Arc::new(FaultyStore::scripted(Arc::clone(&sound), [(0, fault)], []));
        let (log, mut manifest) = open(&faulty, 2).await;
        let before = manifest.clone();
        log.propose(&mut manifest, at(0), vec![beat("a", START - 1, 7)]).await.unwrap_err();
        assert_eq!(manifest, before);
        assert_eq!(with_floor(&sound, 7).await, 0);
    }
}

#[tokio::test]
async fn the_oldest_version_of_a_slot_is_the_entry() {
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::versioned());
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    let mut forged = Scribe::after(&store, &manifest);
    commit(&log, &mut manifest, vec![beat("a", START - 1, 7)]).await;
    // Over a delete marker a conditional put succeeds: a later version, which is nothing.
    store.delete(&slot(1), None).await.unwrap();
    forged.put(vec![beat("a", START - 1, 1000)]).await;
    let (newest, oldest) = (store.get(&slot(1), None).await.unwrap(), store.get_oldest(&slot(1)).await.unwrap());
    assert_ne!(newest.bytes, oldest.bytes);
    let (_, opened) = open(&store, 2).await;
    assert_eq!(said(opened), said(manifest.clone()));
    // A writer that puts over a marker finds that its version is not the oldest.
    let (second, mut behind) = open(&store, 3).await;
    commit(&log, &mut manifest, vec![beat("a", START - 1, 8)]).await;
    store.delete(&slot(2), None).await.unwrap();
    let proposed = second.propose(&mut behind, at(0), vec![beat("a", START - 1, 9)]).await.unwrap();
    assert_eq!(proposed, Proposed::Lost);
    assert_eq!(said(behind), said(manifest));
}

#[tokio::test]
async fn a_slot_under_a_delete_marker_is_occupied() {
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::versioned());
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    commit(&log, &mut manifest, vec![beat("a", START - 1, 7)]).await;
    store.delete(&slot(1), None).await.unwrap();
    let (_, opened) = open(&store, 2).await;
    assert_eq!(said(opened), said(manifest.clone()), "the marker hides nothing while a version is left");
    // Only the marker is left: the entry is gone and the slot is not free.
    let version = manifest.tail_version_id.clone();
    store.delete(&slot(1), version.as_deref()).await.unwrap();
    let opened = Log::open(Arc::clone(&store), &table(), Ids::seeded(3)).await;
    assert!(matches!(&opened, Err(LogError::Store(StoreError::Hidden { path })) if *path == slot(1)), "{opened:?}");
    let stopped = log.propose(&mut manifest, at(0), vec![beat("a", START - 1, 8)]).await;
    assert!(matches!(&stopped, Err(LogError::Store(StoreError::Hidden { .. }))), "{stopped:?}");
    assert!(!store.occupied(&slot(2)).await.unwrap());
}

#[tokio::test]
async fn a_writer_whose_slot_holds_another_entry_stops() {
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    let other = Scribe::after(&store, &manifest).entry(vec![beat("a", START - 1, 500)]);
    commit(&log, &mut manifest, vec![beat("a", START - 1, 7)]).await;
    replace(&store, &slot(1), other.encode().unwrap()).await;
    let stopped = log.propose(&mut manifest, at(0), vec![beat("a", START - 1, 8)]).await;
    assert!(matches!(stopped, Err(LogError::Forked { n: 1 })), "{stopped:?}");
    assert!(!store.occupied(&slot(2)).await.unwrap(), "what chains to nothing is not written");
    // Also when it only reads, and somebody goes on behind the exchanged entry.
    let (second, mut exchanged) = open(&store, 2).await;
    commit(&second, &mut exchanged, vec![beat("a", START - 1, 501)]).await;
    let stopped = log.refresh(&mut manifest).await;
    assert!(matches!(stopped, Err(LogError::Forked { n: 1 })), "{stopped:?}");
}

#[tokio::test]
async fn a_writer_whose_slot_is_empty_stops() {
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    commit(&log, &mut manifest, vec![beat("a", START - 1, 7)]).await;
    store.delete(&slot(1), None).await.unwrap();
    let stopped = log.propose(&mut manifest, at(0), vec![beat("a", START - 1, 8)]).await;
    assert!(matches!(stopped, Err(LogError::Hole { n: 1 })), "{stopped:?}");
    assert!(!store.occupied(&slot(2)).await.unwrap());
}

#[tokio::test]
async fn a_writer_that_cannot_look_at_its_last_slot_goes_on() {
    let sound = memory();
    let (log, mut manifest) = open(&sound, 1).await;
    commit(&log, &mut manifest, begin()).await;
    let faulty = Arc::new(FaultyStore::scripted(Arc::clone(&sound), [], (0..40).map(|n| (n, Fault::Lost))));
    let asked: Arc<dyn ObjectStore> = Arc::<FaultyStore>::clone(&faulty);
    let log = Log::unread(asked, &table(), Ids::seeded(2));
    commit(&log, &mut manifest, vec![beat("a", START - 1, 7)]).await;
    assert!(faulty.reads() > 0);
}
