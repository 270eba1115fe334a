//! Seals, intents that are given up, and what may be collected.

use super::*;
use crate::manifest::BaseKind;
use crate::manifest::fixture::*;
use crate::segment::{SegmentMeta, Tier};

const THROUGH: u64 = START - 1;

fn input() -> SegmentMeta {
    raw("a-109-700", 10, 700)
}

/// Rows on day 0, and everything before day 2 closed.
fn closed_days() -> Vec<Vec<Action>> {
    vec![begin(), vec![rows("a", THROUGH, 109, 700)], vec![beat("a", 109, 2 * DAY)]]
}

/// The seal of day 0 is open as entry 3.
fn sealing() -> Vec<Vec<Action>> {
    [closed_days(), vec![vec![seal_started(0, &[&input()])]]].concat()
}

/// It is done.
fn done() -> Vec<Vec<Action>> {
    [sealing(), vec![vec![seal(3, vec![sealed(3, &input())])]]].concat()
}

fn output(change: impl Fn(&mut SegmentMeta)) -> Vec<Action> {
    let mut meta = sealed(3, &input());
    change(&mut meta);
    vec![seal(3, vec![meta])]
}

#[tokio::test]
async fn days_are_sealed_in_order_once_they_are_closed() {
    let open_day = [begin(), vec![rows("a", THROUGH, 109, 700)], vec![beat("a", 109, DAY - 2)]];
    all(vec![
        case(9, "2026-11-23 is not the next day to seal", &closed_days(), vec![seal_started(1, &[])]),
        case(9, "2026-11-22 is not the next day to seal", &done(), vec![seal_started(0, &[])]),
        case(9, "2026-11-24 is not the next day to seal", &done(), vec![seal_started(2, &[])]),
        case(9, "a seal is open already", &sealing(), vec![seal_started(0, &[&input()])]),
        case(9, "2026-11-22 is not closed yet", &open_day, vec![seal_started(0, &[&input()])]),
        case(9, "the inputs are not all live raw segments", &closed_days(), vec![seal_started(0, &[])]),
        case(
            9,
            "the inputs are not all live raw segments",
            &closed_days(),
            vec![seal_started(0, &[&input(), &raw("other", 1, 700)])],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_seal_gives_what_its_intent_took() {
    let early = [
        vec![begin(), vec![rows("a", THROUGH, 109, 700)], vec![beat("a", 109, 2 * DAY)]],
        vec![vec![collect(&[&sealed(4, &input()).path])], vec![seal_started(0, &[&input()])]],
    ]
    .concat();
    all(vec![
        case(10, "entry 2 began no open seal", &closed_days(), vec![seal(2, vec![])]),
        case(10, "entry 3 began no open seal", &done(), vec![seal(3, vec![])]),
        case(10, "rows go in", &sealing(), vec![seal(3, vec![])]),
        case(10, "rows go in", &sealing(), output(|meta| meta.rows = 9)),
        case(10, "rows go in", &sealing(), output(|meta| meta.row_digest = format!("{:032x}", 11))),
        case(10, "has no row digest", &sealing(), output(|meta| meta.row_digest = "no".into())),
        case(10, "is no output of entry 3", &sealing(), output(|meta| meta.tier = Tier::Raw)),
        case(10, "is no output of entry 3", &sealing(), output(|meta| meta.dt = "2026-11-23".into())),
        case(10, "is no output of entry 3", &sealing(), output(|meta| meta.rows_root = None)),
        case(10, "is no output of entry 3", &sealing(), output(|meta| meta.path = meta.path.replace("3-0", "4-0"))),
        case(10, "is no output of entry 3", &sealing(), output(|meta| meta.path = meta.path.replace("-22", "-23"))),
        case(8, "4-0.parquet was named before", &early, vec![seal(4, vec![sealed(4, &input())])]),
        case(10, "entry 3 began no open intent", &done(), vec![abandoned(3)]),
        case(10, "entry 2 began no open intent", &closed_days(), vec![abandoned(2)]),
    ])
    .await;
}

#[tokio::test]
async fn only_what_nothing_needs_is_collected() {
    let based = [
        closed_days(),
        vec![vec![base_started(BaseKind::Archive, 800)], vec![base(based(3, BaseKind::Archive, 800, 800))]],
    ]
    .concat();
    let image = "base/at=2026-11-22T000000Z/bucket=000/3-0.parquet";
    let next_without_rows = [done(), vec![vec![seal_started(1, &[])], vec![seal(5, vec![])]]].concat();
    let raw = input().path;
    let outputs = sealed(3, &input()).path;
    all(vec![
        case(12, "is live", &closed_days(), vec![collect(&[&raw])]),
        case(12, "is live", &done(), vec![collect(&[&outputs])]),
        case(12, "is live", &based, vec![collect(&[image])]),
        case(12, "is an output of an open intent", &sealing(), vec![collect(&[&outputs])]),
        case(12, "is needed until a later day with rows is sealed", &done(), vec![collect(&[&raw])]),
        case(12, "is needed until a later day with rows is sealed", &next_without_rows, vec![collect(&[&raw])]),
    ])
    .await;
}

#[tokio::test]
async fn raw_of_a_day_may_go_after_a_later_day_with_rows() {
    let (log, mut manifest) = open(&memory(), 1).await;
    let second = raw("a-119-86400", 10, DAY);
    let later = vec![
        vec![added(vec![second.clone()], vec![span("a", 109, 119, 10, DAY)])],
        vec![beat("a", 119, 2 * DAY)],
        vec![seal_started(0, &[&input()])],
        vec![seal(4, vec![sealed(4, &input())])],
        vec![seal_started(1, &[&second])],
        vec![seal(6, vec![sealed(6, &second)])],
        vec![collect(&[&input().path])],
    ];
    for actions in [vec![begin(), vec![rows("a", THROUGH, 109, 700)]], later].concat() {
        commit(&log, &mut manifest, actions).await;
    }
    assert_eq!(manifest.collected.len(), 1);
    assert_eq!(manifest.next_day().as_deref(), Some("2026-11-24"));
}
