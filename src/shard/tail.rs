//! Reading one shard, page by page, as a value: where the reader stands, and what its next step brings.
//!
//! [`Tail::step`] may be dropped at any await: nothing is emitted until it returns, and a page that was
//! lost on the way is read again with the same iterator.

use std::sync::Arc;
use std::time::Duration;

use super::{ReadFrom, ShardIterator, SourceError, StreamSource, decode};
use crate::change::{Change, KeySchema, Second, Sequence, ShardId};
use crate::platform::aws::ServiceError;
use crate::platform::bugs::{Bug, planted};
use crate::platform::clock::{Instant, now, sleep};
use crate::platform::ids::Ids;
use crate::platform::retry::Backoff;

/// Between two pages of an idle shard: the first wait, and the longest. Empty calls are billed too.
const IDLE_WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));
/// The longest wait behind so many empty pages that the shard may be idle: below one call in five seconds.
const IDLE_MOST: Duration = Duration::from_millis(5500);
/// That wait is at most this part of `settle`, so that an endpoint which settles fast is read fast.
const IDLE_PART: u32 = 20;
/// A page whose last record is older than this is followed at once: the reader is behind, whatever the page's size.
const FRESH: i64 = 60;
/// The service gives at most so many records in a page: behind a full one there is more.
const PAGE_RECORDS: usize = 1000;
/// Between two tries of a failing call.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A throttled reader shares the shard with others, and they cannot know of it: it leaves this much time between its
/// pages, twice as much each time, and a tenth less behind each page that comes.
const YIELD: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// A reader so far behind (seconds) leaves time to nobody: half of what the service keeps.
const PRESSED: i64 = 12 * 3600;
/// Empty pages in a row before a shard may be called idle.
const IDLE_PAGES: u32 = 10;
/// A longer pause between two empty pages, in seconds, begins the count anew.
const IDLE_PAUSE: u64 = 60;

/// What a step brought.
#[derive(Debug)]
pub enum TailEvent {
    /// A page.
    Page(TailPage),
    /// The position was trimmed: the next page is read from the trim horizon.
    Trimmed,
    /// The shard (or its stream) is gone before its end was seen. A further step reads from the trim horizon.
    NotFound {
        /// The service's time of that answer.
        at: Second,
    },
    /// A call failed; a further step waits and makes it again. `Denied` needs an operator meanwhile.
    Retrying {
        /// Why it failed.
        error: SourceError,
        /// Failures in a row.
        attempts: u32,
    },
    /// The service refuses the call, or delivered an order that the archive cannot hold: a person must look.
    Stopped(TailStop),
    /// The end was seen in an earlier page: there is nothing more.
    Ended,
}

/// Why a shard cannot be read any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TailStop {
    /// A bug or a configuration error.
    #[error("the service refuses to read shard {shard}: {reason}")]
    Refused {
        /// The shard.
        shard: ShardId,
        /// What the service said.
        reason: String,
    },
    /// The task that reads it died: a bug.
    #[error("the reader of shard {shard} died: {reason}")]
    Died {
        /// The shard.
        shard: ShardId,
        /// How.
        reason: String,
    },
    /// Sequence numbers must rise within a page; dropping one would lose it.
    #[error("shard {shard} delivered sequence number {second} after {first}: its order cannot be kept")]
    Disorder {
        /// The shard.
        shard: ShardId,
        /// The record before.
        first: Sequence,
        /// The record whose number is not above it.
        second: Sequence,
    },
}

/// One page of a shard.
#[derive(Debug)]
pub struct TailPage {
    /// Changes not emitted before, in order.
    pub changes: Vec<Change>,
    /// The service's time of the page.
    pub at: Second,
    /// The first page of a read that began at the trim horizon: judge it by the trim rule.
    pub from_trim_horizon: bool,
    /// The first record that the service delivered, also one emitted before.
    pub first: Option<Sequence>,
    /// The end of the shard: no further page follows this one.
    pub null: bool,
    /// At least ten empty pages in a row, up to this one, span at least `settle` without a pause, error or new iterator.
    pub idle: bool,
    /// Records left out because this tail had emitted them before.
    pub repeated: u64,
}

/// A run of empty pages.
#[derive(Debug, Clone, Copy)]
struct Quiet {
    since: Second,
    last: Second,
    pages: u32,
}

/// Where the next page comes from.
#[derive(Debug)]
enum Place {
    /// No iterator yet, or not any more.
    From(ReadFrom),
    /// This iterator; `first` until its trim-horizon read brought a page.
    At { iterator: ShardIterator, first: bool },
    /// The null iterator was seen.
    End,
}

