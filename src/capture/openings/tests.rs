//! Which shards may open, are awaited, barred or released.

use super::*;
use crate::capture::fixture::{epoch_started, key, listed, listing, manifest, seq, shard};
use crate::manifest::{Awaited, GapReason};
use crate::shard::StreamStatus;

const AT: Second = Second(5_000);

fn planned(manifest: &Manifest, listing: &Listing, known: &[(&str, bool)], starting: bool) -> Plan {
    let known = known.iter().map(|(id, known)| (ShardId::new(id), *known)).collect();
    let started = epoch_started(Second(1_000));
    let starting = starting.then_some(&started);
    plan(&View { manifest, epoch: 1, starting, listing, known: &known, at: AT })
}

fn opened(plan: &Plan) -> Vec<(&str, u32, bool, bool)> {
    let openings = plan.actions.iter().filter_map(|action| match action {
        Action::ShardOpened(opened) => Some((opened.shard.as_str(), opened.rank, opened.unlisted, opened.barred)),
        _ => None,
    });
    openings.collect()
}

fn awaited(plan: &Plan) -> Vec<&str> {
    let awaitings = plan.actions.iter().filter_map(|action| match action {
        Action::ShardAwaited(awaited) => Some(awaited.shard.as_str()),
        _ => None,
    });
    awaitings.collect()
}

fn closed(mut shard: crate::manifest::Shard, at: i64) -> crate::manifest::Shard {
    shard.closed_at = Some(Second(at));
    shard
}

#[test]
fn roots_open_with_ranks_of_their_own_and_children_wait() {
    let listing = listing(
        5_000,
        vec![listed("b", None, 20, None), listed("a", None, 10, Some(15)), listed("a1", Some("a"), 16, None)],
    );
    let plan = planned(&Manifest::default(), &listing, &[], true);
    assert_eq!(opened(&plan), [("a", 0, false, false), ("b", 1, false, false)]);
    assert!(plan.ask.is_empty() && awaited(&plan).is_empty());
}

#[test]
fn a_child_opens_when_its_parent_is_closed_with_the_parents_times() {
    let mut parent = shard(None, 10);
    (parent.rank, parent.floor, parent.cut) = (4, Second(3_000), Second(3_001));
    let listing = listing(5_000, vec![listed("a1", Some("a"), 20, None)]);
    assert_eq!(planned(&manifest(&[("a", parent.clone())]), &listing, &[], false), Plan::default());
    let plan = planned(&manifest(&[("a", closed(parent, 4_000))]), &listing, &[], false);
    let [Action::ShardOpened(child)] = plan.actions.as_slice() else { panic!("{plan:?}") };
    assert_eq!((child.rank, child.floor, child.cut, child.unlisted), (5, Second(3_000), Second(3_001), false));
}

#[test]
fn a_missing_parent_is_asked_for_before_it_counts_as_unlisted() {
    let listing = listing(5_000, vec![listed("c", Some("gone"), 20, None)]);
    let manifest = manifest(&[]);
    let plan = planned(&manifest, &listing, &[], false);
    assert_eq!(plan.ask.into_iter().collect::<Vec<_>>(), [ShardId::new("gone")]);
    assert_eq!(planned(&manifest, &listing, &[("gone", true)], false), Plan::default());
    assert_eq!(awaited(&planned(&manifest, &listing, &[("gone", false)], false)), ["c"]);
}

#[test]
fn in_the_entry_that_starts_the_epoch_an_unlisted_parents_child_opens_unless_an_ancestor_may_be_unread() {
    let alone = listing(5_000, vec![listed("c", Some("gone"), 20, None)]);
    let plan = planned(&Manifest::default(), &alone, &[("gone", false)], true);
    assert_eq!(opened(&plan), [("c", 0, true, false)]);
    let ended = listing(5_000, vec![listed("a", None, 10, Some(15)), listed("c", Some("gone"), 20, None)]);
    let plan = planned(&Manifest::default(), &ended, &[("gone", false)], true);
    assert_eq!((opened(&plan), awaited(&plan)), (vec![("a", 0, false, false)], vec!["c"]));
}

#[test]
fn an_awaited_shard_opens_listed_or_not_once_everything_below_it_is_read() {
    let mut state = manifest(&[("a", shard(None, 10))]);
    let waiting = Awaited { parent: ShardId::new("gone"), start: seq(20), floor: Second(900) };
    state.awaited.insert(key("c"), waiting);
    let ended = listing(5_000, vec![listed("a", None, 10, Some(15))]);
    assert!(planned(&state, &ended, &[("gone", false)], false).actions.is_empty());
    let still_open = listing(5_000, vec![listed("a", None, 10, None)]);
    assert_eq!(opened(&planned(&state, &still_open, &[], false)), [("c", 1, true, false)]);
    let mut done = closed(shard(None, 10), 4_000);
    (done.cut, done.through) = (Second(2_000), seq(12));
    state.shards.insert(key("a"), done);
    let plan = planned(&state, &ended, &[], false);
    let [Action::ShardOpened(child)] = plan.actions.as_slice() else { panic!("{plan:?}") };
    assert_eq!((child.floor, child.cut, child.rank), (Second(900), Second(2_000), 1));
}

