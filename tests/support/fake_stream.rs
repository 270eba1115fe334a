//! A stream in memory behind the source trait: random shard trees, trimming, empty pages, failing calls.
//!
//! Its clock is the runtime's, moved by [`FakeStream::skip`]; every random choice comes from one seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tailrace::change::{Second, Sequence, ShardId};
use tailrace::platform::aws::ServiceError;
use tailrace::platform::clock::{Instant, now};
use tailrace::platform::ids::Ids;
use tailrace::shard::{
    ListedShard, Listing, RawPage, ReadFrom, ShardIterator, SourceError, StreamSource, StreamStatus,
};

/// What the service keeps at least, in seconds.
const KEPT: i64 = 24 * 3600;
/// How long an iterator lives, in seconds.
const ITERATOR_LIFE: i64 = 15 * 60;

/// One record as the table made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) at: i64,
    visible: i64,
}

#[derive(Debug, Clone)]
struct Shard {
    id: String,
    parent: Option<String>,
    start: u64,
    end: Option<(u64, i64)>,
    listed: i64,
    trimmed: usize,
    records: Vec<Record>,
}

#[derive(Debug)]
struct World {
    shards: Vec<Shard>,
    sequence: u64,
    status: StreamStatus,
    skipped: i64,
    faults: u64,
    ids: Ids,
}

/// A stream of one table.
#[derive(Debug)]
pub(crate) struct FakeStream {
    world: Mutex<World>,
    base: i64,
    begun: Instant,
}

