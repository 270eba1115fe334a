//! Phase 1: for every key, the rows that decide its image. Only positions are kept, no images.

use std::collections::BTreeMap;

use super::plan::{Plan, Way};
use crate::change::{ChangeKind, KeyHash, Second, Sequence, Text};
use crate::manifest::{Unknown, unknown};
use crate::segment::Row;

/// A key as segments hold it; in this order items are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) hash: KeyHash,
    pub(super) pk: Text,
    pub(super) sk: Option<Text>,
}

impl Key {
    /// A copy of a key: a decoded text may share the memory of its whole segment.
    pub(super) fn copy(hash: KeyHash, pk: &Text, sk: Option<&Text>) -> Self {
        Self { hash, pk: Text::from(pk.as_str()), sk: sk.map(|sk| Text::from(sk.as_str())) }
    }
}

/// Where a row lies: the segment's number in the plan, and the row's in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) row: usize,
}

#[derive(Debug, Clone)]
struct Found {
    position: (u32, u32, Sequence),
    cut_at: Second,
    kind: ChangeKind,
    place: Place,
}

/// What was found of one key so far.
#[derive(Debug, Default)]
struct Candidate {
    /// The last change that counts.
    last: Option<Found>,
    /// The first change that does not.
    next: Option<Found>,
    base: Option<Place>,
}

/// The image of a key: where it lies, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The new image of a change.
    New(Place),
    /// The old image of a change.
    Old(Place),
    /// A row of the base.
    Base(Place),
    /// No such item.
    Absent,
    /// A gap hides it.
    Hidden(Unknown),
}

/// The keys of one stretch of hashes, and what decides each.
#[derive(Debug)]
pub(super) struct Winners<'p> {
    plan: &'p Plan,
    keys: BTreeMap<Key, Candidate>,
}

impl<'p> Winners<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Self { plan, keys: BTreeMap::new() }
    }

    /// Takes a row of a segment of changes. A record that could not be decoded is a gap, and no change.
    pub(super) fn change(&mut self, row: &Row, place: Place) {
        let (Some(hash), Some(pk)) = (row.key_hash, &row.pk) else { return };
        let plan = self.plan;
        if row.kind == ChangeKind::Unknown || row.cut_at <= plan.after || row.cut_at > plan.until {
            return;
        }
        let counts = plan.point.includes(row.cut_at, row.epoch, &row.shard_id, &row.sequence);
        if !counts && plan.way == Way::Forward {
            return;
        }
        let position = (row.epoch, row.shard_rank, row.sequence);
        let candidate = self.keys.entry(Key::copy(hash, pk, row.sk.as_ref())).or_default();
        let (slot, better) = if counts {
            let better = candidate.last.as_ref().is_none_or(|last| position > last.position);
            (&mut candidate.last, better)
        } else {
            let better = candidate.next.as_ref().is_none_or(|next| position < next.position);
            (&mut candidate.next, better)
        };
        if better {
            *slot = Some(Found { position, cut_at: row.cut_at, kind: row.kind, place });
        }
    }

    /// Takes a row of the base.
    pub(super) fn base(&mut self, key: Key, place: Place) {
        self.keys.entry(key).or_default().base = Some(place);
    }

    /// Every key in order, with its verdict.
    pub(super) fn decide(self) -> impl Iterator<Item = (Key, Verdict)> {
        let plan = self.plan;
        self.keys.into_iter().map(move |(key, candidate)| (key, verdict(plan, &candidate)))
    }
}

fn verdict(plan: &Plan, candidate: &Candidate) -> Verdict {
    match plan.way {
        Way::Forward => forward(candidate),
        Way::Backward => backward(plan, candidate),
    }
}

/// The last change, else the base.
fn forward(candidate: &Candidate) -> Verdict {
    candidate.last.as_ref().map_or_else(|| from_base(candidate), after)
}

/// The last change if nothing is unknown since; else the image before the next one; else the base after both.
fn backward(plan: &Plan, candidate: &Candidate) -> Verdict {
    let meets = |after, through| unknown::meeting(&plan.unknown, after, through).next();
    let through = plan.point.through;
    if let Some(last) = &candidate.last
        && meets(last.cut_at.plus(-1), plan.point.horizon()).is_none()
    {
        return after(last);
    }
    let hidden = match &candidate.next {
        Some(next) => meets(through, next.cut_at),
        None => meets(through, plan.until),
    };
    match (hidden, &candidate.next) {
        (Some(unknown), _) => Verdict::Hidden(unknown.clone()),
        (None, Some(next)) if next.kind == ChangeKind::Insert => Verdict::Absent,
        (None, Some(next)) => Verdict::Old(next.place),
        (None, None) => from_base(candidate),
    }
}

fn after(change: &Found) -> Verdict {
    if change.kind == ChangeKind::Remove { Verdict::Absent } else { Verdict::New(change.place) }
}

fn from_base(candidate: &Candidate) -> Verdict {
    candidate.base.map_or(Verdict::Absent, Verdict::Base)
}
