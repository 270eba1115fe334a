//! The plan of a replay: a pure value, made from the manifest alone. Running it makes no decisions.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::point::Point;
use crate::change::Second;
use crate::manifest::{Base, BaseKind, Cause, GapId, Manifest, Unknown, unknown};
use crate::platform::bugs::{Bug, planted};
use crate::segment::{SegmentMeta, Tier};

/// What the caller chooses besides the point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Trust only the time that is confirmed by rows (`proven_through`), not by idle shards.
    pub proven: bool,
    /// Gaps that a person goes past, knowing that changes in them may be missing from the answer.
    pub accepted: BTreeSet<GapId>,
}

/// Which way the image is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the newest base before the point: the last change, else the base's row.
    Forward,
    /// Through old images, to the first base after the point.
    Backward,
}

/// What a replay will read, and what its answer is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The point.
    pub point: Point,
    /// The way.
    pub way: Way,
    /// The base: the newest before the point, or, backward, the first after it.
    pub base: PlannedBase,
    /// Changes stamped at or before this second play no part.
    pub after: Second,
    /// Changes stamped after this second play no part.
    pub until: Second,
    /// Segments of changes, in order of path.
    pub changes: Vec<SegmentMeta>,
    /// Rows in all segments.
    pub rows: u64,
    /// Bytes in all segments.
    pub bytes: u64,
    /// The second up to which the archive covers the table, by the watermark in use.
    pub covered_through: Second,
    /// Which watermark that is.
    pub watermark: Watermark,
    /// Whether the same point gives the same answer for ever.
    pub is_final: bool,
    /// A change that belongs before the point may have been archived after it (see FORMAT, late rows).
    pub late: bool,
    /// What is unknown between `after` and `until`: only backward plans meet any, and none behind the point.
    pub unknown: Vec<Unknown>,
    /// Gaps between `after` and `until` that the caller goes past: the answer may lack changes in them.
    pub accepted: Vec<Unknown>,
}

/// The base of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedBase {
    /// The entry of its commit.
    pub n: u64,
    /// How it came about.
    pub kind: BaseKind,
    /// It supersedes every change stamped at or before this second.
    pub fence: Second,
    /// From here on it serves forward replays.
    pub complete_at: Second,
    /// Its segments, in order of path.
    pub segments: Vec<SegmentMeta>,
}

/// The watermark that covers the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Watermark {
    /// `closed_through`.
    Closed,
    /// `proven_through`.
    Proven,
}

/// Why no plan exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Capture has not begun.
    #[error("nothing is archived of this table yet")]
    NothingArchived,
    /// The point lies before the first second of coverage.
    #[error("{asked} lies before the archive's coverage, which begins at {begins}")]
    BeforeCoverage {
        /// The point's second.
        asked: Second,
        /// The first second that can be asked for.
        begins: Second,
    },
    /// The point lies after what the archive can answer for. Capture may still reach it unless the stream is off.
    #[error("{asked} is not covered yet: the archive is {} up to {}{}", .watermark.words(), OrNever(*.covered), Since(.over))]
    NotCovered {
        /// The point's second.
        asked: Second,
        /// How far it is covered.
        covered: Option<Second>,
        /// By which watermark.
        watermark: Watermark,
        /// What became of the last stream, if no other is archived: waiting does not help.
        over: Option<Unknown>,
    },
    /// A gap makes the image at the point unknown.
    #[error("the image at {asked} is unknown: {unknown}")]
    Gap {
        /// The point's second.
        asked: Second,
        /// The first gap in the way.
        unknown: Unknown,
    },
    /// No base serves the point: items that never changed are unknown.
    #[error("no snapshot of the table serves {asked}: items that did not change since coverage began are unknown")]
    NoBase {
        /// The point's second.
        asked: Second,
        /// The earliest base that stands, if any does.
        first_base: Option<Second>,
    },
}

struct OrNever(Option<Second>);

impl fmt::Display for OrNever {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(second) => second.fmt(f),
            None => f.write_str("no time yet"),
        }
    }
}

struct Since<'a>(&'a Option<Unknown>);

impl fmt::Display for Since<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |unknown| write!(f, "; {unknown}"))
    }
}

impl Watermark {
    /// What users read.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Closed => "likely complete",
            Self::Proven => "confirmed",
        }
    }
}

