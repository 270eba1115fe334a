//! Voids: what goes past an entry without effect, what is undone, and what never is.

use super::*;
use crate::manifest::{BaseKind, GapReason};

const THROUGH: u64 = START - 1;

/// A log with these entries, each valid.
async fn log_of(entries: Vec<Vec<Action>>) -> (Arc<dyn ObjectStore>, Log, Manifest) {
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    for actions in entries {
        commit(&log, &mut manifest, actions).await;
    }
    (store, log, manifest)
}

/// A shard's rows in entries 1, 2 and 3.
async fn log_of_three_rows() -> (Arc<dyn ObjectStore>, Log, Manifest) {
    log_of(vec![
        begin(),
        vec![rows("a", THROUGH, 109, 700)],
        vec![rows("a", 109, 119, 800)],
        vec![rows("a", 119, 129, 900)],
    ])
    .await
}

/// Commits a void, and sees that a reader from entry 0 and one from the newest fold agree with its writer.
async fn voided(store: &Arc<dyn ObjectStore>, log: &Log, manifest: &mut Manifest, from: u64, to: u64) {
    commit(log, manifest, vec![void(from, to)]).await;
    assert_eq!(from_entries(store).await, said(manifest.clone()));
    let (second, opened) = open(store, 9).await;
    assert_eq!(whole(&second, opened).await, said(manifest.clone()));
}

#[tokio::test]
async fn a_voided_range_has_no_effect_and_the_rest_has() {
    let (store, log, mut manifest) = log_of_three_rows().await;
    let (_, _, kept) = log_of(vec![begin(), vec![rows("a", THROUGH, 109, 700)]]).await;
    voided(&store, &log, &mut manifest, 2, 3).await;
    assert_eq!((&manifest.shards, &manifest.segments, manifest.rows), (&kept.shards, &kept.segments, 10));
    assert_eq!(manifest.closed_through, Some(at(699)), "floors are computed anew and may fall");
    assert_eq!(manifest.next, 5);
    // Used paths are never used again, also when nothing names them now.
    assert_eq!(manifest.retired.len(), 2);
    let proposed = log.propose(&mut manifest, at(0), vec![rows("a", 109, 119, 800)]).await.unwrap();
    let Proposed::Refused(violation) = proposed else { panic!("{proposed:?}") };
    assert_eq!(violation.invariant, 8);
    commit(&log, &mut manifest, vec![rows("a", 109, 118, 800)]).await;
}

#[tokio::test]
async fn gaps_epochs_and_late_labels_of_the_range_are_gone() {
    let late = {
        let mut span = span("a", 109, 119, 10, 800);
        span.late = vec![crate::manifest::Interval { from: at(1), to: at(5) }];
        added(vec![raw("late", 10, 800)], vec![span])
    };
    let lost = added(vec![], vec![gap("a", THROUGH, 109, GapReason::PossiblyTrimmed, 0, 60, true)]);
    let ended = vec![closed("a", 119), epoch_closed(1)];
    let (store, log, mut manifest) = log_of(vec![begin(), vec![lost], vec![late], ended, vec![epoch(2, 900)]]).await;
    voided(&store, &log, &mut manifest, 1, 4).await;
    assert_eq!((manifest.gaps.len(), manifest.late.len(), manifest.epochs.len()), (0, 0, 1));
    assert_eq!(manifest.open_epoch().map(|(number, _)| number), Some(1));
}

#[tokio::test]
async fn a_collected_path_stays_collected() {
    let gone = "raw/dt=2027-01-01/gone.parquet";
    let (store, log, mut manifest) = log_of(vec![begin(), vec![collect(&[gone])], vec![beat("a", THROUGH, 7)]]).await;
    voided(&store, &log, &mut manifest, 1, 2).await;
    assert!(manifest.collected.contains(gone));
    // It survives a fold too, though nothing else is left of that day.
    idle(&log, &mut manifest, 40).await;
    let (second, opened) = open(&store, 2).await;
    assert!(opened.fold.is_some());
    assert!(whole(&second, opened).await.collected.contains(gone));
}

#[tokio::test]
async fn retired_paths_survive_a_fold_though_nothing_else_is_left_of_their_day() {
    let far = raw("far", 10, 40 * DAY);
    let (store, log, mut manifest) =
        log_of(vec![begin(), vec![added(vec![far.clone()], vec![span("a", THROUGH, 109, 10, 40 * DAY)])]]).await;
    voided(&store, &log, &mut manifest, 1, 1).await;
    idle(&log, &mut manifest, 40).await;
    let (second, opened) = open(&store, 2).await;
    assert!(opened.fold.as_ref().is_some_and(|fold| fold.n > 2));
    assert_eq!(whole(&second, opened.clone()).await, from_entries(&store).await);
    let mut opened = opened;
    let again = vec![added(vec![far], vec![span("a", THROUGH, 109, 10, 40 * DAY)])];
    let proposed = second.propose(&mut opened, at(0), again).await.unwrap();
    assert!(matches!(&proposed, Proposed::Refused(violation) if violation.invariant == 8), "{proposed:?}");
}

