//! Phase 1: for every key, the rows that decide its image. Only positions and digests are kept, no images.
//!
//! The keys of one stretch of hashes are held at a time. A stretch is as long as its keys fit into the bytes
//! allowed for them: when they do not, the keys with the greatest hashes are let go, and the next stretch begins
//! with them. So the number of stretches follows from the keys that there are, and nobody has to guess it.
//!
//! Every segment is sorted by key, and so is what is gathered of it. Each stretch has lanes, one behind another, whose
//! runs merge as they come in: several threads gather at once, memory is read in order, and the winners come out sorted.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::found::{Found, Order, Part, Place, Run};
use super::plan::{Plan, Way};
use crate::change::{ChangeKind, KeyHash, Second, Sequence, Text};
use crate::manifest::{Unknown, unknown};
use crate::platform::bugs::{Bug, planted};
use crate::segment::SegmentError;
use crate::segment::select::{BaseKey, Beside, Position};

/// A key as segments hold it; in this order items are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) hash: KeyHash,
    pub(super) pk: Box<str>,
    pub(super) sk: Option<Box<str>>,
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
    /// Of the image.
    pub(super) digest: u128,
    /// It is right if nothing is missing in these seconds: behind the first, up to the second.
    pub(super) rests_on: (Second, Second),
}

/// One stretch, decided.
#[derive(Debug)]
pub(super) struct Stretch {
    /// Where it begins.
    pub(super) from: KeyHash,
    /// Its items in order of key.
    pub(super) winners: Vec<Winner>,
    /// Where the next stretch begins, if there is one.
    pub(super) next: Option<KeyHash>,
}

/// Lanes of a stretch: each holds the hashes that begin with the same four bits.
const LANES: usize = 16;
/// Rows that are gathered before they are given to a lane.
const GATHERED: usize = 1 << 14;

/// What was found of the keys of one lane. Each run is at least twice as long as the one behind it.
#[derive(Debug, Default)]
struct Lane {
    runs: Vec<Run>,
}

impl Lane {
    fn bytes(&self) -> usize {
        self.runs.iter().map(Run::bytes).sum()
    }

    fn push(&mut self, run: Run) -> Result<(), SegmentError> {
        self.runs.push(run);
        while let [.., longer, shorter] = self.runs.as_slice()
            && longer.len() < 2 * shorter.len()
        {
            let merged = Run::merge(longer, shorter)?;
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(merged);
        }
        Ok(())
    }

    /// All of it in one; an error comes with the number of a segment that a key of it is from.
    fn merged(mut self) -> Result<Run, (u32, SegmentError)> {
        let mut all = self.runs.pop().unwrap_or_default();
        while let Some(longer) = self.runs.pop() {
            let of = |error| (all.a_file(), error);
            all = Run::merge(&longer, &all).map_err(of)?;
        }
        Ok(all)
    }

    fn truncate(&mut self, until: KeyHash) {
        self.runs.iter_mut().for_each(|run| run.truncate(until));
        self.runs.retain(|run| !run.is_empty());
    }

    /// The hash to cut it at: near its middle, behind its first key.
    fn cut(&self) -> Option<KeyHash> {
        let least = self.runs.iter().filter_map(Run::first).min()?;
        let middle = self.runs.iter().max_by_key(|run| run.len()).and_then(Run::middle);
        middle
            .filter(|middle| *middle > least)
            .or_else(|| self.runs.iter().filter_map(Run::last).max())
            .filter(|cut| *cut > least)
    }
}

/// The keys of one stretch of hashes, and what decides each. Shared by those who gather.
#[derive(Debug)]
pub(super) struct Winners {
    plan: Arc<Plan>,
    from: KeyHash,
    /// Keys with this hash and greater ones are of later stretches.
    until: Mutex<Option<KeyHash>>,
    lanes: [Mutex<Lane>; LANES],
    bytes: AtomicUsize,
    most_bytes: usize,
}

/// What a panic elsewhere left is what is asked for: it ends the replay anyhow.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn lane(hash: KeyHash) -> usize {
    (hash.0[0] >> 4) as usize
}

impl Winners {
    /// None yet of the stretch that begins at `from`; it ends where its keys pass `most_bytes`.
    pub(super) fn new(plan: Arc<Plan>, from: KeyHash, most_bytes: usize) -> Self {
        let lanes = std::array::from_fn(|_| Mutex::default());
        Self { plan, from, until: Mutex::default(), lanes, bytes: AtomicUsize::new(0), most_bytes }
    }

    /// Where it begins.
    pub(super) const fn from(&self) -> KeyHash {
        self.from
    }

    /// The digests that are asked for.
    pub(super) fn beside(&self) -> Beside {
        match self.plan.way {
            Way::Forward => Beside::NewDigest,
            Way::Backward => Beside::Digests,
        }
    }

    /// Where it ends, as far as is known.
    pub(super) fn until(&self) -> Option<KeyHash> {
        *lock(&self.until)
    }

