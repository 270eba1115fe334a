//! The service: one table, its items, its streams with their shards, and everything that was ever written.
//!
//! It knows the truth. What it tells of it, and how badly, is in `stream`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailrace::change::{KeyAttribute, KeySchema, KeyType, Second, TableIdentity, Text};
use tailrace::platform::clock::{Instant, now};
use tailrace::shard::StreamStatus;
use tailrace::shard::table::{Billing, StreamFacts, TableFacts};

use crate::dice::Dice;
use crate::trace::Trace;

/// 2026-11-22T12:00:00Z
pub(crate) const NOON: i64 = 1_795_348_800;
/// What the service keeps at least, in seconds.
const KEPT: i64 = 24 * 3600;
/// Keys of the table.
pub(crate) const KEYS: u64 = 9;

/// How this run's service behaves.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    /// How far stamps lie behind at most, in seconds.
    pub(crate) jitter: i64,
    /// Once in so many records is readable only much later; 0: never.
    pub(crate) stragglers: u64,
    /// How much later, in seconds.
    pub(crate) straggle: (i64, i64),
    /// How far listings lag at most, in seconds.
    pub(crate) lag: i64,
    /// How long records are on their way at most, in seconds.
    pub(crate) delay: i64,
    /// Some servers have not heard of some shards for minutes: these are not listed, and denied.
    pub(crate) chaos: bool,
    /// The service keeps so much longer than it must.
    pub(crate) extra: i64,
    pub(crate) iterator_life: i64,
    /// Old images are sent.
    pub(crate) old_images: bool,
}

/// One write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) key: u64,
    pub(crate) new: Option<u64>,
    pub(crate) old: Option<u64>,
    pub(crate) at: i64,
    /// `ApproximateCreationDateTime`.
    pub(crate) stamp: i64,
    pub(crate) visible: i64,
    pub(crate) sequence: u64,
    /// Stream and shard; none for what no stream shows.
    pub(crate) place: Option<(usize, usize)>,
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: String,
    pub(crate) parent: Option<usize>,
    /// The keys' hashes that it takes: from, and up to but not with.
    range: (u64, u64),
    pub(crate) start: u64,
    pub(crate) born: i64,
    pub(crate) end: Option<(u64, i64)>,
    /// Indices into everything made.
    pub(crate) records: Vec<usize>,
    visible: i64,
    /// Nobody hears of it before.
    pub(crate) hidden: i64,
    /// No listing shows it before, though it is known.
    pub(crate) listed: i64,
    /// Recent reads: their second and how many.
    pub(crate) reads: (i64, u32),
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) arn: String,
    pub(crate) created: i64,
    pub(crate) off: Option<i64>,
    pub(crate) shards: Vec<Shard>,
    sequence: u64,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) streams: Vec<Stream>,
    pub(crate) made: Vec<Made>,
    pub(crate) items: BTreeMap<u64, u64>,
    pub(crate) deleted: bool,
    /// Somebody works: writes come often.
    pub(crate) busy: bool,
    /// Calls of a thousand that fail.
    pub(crate) faults: u64,
    version: u64,
}

/// The service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) manners: Manners,
    pub(crate) dice: Dice,
    pub(crate) trace: Arc<Trace>,
    begun: Instant,
    state: Mutex<State>,
}

pub(crate) fn keys() -> KeySchema {
    KeySchema(vec![KeyAttribute { name: "pk".into(), kind: KeyType::S }])
}

pub(crate) fn pk(key: u64) -> String {
    format!("k{key}")
}

