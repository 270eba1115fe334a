//! What happened when: changes by stretches of time, and the bursts among them, out of a few narrow columns.

mod bursts;
mod distinct;
mod prefix;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::error::ReplayError;
use crate::change::{ChangeKind, KeyHash, Second};
use crate::manifest::{Manifest, ReadError, Segments, unpacked};
use crate::platform::tasks;
use crate::segment::select::moments::{self, Moment, Who};
use crate::segment::{SegmentMeta, Tier};
pub use bursts::Of;
use bursts::Span;
use distinct::Distinct;
pub use prefix::Prefix;

/// Minutes since 1970 UTC.
type Minute = i64;

/// Seconds in a minute.
const MINUTE: i64 = 60;
/// Lengths of a stretch that people think in, in seconds.
const LENGTHS: [i64; 7] = [MINUTE, 10 * MINUTE, 3_600, 6 * 3_600, 86_400, 7 * 86_400, 28 * 86_400];
/// What fits on a screen or two.
const STRETCHES: i64 = 100;
/// Services that are told apart in one burst.
const ACTORS: usize = 16;

/// How often a table changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Items that were not there before.
    pub inserts: u64,
    /// Items that were.
    pub modifies: u64,
    /// Items that went.
    pub removes: u64,
    /// Records that could not be decoded.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    /// All changes.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.inserts + self.modifies + self.removes + self.unknown
    }

    const fn add(&mut self, other: &Self) {
        self.inserts += other.inserts;
        self.modifies += other.modifies;
        self.removes += other.removes;
        self.unknown += other.unknown;
    }

    const fn one(kind: ChangeKind) -> Self {
        let mut counts = Self { inserts: 0, modifies: 0, removes: 0, unknown: 0 };
        match kind {
            ChangeKind::Insert => counts.inserts = 1,
            ChangeKind::Modify => counts.modifies = 1,
            ChangeKind::Remove => counts.removes = 1,
            ChangeKind::Unknown => counts.unknown = 1,
        }
        counts
    }
}

/// A stretch of time in which something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Its first second.
    pub from: Second,
    /// What changed.
    pub counts: Counts,
    /// In how many different items: about, from some hundreds on.
    pub items: u64,
}

/// Seconds in which far more changed than usually does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burst {
    /// Of what.
    pub of: Of,
    /// The first second of it.
    pub from: Second,
    /// The last one.
    pub to: Second,
    /// What changed in its minutes.
    pub counts: Counts,
    /// How many of these are usual in a minute: the median.
    pub usual: u64,
    /// In how many different items: about, from some hundreds on.
    pub items: u64,
    /// How their keys begin, if most begin alike: the partition key, or, where all have the same, the sort key.
    pub prefix: Option<(Part, Prefix)>,
    /// What the service did by itself: how often, by `userIdentity` as it was delivered.
    pub actors: BTreeMap<String, u64>,
}

/// A part of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The partition key.
    Partition,
    /// The sort key.
    Sort,
}

/// A table's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Seconds in each stretch.
    pub every: i64,
    /// Those in which something changed, in order.
    pub stretches: Vec<Stretch>,
    /// The greatest bursts, in order.
    pub bursts: Vec<Burst>,
}

