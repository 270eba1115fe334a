//! Bases: complete, or not there.

use super::*;
use crate::manifest::action::{BaseCommitted, EmptyCheck};
use crate::manifest::fixture::*;
use crate::manifest::{BaseKind, GapReason};
use crate::segment::Tier;

const THROUGH: u64 = START - 1;
const KIND: BaseKind = BaseKind::Scan;

/// Idle up to second 500.
fn idle() -> Vec<Vec<Action>> {
    vec![begin(), vec![beat("a", THROUGH, 500)]]
}

/// A scan is begun as entry 2 with fence 500, and the log goes on to 900.
fn scanning() -> Vec<Vec<Action>> {
    [idle(), vec![vec![base_started(KIND, 500)], vec![beat("a", THROUGH, 900)]]].concat()
}

fn but(change: impl Fn(&mut BaseCommitted)) -> Vec<Action> {
    let mut said = based(2, KIND, 500, 900);
    change(&mut said);
    vec![base(said)]
}

#[tokio::test]
async fn a_base_begins_at_a_closed_second_with_no_gap_ahead() {
    let ahead = [begin(), vec![added(vec![], vec![gap("a", THROUGH, 109, GapReason::PossiblyTrimmed, 0, 60, false)])]];
    all(vec![
        case(10, "an empty base has no intent", &idle(), vec![base_started(BaseKind::Empty, 500)]),
        case(10, "is not closed", &idle(), vec![base_started(KIND, 501)]),
        case(10, "a gap or border reaches beyond closed_through", &ahead, vec![base_started(KIND, -1)]),
        case(10, "a gap or border reaches beyond closed_through", &ahead, vec![base_started(BaseKind::Export, -1)]),
    ])
    .await;
}

#[tokio::test]
async fn a_base_is_as_it_was_begun() {
    let lost = [
        idle(),
        vec![
            vec![base_started(KIND, 500)],
            vec![added(vec![], vec![gap("a", THROUGH, 109, GapReason::PossiblyTrimmed, 501, 600, true)])],
            vec![beat("a", 109, 900)],
        ],
    ]
    .concat();
    let gone = [scanning(), vec![vec![abandoned(2)]]].concat();
    let early = [
        [idle(), vec![vec![collect(&["base/at=2026-11-22T000000Z/bucket=000/3-0.parquet"])]]].concat(),
        vec![vec![base_started(BaseKind::Archive, 500)]],
    ]
    .concat();
    let archive = [idle(), vec![vec![base_started(BaseKind::Archive, 400)]]].concat();
    all(vec![
        case(10, "entry 1 began no open base", &scanning(), but(|base| base.intent = Some(1))),
        case(10, "entry 2 began no open base", &gone, but(|_| {})),
        case(10, "the base is not as it was begun", &scanning(), but(|base| base.kind = BaseKind::Export)),
        case(10, "the base is not as it was begun", &scanning(), but(|base| base.fence = at(499))),
        case(10, "it is not complete at", &scanning(), but(|base| base.complete_at = at(899))),
        case(10, "it is not complete at", &archive, vec![base(based(2, BaseKind::Archive, 400, 500))]),
        case(10, "a gap lies between", &lost, but(|_| {})),
        case(10, "is no output", &scanning(), but(|base| base.segments[0].tier = Tier::Heads)),
        case(10, "is no output", &scanning(), but(|base| base.segments[0].rows_root = None)),
        case(10, "is no output", &scanning(), but(|base| base.segments[0].path = "base/at=x/9-0.parquet".into())),
        case(10, "is no output", &scanning(), but(|base| base.segments[0].path = "sealed/dt=x/2-0.parquet".into())),
        case(8, "3-0.parquet was named before", &early, vec![base(based(3, BaseKind::Archive, 500, 500))]),
    ])
    .await;
}

#[tokio::test]
async fn a_scan_is_finished_by_the_run_that_began_it() {
    let store = memory();
    let (first, mut one) = open(&store, 1).await;
    for actions in scanning() {
        commit(&first, &mut one, actions).await;
    }
    let (second, mut two) = open(&store, 2).await;
    let proposed = second.propose(&mut two, at(0), but(|_| {})).await.unwrap();
    let Proposed::Refused(violation) = proposed else { panic!("{proposed:?}") };
    assert!(violation.what.contains("was begun by another run"), "{violation}");
    commit(&first, &mut one, but(|_| {})).await;
    assert_eq!(one.bases.len(), 1);
}

#[tokio::test]
async fn an_empty_base_needs_every_sign_of_an_empty_table() {
    let with = |change: &dyn Fn(&mut BaseCommitted)| {
        let mut empty = empty_base();
        change(&mut empty);
        [begin(), vec![base(empty)]].concat()
    };
    let seen = |change: &dyn Fn(&mut EmptyCheck)| with(&|base| change(base.checked.as_mut().unwrap()));
    let says = "the empty base is not valid here";
    let mut cases = vec![case(10, says, &[begin()], vec![base(empty_base())])];
    for bad in [
        with(&|base| base.checked = None),
        with(&|base| base.kind = BaseKind::Archive),
        with(&|base| base.fence = at(-2)),
        with(&|base| base.complete_at = at(0)),
        with(&|base| base.segments = based(2, KIND, 500, 900).segments),
        seen(&|checked| checked.stream_created = at(1)),
        seen(&|checked| checked.table_created = at(-2)),
        seen(&|checked| checked.at = at(23 * 3600 + 40 * 60 + 1)),
        seen(&|checked| checked.not_restored = false),
        seen(&|checked| checked.no_replicas = false),
    ] {
        cases.push(case(10, says, &[], bad));
    }
    all(cases).await;
    let (log, mut manifest) = open(&memory(), 1).await;
    commit(&log, &mut manifest, with(&|_| {})).await;
    assert_eq!(manifest.bases.len(), 1);
}
