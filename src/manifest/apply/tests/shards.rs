//! Shards: awaited, opened, barred, idle, closed, released.

use super::*;
use crate::manifest::fixture::*;
use crate::manifest::{GapReason, ShardOpened};

const THROUGH: u64 = START - 1;

/// The shard `a` idle up to second 500, and closed.
fn closed_at_500() -> Vec<Vec<Action>> {
    vec![begin(), vec![beat("a", THROUGH, 500)], vec![closed("a", THROUGH)]]
}

/// Beside `a`, an unlisted shard `u` of an unknown parent `p`, opened with the epoch.
fn unlisted() -> Vec<Vec<Action>> {
    let u = ShardOpened { unlisted: true, ..child("u", "p", 300, -1, -1) };
    vec![vec![epoch(1, -1), opened(root("a", START)), opened(u)]]
}

/// A shard found late that may be an ancestor of `u`.
fn barred(id: &str) -> ShardOpened {
    ShardOpened { barred: true, rank: 2, ..root(id, 200) }
}

#[tokio::test]
async fn a_shard_is_awaited_once_for_an_unlisted_parent() {
    let one = [begin(), vec![beat("a", THROUGH, 500)]];
    let waiting = [begin(), vec![awaited("c", "x", 200, -1)]];
    all(vec![
        case(4, "epoch 1 is not open", &[], vec![awaited("c", "x", 200, -1)]),
        case(5, "a is in the log already", &[begin()], vec![awaited("a", "x", 200, -1)]),
        case(5, "c is awaited already", &waiting, vec![awaited("c", "x", 200, -1)]),
        case(4, "the parent of c is known", &[begin()], vec![awaited("c", "a", 200, -1)]),
        case(6, "an awaited floor falls", &one, vec![awaited("c", "x", 200, 499)]),
        case(6, "an awaited floor falls", &[begin()], vec![awaited("c", "x", 200, -2)]),
    ])
    .await;
}

