//! Phase 1: for every key, the rows that decide its image. Only positions are kept, no images.
//!
//! The keys of one stretch of hashes are held at a time. A stretch is as long as its keys fit into the bytes
//! allowed for them: when they do not, the keys with the greatest hashes are let go, and the next stretch begins
//! with them. So the number of stretches follows from the keys that there are, and nobody has to guess it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::plan::{Plan, Way};
use crate::change::{ChangeKind, KeyHash, Second, Sequence, Text};
use crate::manifest::{Unknown, unknown};
use crate::platform::bugs::{Bug, planted};
use crate::segment::SegmentError;
use crate::segment::select::{BaseKey, Position};

/// A key as segments hold it; in this order items are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) hash: KeyHash,
    pub(super) pk: Box<str>,
    pub(super) sk: Option<Box<str>>,
}

/// Where a row lies: the segment's number in the plan, and the row's in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: u32,
    pub(super) row: u32,
}

impl Place {
    /// A segment has at most 128 MiB, so its rows count in 32 bits.
    fn of(file: u32, row: usize) -> Result<Self, SegmentError> {
        let row = u32::try_from(row).map_err(|_| SegmentError::Damaged("it has too many rows".to_owned()))?;
        Ok(Self { file, row })
    }
}

#[derive(Debug)]
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
    /// The first change that does not; only a backward plan asks for it.
    next: Option<Box<Found>>,
    base: Option<Place>,
}

/// Where an image lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lies {
    /// It is the new image of a change.
    New(Place),
    /// It is the old image of a change; where sealing left that out, the new image of the row before it.
    Old { of: Place, before: Option<Place> },
    /// It is a row of the base.
    Base(Place),
}

/// An item of the image.
#[derive(Debug)]
pub(super) struct Winner {
    pub(super) key: Key,
    pub(super) lies: Lies,
    /// It is right if nothing is missing in these seconds: behind the first, up to the second.
    pub(super) rests_on: (Second, Second),
}

/// One stretch, decided.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// Its items in order of key.
    pub(super) winners: Vec<Winner>,
    /// Where the next stretch begins, if there is one.
    pub(super) next: Option<KeyHash>,
}

/// What a key costs while it is held: a map's node is two thirds full, texts have their own allocations, and
/// beside the map stands the list that is made of it.
const KEY_BYTES: usize = (size_of::<Key>() + size_of::<Candidate>()) * 3 / 2 + size_of::<Winner>() + 32;
/// What its first change after the point costs besides.
const NEXT_BYTES: usize = size_of::<Found>() + 16;

/// The keys of one stretch of hashes, and what decides each.
#[derive(Debug)]
pub(super) struct Winners {
    plan: Arc<Plan>,
    from: KeyHash,
    /// Keys with this hash and greater ones are of later stretches.
    until: Option<KeyHash>,
    keys: BTreeMap<Key, Candidate>,
    bytes: usize,
    most_bytes: usize,
}

impl Winners {
    /// None yet of the stretch that begins at `from`; it ends where its keys pass `most_bytes`.
    pub(super) const fn new(plan: Arc<Plan>, from: KeyHash, most_bytes: usize) -> Self {
        Self { plan, from, until: None, keys: BTreeMap::new(), bytes: 0, most_bytes }
    }

    /// The first hash beyond the stretch, as far as is known now.
    pub(super) const fn until(&self) -> Option<KeyHash> {
        self.until
    }

    fn is_beyond(&self, hash: KeyHash) -> bool {
        self.until.is_some_and(|until| hash >= until)
    }

    /// Takes a row of the segment of changes number `file`; breaks where the rest is of later stretches.
    pub(super) fn change(&mut self, file: u32, row: &Position<'_>) -> Result<ControlFlow<()>, SegmentError> {
        if row.key_hash.is_some_and(|hash| self.is_beyond(hash)) {
            return Ok(ControlFlow::Break(()));
        }
        let plan = Arc::clone(&self.plan);
        if row.kind == ChangeKind::Unknown {
            return known_unknown(&plan, row).map(ControlFlow::Continue);
        }
        let (Some(hash), Some(pk)) = (row.key_hash, row.pk) else { return Ok(ControlFlow::Continue(())) };
        let counts = plan.point.includes(row.cut_at, row.epoch, row.shard_id, &row.sequence);
        let in_time = match plan.way {
            Way::Forward => counts && row.cut_at > plan.after,
            // An earlier one may hold the image that a later row of its day leaves out.
            Way::Backward => row.cut_at <= plan.until,
        };
        if hash < self.from || !in_time {
            return Ok(ControlFlow::Continue(()));
        }
        let mut position = (row.epoch, row.shard_rank, row.sequence);
        if planted(Bug::SecondsDecideOrder) {
            let second = Sequence::parse(&row.cut_at.0.to_string()).unwrap_or(row.sequence);
            position = (row.epoch, 0, second);
        }
        let place = Place::of(file, row.row)?;
        let found = Found { position, cut_at: row.cut_at, kind: row.kind, place };
        let candidate = self.candidate(hash, pk, row.sk);
        if counts {
            if candidate.last.as_ref().is_none_or(|last| position > last.position) {
                candidate.last = Some(found);
            }
        } else if let Some(next) = &mut candidate.next {
            if position < next.position {
                **next = found;
            }
        } else {
            candidate.next = Some(Box::new(found));
            self.bytes += NEXT_BYTES;
        }
        self.shed();
        Ok(ControlFlow::Continue(()))
    }

