//! When a void is not valid.

use super::*;
use crate::manifest::fixture::*;

const THROUGH: u64 = START - 1;

#[tokio::test]
async fn a_void_stands_alone_behind_a_range_without_which_the_log_holds() {
    let log = [begin(), vec![rows("a", THROUGH, 109, 700)], vec![rows("a", 109, 119, 800)]];
    let collected = [
        begin(),
        vec![rows("a", THROUGH, 109, 700)],
        vec![beat("a", 109, 3 * DAY)],
        vec![rows("a", 109, 119, 3 * DAY + 1)],
        vec![beat("a", 119, 4 * DAY)],
        vec![seal_started(0, &[&raw("a-109-700", 10, 700)])],
        vec![seal(5, vec![sealed(5, &raw("a-109-700", 10, 700))])],
        vec![seal_started(1, &[])],
        vec![seal(7, vec![])],
        vec![seal_started(2, &[])],
        vec![seal(9, vec![])],
        vec![seal_started(3, &[&raw("a-119-259201", 10, 3 * DAY + 1)])],
        vec![seal(11, vec![sealed(11, &raw("a-119-259201", 10, 3 * DAY + 1))])],
        vec![collect(&[&raw("a-109-700", 10, 700).path])],
    ];
    all(vec![
        case(11, "a void stands alone", &log, vec![void(2, 2), closed("a", 119)]),
        case(11, "a void stands alone", &log, vec![closed("a", 119), void(2, 2)]),
        case(11, "a void stands alone", &log, vec![void(2, 2), void(2, 2)]),
        case(11, "a void stands after its range", &log, vec![void(2, 1)]),
        case(11, "a void stands after its range", &log, vec![void(2, 3)]),
        case(11, "a void stands after its range", &log, vec![void(3, 9)]),
        // Entry 2 follows entry 1: the range must be widened until what is left holds.
        case(11, "the log without entries 1 to 1 does not hold", &log, vec![void(1, 1)]),
        case(11, "the log without entries 0 to 0 does not hold", &log, vec![void(0, 0)]),
        // The seal is undone, and with it the only copy of rows whose raw object was given up.
        case(8, "was collected and would be live again", &collected, vec![void(5, 13)]),
    ])
    .await;
}
