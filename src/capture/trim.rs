//! The trim rule: whether a read from the trim horizon may have missed something, and the gap it leaves.
//!
//! Such a read raises no error for what the service has dropped already. It is complete only while
//! everything unread is known to be younger than the service's 24 hours, with a margin.

use crate::change::{Micros, Second};
use crate::manifest::{GapReason, GapSpan, Interval};
use crate::platform::bugs::{Bug, planted};

use super::stamp::Stamper;

/// What the service keeps at least, in seconds.
pub const KEPT: i64 = 24 * 3600;
/// What an unread record must be younger than `KEPT` by.
const MARGIN: i64 = 10 * 60;
/// What the archive's knowledge begins after `W − KEPT` by: twice the margin, so that a first page has time to arrive.
pub const AFTER_LOSS: i64 = 20 * 60;
/// How far the first row's stamp may lie behind the stamps of lost rows, in seconds.
const STAMP_SPREAD: i64 = 10;
/// A gap makes the answers of these seconds before it late: an idle shard's heartbeat may have passed over what was lost.
const BEFORE_GAP: i64 = 15 * 60;

/// What a shard's time looks like behind a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The gap as it is committed.
    pub gap: GapSpan,
    /// The shard's `cut` after it.
    pub cut: Second,
    /// The shard's `floor` after it.
    pub floor: Second,
}

impl Loss {
    /// The times whose answers are labelled because of this gap.
    #[must_use]
    pub fn late(&self) -> Interval {
        Interval { from: self.gap.from_cut.plus(-BEFORE_GAP), to: self.gap.from_cut }
    }
}

/// Whether a trim-horizon read whose first page has the service's time `at` holds everything that is not archived yet.
#[must_use]
pub fn complete(sure: Option<Second>, at: Second) -> bool {
    match sure {
        Some(sure) => sure >= at.plus(MARGIN - KEPT) || planted(Bug::FirstReadMissesNothing),
        None => planted(Bug::UnknownParentMissesNothing),
    }
}

/// The loss before `first` (the stamp of the first row read), or before anything that may still come if there is none.
#[must_use]
pub fn possibly_trimmed(shard: Stamper, at: Second, first: Option<Micros>) -> Loss {
    let from_cut = shard.floor.plus(1);
    let bound = bound(shard, at);
    let first = first.map(|changed_at| shard.cut_at(changed_at, at)).filter(|cut| *cut < bound);
    let Some(first) = first else { return up_to(GapReason::PossiblyTrimmed, from_cut, bound) };
    let to_cut = first.plus(STAMP_SPREAD).min(bound);
    let gap = GapSpan { reason: GapReason::PossiblyTrimmed, from_cut, to_cut };
    Loss { gap, cut: shard.cut, floor: shard.floor }
}

/// The loss of a shard that vanished before its end was seen.
#[must_use]
pub fn not_found(shard: Stamper, at: Second) -> Loss {
    up_to(GapReason::NotFound, shard.floor.plus(1), bound(shard, at))
}

/// The gap of a shard that is never read: its times do not change. `sure` falls back on the epoch's floor.
#[must_use]
pub fn barred(shard: Stamper, sure: Option<Second>, at: Second) -> (Loss, Interval) {
    let from_cut = shard.floor.plus(1);
    let gap = GapSpan { reason: GapReason::Barred, from_cut, to_cut: at.max(from_cut) };
    let oldest = sure.unwrap_or(shard.epoch_floor).min(from_cut);
    let late = Interval { from: oldest.plus(-BEFORE_GAP), to: from_cut };
    (Loss { gap, cut: shard.cut, floor: shard.floor }, late)
}

/// Nothing at or above this second can have been trimmed.
fn bound(shard: Stamper, at: Second) -> Second {
    shard.cut.max(shard.floor.plus(1)).max(at.plus(AFTER_LOSS - KEPT))
}