#[tokio::test]
async fn floors_never_fall_below_the_last_sealed_second() {
    let input = raw("a-109-700", 10, 700);
    let (store, log, mut manifest) = log_of(vec![
        begin(),
        vec![rows("a", THROUGH, 109, 700)],
        vec![awaited("w", "x", 500, 699)],
        vec![beat("a", 109, 2 * DAY)],
    ])
    .await;
    // The awaited shard holds everything until it has opened.
    assert_eq!(manifest.closed_through, Some(at(699)));
    let w = crate::manifest::ShardOpened { unlisted: true, ..child("w", "x", 500, 699, 700) };
    commit(&log, &mut manifest, vec![opened(w)]).await;
    commit(&log, &mut manifest, vec![beat("w", 499, 2 * DAY)]).await;
    commit(&log, &mut manifest, vec![seal_started(0, &[&input])]).await;
    commit(&log, &mut manifest, vec![seal(6, vec![sealed(6, &input)])]).await;
    // A forged heartbeat, on which nothing rests yet: the seal before it stands.
    commit(&log, &mut manifest, vec![beat("a", 109, 9 * DAY)]).await;
    voided(&store, &log, &mut manifest, 8, 8).await;
    assert_eq!(manifest.shards.values().map(|shard| shard.floor).min(), Some(at(2 * DAY)));
    assert_eq!(manifest.sealed_through.as_deref(), Some("2026-11-22"));
    // Without the heartbeats the seal could not stand: only with it can they go.
    let proposed = log.propose(&mut manifest, at(0), vec![void(3, 3)]).await.unwrap();
    assert!(matches!(&proposed, Proposed::Refused(violation) if violation.what.contains("does not hold")));
    voided(&store, &log, &mut manifest, 3, 8).await;
    assert_eq!(manifest.sealed_through, None);
    assert!(manifest.awaited.contains_key(&crate::manifest::ShardKey { epoch: 1, id: id("w") }));
}

#[tokio::test]
async fn no_shard_falls_behind_a_sealed_day() {
    let b = crate::manifest::ShardOpened { rank: 1, ..root("b", 500) };
    let (store, log, mut manifest) = log_of(vec![
        vec![epoch(1, -1), opened(root("a", START)), opened(b)],
        vec![closed("a", THROUGH), released("a")],
        vec![beat("b", 499, DAY)],
        vec![seal_started(0, &[])],
        vec![seal(3, vec![])],
        vec![beat("b", 499, 9 * DAY)],
    ])
    .await;
    voided(&store, &log, &mut manifest, 5, 5).await;
    // `a` counts no more, but a child of it would begin where it ended.
    let floors: Vec<_> = manifest.shards.values().map(|shard| shard.floor).collect();
    assert_eq!(floors, [at(DAY - 1), at(DAY)]);
    assert_eq!(manifest.closed_through, Some(at(DAY)));
}

#[tokio::test]
async fn every_open_intent_is_abandoned() {
    let input = raw("a-109-700", 10, 700);
    let (store, log, mut manifest) = log_of(vec![
        begin(),
        vec![rows("a", THROUGH, 109, 700)],
        vec![beat("a", 109, 2 * DAY)],
        vec![seal_started(0, &[&input])],
        vec![base_started(BaseKind::Scan, 800)],
        vec![beat("a", 109, 3 * DAY)],
    ])
    .await;
    assert_eq!(manifest.intents.len(), 2);
    voided(&store, &log, &mut manifest, 5, 5).await;
    assert!(manifest.intents.is_empty(), "also those that the range did not touch");
    let proposed = log.propose(&mut manifest, at(0), vec![seal(3, vec![sealed(3, &input)])]).await.unwrap();
    assert!(matches!(proposed, Proposed::Refused(_)), "{proposed:?}");
    commit(&log, &mut manifest, vec![seal_started(0, &[&input])]).await;
}

#[tokio::test]
async fn a_reader_looks_ahead_to_the_first_valid_void() {
    let (store, log, mut manifest) = log_of(vec![begin(), vec![rows("a", THROUGH, 109, 700)]]).await;
    let prefix = said(manifest.clone());
    let mut scribe = Scribe::after(&store, &manifest);
    scribe.put_bytes("no entry at all".into()).await;
    scribe.put(vec![rows("a", 500, 510, 800)]).await;
    // Nobody goes past it: readers serve the prefix, writers wait.
    let (reader, mut blocked) = open(&store, 2).await;
    assert_eq!(blocked.blocked.as_ref().map(|blocked| blocked.n), Some(2));
    let waiting = reader.propose(&mut blocked, at(0), vec![beat("a", 109, 800)]).await;
    assert!(matches!(waiting, Err(LogError::Blocked { n: 2, .. })), "{waiting:?}");
    blocked.blocked = None;
    assert_eq!(said(blocked), prefix);
    // A void that does not hold it, one that does not stand alone, and one whose rest is not valid change nothing.
    scribe.put(vec![void(3, 3)]).await;
    scribe.put(vec![void(2, 4), beat("a", 109, 800)]).await;
    scribe.put(vec![void(2, 3)]).await;
    assert_eq!(open(&store, 3).await.1.blocked.map(|blocked| blocked.n), Some(2));
    // The first that holds all of it does.
    let n = scribe.put(vec![void(2, 6)]).await;
    let (second, mut opened) = open(&store, 4).await;
    assert_eq!((opened.blocked.clone(), opened.next), (None, n + 1));
    assert_eq!(opened.shards, prefix.shards);
    commit(&second, &mut opened, vec![rows("a", 109, 119, 800)]).await;
    // A reader that stood before it follows, too.
    assert_eq!(log.refresh(&mut manifest).await.unwrap(), n);
    assert_eq!(said(manifest), said(opened));
}

