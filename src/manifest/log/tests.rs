//! The log over a store in memory.

mod derived;
mod history;
mod needs;
mod outcomes;
mod voids;

use super::*;
use crate::manifest::fixture::*;
use crate::manifest::{Action, Violation};

/// Heartbeats of the shard `a`, one entry each, each a second further than the last.
async fn idle(log: &Log, manifest: &mut Manifest, entries: u64) {
    for _ in 0..entries {
        let floor = manifest.shards.values().next().unwrap().floor;
        let beat = beat("a", START - 1, floor.0 - at(0).0 + 1);
        commit(log, manifest, vec![beat]).await;
    }
}

#[tokio::test]
async fn a_log_opens_as_its_writer_left_it_also_from_its_fold() {
    let store = memory();
    let (log, mut own) = open(&store, 1).await;
    commit(&log, &mut own, begin()).await;
    idle(&log, &mut own, 39).await;
    assert!(own.fold.is_some());
    let (_, opened) = open(&store, 2).await;
    assert_eq!(said(opened.clone()), said(own));
    assert_eq!((opened.next, opened.closed_through), (40, Some(at(38))));
    assert_eq!(opened.proven_through, Some(at(-1)));
}

#[tokio::test]
async fn the_loser_of_a_race_has_the_winners_entry() {
    let store = memory();
    let (first, mut one) = open(&store, 1).await;
    commit(&first, &mut one, begin()).await;
    let (second, mut two) = open(&store, 2).await;
    let actions = vec![beat("a", START - 1, 5)];
    commit(&first, &mut one, actions.clone()).await;
    assert_eq!(second.propose(&mut two, at(0), actions.clone()).await.unwrap(), Proposed::Lost);
    assert_eq!(said(two.clone()), said(one));
    let proposed = second.propose(&mut two, at(0), actions).await.unwrap();
    let Proposed::Refused(Violation { invariant, n, .. }) = proposed else { panic!("{proposed:?}") };
    assert_eq!((invariant, n), (6, 2));
}

#[tokio::test]
async fn a_log_with_a_lost_entry_is_no_shorter_log() {
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    idle(&log, &mut manifest, 49).await;
    for lost in [0, 15, 16, 30, 48] {
        let bytes = store.get(&slot(lost), None).await.unwrap().bytes;
        store.delete(&slot(lost), None).await.unwrap();
        let opened = Log::open(Arc::clone(&store), &table(), Ids::seeded(2)).await;
        // A fold may lie behind the loss: then everything is known, and `verify` tells of the entry.
        let whole = opened.as_ref().is_ok_and(|(_, opened)| said(opened.clone()) == said(manifest.clone()));
        assert!(whole || matches!(opened, Err(LogError::Hole { n }) if n == lost), "{lost}: {opened:?}");
        store.put_new(&slot(lost), bytes, crate::store::Keep::Full).await.unwrap();
    }
}
