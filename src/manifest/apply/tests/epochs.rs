//! Entries in the chain, and epochs in turn.

use super::*;
use crate::manifest::action::{CoverageEnded, STREAM_DISABLED, UNSELECTED};
use crate::manifest::entry::FoldPointer;
use crate::manifest::fixture::*;
use crate::manifest::{Action, Entry};

#[tokio::test]
async fn epochs_follow_one_another() {
    let ended = [begin(), vec![closed("a", START - 1), epoch_closed(1)]];
    let beaten = [begin(), vec![beat("a", START - 1, 500)], vec![closed("a", START - 1), epoch_closed(1)]];
    let waiting = [begin(), vec![closed("a", START - 1), awaited("c", "x", 200, -1)]];
    all(vec![
        case(4, "epoch 2 where 1 is due", &[], vec![epoch(2, -1)]),
        case(4, "epoch 3 where 2 is due", &ended, vec![epoch(3, 500)]),
        case(4, "epoch 1 where 2 is due", &ended, vec![epoch(1, 500)]),
        case(4, "begins while the one before is open", &[begin()], vec![epoch(2, 500)]),
        case(6, "an epoch's floor falls", &beaten, vec![epoch(2, 499)]),
        case(4, "epoch 2 is not open", &[begin()], vec![epoch_closed(2)]),
        case(4, "epoch 1 is not open", &ended, vec![epoch_closed(1)]),
        case(4, "epoch 1 has open shards", &[begin()], vec![epoch_closed(1)]),
        case(4, "epoch 1 awaits shards", &waiting, vec![epoch_closed(1)]),
    ])
    .await;
}

#[tokio::test]
async fn coverage_that_ended_begins_again_with_an_epoch_or_where_the_stream_went_on() {
    let ends = |reason: &str| Action::CoverageEnded(CoverageEnded { reason: reason.to_owned() });
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    commit(&log, &mut manifest, vec![ends(UNSELECTED)]).await;
    assert_eq!(manifest.coverage_ended.as_deref(), Some(UNSELECTED));
    commit(&log, &mut manifest, vec![beat("a", START - 1, 500)]).await;
    assert_eq!(manifest.coverage_ended, None);
    commit(&log, &mut manifest, vec![ends(STREAM_DISABLED)]).await;
    // What the stream still had.
    commit(&log, &mut manifest, vec![beat("a", START - 1, 600)]).await;
    assert_eq!(manifest.coverage_ended.as_deref(), Some(STREAM_DISABLED));
    commit(&log, &mut manifest, vec![closed("a", START - 1), epoch_closed(1)]).await;
    commit(&log, &mut manifest, vec![epoch(2, 600)]).await;
    assert_eq!(manifest.coverage_ended, None);
}

#[tokio::test]
async fn an_entry_stands_in_its_place_of_the_chain() {
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    let fold = |n| Some(FoldPointer { n, sha256: "ff".into() });
    let honest = Scribe::after(&store, &manifest).entry(vec![]);
    let skips = Entry { n: 2, ..honest.clone() };
    let repeats = Entry { n: 0, ..honest.clone() };
    let chains = Entry { prev_sha256: Some("ab".repeat(32)), ..honest.clone() };
    let first = Entry { prev_sha256: None, ..honest.clone() };
    let ahead = Entry { fold: fold(1), ..honest.clone() };
    for (entry, says) in [
        (skips, "number 2 where 1 is due"),
        (repeats, "number 0 where 1 is due"),
        (chains, "it does not chain"),
        (first, "it does not chain"),
        (ahead, "it names the fold of entry 1"),
    ] {
        let Violation { invariant, what, .. } = violation(&manifest, &entry);
        assert_eq!(invariant, 11, "{what}");
        assert!(what.contains(says), "{what}");
    }
    manifest.fold = fold(0);
    assert!(violation(&manifest, &honest).what.contains("it forgets the fold"));
    let mut later = Scribe::after(&store, &manifest);
    later.next = 5;
    manifest.next = 5;
    manifest.fold = fold(4);
    let back = Entry { fold: fold(3), ..later.entry(vec![]) };
    assert_eq!((violation(&manifest, &back).invariant, violation(&manifest, &back).what.contains("fold.n")), (6, true));
}
