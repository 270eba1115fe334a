//! The invariants as predicates, numbered as in the doc of [`Manifest`](super::Manifest).

use crate::change::{Second, Sequence};

use super::action::Span;
use super::state::Shard;
use crate::segment::SegmentMeta;

/// Why an entry has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {n} breaks invariant {invariant}: {what}")]
pub struct Violation {
    /// The entry.
    pub n: u64,
    /// Which invariant.
    pub invariant: u8,
    /// How.
    pub what: String,
}

/// A predicate that fails, before it is known in which entry.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) invariant: u8,
    pub(super) what: String,
}

pub(super) type Held = Result<(), Broken>;

/// Fails with `what` unless `ok`.
pub(super) fn hold(invariant: u8, ok: bool, what: impl FnOnce() -> String) -> Held {
    if ok { Ok(()) } else { Err(Broken { invariant, what: what() }) }
}

/// 1: a span begins where its shard stands, and goes on; only a gap may have no length.
pub(super) fn chains(shard: &Shard, span: &Span) -> Held {
    let on = span.through > span.after || (span.gap.is_some() && span.through == span.after);
    hold(1, span.after == shard.through && on, || {
        format!("({}, {}] does not follow {} of {}", span.after, span.through, shard.through, span.shard)
    })
}

/// 2: a gap has no rows, every other span has some.
pub(super) fn counts(span: &Span) -> Held {
    hold(2, (span.rows == 0) == span.gap.is_some(), || format!("{} rows in a span of {}", span.rows, span.shard))
}

/// 2: the rows of an entry's segments are those of its spans.
pub(super) fn rows_equal(segments: &[SegmentMeta], spans: &[Span]) -> Held {
    let stored: u64 = segments.iter().map(|meta| meta.rows).sum();
    let said: u64 = spans.iter().map(|span| span.rows).sum();
    hold(2, stored == said, || format!("its segments have {stored} rows, its spans {said}"))
}

/// 3: the last row of a span is above the shard's floor and not below its cut.
pub(super) fn cut_rises(shard: &Shard, span: &Span) -> Held {
    hold(3, span.cut > shard.floor && span.cut >= shard.cut, || {
        format!("cut {} of {} is below cut {} or floor {}", span.cut, span.shard, shard.cut, shard.floor)
    })
}

/// 3, for one row of a segment, against the shard before its span and the row before it in the shard.
///
/// # Errors
/// What is wrong with the row.
pub fn row_rises(floor: Second, cut: Second, row: Second) -> Result<(), String> {
    if row > floor && row >= cut { Ok(()) } else { Err(format!("a row at {row} below floor {floor} or cut {cut}")) }
}

/// 2, for the rows of one shard in an entry's segments, which come in order of sequence.
///
/// # Errors
/// Rows outside the span, or another number of them.
pub fn rows_in_span(span: &Span, sequences: &[Sequence]) -> Result<(), String> {
    let inside = sequences.iter().all(|sequence| *sequence > span.after && *sequence <= span.through);
    let ends = sequences.last().is_none_or(|last| *last == span.through);
    if inside && ends && sequences.len() as u64 == span.rows {
        return Ok(());
    }
    Err(format!("{} rows do not fill ({}, {}] of {}", sequences.len(), span.after, span.through, span.shard))
}

/// 6: `what` does not fall.
pub(super) fn rises<T: PartialOrd + std::fmt::Debug + Copy>(what: &str, before: T, after: T) -> Held {
    hold(6, after >= before, || format!("{what} falls from {before:?} to {after:?}"))
}

/// 10: rows and digests of what goes in and what comes out are the same.
pub(super) fn conserves<'a>(
    inputs: impl Iterator<Item = &'a SegmentMeta>,
    outputs: impl Iterator<Item = &'a SegmentMeta>,
) -> Held {
    let (inputs, outputs) = (sum(inputs)?, sum(outputs)?);
    hold(10, inputs == outputs, || format!("{} rows go in, {} come out, or their digests differ", inputs.0, outputs.0))
}

/// Rows, and the wrapping sum of their digests.
fn sum<'a>(segments: impl Iterator<Item = &'a SegmentMeta>) -> Result<(u64, u128), Broken> {
    let mut total = (0_u64, 0_u128);
    for meta in segments {
        let digest = u128::from_str_radix(&meta.row_digest, 16)
            .map_err(|_| Broken { invariant: 10, what: format!("{} has no row digest", meta.path) })?;
        total = (total.0.saturating_add(meta.rows), total.1.wrapping_add(digest));
    }
    Ok(total)
}