#[tokio::test]
async fn a_shard_is_opened_once_and_after_its_parent() {
    let closed = closed_at_500();
    let second = [begin(), vec![opened(ShardOpened { rank: 1, ..root("b", 150) })]];
    all(vec![
        case(4, "epoch 1 is not open", &[], vec![opened(root("a", START))]),
        case(5, "a is in the log already", &[begin()], vec![opened(root("a", START))]),
        case(4, "c opens before its parent closed", &[begin()], vec![opened(child("c", "a", 200, -1, -1))]),
        case(5, "rank 0 of c", &closed, vec![opened(ShardOpened { rank: 0, ..child("c", "a", 200, 500, -1) })]),
        case(
            5,
            "rank 1 of d is not above all others",
            &second,
            vec![opened(ShardOpened { rank: 1, ..root("d", 200) })],
        ),
        case(6, "a shard's floor falls", &closed, vec![opened(ShardOpened { rank: 1, ..root("d", 200) })]),
        case(
            6,
            "the cut over the floor falls",
            &[begin()],
            vec![opened(ShardOpened { rank: 1, cut: at(-2), ..root("d", 200) })],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_child_takes_over_where_its_parent_ended() {
    // `b` holds closed_through down, so that only the parent's floor speaks.
    let parent = [
        vec![epoch(1, -1), opened(root("a", START)), opened(ShardOpened { rank: 1, ..root("b", 150) })],
        vec![rows("a", THROUGH, 110, 700), closed("a", 110)],
    ];
    let named = |unlisted| ShardOpened { unlisted, ..child("c", "a", 200, 699, 700) };
    all(vec![
        case(6, "the floor along a lineage falls", &parent, vec![opened(child("c", "a", 200, 698, 700))]),
        case(6, "the cut along a lineage falls", &parent, vec![opened(child("c", "a", 200, 699, 699))]),
        case(4, "c is wrong about its parent", &parent, vec![opened(named(true))]),
        case(4, "c is wrong about its parent", &parent, vec![opened(child("c", "x", 200, 699, 700))]),
        case(
            4,
            "a is wrong about its parent",
            &[vec![epoch(1, -1)]],
            vec![opened(ShardOpened { unlisted: true, ..root("a", START) })],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_shard_of_an_unlisted_parent_opens_as_it_was_awaited() {
    let waiting = [begin(), vec![rows("a", THROUGH, 110, 700)], vec![awaited("c", "x", 200, 699)]];
    let c = ShardOpened { unlisted: true, ..child("c", "x", 200, 699, 700) };
    let with = |change: &dyn Fn(&mut ShardOpened)| {
        let mut c = c.clone();
        change(&mut c);
        vec![opened(c)]
    };
    all(vec![
        case(4, "c must be awaited first", &[begin()], with(&|c| c.floor = at(-1))),
        case(6, "c is not opened as it was awaited", &waiting, with(&|c| c.parent = Some(id("y")))),
        case(6, "c is not opened as it was awaited", &waiting, with(&|c| c.start = seq(201))),
        case(6, "c is not opened as it was awaited", &waiting, with(&|c| c.floor = at(700))),
        case(4, "c is wrong about its parent", &waiting, with(&|c| c.unlisted = false)),
        case(5, "rank 0 of c is not above all others", &waiting, with(&|c| c.rank = 0)),
        case(6, "the cut of an unlisted shard falls", &waiting, with(&|c| c.cut = at(699))),
    ])
    .await;
}

#[tokio::test]
async fn a_possible_ancestor_of_an_opened_shard_is_barred_and_closed_at_once() {
    let loss = |to| added(vec![], vec![gap("e", 199, 250, GapReason::Barred, 0, to, false)]);
    let lifting = added(vec![], vec![gap("e", 199, 250, GapReason::Barred, 0, 60, true)]);
    let other = added(vec![], vec![gap("e", 199, 250, GapReason::PossiblyTrimmed, 0, 60, false)]);
    let of_a = added(vec![], vec![gap("a", THROUGH, 110, GapReason::Barred, 0, 60, false)]);
    let data = rows("e", 199, 250, 60);
    let all_of = |actions: Vec<Action>| [vec![opened(barred("e"))], actions].concat();
    let child_of_p = ShardOpened { rank: 2, ..root("p", 120) };
    all(vec![
        case(4, "a barred shard is not closed in its entry", &unlisted(), all_of(vec![loss(60)])),
        case(4, "a span of e that is barred, or not", &unlisted(), all_of(vec![other, closed("e", 250)])),
        case(4, "a span of e that is barred, or not", &unlisted(), all_of(vec![data, closed("e", 250)])),
        case(4, "a span of a that is barred, or not", &unlisted(), vec![of_a]),
        case(6, "the gap of e moves its cut or floor", &unlisted(), all_of(vec![lifting, closed("e", 250)])),
        case(6, "a heartbeat of e lifts nothing", &unlisted(), all_of(vec![beat("e", 199, 60), closed("e", 199)])),
        case(4, "e is barred without a cause", &[begin()], all_of(vec![loss(60), closed("e", 250)])),
        case(4, "p has a child already: it can only be barred", &unlisted(), vec![opened(child_of_p)]),
    ])
    .await;
    let (log, mut manifest) = open(&memory(), 1).await;
    commit(&log, &mut manifest, unlisted().remove(0)).await;
    commit(&log, &mut manifest, all_of(vec![loss(60), closed("e", 250)])).await;
    assert_eq!(manifest.gaps.len(), 1);
}

#[tokio::test]
async fn only_open_shards_move_and_only_forward() {
    let ended = closed_at_500();
    let gone = [ended.clone(), vec![vec![released("a")]]].concat();
    let idle = [begin(), vec![beat("a", THROUGH, 500)]];
    all(vec![
        case(1, "x is not open", &[begin()], vec![beat("x", 0, 500)]),
        case(1, "a is not open", &ended, vec![beat("a", THROUGH, 501)]),
        case(1, "a stands at 099, not at 98", &[begin()], vec![beat("a", 98, 500)]),
        case(6, "a heartbeat of a lifts nothing", &idle, vec![beat("a", THROUGH, 500)]),
        case(1, "x is not open", &[begin()], vec![closed("x", 0)]),
        case(1, "a is not open", &ended, vec![closed("a", THROUGH)]),
        case(1, "a stands at 099, not at 100", &[begin()], vec![closed("a", START)]),
        case(4, "a is not closed, or released already", &[begin()], vec![released("a")]),
        case(4, "a is not closed, or released already", &gone, vec![released("a")]),
        case(4, "x is not closed, or released already", &[begin()], vec![released("x")]),
    ])
    .await;
}
