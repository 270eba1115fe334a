//! A stream of any size that is nowhere stored: each lane of shards has a change in every so many seconds since noon,
//! and what a page of it holds follows from its place.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tailrace::capture::{CaptureInput, CaptureOptions, Memory, Observer};
use tailrace::change::{Second, ShardId};
use tailrace::platform::aws::ServiceError;
use tailrace::platform::clock::{Instant, now, sleep};
use tailrace::platform::ids::Ids;
use tailrace::shard::table::{StreamFacts, TableFacts};
use tailrace::shard::{
    ListedShard, Listing, RawPage, ReadFrom, ShardIterator, SourceError, StreamSource, StreamStatus,
};
use tailrace::store::ObjectStore;
use tokio_util::sync::CancellationToken;

use crate::service::{NOON, table};
use crate::stream::sequence as digits;

/// What the service keeps, in seconds.
const KEPT: i64 = 24 * 3600;
/// How long an iterator is good.
const ITERATOR: i64 = 900;
/// How long a call is waited for.
const NO_ANSWER: Duration = Duration::from_secs(60);
/// Keys of a lane.
pub(crate) const KEYS: u64 = 5;

/// A stream and its clock.
#[derive(Debug, Clone)]
pub(crate) struct Flood {
    /// Lines of descent: each has one open shard at a time.
    pub(crate) lanes: u64,
    /// Seconds between two changes of a lane.
    pub(crate) every: i64,
    /// Bytes that make an image larger.
    pub(crate) padding: usize,
    /// Seconds after which a shard rolls over.
    pub(crate) roll: i64,
    /// Records of a page at most, and how long the service takes for it: what can be read in a second.
    pub(crate) page: u64,
    pub(crate) latency: Duration,
    pub(crate) begun: Instant,
    pub(crate) mood: Arc<Mutex<Mood>>,
}

/// What the service does to callers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mood {
    /// Every call fails like this.
    pub(crate) all: Option<ServiceError>,
    /// Listings are throttled.
    pub(crate) no_listing: bool,
    /// Reads of this lane get no answer for as long as a call is waited for.
    pub(crate) silent_lane: Option<u64>,
    /// Reads of a thousand that are throttled.
    pub(crate) throttled: u64,
    reads: u64,
}

/// A shard: its lane, and how many shards of the lane came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard(u64, i64);

/// The number of the `n`-th change of a lane.
pub(crate) fn sequence(n: u64) -> u64 {
    100_000 + 10 * n
}

impl Flood {
    /// Many lanes with a fast service.
    pub(crate) fn new(lanes: u64, every: i64) -> Self {
        let (roll, latency) = (4 * 3600, Duration::from_millis(20));
        Self { lanes, every, padding: 0, roll, page: 1000, latency, begun: now(), mood: Arc::default() }
    }

    pub(crate) fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What any call meets.
    fn meet(&self) -> Result<(), SourceError> {
        self.mood().all.clone().map_or(Ok(()), |error| Err(SourceError::Service(error)))
    }

    /// What a read of a lane meets.
    async fn meet_read(&self, lane: u64) -> Result<(), SourceError> {
        self.meet()?;
        let (silent, throttled) = {
            let mut mood = self.mood();
            mood.reads += 1;
            // Spread evenly: of a thousand reads in a row so many are throttled.
            (mood.silent_lane == Some(lane), mood.reads.wrapping_mul(617) % 1000 < mood.throttled)
        };
        if silent {
            sleep(NO_ANSWER).await;
            return Err(SourceError::Service(ServiceError::Unavailable("no answer".into())));
        }
        let slow_down = SourceError::Service(ServiceError::Throttled("slow down".into()));
        if throttled { Err(slow_down) } else { Ok(()) }
    }

    pub(crate) fn now(&self) -> i64 {
        NOON + i64::try_from(self.begun.elapsed().as_secs()).unwrap()
    }