#[test]
fn an_awaited_shard_waits_for_a_parent_that_turned_up_in_the_log() {
    let mut state = manifest(&[("late", shard(None, 10))]);
    let waiting = Awaited { parent: ShardId::new("late"), start: seq(20), floor: Second(900) };
    state.awaited.insert(key("c"), waiting);
    let listing = listing(5_000, vec![listed("late", None, 10, None), listed("c", Some("late"), 20, None)]);
    assert!(planned(&state, &listing, &[], false).actions.is_empty());
}

#[test]
fn what_may_be_the_ancestor_of_an_unlisted_shard_is_barred_whole() {
    let mut child = shard(Some("gone"), 20);
    child.unlisted = true;
    let state = manifest(&[("c", child)]);
    let found = listing(5_000, vec![listed("x", None, 5, Some(9)), listed("c", Some("gone"), 20, None)]);
    let plan = planned(&state, &found, &[], false);
    let [Action::ShardOpened(opened), Action::Segments(loss), Action::ShardClosed(end)] = plan.actions.as_slice()
    else {
        panic!("{plan:?}")
    };
    assert!(opened.barred && !opened.unlisted);
    let span = &loss.spans[0];
    assert_eq!((span.after, span.through, end.through), (seq(4), seq(9), seq(9)));
    let gap = span.gap.unwrap();
    assert_eq!((gap.reason, gap.from_cut, gap.to_cut), (GapReason::Barred, Second(1_001), AT));
    let its_parent = listing(5_000, vec![listed("gone", None, 5, None), listed("c", Some("gone"), 20, None)]);
    assert_eq!(planned(&state, &its_parent, &[], false), Plan::default());
}

#[test]
fn judgements_need_a_listing_begun_after_the_last_awaiting_was_read() {
    let mut state = manifest(&[]);
    assert!(fresh(&state, 1, 0));
    state.epochs.get_mut(&1).unwrap().judged_in = Some(7);
    assert!(!fresh(&state, 1, 7));
    assert!(fresh(&state, 1, 8));
}

fn released(state: &Manifest, listing: &Listing, known: &[(&str, bool)]) -> (usize, usize) {
    let known = known.iter().map(|(id, known)| (ShardId::new(id), *known)).collect();
    let plan = releases(&View { manifest: state, epoch: 1, starting: None, listing, known: &known, at: AT }, 120);
    (plan.actions.len(), plan.ask.len())
}

#[test]
fn a_closed_shard_is_released_when_its_child_is_known_and_the_listing_settled() {
    let state = manifest(&[("a", closed(shard(None, 10), 4_000)), ("b", shard(Some("a"), 20))]);
    let seen = |begun| listing(begun, vec![listed("a", None, 10, Some(15)), listed("b", Some("a"), 20, None)]);
    assert_eq!(released(&state, &seen(4_119), &[]), (0, 0));
    assert_eq!(released(&state, &seen(4_120), &[]), (1, 0));
    let mut off = seen(4_120);
    off.status = StreamStatus::Disabled;
    assert_eq!(released(&state, &off, &[]), (0, 0));
    let mut sibling = seen(4_120);
    sibling.shards.push(listed("b2", Some("a"), 21, None));
    assert_eq!(released(&state, &sibling, &[]), (0, 0));
}

#[test]
fn a_leaf_is_released_only_when_the_service_forgot_it_and_its_children() {
    let state = manifest(&[("a", closed(shard(None, 10), 4_000))]);
    assert_eq!(released(&state, &listing(4_500, vec![listed("a", None, 10, Some(15))]), &[]), (0, 0));
    assert_eq!(released(&state, &listing(4_500, vec![]), &[]), (0, 1));
    assert_eq!(released(&state, &listing(4_500, vec![]), &[("a", true)]), (0, 0));
    assert_eq!(released(&state, &listing(4_500, vec![]), &[("a", false)]), (1, 0));
}

#[test]
fn an_epoch_ends_when_its_stream_is_off_and_read_out() {
    let mut state = manifest(&[("a", closed(shard(None, 10), 4_000))]);
    let mut seen = listing(4_120, vec![listed("a", None, 10, Some(15))]);
    assert!(!epoch_ended(&state, 1, &seen, false, 120));
    assert!(epoch_ended(&state, 1, &seen, true, 120));
    seen.status = StreamStatus::Disabled;
    assert!(epoch_ended(&state, 1, &seen, false, 120));
    assert!(!epoch_ended(&state, 1, &seen, false, 121));
    seen.shards.push(listed("b", None, 30, None));
    assert!(!epoch_ended(&state, 1, &seen, false, 120));
    state.shards.insert(key("b"), shard(None, 30));
    assert!(!epoch_ended(&state, 1, &seen, false, 120));
}

#[test]
fn a_shard_that_may_only_be_barred_holds_up_releases_and_no_spans() {
    let mut unlisted = shard(Some("gone"), 100);
    unlisted.unlisted = true;
    let manifest = manifest(&[("u", unlisted), ("y", shard(None, 10))]);
    let barred = listed("k", Some("lost"), 40, Some(50));
    let listing = listing(5_000, vec![listed("y", None, 10, Some(30)), listed("u", Some("gone"), 100, None), barred]);
    let known = [("lost", false), ("gone", false)];
    assert_eq!(planned(&manifest, &listing, &known, false), Plan::default(), "it waits for the closing of y");
    let known = known.iter().map(|(id, known)| (ShardId::new(*id), *known)).collect();
    assert!(stand(&manifest, 1, &listing, &known, true), "or y could never close");
    assert!(!stand(&manifest, 1, &listing, &known, false));
}
