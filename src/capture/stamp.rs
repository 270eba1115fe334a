//! `cut_at`: the second under which the archive keeps a change.
//!
//! The service's own stamps may be off and may step back; `cut_at` never falls along a lineage, and no
//! row arrives at or below a floor that was committed before. A row that is lifted far past its stamp
//! leaves an interval behind, so that answers within it are labelled.

use crate::change::{Change, ChangeKind, Micros, Second};
use crate::manifest::Interval;
use crate::platform::bugs::{Bug, planted};

/// A stamp further ahead of the service's own time than this many seconds is an alarm.
const AHEAD: i64 = 60;

/// The running stamp of one shard: what its next row must not fall below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamper {
    /// `cut_at` of the last row.
    pub cut: Second,
    /// No row has `cut_at ≤ floor`.
    pub floor: Second,
    /// The floor with which the shard's epoch began: rows lifted only to it are not late, for nothing before it is known.
    pub epoch_floor: Second,
}

/// What the rows of one span say about time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamps {
    /// `cut_at` of each row, in order.
    pub cuts: Vec<Second>,
    /// Times whose answers are labelled late, in order, merged where they touch.
    pub late: Vec<Interval>,
    /// `cut_at` of each row that could not be decoded.
    pub unknown: Vec<Second>,
    /// Rows lifted past their second.
    pub lifted: u64,
    /// Rows stamped by the service more than a minute ahead of its own time.
    pub ahead: u64,
}

impl Stamper {
    /// The second for a change stamped `changed_at` that arrived in a page of the service's time `at`.
    #[must_use]
    pub fn cut_at(&self, changed_at: Micros, at: Second) -> Second {
        if planted(Bug::StampsStepBack) {
            return changed_at.second().min(at);
        }
        changed_at.second().min(at).max(self.cut).max(self.floor.plus(1))
    }

    /// Stamps the next row.
    pub fn stamp(&mut self, change: &Change, at: Second, stamps: &mut Stamps) {
        let stamped = change.changed_at.second();
        let cut = self.cut_at(change.changed_at, at);
        self.cut = cut;
        stamps.cuts.push(cut);
        if stamped > at.plus(AHEAD) {
            stamps.ahead += 1;
        }
        if change.kind == ChangeKind::Unknown && stamps.unknown.last() != Some(&cut) {
            stamps.unknown.push(cut);
        }
        if cut > stamped && cut > self.epoch_floor.plus(1) {
            stamps.lifted += 1;
        }
        if let Some(late) = Interval::of_lifted(change.changed_at, cut, self.epoch_floor) {
            late.join(&mut stamps.late);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::fixture::change;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        why: String,
        cut: Second,
        floor: Second,
        epoch_floor: Second,
        rows: Vec<Row>,
        late: Vec<Interval>,
        lifted: u64,
        ahead: u64,
    }

    #[derive(Deserialize)]
    struct Row {
        changed_at_micros: String,
        at: Second,
        cut_at: Second,
    }

    #[test]
    fn stamps_as_the_published_vectors_say() {
        let vectors: Vectors = serde_json::from_str(include_str!("../../schemas/vectors/cut_at.json")).unwrap();
        assert!(vectors.cases.len() >= 8);
        for case in vectors.cases {
            let mut stamper = Stamper { cut: case.cut, floor: case.floor, epoch_floor: case.epoch_floor };
            let mut stamps = Stamps::default();
            for row in &case.rows {
                let changed_at = Micros(row.changed_at_micros.parse().unwrap());
                stamper.stamp(&change(1, changed_at, ChangeKind::Insert), row.at, &mut stamps);
            }
            let expected: Vec<Second> = case.rows.iter().map(|row| row.cut_at).collect();
            assert_eq!(stamps.cuts, expected, "{}", case.why);
            assert_eq!(stamps.late, case.late, "{}", case.why);
            assert_eq!((stamps.lifted, stamps.ahead), (case.lifted, case.ahead), "{}", case.why);
        }
    }

    #[test]
    fn undecodable_rows_name_their_second_once() {
        let mut stamper = Stamper { cut: Second(10), floor: Second(9), epoch_floor: Second(0) };
        let mut stamps = Stamps::default();
        for micros in [11_000_000, 11_500_000, 12_000_000] {
            stamper.stamp(&change(1, Micros(micros), ChangeKind::Unknown), Second(100), &mut stamps);
        }
        assert_eq!(stamps.unknown, [Second(11), Second(12)]);
    }

    #[test]
    fn intervals_merge_where_they_touch() {
        let at = |from, to| Interval { from: Second(from), to: Second(to) };
        let mut all = vec![at(0, 5), at(10, 20)];
        at(5, 10).join(&mut all);
        assert_eq!(all, [at(0, 20)]);
        at(30, 40).join(&mut all);
        at(25, 26).join(&mut all);
        assert_eq!(all, [at(0, 20), at(25, 26), at(30, 40)]);
    }
}
