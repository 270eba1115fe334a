//! What the service tells of one stream: late, in pieces, twice, or not at all; never other than the truth.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tailrace::change::{Second, Sequence, ShardId};
use tailrace::platform::aws::ServiceError;
use tailrace::platform::clock::sleep;
use tailrace::shard::{
    ListedShard, Listing, RawPage, ReadFrom, ShardIterator, SourceError, StreamSource, StreamStatus,
};

use crate::gate::Gate;
use crate::service::{Made, Service, Shard, image, pk};

/// Reads of one shard that the service allows in a second.
const READS: u32 = 5;
/// One stream, as one worker sees it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) service: Arc<Service>,
    pub(crate) stream: usize,
    pub(crate) gate: Arc<Gate>,
}

/// What goes wrong with a body that arrives with status 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Whole,
    Cut,
    WithoutRecords,
}

pub(crate) fn sequence(n: u64) -> Sequence {
    Sequence::parse(&format!("{n:021}")).unwrap()
}

fn unavailable() -> SourceError {
    SourceError::Service(ServiceError::Unavailable("500".into()))
}

fn record(made: &Made, old_images: bool) -> String {
    let image_of = |name: &str, version: Option<u64>| {
        version.map(|version| format!(r#","{name}":{}"#, image(made.key, version).as_str())).unwrap_or_default()
    };
    let kind = match (made.old, made.new) {
        (None, _) => "INSERT",
        (_, Some(_)) => "MODIFY",
        (_, None) => "REMOVE",
    };
    let (n, at, key) = (made.sequence, made.stamp, pk(made.key));
    let place = made.place.unwrap();
    let old = if old_images { image_of("OldImage", made.old) } else { String::new() };
    let new = image_of("NewImage", made.new);
    format!(
        r#"{{"eventID":"e{}-{n}","eventName":"{kind}","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"sim","dynamodb":{{"ApproximateCreationDateTime":{at},"Keys":{{"pk":{{"S":"{key}"}}}}{new}{old},"SequenceNumber":"{n:021}","SizeBytes":20}}}}"#,
        place.0
    )
}

impl Source {
    /// What any call may meet.
    async fn stumble(&self, call: &'static str) -> Result<Body, SourceError> {
        self.gate.pass().await;
        let (dice, trace) = (&self.service.dice, &self.service.trace);
        let faults = self.service.state().faults;
        if dice.below(1000) >= faults {
            return Ok(Body::Whole);
        }
        let reads = if call == "read" { 8 } else { 4 };
        let failure = match dice.below(reads) {
            0 => {
                trace.note("throttled", call);
                SourceError::Service(ServiceError::Throttled("slow down".into()))
            }
            1 => {
                trace.note("service unavailable", call);
                unavailable()
            }
            2 => {
                trace.note("service stalled", call);
                sleep(dice.seconds(1, 70)).await;
                unavailable()
            }
            3 => {
                trace.note("denied", call);
                SourceError::Service(ServiceError::Denied("the token has expired".into()))
            }
            4 => {
                trace.note("body cut", call);
                return Ok(Body::Cut);
            }
            5 => {
                trace.note("body without records", call);
                return Ok(Body::WithoutRecords);
            }
            6 => {
                trace.note("iterator expired early", call);
                SourceError::Expired
            }
            _ => {
                trace.note("slow", call);
                sleep(Duration::from_secs(dice.below(20))).await;
                return Ok(Body::Whole);
            }
        };
        Err(failure)
    }

    fn not_found(&self) -> SourceError {
        self.service.trace.note("not found", "");
        SourceError::Service(ServiceError::NotFound { at: self.service.told_time() })
    }

    /// The listing, each shard of it as some server knew it a moment ago.
    fn listing(&self) -> Result<Listing, SourceError> {
        let Service { manners, dice, trace, .. } = &*self.service;
        let (now, begun) = (self.service.now(), self.service.told_time());
        let state = self.service.state();
        let stream = &state.streams[self.stream];
        if self.service.stream_gone(stream) {
            return Err(self.not_found());
        }
        let mut shards = vec![];
        for shard in &stream.shards {
            let lag = if dice.once_in(3) { dice.between(0, manners.lag) } else { 0 };
            let seen = now - lag;
            if self.service.gone(shard) || shard.born > seen || shard.hidden.max(shard.listed) > now {
                trace.note("not listed", &shard.id);
                continue;
            }
            shards.push(ListedShard {
                id: ShardId::new(&shard.id),
                parent: shard.parent.map(|parent| ShardId::new(&stream.shards[parent].id)),
                start: sequence(shard.start),
                end: shard.end.filter(|(_, at)| *at <= seen).map(|(end, _)| sequence(end)),
            });
        }
        if dice.once_in(2) {
            shards.reverse();
        }
        let status = if stream.off.is_some() { StreamStatus::Disabled } else { StreamStatus::Enabled };
        Ok(Listing { begun, status, shards })
    }

    fn place(&self, shard: &ShardId, from: ReadFrom) -> Result<usize, SourceError> {
        let state = self.service.state();
        let known = state.streams[self.stream].shards.iter().find(|known| known.id == shard.as_str());
        let Some(known) = known.filter(|known| !self.service.gone(known)) else { return Err(self.not_found()) };
        let trimmed = self.service.trimmed(&state, known);
        let dice = &self.service.dice;
        let ReadFrom::After(after) = from else { return Ok(trimmed) };
        let place = known.records.partition_point(|n| sequence(state.made[*n].sequence) <= after);
        // The service may refuse a position whose own record is gone, though the next one still stands.
        if place < trimmed || (place == trimmed && place > 0 && dice.once_in(2)) {
            self.service.trace.note("position trimmed", shard);
            return Err(SourceError::Trimmed);
        }
        if dice.once_in(8) && place > trimmed {
            self.service.trace.note("delivered again", shard);
            return Ok(place - 1);
        }
        Ok(place)
    }

    fn page(&self, iterator: &ShardIterator, body: Body) -> Result<RawPage, SourceError> {
        let parts: Vec<i64> = iterator.0.split('|').map(|part| part.parse().unwrap()).collect();
        let [n, place, taken, empties] = parts.as_slice() else { return Err(SourceError::Expired) };
        let (n, place) = (usize::try_from(*n).unwrap(), usize::try_from(*place).unwrap());
        let now = self.service.now();
        let Service { manners, dice, trace, .. } = &*self.service;
        let mut state = self.service.state();
        if self.service.gone(&state.streams[self.stream].shards[n]) {
            return Err(self.not_found());
        }
        if let Some(refused) = throttle(&mut state.streams[self.stream].shards[n], now) {
            trace.note("too many reads", n);
            return Err(refused);
        }
        if now - taken > manners.iterator_life {
            trace.note("iterator expired", n);
            return Err(SourceError::Expired);
        }
        let shard = &state.streams[self.stream].shards[n];
        if place < self.service.trimmed(&state, shard) {
            trace.note("iterator trimmed", n);
            return Err(SourceError::Trimmed);
        }
        let most = if *empties > 0 { 0 } else { 1 + usize::try_from(dice.below(5)).unwrap() };
        let rest = shard.records[place..].iter().map(|made| &state.made[*made]);
        let page: Vec<&Made> = rest.take_while(|made| made.visible <= now).take(most).collect();
        let read = place + page.len();
        let done = *empties == 0 && read == shard.records.len() && shard.end.is_some();
        let next = (!done).then(|| format!(r#","NextShardIterator":"{n}|{read}|{now}|{}""#, (empties - 1).max(0)));
        trace.note(if done { "last page" } else { "page" }, format_args!("{n}: {place} to {read}, {body:?}"));
        let records: Vec<String> = page.iter().map(|made| record(made, manners.old_images)).collect();
        let whole = format!(r#"{{"Records":[{}]{}}}"#, records.join(","), next.unwrap_or_default());
        let body = match body {
            Body::Whole => whole,
            Body::Cut => whole[..whole.len() / 2].to_owned(),
            Body::WithoutRecords => "{}".to_owned(),
        };
        Ok(RawPage { body: Bytes::from(body), at: Second(now + dice.between(-1, 1)) })
    }
}

/// A third reader, or one that hurries.
fn throttle(shard: &mut Shard, now: i64) -> Option<SourceError> {
    shard.reads = if shard.reads.0 == now { (now, shard.reads.1 + 1) } else { (now, 1) };
    let refused = SourceError::Service(ServiceError::Throttled("more than five reads a second".into()));
    (shard.reads.1 > READS).then_some(refused)
}

#[async_trait]
impl StreamSource for Source {
    async fn list(&self) -> Result<Listing, SourceError> {
        self.stumble("list").await?;
        let listing = self.listing();
        self.gate.pass().await;
        listing
    }

    async fn knows(&self, shard: &ShardId) -> Result<bool, SourceError> {
        self.stumble("knows").await?;
        let Service { trace, .. } = &*self.service;
        let state = self.service.state();
        let known = state.streams[self.stream].shards.iter().find(|known| known.id == shard.as_str());
        let Some(known) = known.filter(|known| !self.service.gone(known)) else {
            trace.note("unknown shard", shard);
            return Ok(false);
        };
        let denied = known.hidden > self.service.now();
        trace.note(if denied { "young shard denied" } else { "known shard" }, shard);
        Ok(!denied)
    }

    async fn iterator(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, SourceError> {
        self.stumble("iterator").await?;
        let place = self.place(shard, from)?;
        let n = self.service.state().streams[self.stream].shards.iter().position(|known| known.id == shard.as_str());
        let (now, empties) = (self.service.now(), self.service.dice.below(3));
        Ok(ShardIterator(format!("{}|{place}|{now}|{empties}", n.unwrap())))
    }

    async fn read(&self, iterator: &ShardIterator) -> Result<RawPage, SourceError> {
        let body = self.stumble("read").await?;
        let page = self.page(iterator, body);
        self.gate.pass().await;
        page
    }
}