impl FakeStream {
    /// A stream with one shard, whose clock begins at `base`; `faults` of a thousand calls fail.
    pub(crate) fn new(seed: u64, base: Second, faults: u64) -> Arc<Self> {
        let world = World {
            shards: vec![],
            sequence: 1000,
            status: StreamStatus::Enabled,
            skipped: 0,
            faults,
            ids: Ids::seeded(seed),
        };
        let stream = Arc::new(Self { world: Mutex::new(world), base: base.0, begun: now() });
        stream.grow(None);
        stream
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time(&self, world: &World) -> i64 {
        self.base + world.skipped + i64::try_from(self.begun.elapsed().as_secs()).unwrap()
    }

    /// The service's time.
    pub(crate) fn at(&self) -> Second {
        Second(self.time(&self.world()))
    }

    /// Lets time pass at once, and trims what is older than a day.
    pub(crate) fn skip(&self, seconds: i64) {
        let mut world = self.world();
        world.skipped += seconds;
        let horizon = self.time(&world) - KEPT;
        world.shards.retain(|shard| shard.end.is_none_or(|(_, at)| at >= horizon));
        for shard in &mut world.shards {
            shard.trimmed = shard.records.partition_point(|record| record.at < horizon);
        }
    }

    /// No call fails from now on.
    pub(crate) fn calm(&self) {
        self.world().faults = 0;
    }

    fn grow(&self, parent: Option<&str>) {
        let mut world = self.world();
        let at = self.time(&world);
        world.sequence += 1 + world.ids.below(9);
        let late = if parent.is_some() { i64::try_from(world.ids.below(3)).unwrap() } else { 0 };
        let id = format!("shardId-{:020}-{:08x}", world.sequence, world.shards.len());
        let start = world.sequence;
        let parent = parent.map(str::to_owned);
        world.shards.push(Shard { id, parent, start, end: None, listed: at + late, trimmed: 0, records: vec![] });
    }

    /// Writes one record to a random open shard, stamped with some jitter.
    pub(crate) fn write(&self) {
        let mut world = self.world();
        let open: Vec<usize> = (0..world.shards.len()).filter(|n| world.shards[*n].end.is_none()).collect();
        if open.is_empty() || world.status != StreamStatus::Enabled {
            return;
        }
        let choice = usize::try_from(world.ids.below(open.len() as u64)).unwrap();
        let at = self.time(&world);
        world.sequence += 1 + world.ids.below(50);
        let record = Record { sequence: world.sequence, at, visible: at };
        world.shards[open[choice]].records.push(record);
    }

    /// Closes a random open shard and gives it one or two children.
    pub(crate) fn split(&self) {
        let parent = {
            let mut world = self.world();
            let open: Vec<usize> = (0..world.shards.len()).filter(|n| world.shards[*n].end.is_none()).collect();
            let choice = usize::try_from(world.ids.below(open.len() as u64)).unwrap();
            let at = self.time(&world);
            world.sequence += 1;
            let end = world.sequence;
            world.shards[open[choice]].end = Some((end, at));
            world.shards[open[choice]].id.clone()
        };
        for _ in 0..1 + self.choose(2) {
            self.grow(Some(&parent));
        }
    }

    /// Turns the stream off: every shard ends.
    pub(crate) fn disable(&self) {
        let mut world = self.world();
        world.status = StreamStatus::Disabled;
        let at = self.time(&world);
        world.sequence += 1;
        let end = (world.sequence, at);
        for shard in &mut world.shards {
            shard.end.get_or_insert(end);
        }
    }

    /// A number below `bound`.
    pub(crate) fn choose(&self, bound: u64) -> u64 {
        self.world().ids.below(bound)
    }

    /// Every record still known, trimmed or not, by shard.
    pub(crate) fn records(&self) -> BTreeMap<String, Vec<Record>> {
        self.world().shards.iter().map(|shard| (shard.id.clone(), shard.records.clone())).collect()
    }

    fn stumble(&self) -> Result<(), SourceError> {
        let world = self.world();
        if world.ids.below(1000) >= world.faults {
            return Ok(());
        }
        Err(match world.ids.below(4) {
            0 => SourceError::Service(ServiceError::Throttled("slow down".into())),
            1 => SourceError::Service(ServiceError::Malformed("the body is cut".into())),
            2 => SourceError::Expired,
            _ => SourceError::Service(ServiceError::Unavailable("500".into())),
        })
    }

    /// For calls that cannot answer `Expired`.
    fn stumble_plainly(&self) -> Result<(), SourceError> {
        self.stumble().map_err(|_| SourceError::Service(ServiceError::Unavailable("500".into())))
    }
}

fn sequence(n: u64) -> Sequence {
    Sequence::parse(&format!("{n:021}")).unwrap()
}

fn body(records: &[Record], next: Option<&str>) -> Bytes {
    let record = |record: &Record| {
        let (n, at) = (record.sequence, record.at);
        format!(
            r#"{{"eventID":"e{n}","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"r","dynamodb":{{"ApproximateCreationDateTime":{at},"Keys":{{"pk":{{"S":"k{}"}}}},"NewImage":{{"pk":{{"S":"k{}"}},"v":{{"N":"{n}"}}}},"SequenceNumber":"{n:021}","SizeBytes":20,"StreamViewType":"NEW_AND_OLD_IMAGES"}}}}"#,
            n % 7,
            n % 7
        )
    };
    let records: Vec<String> = records.iter().map(record).collect();
    let next = next.map(|next| format!(r#","NextShardIterator":"{next}""#)).unwrap_or_default();
    Bytes::from(format!(r#"{{"Records":[{}]{next}}}"#, records.join(",")))
}

#[async_trait]
impl StreamSource for FakeStream {
    async fn list(&self) -> Result<Listing, SourceError> {
        self.stumble_plainly()?;
        let world = self.world();
        let at = self.time(&world);
        let listed = world.shards.iter().filter(|shard| shard.listed <= at).map(|shard| ListedShard {
            id: ShardId::new(&shard.id),
            parent: shard.parent.as_ref().map(ShardId::new),
            start: sequence(shard.start),
            end: shard.end.map(|(end, _)| sequence(end)),
        });
        Ok(Listing { begun: Second(at), status: world.status, shards: listed.collect() })
    }

    async fn knows(&self, shard: &ShardId) -> Result<bool, SourceError> {
        self.stumble_plainly()?;
        Ok(self.world().shards.iter().any(|known| known.id == shard.as_str()))
    }

    async fn iterator(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, SourceError> {
        self.stumble_plainly()?;
        let world = self.world();
        let at = self.time(&world);
        let known = world.shards.iter().find(|known| known.id == shard.as_str());
        let known = known.ok_or(SourceError::Service(ServiceError::NotFound { at: Second(at) }))?;
        let place = match from {
            ReadFrom::TrimHorizon => known.trimmed,
            ReadFrom::After(after) => known.records.partition_point(|record| sequence(record.sequence) <= after),
        };
        if place < known.trimmed {
            return Err(SourceError::Trimmed);
        }
        let empties = world.ids.below(3);
        Ok(ShardIterator(format!("{shard}|{place}|{at}|{empties}")))
    }

    async fn read(&self, iterator: &ShardIterator) -> Result<RawPage, SourceError> {
        self.stumble()?;
        let parts: Vec<&str> = iterator.0.split('|').collect();
        let [id, place, taken, empties] = parts.as_slice() else {
            return Err(SourceError::Service(ServiceError::Invalid("iterator".into())));
        };
        let (place, taken): (usize, i64) = (place.parse().unwrap(), taken.parse().unwrap());
        let empties: u64 = empties.parse().unwrap();
        let world = self.world();
        let at = self.time(&world);
        let shard = world.shards.iter().find(|shard| shard.id == *id);
        let shard = shard.ok_or(SourceError::Service(ServiceError::NotFound { at: Second(at) }))?;
        if at - taken > ITERATOR_LIFE {
            return Err(SourceError::Expired);
        }
        if place < shard.trimmed {
            return Err(SourceError::Trimmed);
        }
        let most = if empties > 0 { 0 } else { 1 + usize::try_from(world.ids.below(5)).unwrap() };
        let page: Vec<Record> =
            shard.records[place..].iter().take_while(|record| record.visible <= at).take(most).copied().collect();
        let place = place + page.len();
        let done = empties == 0 && place == shard.records.len() && shard.end.is_some();
        let next = (!done).then(|| format!("{id}|{place}|{at}|{}", empties.saturating_sub(1)));
        Ok(RawPage { body: body(&page, next.as_deref()), at: Second(at) })
    }
}