#[tokio::test]
async fn hash_and_chain_of_voided_bytes_still_count() {
    let (store, _, manifest) = log_of(vec![begin()]).await;
    let mut scribe = Scribe::after(&store, &manifest);
    scribe.put_bytes("no entry at all".into()).await;
    let honest = scribe.tail.replace("00".repeat(32));
    let bad = scribe.entry(vec![void(1, 1)]);
    scribe.put(vec![void(1, 1)]).await;
    assert_eq!(open(&store, 2).await.1.blocked.map(|blocked| blocked.n), Some(1));
    scribe.tail = honest;
    scribe.next = 2;
    store.delete(&slot(2), None).await.unwrap();
    scribe.put(bad.actions).await;
    assert_eq!(open(&store, 3).await.1.blocked, None);
}

#[tokio::test]
async fn voids_add_up() {
    let (store, log, mut manifest) = log_of_three_rows().await;
    voided(&store, &log, &mut manifest, 3, 3).await;
    voided(&store, &log, &mut manifest, 2, 2).await;
    assert_eq!(manifest.rows, 10);
    // A void that is voided itself has still taken its range out.
    voided(&store, &log, &mut manifest, 1, 1).await;
    assert_eq!(manifest.rows, 0);
    assert_eq!(manifest.retired.len(), 3);
}

#[tokio::test]
async fn an_earlier_void_does_again_what_it_did_when_a_later_one_is_judged() {
    let input = raw("a-109-700", 10, 700);
    let (store, log, mut manifest) = log_of(vec![
        begin(),
        vec![rows("a", THROUGH, 109, 700)],
        vec![beat("a", 109, 2 * DAY)],
        vec![seal_started(0, &[&input])],
        vec![beat("a", 109, 3 * DAY)],
    ])
    .await;
    voided(&store, &log, &mut manifest, 4, 4).await;
    // Only because the void ended the first intent may there be another.
    commit(&log, &mut manifest, vec![seal_started(0, &[&input])]).await;
    commit(&log, &mut manifest, vec![beat("a", 109, 4 * DAY)]).await;
    voided(&store, &log, &mut manifest, 7, 7).await;
    assert_eq!(manifest.voids.len(), 2);
    commit(&log, &mut manifest, vec![seal_started(0, &[&input])]).await;
}

#[tokio::test]
async fn an_entry_that_chains_to_nothing_can_be_voided() {
    let (store, log, mut manifest) = log_of(vec![begin(), vec![rows("a", THROUGH, 109, 700)]]).await;
    let mut scribe = Scribe::after(&store, &manifest);
    let honest = scribe.tail.replace("00".repeat(32));
    let stale = scribe.entry(vec![beat("a", 109, 800)]);
    scribe.tail = honest;
    scribe.put_bytes(stale.encode().unwrap()).await;
    assert_eq!(open(&store, 2).await.1.blocked.map(|blocked| blocked.n), Some(2));
    scribe.put(vec![void(2, 2)]).await;
    assert_eq!(log.refresh(&mut manifest).await.unwrap(), 2);
    assert_eq!((manifest.next, manifest.blocked.clone()), (4, None));
    commit(&log, &mut manifest, vec![rows("a", 109, 119, 800)]).await;
    assert_eq!(from_entries(&store).await, said(manifest));
}

#[tokio::test]
async fn a_void_without_effect_takes_nothing_out_when_it_is_voided_itself() {
    let (store, log, mut manifest) =
        log_of(vec![begin(), vec![rows("a", THROUGH, 109, 700)], vec![rows("a", 109, 119, 800)]]).await;
    let mut scribe = Scribe::after(&store, &manifest);
    // The second rows stand on the first.
    scribe.put(vec![void(1, 1)]).await;
    assert_eq!(open(&store, 2).await.1.blocked.map(|blocked| blocked.n), Some(3));
    scribe.put(vec![void(3, 3)]).await;
    log.refresh(&mut manifest).await.unwrap();
    assert_eq!((manifest.rows, manifest.voids.len(), manifest.blocked.clone()), (20, 1, None));
}