    /// When the `n`-th change of a lane was made: the lanes take turns.
    pub(crate) fn made(&self, lane: u64, n: u64) -> i64 {
        let turn = i64::try_from(lane).unwrap() % self.every;
        NOON + turn + i64::try_from(n).unwrap() * self.every
    }

    /// Changes of a lane before the second `at`.
    pub(crate) fn before(&self, lane: u64, at: i64) -> u64 {
        let turn = i64::try_from(lane).unwrap() % self.every;
        let seconds = at - NOON - turn;
        if seconds <= 0 { 0 } else { u64::try_from((seconds - 1) / self.every + 1).unwrap() }
    }

    pub(crate) fn pk(lane: u64, n: u64) -> String {
        format!("lane{lane:04}-{}", n % KEYS)
    }

    pub(crate) fn image(&self, lane: u64, n: u64) -> String {
        let mut image = format!(r#"{{"pk":{{"S":"{}"}},"n":{{"N":"{n}"}}"#, Self::pk(lane, n));
        if self.padding > 0 {
            image.push_str(r#","text":{"S":""#);
            // Text that shrinks to about a third, like most.
            let mut word = (lane << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            while image.len() < self.padding {
                word = word.rotate_left(23).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let _ = write!(image, "{:06x} of many ", word >> 40);
            }
            image.push_str(r#""}"#);
        }
        image.push('}');
        image
    }

    fn record(&self, lane: u64, n: u64) -> String {
        let old = n.checked_sub(KEYS).map(|old| format!(r#","OldImage":{}"#, self.image(lane, old)));
        let kind = if old.is_some() { "MODIFY" } else { "INSERT" };
        let (old, new, key) = (old.unwrap_or_default(), self.image(lane, n), Self::pk(lane, n));
        let (at, number) = (self.made(lane, n), sequence(n));
        format!(
            r#"{{"eventID":"{lane:04}-{n}","eventName":"{kind}","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"sim","dynamodb":{{"ApproximateCreationDateTime":{at},"Keys":{{"pk":{{"S":"{key}"}}}},"NewImage":{new}{old},"SequenceNumber":"{number:021}","SizeBytes":20}}}}"#
        )
    }

    fn end(&self, shard: Shard) -> i64 {
        NOON + (shard.1 + 1) * self.roll
    }

    /// The shard's changes: the first, and the one behind its last.
    fn changes(&self, shard: Shard) -> (u64, u64) {
        (self.before(shard.0, self.end(shard) - self.roll), self.before(shard.0, self.end(shard)))
    }

    fn gone(&self, shard: Shard) -> bool {
        self.end(shard) + KEPT < self.now()
    }

    fn trimmed(&self, shard: Shard) -> u64 {
        self.before(shard.0, self.now() - KEPT).max(self.changes(shard).0)
    }

    fn id(Shard(lane, nth): Shard) -> ShardId {
        ShardId::new(format!("shardId-{lane:04}-{nth:04}"))
    }

    pub(crate) fn lane_of(id: &ShardId) -> u64 {
        id.as_str()[8..12].parse().unwrap()
    }

    fn find(&self, id: &ShardId) -> Result<Shard, SourceError> {
        let shard = Shard(Self::lane_of(id), id.as_str()[13..].parse().unwrap());
        if self.gone(shard) {
            return Err(SourceError::Service(ServiceError::NotFound { at: Second(self.now()) }));
        }
        Ok(shard)
    }

    fn facts(&self) -> TableFacts {
        let stream = StreamFacts {
            arn: "arn:stream:flood".into(),
            view_type: "NEW_AND_OLD_IMAGES".into(),
            created: Second(NOON).micros(),
            status: StreamStatus::Enabled,
        };
        table(NOON, Some(stream))
    }

    /// A capture of it.
    pub(crate) fn input(&self, store: Arc<dyn ObjectStore>, memory: Memory, observer: Observer) -> CaptureInput {
        let (facts, stream) = (self.facts(), Arc::new(self.clone()));
        let again = facts.clone();
        CaptureInput {
            facts,
            describe: Arc::new(move || {
                let facts = again.clone();
                Box::pin(async move { Ok(facts) })
            }),
            streams: Arc::new(move |_| Arc::<Self>::clone(&stream) as Arc<dyn StreamSource>),
            store,
            origin: "origin".into(),
            ids: Ids::seeded(7),
            options: CaptureOptions::default(),
            let_go: CancellationToken::new(),
            memory,
            observer,
        }
    }

    fn page(&self, iterator: &ShardIterator) -> Result<RawPage, SourceError> {
        let parts: Vec<i64> = iterator.0.split('|').map(|part| part.parse().unwrap()).collect();
        let [lane, nth, place, taken] = parts.as_slice() else { return Err(SourceError::Expired) };
        let (shard, place) = (Shard(lane.unsigned_abs(), *nth), place.unsigned_abs());
        self.find(&Self::id(shard))?;
        let now = self.now();
        if now - taken > ITERATOR {
            return Err(SourceError::Expired);
        }
        if place < self.trimmed(shard) {
            return Err(SourceError::Trimmed);
        }
        let (_, end) = self.changes(shard);
        let visible = self.before(shard.0, now).min(end);
        let mut body = String::from(r#"{"Records":["#);
        let mut read = place;
        while read < visible && read < place + self.page && body.len() < 1_000_000 {
            if read > place {
                body.push(',');
            }
            body.push_str(&self.record(shard.0, read));
            read += 1;
        }
        body.push(']');
        if read < end || now < self.end(shard) {
            let _ = write!(body, r#","NextShardIterator":"{lane}|{nth}|{read}|{now}""#);
        }
        body.push('}');
        Ok(RawPage { body: Bytes::from(body), at: Second(now) })
    }
}

#[async_trait]
impl StreamSource for Flood {
    async fn list(&self) -> Result<Listing, SourceError> {
        self.meet()?;
        if self.mood().no_listing {
            return Err(SourceError::Service(ServiceError::Throttled("slow down".into())));
        }
        sleep(self.latency).await;
        let last = (self.now() - NOON) / self.roll;
        let all = (0..self.lanes).flat_map(|lane| (0..=last).map(move |nth| Shard(lane, nth)));
        let listed = |shard: Shard| {
            let ((start, end), parent) = (self.changes(shard), Shard(shard.0, shard.1 - 1));
            ListedShard {
                id: Self::id(shard),
                parent: (shard.1 > 0).then(|| Self::id(parent)),
                start: digits(sequence(start) - 5),
                end: (shard.1 < last).then(|| digits(sequence(end) - 6)),
            }
        };
        let shards = all.filter(|shard| !self.gone(*shard)).map(listed).collect();
        Ok(Listing { begun: Second(self.now()), status: StreamStatus::Enabled, shards })
    }

    async fn knows(&self, shard: &ShardId) -> Result<bool, SourceError> {
        self.meet()?;
        Ok(self.find(shard).is_ok())
    }

    async fn iterator(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, SourceError> {
        self.meet()?;
        let shard = self.find(shard)?;
        let (first, trimmed) = (self.changes(shard).0, self.trimmed(shard));
        let place = match from {
            ReadFrom::TrimHorizon => trimmed,
            ReadFrom::After(after) => {
                let after: u64 = after.to_string().parse().unwrap();
                let place = if after < sequence(0) { 0 } else { (after - sequence(0)) / 10 + 1 };
                place.max(first)
            }
        };
        if place < trimmed {
            return Err(SourceError::Trimmed);
        }
        Ok(ShardIterator(format!("{}|{}|{place}|{}", shard.0, shard.1, self.now())))
    }

    async fn read(&self, iterator: &ShardIterator) -> Result<RawPage, SourceError> {
        let lane = iterator.0.split('|').next().unwrap().parse().unwrap();
        self.meet_read(lane).await?;
        let page = self.page(iterator);
        sleep(self.latency).await;
        page
    }
}