/// The reader of one shard.
#[derive(Debug)]
pub struct Tail {
    source: Arc<dyn StreamSource>,
    shard: ShardId,
    keys: Arc<KeySchema>,
    settle: i64,
    place: Place,
    emitted: Option<Sequence>,
    /// What was emitted before the iterator in use was asked for: only records up to here may come again.
    behind: Option<Sequence>,
    quiet: Option<Quiet>,
    retry: Backoff,
    /// Between two pages of a shard that is read up to its tip: every call is billed, whatever it brings.
    pace: Duration,
    idle_wait: Duration,
    idle_most: Duration,
    /// Left to other readers of the shard between two pages.
    yields: Duration,
    due: Instant,
}

impl Tail {
    /// A reader of `shard` that begins at `from`. `settle`: how long a shard must be empty before it is called idle;
    /// `pace`: how long a reader that has caught up waits behind a page with records.
    #[must_use]
    pub fn new(
        source: Arc<dyn StreamSource>,
        shard: ShardId,
        keys: Arc<KeySchema>,
        from: ReadFrom,
        (settle, pace): (Duration, Duration),
        ids: Ids,
    ) -> Self {
        Self {
            source,
            shard,
            keys,
            settle: i64::try_from(settle.as_secs()).unwrap_or(i64::MAX),
            place: Place::From(from),
            emitted: after(from),
            behind: after(from),
            quiet: None,
            retry: Backoff::new(ids, RETRY_WAIT.0, RETRY_WAIT.1),
            pace,
            idle_wait: IDLE_WAIT.0,
            idle_most: (settle / IDLE_PART).clamp(IDLE_WAIT.1, IDLE_MOST),
            yields: Duration::ZERO,
            due: now(),
        }
    }

    /// The shard.
    #[must_use]
    pub const fn shard(&self) -> &ShardId {
        &self.shard
    }

    /// Forgets what was emitted and reads again from `from`: after a lost commit, or a voided one.
    pub fn rewind(&mut self, from: ReadFrom) {
        self.place = Place::From(from);
        self.emitted = after(from);
        self.quiet = None;
        self.due = now();
    }

    /// Waits until the next call is due, makes it, and says what it brought.
    pub async fn step(&mut self) -> TailEvent {
        sleep(self.due.saturating_duration_since(now())).await;
        let answer = match &self.place {
            Place::End => return TailEvent::Ended,
            Place::At { iterator, .. } => self.source.read(iterator).await,
            Place::From(from) => match self.source.iterator(&self.shard, *from).await {
                Ok(iterator) => {
                    let first =
                        *from == ReadFrom::TrimHorizon && !(planted(Bug::TrimmedIsSkipped) && self.emitted.is_some());
                    let answer = self.source.read(&iterator).await;
                    self.place = Place::At { iterator, first };
                    self.behind = self.emitted;
                    self.quiet = None;
                    answer
                }
                Err(error) => Err(error),
            },
        };
        match answer.and_then(|raw| decode::page(&raw, &self.keys)) {
            Ok(page) => self.take(page),
            Err(error) => self.fail(error),
        }
    }

    /// Takes a page in.
    fn take(&mut self, page: decode::Page) -> TailEvent {
        let mut changes = page.changes;
        let delivered = changes.len();
        let first = changes.first().map(|change| change.sequence);
        if let Some(behind) = self.behind.filter(|_| !planted(Bug::RepeatsAreKept)) {
            changes.retain(|change| change.sequence > behind);
        }
        if planted(Bug::ChildBeginsAtLatest) && matches!(self.place, Place::At { first: true, .. }) {
            changes.clear();
        }
        if let Some((first, second)) = disorder(self.emitted, &changes) {
            self.due = now() + self.retry.step();
            return TailEvent::Stopped(TailStop::Disorder { shard: self.shard.clone(), first, second });
        }
        let repeated = u64::try_from(delivered - changes.len()).unwrap_or(u64::MAX);
        self.emitted = changes.last().map(|change| change.sequence).or(self.emitted);
        self.retry.reset();
        let idle = self.count_quiet(delivered == 0 && page.next.is_some(), page.at);
        let age = changes.last().map_or(0, |last| page.at.0.saturating_sub(last.changed_at.second().0));
        self.schedule(delivered, age > FRESH);
        self.leave_time(age > PRESSED);
        let from_trim_horizon = matches!(self.place, Place::At { first: true, .. });
        let null = page.next.is_none() || (planted(Bug::EmptyPageEndsShard) && delivered == 0);
        self.place = page.next.map_or(Place::End, |iterator| Place::At { iterator, first: false });
        TailEvent::Page(TailPage { changes, at: page.at, from_trim_horizon, first, null, idle, repeated })
    }