    /// The last hash that may be of it, likewise.
    pub(super) fn last(&self) -> KeyHash {
        self.until().map_or(KeyHash::GREATEST, KeyHash::before)
    }

    /// Begins to gather the rows of segment number `file`.
    pub(super) fn gather(&self, file: u32) -> Gatherer<'_> {
        Gatherer { winners: self, file, until: self.until(), run: self.run() }
    }

    fn run(&self) -> Run {
        Run::new(self.plan.way == Way::Forward)
    }

    fn add(&self, mut run: Run) -> Result<(), SegmentError> {
        run.shrink();
        let Some(number) = run.first().map(lane) else { return Ok(()) };
        let Some(lane) = self.lanes.get(number) else { return Ok(()) };
        let mut lane = lock(lane);
        let before = lane.bytes();
        lane.push(run)?;
        let after = lane.bytes();
        // Before it is unlocked, so that what is let go of it is never counted off first.
        self.bytes.fetch_add(after, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        drop(lane);
        self.shed();
        Ok(())
    }

    /// Lets the keys with the greatest hashes go until the others fit. Keys of one hash stay together.
    fn shed(&self) {
        while self.bytes.load(Ordering::Relaxed) > self.most_bytes {
            let mut until = lock(&self.until);
            let holding: Vec<usize> = (0..LANES).filter(|at| !lock(&self.lanes[*at]).runs.is_empty()).collect();
            let Some(last) = holding.last() else { return };
            let mut lane = lock(&self.lanes[*last]);
            let least = lane.runs.iter().filter_map(Run::first).min();
            let Some(cut) = (if holding.len() > 1 { least } else { lane.cut() }) else { return };
            *until = Some(until.map_or(cut, |until| until.min(cut)));
            let before = lane.bytes();
            lane.truncate(cut);
            self.bytes.fetch_sub(before - lane.bytes(), Ordering::Relaxed);
        }
    }

    /// Every key in order, with its verdict, once all is gathered.
    ///
    /// # Errors
    /// With the number of the segment that is damaged.
    pub(super) fn decide(&self) -> Result<Stretch, (u32, SegmentError)> {
        let next = self.until();
        let mut winners = Vec::new();
        for lane in &self.lanes {
            let mut lane = std::mem::take(&mut *lock(lane));
            // Who gathered while the stretch was cut shorter may have added more.
            next.into_iter().for_each(|next| lane.truncate(next));
            let run = lane.merged()?;
            for ((pk, sk), parts) in run.keys() {
                let Some((found, lies, rests_on)) = verdict(&self.plan, parts) else { continue };
                let digest = found.digest.map(u128::from_be_bytes).ok_or_else(|| no_image(found.place))?;
                let key = Key { hash: found.hash, pk: pk.into(), sk: sk.map(Into::into) };
                winners.push(Winner { key, lies, digest, rests_on });
            }
        }
        Ok(Stretch { from: self.from, winners, next })
    }
}

fn no_image(Place { file, row }: Place) -> (u32, SegmentError) {
    (file, SegmentError::Damaged(format!("the image of row {row} is not there, and its kind must have one")))
}

/// Gathers what the rows of one segment say, in their order.
#[derive(Debug)]
pub(super) struct Gatherer<'a> {
    winners: &'a Winners,
    file: u32,
    until: Option<KeyHash>,
    run: Run,
}

