//! Minutes in which far more happens than is usual. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Counts, Minute};

/// Fewer in a minute are never a burst.
const LEAST: u64 = 20;
/// How many times as much as is usual.
const TIMES: u64 = 5;
/// How many times the usual distance from what is usual.
const SPREADS: u64 = 10;
/// So many quiet minutes do not end a burst.
const QUIET: i64 = 1;
/// Only the greatest are told.
const TOLD: usize = 5;

/// What a burst is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Deletes.
    Deletes,
    /// Changes of any kind.
    Changes,
}

impl Of {
    pub(super) const fn count(self, counts: &Counts) -> u64 {
        match self {
            Self::Deletes => counts.removes,
            Self::Changes => counts.all(),
        }
    }
}

/// Minutes that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) of: Of,
    pub(super) minutes: Range<Minute>,
    /// In one minute, usually: the median.
    pub(super) usual: u64,
    /// From so many in a minute on it is a burst.
    pub(super) least: u64,
    /// What is more than usual.
    excess: u64,
}

/// The greatest bursts among `within`, the earliest first. A burst of changes that is one of deletes is told as that.
pub(super) fn find(counts: &BTreeMap<Minute, Counts>, within: &Range<Minute>) -> Vec<Span> {
    let mut found = spans(Of::Deletes, counts, within);
    let deletes = found.clone();
    let told = |span: &Span| deletes.iter().any(|delete| meet(&delete.minutes, &span.minutes));
    found.extend(spans(Of::Changes, counts, within).into_iter().filter(|span| !told(span)));
    found.sort_by_key(|span| std::cmp::Reverse(span.excess));
    found.truncate(TOLD);
    found.sort_by_key(|span| span.minutes.start);
    found
}

fn meet(a: &Range<Minute>, b: &Range<Minute>) -> bool {
    a.start < b.end && b.start < a.end
}

fn spans(of: Of, counts: &BTreeMap<Minute, Counts>, within: &Range<Minute>) -> Vec<Span> {
    let each: Vec<(Minute, u64)> = counts.iter().map(|(minute, counts)| (*minute, of.count(counts))).collect();
    let quiet = usize::try_from(within.end - within.start).unwrap_or_default().saturating_sub(each.len());
    let usual = median(each.iter().map(|(_, count)| *count).collect(), quiet, 0);
    let spread = median(each.iter().map(|(_, count)| count.abs_diff(usual)).collect(), quiet, usual);
    let least = LEAST.max(TIMES * usual).max(usual + SPREADS * spread);
    let mut found: Vec<Span> = Vec::new();
    for (minute, count) in each.into_iter().filter(|(_, count)| *count >= least) {
        let excess = count - usual;
        match found.last_mut() {
            Some(last) if minute - last.minutes.end <= QUIET => {
                last.minutes.end = minute + 1;
                last.excess += excess;
            }
            _ => found.push(Span { of, minutes: minute..minute + 1, usual, least, excess }),
        }
    }
    found
}

/// The median of `values` and of `more` times `value`.
fn median(mut values: Vec<u64>, more: usize, value: u64) -> u64 {
    values.sort_unstable();
    let (below, middle) = (values.partition_point(|other| *other < value), usize::midpoint(values.len(), more));
    let at = if middle < below {
        middle
    } else if middle < below + more {
        return value;
    } else {
        middle - more
    };
    values.get(at).copied().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(each: impl IntoIterator<Item = (Minute, u64, u64)>) -> BTreeMap<Minute, Counts> {
        let counts = |modifies, removes| Counts { modifies, removes, ..Counts::default() };
        each.into_iter().map(|(minute, modifies, removes)| (minute, counts(modifies, removes))).collect()
    }

    #[test]
    fn the_median_counts_what_is_left_out() {
        assert_eq!(median(vec![5, 1, 9], 0, 0), 5);
        assert_eq!(median(vec![5, 9], 3, 0), 0);
        assert_eq!(median(vec![5, 9, 7], 2, 0), 5);
        assert_eq!(median(vec![1, 2, 9], 2, 4), 4);
        assert_eq!(median(Vec::new(), 0, 0), 0);
    }

    #[test]
    fn what_is_far_above_the_usual_is_a_burst_and_what_is_not_is_none() {
        let usual = || (0..600).map(|minute| (minute, 80 + minute as u64 % 40, 3));
        assert_eq!(find(&counts(usual()), &(0..600)), []);
        let mut with = counts(usual());
        with.insert(300, Counts { modifies: 100, removes: 400, ..Counts::default() });
        with.insert(302, Counts { modifies: 100, removes: 90, ..Counts::default() });
        with.insert(500, Counts { modifies: 9_000, removes: 3, ..Counts::default() });
        let found = find(&with, &(0..600));
        let told: Vec<_> = found.iter().map(|span| (span.of, span.minutes.clone(), span.usual)).collect();
        assert_eq!(told, [(Of::Deletes, 300..303, 3), (Of::Changes, 500..501, 103)]);
    }

    #[test]
    fn a_table_that_sleeps_most_of_the_time_has_bursts_too_but_not_of_a_handful() {
        let with = counts([(10, 5, 0), (2_000, 19, 0), (9_000, 0, 40)]);
        let found = find(&with, &(0..10_000));
        assert_eq!(
            found.iter().map(|span| (span.of, span.minutes.clone())).collect::<Vec<_>>(),
            [(Of::Deletes, 9_000..9_001)]
        );
    }
}