/// Plans the image at `point`. `manifest` must hold all segments from the oldest usable base on. A gap is gone past only
/// where there is no other way to the point.
///
/// # Errors
/// [`Refusal`]: the point is outside coverage, or its image is unknown.
pub fn plan(manifest: &Manifest, point: Point, options: &Options) -> Result<Plan, Refusal> {
    let watermark = if options.proven { Watermark::Proven } else { Watermark::Closed };
    let all = unknown::all(manifest);
    match passing(manifest, point.clone(), watermark, &all, &[]) {
        Err(Refusal::Gap { .. }) if !options.accepted.is_empty() => {
            let is_accepted = |unknown: &Unknown| unknown.gap().is_some_and(|id| options.accepted.contains(&id));
            let (accepted, unknown): (Vec<_>, Vec<_>) = all.into_iter().partition(is_accepted);
            passing(manifest, point, watermark, &unknown, &accepted)
        }
        planned => planned,
    }
}

/// A plan that stops at `unknown` and goes past what is `accepted`.
fn passing(
    manifest: &Manifest,
    point: Point,
    watermark: Watermark,
    unknown: &[Unknown],
    accepted: &[Unknown],
) -> Result<Plan, Refusal> {
    let covered = covered(manifest, &point, watermark)?;
    let draw = |point: Point, way, base: &Base, range: (Second, Second)| {
        let met = |all: &[Unknown]| unknown::meeting(all, range.0, range.1).cloned().collect();
        draw(manifest, point, (watermark, covered), way, base, range, (met(unknown), met(accepted)))
    };
    let horizon = point.horizon();
    let before = bases(manifest).filter(|base| base.base.complete_at <= point.through).max_by_key(order);
    let mut in_the_way = None;
    if let Some(base) = before {
        in_the_way = unknown::meeting(unknown, base.base.fence, horizon).next();
        if in_the_way.is_none() || planted(Bug::GapIsPassedOver) {
            let whole = planted(Bug::SnapshotWithoutOverlap);
            let range = (if whole { base.base.complete_at } else { base.base.fence }, horizon);
            return Ok(draw(point, Way::Forward, base, range));
        }
    }
    let gap = |unknown: &Unknown| Refusal::Gap { asked: horizon, unknown: unknown.clone() };
    if point.forward_only() {
        return Err(in_the_way.map_or_else(|| no_base(manifest, horizon), gap));
    }
    let after = bases(manifest).filter(|base| base.base.complete_at > point.through).min_by_key(order);
    // Up to that base: an item that nobody knows of may have lived at the point and vanished in a gap, so that one hides
    // the whole table. Without a base, a gap around the point says more than that there is none.
    let behind = match after {
        Some(base) => unknown::meeting(unknown, point.through, base.base.complete_at).next(),
        None => unknown.iter().find(|unknown| unknown.from <= horizon && unknown.to > point.through),
    };
    if let Some(behind) = behind {
        return Err(gap(behind));
    }
    let Some(base) = after.filter(|base| has_old_images(manifest, horizon, base.base.complete_at)) else {
        return Err(in_the_way.map_or_else(|| no_base(manifest, horizon), gap));
    };
    let range = (useful_after(base, unknown, point.horizon()), base.base.complete_at);
    Ok(draw(point, Way::Backward, base, range))
}

fn bases(manifest: &Manifest) -> impl Iterator<Item = &Base> {
    manifest.bases.iter()
}

const fn order(base: &&Base) -> (Second, u64) {
    (base.base.complete_at, base.n)
}

/// How far the archive covers, once `point` is within it.
fn covered(manifest: &Manifest, point: &Point, watermark: Watermark) -> Result<Second, Refusal> {
    let Some((_, first)) = manifest.epochs.first_key_value() else { return Err(Refusal::NothingArchived) };
    let empty = bases(manifest).any(|base| base.base.kind == BaseKind::Empty);
    let begins = first.started.floor.plus(i64::from(!empty));
    if point.through < begins {
        return Err(Refusal::BeforeCoverage { asked: point.through, begins });
    }
    // A cut inside a second needs the whole second covered: a gap may still begin in it.
    let asked = point.horizon();
    let reached = match watermark {
        Watermark::Closed => manifest.closed_through,
        Watermark::Proven => manifest.proven_through,
    };
    match reached {
        Some(reached) if asked <= reached || (point.latest && watermark == Watermark::Closed) => Ok(reached),
        covered => {
            let over =
                unknown::all(manifest).into_iter().find(|unknown| matches!(unknown.cause, Cause::StreamOff { .. }));
            Err(Refusal::NotCovered { asked, covered, watermark, over })
        }
    }
}

fn no_base(manifest: &Manifest, asked: Second) -> Refusal {
    Refusal::NoBase { asked, first_base: bases(manifest).map(|base| base.base.complete_at).min() }
}

/// Whether every stream with changes between the point and the base after it sent old images.
fn has_old_images(manifest: &Manifest, horizon: Second, complete_at: Second) -> bool {
    let touched = |epoch: &&crate::manifest::Epoch| {
        epoch.started.floor <= complete_at && epoch.border_from.is_none_or(|from| from > horizon)
    };
    manifest.epochs.values().filter(touched).all(|epoch| epoch.started.view_type == "NEW_AND_OLD_IMAGES")
}

