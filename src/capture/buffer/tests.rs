//! Buffers under every order of pages, losses and restarts.

use super::*;
use crate::capture::fixture::{change, key, seq, shard};
use crate::change::ChangeKind;
use crate::manifest::GapReason;

const W: i64 = 1_000_000;
/// `W − 24 h + 20 min`.
const EDGE: Second = Second(W - 86_400 + 1_200);

fn page(rows: &[(u64, i64)], at: i64) -> Arrived {
    let row = |(sequence, second): &(u64, i64)| change(*sequence, Second(*second).micros(), ChangeKind::Insert);
    Arrived {
        changes: rows.iter().map(row).collect(),
        at: Second(at),
        from_trim_horizon: false,
        first: rows.first().map(|(sequence, _)| seq(*sequence)),
        null: false,
        idle: false,
        held: Held::free(10),
    }
}

fn horizon(rows: &[(u64, i64)], at: i64) -> Arrived {
    Arrived { from_trim_horizon: true, ..page(rows, at) }
}

/// A shard from sequence 10 whose unread records may all be old.
fn old_shard() -> Shard {
    shard(None, 10)
}

/// A shard from sequence 10 whose unread records are all young.
fn young_shard() -> Shard {
    Shard { sure: Some(Second(W - 100)), floor: Second(W - 100), cut: Second(W - 100), ..shard(None, 10) }
}

fn sequences(draft: &Draft) -> Vec<Sequence> {
    draft.rows.iter().map(|row| row.change.sequence).collect()
}

/// What the fold makes of a draft.
fn fold(shard: &mut Shard, draft: &Draft) {
    for span in &draft.spans {
        assert_eq!(span.after, shard.through);
        (shard.through, shard.cut) = (span.through, span.cut);
        shard.floor = span.floor.unwrap_or(shard.floor.max(span.cut.plus(-1)));
        shard.gaps += u32::from(span.gap.is_some());
        if span.gap.is_some_and(|gap| span.cut == gap.to_cut) || (span.gap.is_none() && span.late.is_empty()) {
            shard.sure = shard.sure.max(Some(span.cut.plus(-300)));
        }
    }
    if draft.closed.is_some() {
        shard.closed_at = Some(Second(W));
    }
}

fn drafted(buffer: &Buffer, shard: &Shard) -> Draft {
    buffer.draft(&key("a"), shard, Second(0), u64::MAX)
}

#[test]
fn a_complete_first_page_is_one_span_and_the_end_closes_behind_it() {
    let mut shard = young_shard();
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(horizon(&[(10, W - 50), (12, W - 40)], W)).unwrap();
    buffer.push(Arrived { null: true, ..page(&[(15, W - 30)], W) }).unwrap();
    let draft = drafted(&buffer, &shard);
    assert_eq!(sequences(&draft), [seq(10), seq(12), seq(15)]);
    assert_eq!((draft.spans.len(), draft.spans[0].after, draft.spans[0].through), (1, seq(9), seq(15)));
    assert_eq!(draft.closed.as_ref().unwrap().through, seq(15));
    fold(&mut shard, &draft);
    buffer.committed(&shard);
    assert!(!buffer.has_rows() && drafted(&buffer, &shard).is_empty());
}

#[test]
fn a_late_first_page_states_its_gap_in_front_of_its_rows() {
    let mut shard = old_shard();
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(horizon(&[(20, EDGE.0 - 500), (22, W - 40)], W)).unwrap();
    assert!(buffer.urgent(&shard));
    let draft = drafted(&buffer, &shard);
    let gap = draft.spans[0].gap.unwrap();
    assert_eq!((draft.spans[0].through, gap.from_cut, gap.to_cut), (seq(19), Second(1_001), EDGE.plus(-490)));
    assert_eq!((draft.spans[1].after, draft.spans[1].through, draft.spans[1].rows), (seq(19), seq(22), 2));
    fold(&mut shard, &draft);
    buffer.committed(&shard);
    assert!(drafted(&buffer, &shard).is_empty() && !buffer.urgent(&shard));
}

#[test]
fn an_empty_late_page_states_a_gap_of_length_zero_once() {
    let mut shard = old_shard();
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(horizon(&[], W)).unwrap();
    let draft = drafted(&buffer, &shard);
    assert_eq!((draft.spans[0].after, draft.spans[0].through, draft.spans[0].cut), (seq(9), seq(9), EDGE));
    fold(&mut shard, &draft);
    buffer.committed(&shard);
    buffer.push(page(&[(11, W - 5)], W)).unwrap();
    assert_eq!(drafted(&buffer, &shard).spans.len(), 1);
    assert_eq!(buffer.reconcile(&shard), Standing::Kept);
}

#[test]
fn a_second_reading_is_judged_after_the_first_is_committed() {
    let mut shard = young_shard();
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(horizon(&[(10, W - 50)], W)).unwrap();
    buffer.push(horizon(&[(90, W + 90_000)], W + 100_000)).unwrap();
    let first = drafted(&buffer, &shard);
    assert_eq!(sequences(&first), [seq(10)]);
    fold(&mut shard, &first);
    buffer.committed(&shard);
    let second = drafted(&buffer, &shard);
    assert_eq!((second.spans.len(), second.spans[0].through), (2, seq(89)));
    assert_eq!(second.spans[0].gap.unwrap().reason, GapReason::PossiblyTrimmed);
}