pub(crate) fn image(key: u64, version: u64) -> Text {
    Text::from(format!(r#"{{"pk":{{"S":"{}"}},"v":{{"N":"{version}"}},"same":{{"BOOL":true}}}}"#, pk(key)))
}

pub(crate) fn identity() -> TableIdentity {
    let text = str::to_owned;
    TableIdentity { account: text("000000000000"), region: text("sim"), name: text("orders"), table_id: text("t1") }
}

/// What a table of this age is described as.
pub(crate) fn table(created: i64, stream: Option<StreamFacts>) -> TableFacts {
    TableFacts {
        identity: identity(),
        arn: "arn:aws:dynamodb:sim:000000000000:table/orders".into(),
        created: Second(created),
        keys: keys(),
        billing: Billing::OnDemand,
        stream,
        restored: false,
        replicated: false,
        items: 0,
        bytes: 0,
        definition: serde_json::json!({
            "TableName": "orders",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "ProvisionedThroughput": null,
            "GlobalSecondaryIndexes": [],
            "LocalSecondaryIndexes": [],
        }),
    }
}

/// Spreads the keys over the shards' ranges.
const fn hash(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56
}

impl Service {
    /// A table whose stream begins now; with `before` it held items already.
    pub(crate) fn new(manners: Manners, dice: Dice, trace: Arc<Trace>, before: bool) -> Self {
        let service = Self { manners, dice, trace, begun: now(), state: Mutex::default() };
        if before {
            for key in 0..KEYS {
                service.write_to(key, Some(NOON - 50 * 3600));
            }
        }
        service.turn_on();
        service
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service's time.
    pub(crate) fn now(&self) -> i64 {
        NOON + i64::try_from(self.begun.elapsed().as_secs()).unwrap()
    }

    /// What the table is described as; `before` as in [`Self::new`].
    pub(crate) fn facts(&self, before: bool) -> TableFacts {
        let state = self.state();
        let stream = state.streams.last();
        let stream = stream.map(|stream| StreamFacts {
            arn: stream.arn.clone(),
            view_type: if self.manners.old_images { "NEW_AND_OLD_IMAGES" } else { "NEW_IMAGE" }.into(),
            created: Second(stream.created).micros(),
            status: if stream.off.is_some() { StreamStatus::Disabled } else { StreamStatus::Enabled },
        });
        table(if before { NOON - 90 * 24 * 3600 } else { NOON }, stream)
    }

    /// Turns the stream on: a new one, with one shard or two.
    pub(crate) fn turn_on(&self) {
        let (at, n) = (self.now(), self.state().streams.len());
        let arn = format!("arn:stream:{n}");
        self.trace.note("stream turned on", &arn);
        let stream = Stream { arn, created: at, off: None, shards: vec![], sequence: 1000 + self.dice.below(9) };
        self.state().streams.push(stream);
        if self.dice.once_in(2) {
            self.grow(None, (0, 256));
        } else {
            self.grow(None, (0, 128));
            self.grow(None, (128, 256));
        }
    }

    /// Turns the stream off: every shard ends.
    pub(crate) fn turn_off(&self) {
        let at = self.now();
        self.trace.note("stream turned off", at);
        let mut state = self.state();
        let Some(stream) = state.streams.last_mut() else { return };
        stream.off = Some(at);
        stream.sequence += 1;
        for shard in &mut stream.shards {
            shard.end.get_or_insert((stream.sequence, at));
            // Of a stream that is off every server knows all before long.
            shard.hidden = shard.hidden.min(at);
        }
    }

    fn grow(&self, parent: Option<usize>, range: (u64, u64)) {
        let at = self.now();
        let mut state = self.state();
        let number = state.streams.len() - 1;
        let stream = state.streams.last_mut().unwrap();
        stream.sequence += 1 + self.dice.below(9);
        let (start, n) = (stream.sequence, stream.shards.len());
        let id = format!("shardId-{number:02}-{n:04}");
        self.trace.note("shard", format_args!("{id} of {parent:?} from {start}"));
        let (end, visible) = (None, parent.map_or(0, |parent| stream.shards[parent].visible));
        let hides = self.manners.chaos && self.dice.once_in(4);
        // Like a straggler: no longer than the protocol bears.
        let most = if self.dice.once_in(3) { 800 } else { 400 };
        let hidden = if hides { at + self.dice.between(30, most) } else { at };
        let listed = at + self.dice.between(0, self.manners.lag);
        let (records, reads) = (vec![], (0, 0));
        stream.shards.push(Shard { id, parent, range, start, born: at, end, records, visible, hidden, listed, reads });
    }

    /// Ends a random open shard and gives it one child or two.
    pub(crate) fn split(&self) {
        let at = self.now();
        let (parent, range) = {
            let mut state = self.state();
            let Some(stream) = state.streams.last_mut().filter(|stream| stream.off.is_none()) else { return };
            let open: Vec<usize> = (0..stream.shards.len()).filter(|n| stream.shards[*n].end.is_none()).collect();
            let parent = self.dice.pick(&open);
            stream.sequence += 1;
            stream.shards[parent].end = Some((stream.sequence, at));
            (parent, stream.shards[parent].range)
        };
        let middle = u64::midpoint(range.0, range.1);
        if self.dice.once_in(2) || middle == range.0 {
            self.grow(Some(parent), range);
        } else {
            self.grow(Some(parent), (range.0, middle));
            self.grow(Some(parent), (middle, range.1));
        }
    }

    /// Writes to a random key.
    pub(crate) fn write(&self) {
        self.write_to(self.dice.below(KEYS), None);
    }

    fn write_to(&self, key: u64, long_ago: Option<i64>) {
        let at = long_ago.unwrap_or_else(|| self.now());
        let mut state = self.state();
        state.version += 1;
        let old = state.items.get(&key).copied();
        let new = (old.is_none() || !self.dice.once_in(4)).then_some(state.version);
        match new {
            Some(version) => state.items.insert(key, version),
            None => state.items.remove(&key),
        };
        let mut made = Made { key, new, old, at, stamp: at, visible: at, sequence: 0, place: None };
        let made_before = state.made.len();
        let number = state.streams.len().wrapping_sub(1);
        if let Some(stream) = state.streams.last_mut().filter(|stream| stream.off.is_none()) {
            stream.sequence += 1 + self.dice.below(50);
            made.sequence = stream.sequence;
            made.stamp = at - self.dice.between(0, self.manners.jitter);
            let inside = |shard: &Shard| shard.end.is_none() && (shard.range.0..shard.range.1).contains(&hash(key));
            let n = stream.shards.iter().position(inside).unwrap();
            let shard = &mut stream.shards[n];
            made.visible = (at + self.delay()).max(shard.visible);
            shard.visible = made.visible;
            shard.records.push(made_before);
            made.place = Some((number, n));
        }
        self.trace.note("write", format_args!("{made:?}"));
        state.made.push(made);
    }

    /// How long a record is on its way.
    fn delay(&self) -> i64 {
        let Manners { stragglers, straggle, .. } = self.manners;
        if stragglers > 0 && self.dice.once_in(stragglers) {
            self.trace.note("straggler", "");
            return self.dice.between(straggle.0, straggle.1);
        }
        self.dice.between(0, self.manners.delay)
    }

    /// The service's time when everything written is readable, and every shard is heard of.
    pub(crate) fn all_visible(&self) -> i64 {
        let state = self.state();
        let shards = state.streams.iter().flat_map(|stream| stream.shards.iter().map(|shard| shard.hidden));
        state.made.iter().map(|made| made.visible).chain(shards).max().unwrap_or(NOON)
    }

    /// A second or two by which the service's machines differ.
    pub(crate) fn told_time(&self) -> Second {
        Second(self.now() + self.dice.between(-1, 1))
    }

    const fn kept(&self) -> i64 {
        KEPT + self.manners.extra
    }

    /// How many records of the shard are gone.
    pub(crate) fn trimmed(&self, state: &State, shard: &Shard) -> usize {
        let horizon = self.now() - self.kept();
        shard.records.partition_point(|n| state.made[*n].at < horizon)
    }

    /// Whether nobody knows the shard any more.
    pub(crate) fn gone(&self, shard: &Shard) -> bool {
        shard.end.is_some_and(|(_, at)| at + self.kept() < self.now())
    }

    /// Whether nobody knows the stream any more.
    pub(crate) fn stream_gone(&self, stream: &Stream) -> bool {
        stream.off.is_some_and(|at| at + self.kept() < self.now())
    }

    /// How many shards there are, for bounds.
    pub(crate) fn open_shards(&self) -> usize {
        let state = self.state();
        let last = state.streams.last();
        last.map_or(0, |stream| stream.shards.iter().filter(|shard| shard.end.is_none()).count())
    }

    /// Deletes the table: its stream ends.
    pub(crate) fn delete(&self) {
        self.turn_off();
        self.state().deleted = true;
    }
}