/// Backward, a change before the point helps only where `base` may lack it, which is behind its fence, and behind the
/// last gap. The fence of another base says nothing: one that is complete later can have begun later, too.
fn useful_after(base: &Base, unknown: &[Unknown], horizon: Second) -> Second {
    let fence = Some(base.base.fence).filter(|fence| *fence < horizon);
    let gap = unknown.iter().filter(|unknown| unknown.from <= horizon).map(|unknown| unknown.to).max();
    fence.max(gap).unwrap_or(Second(i64::MIN))
}

fn draw(
    manifest: &Manifest,
    point: Point,
    (watermark, covered_through): (Watermark, Second),
    way: Way,
    base: &Base,
    (after, until): (Second, Second),
    (unknown, accepted): (Vec<Unknown>, Vec<Unknown>),
) -> Plan {
    let needed = |meta: &&SegmentMeta| needed(meta, way, &point, (after, until), &accepted);
    let changes: Vec<SegmentMeta> = manifest.segments.values().map(|meta| &**meta).filter(needed).cloned().collect();
    let mut segments = base.base.segments.clone();
    segments.sort_by(|a, b| a.path.cmp(&b.path));
    let total = |of: fn(&SegmentMeta) -> u64| changes.iter().chain(&segments).map(of).sum();
    let (rows, bytes) = (total(|meta| meta.rows), total(|meta| meta.bytes));
    let asked = point.through;
    Plan {
        is_final: point.horizon() <= covered_through,
        late: manifest.late.iter().any(|late| late.from <= asked && asked < late.to),
        unknown,
        accepted,
        base: PlannedBase {
            n: base.n,
            kind: base.base.kind,
            fence: base.base.fence,
            complete_at: base.base.complete_at,
            segments,
        },
        point,
        way,
        after,
        until,
        changes,
        rows,
        bytes,
        covered_through,
        watermark,
    }
}

/// Whether a segment can hold a change that matters: of a day that lies wholly before the point, only the last
/// change of an item does, unless that one could not be decoded and is gone past. Backward, a sealed row may lean on any
/// earlier one of its day.
fn needed(meta: &SegmentMeta, way: Way, point: &Point, (after, until): (Second, Second), accepted: &[Unknown]) -> bool {
    let reached = meta.min_cut_at.is_none_or(|min| min <= until);
    let inside = reached && meta.max_cut_at.is_none_or(|max| max > after);
    let leaned_on = way == Way::Backward && reached && meta.dt >= point.horizon().day();
    let passed = |gap: &Unknown| gap.from.day() <= meta.dt && meta.dt <= gap.to.day();
    match meta.tier {
        Tier::Base => false,
        Tier::Raw => inside,
        Tier::Heads => inside || leaned_on,
        Tier::Rest => (inside && (meta.dt >= point.horizon().day() || accepted.iter().any(passed))) || leaned_on,
    }
}

impl Plan {
    /// What is read, in the order by which rows are found again: changes, then the base.
    pub(super) fn objects(&self) -> impl Iterator<Item = &SegmentMeta> {
        self.changes.iter().chain(&self.base.segments)
    }
}

impl Refusal {
    /// The gap in the way, if that is the reason.
    #[must_use]
    pub const fn gap(&self) -> Option<&Unknown> {
        match self {
            Self::Gap { unknown, .. } if !matches!(unknown.cause, Cause::StreamOff { .. }) => Some(unknown),
            _ => None,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Forward => "forward from the snapshot before it",
            Way::Backward => "backward through old images from the snapshot after it",
        };
        writeln!(f, "point      {}", self.point)?;
        writeln!(f, "way        {way}")?;
        let base = &self.base;
        writeln!(f, "snapshot   entry {}, complete at {}, {} files", base.n, base.complete_at, base.segments.len())?;
        writeln!(f, "changes    {} files, after {} up to {}", self.changes.len(), self.after, self.until)?;
        writeln!(f, "to read    {} rows, {} bytes", self.rows, self.bytes)?;
        writeln!(f, "covered    {} up to {}", self.watermark.words(), self.covered_through)?;
        for unknown in &self.unknown {
            writeln!(f, "unknown    {unknown}; passed by, from the snapshot after it")?;
        }
        for gap in &self.accepted {
            writeln!(f, "accepted   {gap}; changes in it may be missing from this answer")?;
        }
        if self.late {
            writeln!(f, "late       changes of this time were archived late: the table may have differed by them")?;
        }
        if !self.is_final {
            writeln!(f, "not final  the point lies after what is covered: a later replay may give another answer")?;
        }
        Ok(())
    }
}