/// The timeline of the changes that are stamped from `from` to `to` (see [`bounds`]), by stretches of `every` seconds, or of as many as
/// give a list that can be looked at. `manifest` must hold the segments of that time.
///
/// A few columns of each segment are read, which are not proven: [`verify`](crate::verify) does that.
///
/// # Errors
/// [`ReplayError::Read`].
pub async fn timeline(
    manifest: &Manifest,
    segments: &Segments,
    (from, to): (Second, Second),
    every: Option<i64>,
) -> Result<Timeline, ReplayError> {
    let metas = within(manifest, from, to);
    let every = every.unwrap_or_else(|| length(to.0 - from.0));
    let counted = move |tally: &mut Tally, moment: Moment<'_>| {
        if (from..=to).contains(&moment.cut_at) {
            tally.take(&moment, every);
        }
    };
    let tally: Tally = read(segments, &metas, false, counted).await?;
    let minutes = minute(from)..minute(to) + 1;
    let mut bursts = Vec::new();
    for span in bursts::find(&tally.minutes, &minutes) {
        bursts.push(described(segments, &metas, (from, to), span).await?);
    }
    let stretch = |(from, (counts, items)): (i64, (Counts, Distinct<()>))| Stretch {
        from: Second(from * every),
        counts,
        items: items.count(),
    };
    Ok(Timeline { every, stretches: tally.stretches.into_iter().map(stretch).collect(), bursts })
}

/// Of the time from `from` to `to`, what begins and ends with a change, as far as the log tells.
#[must_use]
pub fn bounds(manifest: &Manifest, (from, to): (Second, Second)) -> (Second, Second) {
    let metas = within(manifest, from, to);
    let first = metas.iter().filter_map(|meta| meta.min_cut_at).min().map_or(from, |first| first.max(from));
    let last = metas.iter().filter_map(|meta| meta.max_cut_at).max().map_or(from, |last| last.min(to));
    (first, last.max(first))
}

const fn minute(at: Second) -> Minute {
    at.0.div_euclid(MINUTE)
}

/// The shortest length of which few enough fill so many seconds.
fn length(seconds: i64) -> i64 {
    LENGTHS.into_iter().find(|length| seconds / length < STRETCHES).unwrap_or(LENGTHS[LENGTHS.len() - 1])
}

fn within(manifest: &Manifest, from: Second, to: Second) -> Vec<Arc<SegmentMeta>> {
    let meets = |meta: &&Arc<SegmentMeta>| meta.tier != Tier::Base && meta.meets(from, to);
    manifest.segments.values().filter(meets).cloned().collect()
}

/// Something that segments add to, each for itself.
trait Merge: Default + Send + 'static {
    fn merge(&mut self, other: Self);
}