    /// Counts a page of an idle shard; whether the shard is idle by now.
    fn count_quiet(&mut self, empty: bool, at: Second) -> bool {
        if !empty {
            self.quiet = None;
            return false;
        }
        let quiet = match self.quiet {
            // The service's machines differ by a second or two, so its time may step back a little.
            Some(run) if at.0.abs_diff(run.last.0) <= IDLE_PAUSE => {
                Quiet { last: at.max(run.last), pages: run.pages.saturating_add(1), ..run }
            }
            _ => Quiet { since: at, last: at, pages: 1 },
        };
        self.quiet = Some(quiet);
        quiet.pages >= IDLE_PAGES && quiet.last.0 - quiet.since.0 >= self.settle
    }

    /// A page behind which more is sure to stand is followed at once, any other at the reader's pace; empty ones ever
    /// more slowly.
    fn schedule(&mut self, delivered: usize, behind: bool) {
        if delivered == 0 {
            self.due = now() + self.idle_wait;
            // An empty page says nothing about the tip: only behind many of them is the reader likely to be there.
            let idle = self.quiet.is_some_and(|quiet| quiet.pages >= IDLE_PAGES);
            self.idle_wait = (self.idle_wait * 2).min(if idle { self.idle_most } else { IDLE_WAIT.1 });
        } else {
            let at_once = behind || delivered >= PAGE_RECORDS;
            self.due = if at_once { now() } else { now() + self.pace };
            self.idle_wait = IDLE_WAIT.0;
        }
    }

    /// Leaves time to others where the service had to slow us down before.
    fn leave_time(&mut self, pressed: bool) {
        if !pressed {
            self.due = self.due.max(now() + self.yields);
        }
        self.yields = self.yields.mul_f32(0.9);
        if self.yields < YIELD.0 / 2 {
            self.yields = Duration::ZERO;
        }
    }

    /// One reaction per error.
    fn fail(&mut self, error: SourceError) -> TailEvent {
        self.quiet = None;
        match error {
            SourceError::Expired => {
                self.place = Place::From(self.emitted.map_or(ReadFrom::TrimHorizon, ReadFrom::After));
                self.retrying(error)
            }
            SourceError::Trimmed => {
                // On a trim-horizon read the trimming overtook a fresh iterator: nothing but another one helps.
                let again = matches!(self.place, Place::From(ReadFrom::TrimHorizon) | Place::At { first: true, .. });
                self.place = Place::From(ReadFrom::TrimHorizon);
                if again { self.retrying(error) } else { TailEvent::Trimmed }
            }
            SourceError::Service(ServiceError::NotFound { at }) => {
                self.place = Place::From(ReadFrom::TrimHorizon);
                self.due = now() + self.retry.step();
                TailEvent::NotFound { at }
            }
            SourceError::Service(ServiceError::Invalid(reason)) => {
                self.due = now() + self.retry.step();
                TailEvent::Stopped(TailStop::Refused { shard: self.shard.clone(), reason })
            }
            SourceError::Service(ServiceError::Throttled(_)) => {
                self.yields = (self.yields * 2).clamp(YIELD.0, YIELD.1);
                self.retrying(error)
            }
            SourceError::Service(
                ServiceError::Unavailable(_) | ServiceError::Denied(_) | ServiceError::Malformed(_),
            ) => self.retrying(error),
        }
    }

    fn retrying(&mut self, error: SourceError) -> TailEvent {
        self.due = now() + self.retry.step();
        TailEvent::Retrying { error, attempts: self.retry.attempts() }
    }
}

/// The last record that a reader beginning at `from` has behind it.
const fn after(from: ReadFrom) -> Option<Sequence> {
    match from {
        ReadFrom::TrimHorizon => None,
        ReadFrom::After(sequence) => Some(sequence),
    }
}

/// The first two neighbours whose sequence numbers do not rise; `emitted` stands before them all.
fn disorder(emitted: Option<Sequence>, changes: &[Change]) -> Option<(Sequence, Sequence)> {
    let numbers = || changes.iter().map(|change| change.sequence);
    emitted.into_iter().chain(numbers()).zip(numbers().skip(usize::from(emitted.is_none()))).find(|(a, b)| a >= b)
}

#[cfg(test)]
mod tests;