impl Gatherer<'_> {
    /// Takes a row of changes; breaks where the rest is of later stretches.
    pub(super) fn change(&mut self, row: &Position<'_>) -> Result<ControlFlow<()>, SegmentError> {
        let plan = &self.winners.plan;
        if row.key_hash.is_some_and(|hash| self.is_beyond(hash)) {
            return Ok(ControlFlow::Break(()));
        }
        if row.kind == ChangeKind::Unknown {
            return known_unknown(plan, row).map(ControlFlow::Continue);
        }
        let (Some(hash), Some(pk)) = (row.key_hash, row.pk) else { return Ok(ControlFlow::Continue(())) };
        let counts = plan.point.includes(row.cut_at, row.epoch, row.shard_id, &row.sequence);
        let in_time = match plan.way {
            Way::Forward => counts && row.cut_at > plan.after,
            // An earlier one may hold the image that a later row of its day leaves out.
            Way::Backward => row.cut_at <= plan.until,
        };
        if hash < self.winners.from || !in_time {
            return Ok(ControlFlow::Continue(()));
        }
        let (part, digest) = if counts { (Part::Last, row.new_digest) } else { (Part::Next, row.old_digest) };
        let mut order = Order::of(row.epoch, row.shard_rank, &row.sequence);
        if planted(Bug::SecondsDecideOrder) {
            let second = Sequence::parse(&row.cut_at.0.to_string()).unwrap_or(row.sequence);
            order = Order::of(row.epoch, 0, &second);
        }
        let mut found = Found::new(hash, part, row.kind, Place::of(self.file, row.row)?);
        (found.order, found.cut_at, found.digest) = (order, row.cut_at, digest.map(u128::to_be_bytes));
        self.take(found, (pk, row.sk))?;
        Ok(ControlFlow::Continue(()))
    }

    /// Takes a row of the base; breaks likewise.
    pub(super) fn base(&mut self, row: &BaseKey<'_>) -> Result<ControlFlow<()>, SegmentError> {
        if self.is_beyond(row.key_hash) {
            return Ok(ControlFlow::Break(()));
        }
        if row.key_hash >= self.winners.from {
            let mut found = Found::new(row.key_hash, Part::Base, ChangeKind::Insert, Place::of(self.file, row.row)?);
            found.digest = Some(row.image_digest.to_be_bytes());
            self.take(found, (row.pk, row.sk))?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn is_beyond(&self, hash: KeyHash) -> bool {
        self.until.is_some_and(|until| hash >= until)
    }

    fn take(&mut self, found: Found, key: (&str, Option<&str>)) -> Result<(), SegmentError> {
        let full = self.run.len() >= GATHERED && self.run.last() != Some(found.hash);
        if full || self.run.last().is_some_and(|last| lane(last) != lane(found.hash)) {
            self.hand_over()?;
        }
        self.run.push(found, key)
    }

    fn hand_over(&mut self) -> Result<(), SegmentError> {
        let run = std::mem::replace(&mut self.run, self.winners.run());
        self.winners.add(run)?;
        self.until = self.winners.until();
        Ok(())
    }

    /// Hands the last ones over.
    pub(super) fn end(mut self) -> Result<(), SegmentError> {
        self.hand_over()
    }
}

impl Key {
    /// The texts as an item holds them.
    pub(super) fn texts(self) -> (Text, Option<Text>) {
        let text = |text: Box<str>| Text::from(String::from(text));
        (text(self.pk), self.sk.map(text))
    }
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

/// A key's verdict: the row whose digest its image has, where that lies, and what it rests on.
type Verdict<'a> = (&'a Found, Lies, (Second, Second));

/// What the rows of one key say; none for an item that is not there.
fn verdict<'a>(plan: &Plan, parts: &'a [Found]) -> Option<Verdict<'a>> {
    let part = |wanted: Part| parts.iter().find(|found| found.part == wanted);
    let (base, last, next) = (part(Part::Base), part(Part::Last), part(Part::Next));
    match plan.way {
        Way::Forward => forward(plan, base, last),
        Way::Backward => backward(plan, base, last, next),
    }
}

/// The last change, else the base.
fn forward<'a>(plan: &Plan, base: Option<&'a Found>, last: Option<&'a Found>) -> Option<Verdict<'a>> {
    let horizon = plan.point.horizon();
    match last {
        Some(last) => Some((last, after(last)?, (last.cut_at, horizon))),
        None => base.map(|base| (base, Lies::Base(base.place), (plan.base.fence, horizon))),
    }
}

/// The last change if nothing is unknown since; else the image before the next one; else the base after both. Behind
/// the point nothing is unknown but what the caller goes past, or there would be no plan.
fn backward<'a>(
    plan: &Plan,
    base: Option<&'a Found>,
    last: Option<&'a Found>,
    next: Option<&'a Found>,
) -> Option<Verdict<'a>> {
    let horizon = plan.point.horizon();
    let clear = |unknown: &[Unknown], since: Second| unknown::meeting(unknown, since, horizon).next().is_none();
    let known_since = |last: &&Found| {
        let since = last.cut_at.plus(-1);
        last.cut_at > plan.after && clear(&plan.unknown, since) && clear(&plan.accepted, since)
    };
    if let Some(last) = last.filter(known_since) {
        return Some((last, after(last)?, (last.cut_at, horizon)));
    }
    match next {
        Some(next) if next.kind == ChangeKind::Insert => None,
        Some(next) => {
            let lies = Lies::Old { of: next.place, before: day_before(plan, last, next) };
            Some((next, lies, (horizon, next.cut_at)))
        }
        None => base.map(|base| (base, Lies::Base(base.place), (horizon, plan.until))),
    }
}

/// The row before `next` of the same key, if it lies in the same sealed day: positions that count stand before
/// those that do not, so it is the last one that counts.
fn day_before(plan: &Plan, last: Option<&Found>, next: &Found) -> Option<Place> {
    let sealed_day = |place: Place| {
        let meta = plan.changes.get(usize::try_from(place.file).ok()?)?;
        meta.tier.is_sealed().then_some(&meta.dt)
    };
    let day = sealed_day(next.place)?;
    last.filter(|last| sealed_day(last.place) == Some(day)).map(|last| last.place)
}

fn after(change: &Found) -> Option<Lies> {
    (change.kind != ChangeKind::Remove).then_some(Lies::New(change.place))
}