const fn up_to(reason: GapReason, from_cut: Second, bound: Second) -> Loss {
    Loss { gap: GapSpan { reason, from_cut, to_cut: bound }, cut: bound, floor: bound.plus(-1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: Second = Second(1_000_000);
    /// `W − 24 h + 20 min`.
    const EDGE: Second = Second(1_000_000 - 86_400 + 1_200);

    fn shard(cut: i64, floor: i64) -> Stamper {
        Stamper { cut: Second(cut), floor: Second(floor), epoch_floor: Second(0) }
    }

    #[test]
    fn complete_while_everything_unread_is_young() {
        assert!(complete(Some(W.plus(600 - 86_400)), W));
        assert!(!complete(Some(W.plus(599 - 86_400)), W));
        assert!(!complete(None, W));
    }

    #[test]
    fn a_first_row_below_the_bound_ends_the_gap_and_moves_nothing() {
        let loss = possibly_trimmed(shard(500_000, 499_999), W, Some(EDGE.plus(-100).micros()));
        assert_eq!((loss.gap.from_cut, loss.gap.to_cut), (Second(500_000), EDGE.plus(-90)));
        assert_eq!((loss.cut, loss.floor), (Second(500_000), Second(499_999)));
        let near = possibly_trimmed(shard(500_000, 499_999), W, Some(EDGE.plus(-3).micros()));
        assert_eq!(near.gap.to_cut, EDGE);
        assert_eq!(near.late(), Interval { from: Second(499_100), to: Second(500_000) });
    }

    #[test]
    fn otherwise_the_gap_reaches_the_bound_and_lifts_the_shard() {
        for first in [None, Some(EDGE.micros()), Some(W.micros())] {
            let loss = possibly_trimmed(shard(500_000, 499_999), W, first);
            assert_eq!((loss.gap.from_cut, loss.gap.to_cut), (Second(500_000), EDGE));
            assert_eq!((loss.cut, loss.floor), (EDGE, EDGE.plus(-1)));
        }
    }

    #[test]
    fn a_floor_above_the_edge_gives_a_gap_of_one_second() {
        let loss = not_found(shard(999_000, 999_500), W);
        assert_eq!((loss.gap.from_cut, loss.gap.to_cut), (Second(999_501), Second(999_501)));
        assert_eq!((loss.cut, loss.floor), (Second(999_501), Second(999_500)));
        assert_eq!(loss.gap.reason, GapReason::NotFound);
    }

    #[test]
    fn a_barred_shard_is_labelled_from_what_was_sure() {
        let (loss, late) = barred(shard(500_000, 499_999), Some(Second(400_000)), W);
        assert_eq!((loss.gap.from_cut, loss.gap.to_cut), (Second(500_000), W));
        assert_eq!((loss.cut, loss.floor), (Second(500_000), Second(499_999)));
        assert_eq!(late, Interval { from: Second(399_100), to: Second(500_000) });
        let (_, unknown) = barred(shard(500_000, 499_999), None, W);
        assert_eq!(unknown.from, Second(-900));
    }

    #[derive(serde::Deserialize)]
    struct Vectors<C> {
        cases: Vec<C>,
    }

    #[derive(serde::Deserialize)]
    struct TrimCase {
        why: String,
        at: Second,
        cut: Second,
        floor: Second,
        sure: Option<Second>,
        first_cut: Option<Second>,
        not_found: bool,
        gap: Option<GapCase>,
    }

    #[derive(serde::Deserialize)]
    struct GapCase {
        from_cut: Second,
        to_cut: Second,
        cut: Second,
        floor: Second,
        late: Interval,
    }

    #[test]
    fn the_trim_rule_is_that_of_the_published_vectors() {
        let file = include_str!("../../schemas/vectors/trim.json");
        let vectors: Vectors<TrimCase> = serde_json::from_str(file).unwrap();
        assert!(vectors.cases.len() >= 10);
        for case in vectors.cases {
            let shard = Stamper { cut: case.cut, floor: case.floor, epoch_floor: Second(0) };
            let loss = match (case.not_found, complete(case.sure, case.at)) {
                (true, _) => Some(not_found(shard, case.at)),
                (false, true) => None,
                (false, false) => Some(possibly_trimmed(shard, case.at, case.first_cut.map(Second::micros))),
            };
            let found = loss.map(|loss| (loss.gap.from_cut, loss.gap.to_cut, loss.cut, loss.floor, loss.late()));
            let expected = case.gap.map(|gap| (gap.from_cut, gap.to_cut, gap.cut, gap.floor, gap.late));
            assert_eq!(found, expected, "{}", case.why);
        }
    }

    #[derive(serde::Deserialize)]
    struct BarredCase {
        why: String,
        at: Second,
        floor: Second,
        sure: Option<Second>,
        epoch_floor: Second,
        from_cut: Second,
        to_cut: Second,
        late: Interval,
    }

    #[test]
    fn the_gap_of_a_barred_shard_is_that_of_the_published_vectors() {
        let file = include_str!("../../schemas/vectors/barred.json");
        let vectors: Vectors<BarredCase> = serde_json::from_str(file).unwrap();
        assert!(vectors.cases.len() >= 3);
        for case in vectors.cases {
            let shard = Stamper { cut: case.floor, floor: case.floor, epoch_floor: case.epoch_floor };
            let (loss, late) = barred(shard, case.sure, case.at);
            assert_eq!(
                (loss.gap.from_cut, loss.gap.to_cut, late),
                (case.from_cut, case.to_cut, case.late),
                "{}",
                case.why
            );
            assert_eq!((loss.cut, loss.floor), (shard.cut, shard.floor), "{}", case.why);
        }
    }
}