    /// Takes a row of the base's segment number `file`; breaks likewise.
    pub(super) fn base(&mut self, file: u32, row: &BaseKey<'_>) -> Result<ControlFlow<()>, SegmentError> {
        if self.is_beyond(row.key_hash) {
            return Ok(ControlFlow::Break(()));
        }
        if row.key_hash >= self.from {
            let place = Place::of(file, row.row)?;
            self.candidate(row.key_hash, row.pk, row.sk).base = Some(place);
            self.shed();
        }
        Ok(ControlFlow::Continue(()))
    }

    fn candidate(&mut self, hash: KeyHash, pk: &str, sk: Option<&str>) -> &mut Candidate {
        let key = Key { hash, pk: pk.into(), sk: sk.map(Into::into) };
        let bytes = cost(&key);
        let held = &mut self.bytes;
        self.keys.entry(key).or_insert_with(|| {
            *held += bytes;
            Candidate::default()
        })
    }

    /// Lets the keys with the greatest hashes go until the others fit. Keys of one hash stay together.
    fn shed(&mut self) {
        while self.bytes > self.most_bytes {
            let (Some((first, _)), Some((last, _))) = (self.keys.first_key_value(), self.keys.last_key_value()) else {
                return;
            };
            let (least, hash) = (first.hash, last.hash);
            if least == hash {
                return;
            }
            self.until = Some(hash);
            while let Some(last) = self.keys.last_entry().filter(|last| last.key().hash == hash) {
                let (key, candidate) = last.remove_entry();
                self.bytes -= cost(&key) + candidate.next.map_or(0, |_| NEXT_BYTES);
            }
        }
    }

    /// Every key in order, with its verdict.
    pub(super) fn decide(self) -> Stretch {
        let mut stretch = Stretch { next: self.until, ..Stretch::default() };
        stretch.winners.reserve_exact(self.keys.len());
        for (key, candidate) in self.keys {
            stretch.winners.extend(verdict(&self.plan, &candidate).map(|(lies, rests_on)| Winner {
                key,
                lies,
                rests_on,
            }));
        }
        stretch
    }
}

impl Key {
    /// The texts as an item holds them.
    pub(super) fn texts(self) -> (Text, Option<Text>) {
        let text = |text: Box<str>| Text::from(String::from(text));
        (text(self.pk), self.sk.map(text))
    }
}

fn cost(key: &Key) -> usize {
    KEY_BYTES + key.pk.len() + key.sk.as_ref().map_or(0, |sk| sk.len())
}

/// A record that could not be decoded is a gap, and no change. If the log does not say so, the two disagree.
fn known_unknown(plan: &Plan, row: &Position<'_>) -> Result<(), SegmentError> {
    let plays = row.cut_at > plan.after && row.cut_at <= plan.until;
    let at = row.cut_at;
    if plays && !plan.unknown.iter().chain(&plan.accepted).any(|unknown| unknown.from <= at && at <= unknown.to) {
        let row = row.row;
        return Err(SegmentError::Damaged(format!("row {row} could not be decoded, and no gap at {at} says so")));
    }
    Ok(())
}

/// Where the item's image lies, and what that rests on; none for one that is not there.
fn verdict(plan: &Plan, candidate: &Candidate) -> Option<(Lies, (Second, Second))> {
    match plan.way {
        Way::Forward => forward(plan, candidate),
        Way::Backward => backward(plan, candidate),
    }
}

/// The last change, else the base.
fn forward(plan: &Plan, candidate: &Candidate) -> Option<(Lies, (Second, Second))> {
    let (lies, since) = match &candidate.last {
        Some(last) => (after(last)?, last.cut_at),
        None => (from_base(candidate)?, plan.base.fence),
    };
    Some((lies, (since, plan.point.horizon())))
}

/// The last change if nothing is unknown since; else the image before the next one; else the base after both. Behind
/// the point nothing is unknown but what the caller goes past, or there would be no plan.
fn backward(plan: &Plan, candidate: &Candidate) -> Option<(Lies, (Second, Second))> {
    let horizon = plan.point.horizon();
    let clear = |unknown: &[Unknown], since: Second| unknown::meeting(unknown, since, horizon).next().is_none();
    let known_since = |last: &&Found| {
        let since = last.cut_at.plus(-1);
        last.cut_at > plan.after && clear(&plan.unknown, since) && clear(&plan.accepted, since)
    };
    if let Some(last) = candidate.last.as_ref().filter(known_since) {
        return Some((after(last)?, (last.cut_at, horizon)));
    }
    match &candidate.next {
        Some(next) if next.kind == ChangeKind::Insert => None,
        Some(next) => {
            let lies = Lies::Old { of: next.place, before: day_before(plan, candidate, next) };
            Some((lies, (horizon, next.cut_at)))
        }
        None => Some((from_base(candidate)?, (horizon, plan.until))),
    }
}

/// The row before `next` of the same key, if it lies in the same sealed day: positions that count stand before
/// those that do not, so it is the last one that counts.
fn day_before(plan: &Plan, candidate: &Candidate, next: &Found) -> Option<Place> {
    let sealed_day = |place: Place| {
        let meta = plan.changes.get(usize::try_from(place.file).ok()?)?;
        meta.tier.is_sealed().then_some(&meta.dt)
    };
    let last = candidate.last.as_ref()?;
    let day = sealed_day(next.place)?;
    (sealed_day(last.place) == Some(day)).then_some(last.place)
}

fn after(change: &Found) -> Option<Lies> {
    (change.kind != ChangeKind::Remove).then_some(Lies::New(change.place))
}

fn from_base(candidate: &Candidate) -> Option<Lies> {
    candidate.base.map(Lies::Base)
}