#[test]
fn a_repeated_reading_without_rows_is_judged_by_the_later_page() {
    let shard = old_shard();
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(horizon(&[], W)).unwrap();
    buffer.push(horizon(&[(30, W + 100)], W + 900)).unwrap();
    let draft = drafted(&buffer, &shard);
    assert_eq!((draft.spans[0].through, draft.spans[0].cut), (seq(29), EDGE.plus(900)));
}

#[test]
fn a_shard_that_vanished_is_lost_behind_its_rows_in_an_entry_of_its_own() {
    let mut shard = young_shard();
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(horizon(&[(10, W - 50)], W)).unwrap();
    buffer.lose(Second(W));
    let rows = drafted(&buffer, &shard);
    assert!(rows.closed.is_none() && rows.rows.len() == 1);
    fold(&mut shard, &rows);
    buffer.committed(&shard);
    let end = drafted(&buffer, &shard);
    assert_eq!(end.spans[0].gap.unwrap().reason, GapReason::NotFound);
    assert_eq!((end.spans[0].after, end.closed.unwrap().through), (seq(10), seq(10)));
}

#[test]
fn another_writers_progress_drops_what_it_committed() {
    let mut shard = young_shard();
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(horizon(&[(10, W - 50), (12, W - 40), (15, W - 30)], W)).unwrap();
    shard.through = seq(12);
    assert_eq!(buffer.reconcile(&shard), Standing::Kept);
    assert_eq!(sequences(&drafted(&buffer, &shard)), [seq(15)]);
    shard.through = seq(30);
    buffer.reconcile(&shard);
    buffer.push(page(&[(28, W), (31, W)], W)).unwrap();
    assert_eq!(sequences(&drafted(&buffer, &shard)), [seq(31)]);
}

#[test]
fn a_first_page_still_above_another_writers_progress_is_judged_again() {
    let mut shard = old_shard();
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(horizon(&[(20, W - 50)], W)).unwrap();
    shard.through = seq(15);
    assert_eq!(buffer.reconcile(&shard), Standing::Kept);
    assert_eq!(drafted(&buffer, &shard).spans[0].after, seq(15));
    shard.through = seq(20);
    buffer.reconcile(&shard);
    assert!(drafted(&buffer, &shard).is_empty());
}

#[test]
fn a_foreign_gap_or_a_step_back_means_reading_again() {
    let mut shard = young_shard();
    shard.through = seq(12);
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(page(&[(15, W - 30)], W)).unwrap();
    let gap = Shard { gaps: 1, ..shard.clone() };
    assert_eq!(buffer.reconcile(&gap), Standing::Reread);
    assert!(!buffer.has_rows());
    assert_eq!(buffer.reconcile(&Shard { through: seq(11), ..gap }), Standing::Reread);
}

#[test]
fn a_record_at_or_below_what_the_lineage_delivered_stops_the_table() {
    let shard = young_shard();
    let mut buffer = Buffer::new(&shard, Some(seq(14)));
    assert_eq!(buffer.push(page(&[(14, W)], W)), Err(Disorder { sequence: seq(14), above: seq(14) }));
    assert!(Buffer::new(&shard, None).push(page(&[(10, W)], W)).is_ok());
    assert!(Buffer::new(&shard, None).push(page(&[(9, W)], W)).is_err());
}

#[test]
fn only_a_reader_with_nothing_in_hand_is_idle() {
    let shard = young_shard();
    let mut buffer = Buffer::new(&shard, None);
    let quiet = || Arrived { idle: true, ..page(&[], W) };
    buffer.push(quiet()).unwrap();
    assert_eq!(buffer.idle(&shard).unwrap().through, seq(9));
    buffer.push(page(&[(11, W)], W)).unwrap();
    assert!(buffer.idle(&shard).is_none());
    buffer.push(quiet()).unwrap();
    assert!(buffer.idle(&shard).is_none());
    let mut disturbed = Buffer::new(&shard, None);
    disturbed.push(quiet()).unwrap();
    disturbed.disturb();
    assert!(disturbed.idle(&shard).is_none());
}

#[test]
fn a_horizon_page_that_begins_with_a_record_we_have_had_lost_nothing() {
    let mut shard = old_shard();
    let mut buffer = Buffer::new(&shard, None);
    buffer.push(horizon(&[(10, 1_100), (11, 1_100)], W)).unwrap();
    let draft = drafted(&buffer, &shard);
    assert!(draft.spans[0].gap.is_some(), "nothing of this shard was read before");
    fold(&mut shard, &draft);
    buffer.committed(&shard);
    buffer.push(horizon(&[(11, 1_100), (12, 1_101)], W)).unwrap();
    let draft = drafted(&buffer, &shard);
    assert_eq!((draft.spans.len(), sequences(&draft)), (1, vec![seq(12)]));
    assert!(draft.spans[0].gap.is_none());
}