/// What `take` makes of all changes of the segments.
async fn read<T: Merge>(
    segments: &Segments,
    metas: &[Arc<SegmentMeta>],
    who: bool,
    take: impl Fn(&mut T, Moment<'_>) + Clone + Send + 'static,
) -> Result<T, ReadError> {
    let mut reads: Vec<BoxFuture<'_, _>> = Vec::with_capacity(metas.len());
    for meta in metas {
        let (take, owned) = (take.clone(), Arc::clone(meta));
        reads.push(
            async move {
                let parts = segments.part(meta, moments::wanted(meta, who)).await?;
                unpacked(meta, move || {
                    let mut one = T::default();
                    moments::moments(&parts, &owned, who, |moment| take(&mut one, moment))?;
                    Ok(one)
                })
                .await
            }
            .boxed(),
        );
    }
    let merged = |mut all: T, one: T| async move {
        all.merge(one);
        Ok(all)
    };
    stream::iter(reads).buffer_unordered(tasks::width()).try_fold(T::default(), merged).await
}

/// Counts by minute, and counts and items by stretch.
#[derive(Debug, Default)]
struct Tally {
    minutes: BTreeMap<Minute, Counts>,
    stretches: BTreeMap<i64, (Counts, Distinct<()>)>,
}

impl Tally {
    fn take(&mut self, moment: &Moment<'_>, every: i64) {
        let one = Counts::one(moment.kind);
        self.minutes.entry(minute(moment.cut_at)).or_default().add(&one);
        let (counts, items) = self.stretches.entry(moment.cut_at.0.div_euclid(every)).or_default();
        counts.add(&one);
        items.add(spread(moment.key_hash), || ());
    }
}

impl Merge for Tally {
    fn merge(&mut self, other: Self) {
        for (minute, counts) in other.minutes {
            self.minutes.entry(minute).or_default().add(&counts);
        }
        for (at, (counts, items)) in other.stretches {
            let (all, distinct) = self.stretches.entry(at).or_default();
            all.add(&counts);
            distinct.merge(items);
        }
    }
}

/// The half of the hash that is of the whole key. Keys that cannot be read count as one.
fn spread(hash: Option<KeyHash>) -> u64 {
    hash.map_or(0, |hash| hash.0[8..].iter().fold(0, |high, byte| high << 8 | u64::from(*byte)))
}

/// What a burst is made of.
#[derive(Debug, Default)]
struct Found {
    counts: Counts,
    seconds: BTreeMap<Second, u64>,
    keys: Distinct<(String, Option<String>)>,
    actors: BTreeMap<String, u64>,
}

impl Found {
    fn take(&mut self, of: Of, moment: &Moment<'_>) {
        let one = Counts::one(moment.kind);
        self.counts.add(&one);
        let (true, Some(Who { pk, sk, actor })) = (of.count(&one) > 0, moment.who) else { return };
        *self.seconds.entry(moment.cut_at).or_default() += 1;
        let own = || (pk.unwrap_or_default().to_owned(), sk.map(str::to_owned));
        self.keys.add(spread(moment.key_hash), own);
        if let Some(actor) = actor {
            self.count(actor.to_owned(), 1);
        }
    }

    fn count(&mut self, actor: String, times: u64) {
        if self.actors.len() < ACTORS || self.actors.contains_key(&actor) {
            *self.actors.entry(actor).or_default() += times;
        }
    }
}

impl Merge for Found {
    fn merge(&mut self, other: Self) {
        self.counts.add(&other.counts);
        for (second, count) in other.seconds {
            *self.seconds.entry(second).or_default() += count;
        }
        self.keys.merge(other.keys);
        other.actors.into_iter().for_each(|(actor, times)| self.count(actor, times));
    }
}

/// Looks into the minutes of a burst.
async fn described(
    segments: &Segments,
    metas: &[Arc<SegmentMeta>],
    (from, to): (Second, Second),
    span: Span,
) -> Result<Burst, ReplayError> {
    let first = Second(span.minutes.start * MINUTE).max(from);
    let last = Second(span.minutes.end * MINUTE - 1).min(to);
    let metas: Vec<_> = metas.iter().filter(|meta| meta.meets(first, last)).cloned().collect();
    let of = span.of;
    let counted = move |found: &mut Found, moment: Moment<'_>| {
        if (first..=last).contains(&moment.cut_at) {
            found.take(of, &moment);
        }
    };
    let found: Found = read(segments, &metas, true, counted).await?;
    let (from, to) = edges(&found.seconds, span.least).unwrap_or((first, last));
    let (items, prefix) = (found.keys.count(), prefix(&found.keys));
    Ok(Burst { of, from, to, counts: found.counts, usual: span.usual, items, prefix, actors: found.actors })
}

/// The first and the last second that go at the pace of a burst.
fn edges(seconds: &BTreeMap<Second, u64>, least: u64) -> Option<(Second, Second)> {
    let minute = MINUTE.unsigned_abs();
    let mut fast = seconds.iter().filter(|(_, count)| **count * minute >= least).map(|(second, _)| *second);
    let first = fast.next()?;
    Some((first, fast.next_back().unwrap_or(first)))
}

fn prefix(keys: &Distinct<(String, Option<String>)>) -> Option<(Part, Prefix)> {
    let mut partition: Vec<&str> = keys.sample().map(|(pk, _)| pk.as_str()).collect();
    let found = prefix::of(&mut partition)?;
    if found.whole && found.percent == 100 {
        let mut sort: Vec<&str> = keys.sample().filter_map(|(_, sk)| sk.as_deref()).collect();
        if let Some(prefix) = prefix::of(&mut sort).filter(|_| sort.len() > 1) {
            return Some((Part::Sort, prefix));
        }
    }
    Some((Part::Partition, found))
}
