//! The traffic of one table, as `GetRecords` brings it: orders of about 1 KB, inserted, updated and removed.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use tailrace::change::{KeyAttribute, KeySchema, KeyType, Origin, Second, Sequence, ShardId, Stamped};
use tailrace::platform::ids::Ids;
use tailrace::segment::Facts;
use tailrace::shard::RawPage;
use tailrace::shard::decode::{self, Page};

/// The first second of all traffic: 2026-11-22T00:00:00Z.
pub(crate) const BEGIN: Second = Second(1_795_305_600);

/// The first sequence number.
const FIRST: u64 = 1_000_000;

/// About what a page holds when the service fills it to 1 MB.
const PAGE_RECORDS: usize = 425;

const WORDS: [&str; 16] = [
    "amber", "basin", "cedar", "delta", "ember", "fjord", "glade", "harbor", "inlet", "juniper", "kelp", "lagoon",
    "marsh", "north", "ocean", "pebble",
];

/// How a table is written to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habit {
    /// Keys are drawn so that the n-th is written 1/n as often as the first; evenly otherwise.
    pub(crate) skewed: bool,
    pub(crate) records_per_second: u64,
    /// Words and lines of an order: what its size follows from.
    pub(crate) words: usize,
    pub(crate) lines: usize,
}

impl Habit {
    /// Orders of about 1 KB, one a millisecond.
    pub(crate) const USUAL: Self = Self { skewed: false, records_per_second: 1000, words: 24, lines: 4 };
}

/// A table that is written to.
pub(crate) struct Traffic {
    ids: Ids,
    habit: Habit,
    /// The image of every key that has one.
    items: Vec<Option<String>>,
    records: u64,
}

impl Traffic {
    /// A table of up to `keys` items, empty, and always the same.
    pub(crate) fn new(keys: usize) -> Self {
        Self::with(keys, Habit::USUAL)
    }

    /// The same of another habit.
    pub(crate) fn with(keys: usize, habit: Habit) -> Self {
        Self { ids: Ids::seeded(7), habit, items: vec![None; keys], records: 0 }
    }

    /// The bodies of the next `GetRecords` responses, `records` in all, one a millisecond.
    pub(crate) fn pages(&mut self, records: usize) -> Vec<RawPage> {
        let mut left = records;
        let mut pages = Vec::new();
        while left > 0 {
            let count = left.min(PAGE_RECORDS);
            left -= count;
            let mut body = String::from("{\"NextShardIterator\":\"arn:aws:dynamodb|1|next\",\"Records\":[");
            for at in 0..count {
                body.push_str(if at > 0 { "," } else { "" });
                self.record(&mut body);
            }
            body.push_str("]}");
            pages.push(RawPage { body: Bytes::from(body), at: self.now().plus(1) });
        }
        pages
    }

    /// The next changes as a capture holds them before it writes.
    pub(crate) fn changes(&mut self, records: usize) -> Vec<Stamped> {
        let origin = Arc::new(Origin { epoch: 1, shard_rank: 1, shard: shard() });
        let pages = self.pages(records).into_iter().map(|page| decode::page(&page, &keys()).unwrap());
        let stamped = |page: Page| page.changes.into_iter();
        let changes = pages.flat_map(stamped);
        changes
            .map(|change| Stamped { origin: Arc::clone(&origin), cut_at: change.changed_at.second(), change })
            .collect()
    }

    /// The service's time.
    pub(crate) fn now(&self) -> Second {
        BEGIN.plus(1 + i64::try_from(self.records / self.habit.records_per_second).unwrap())
    }

    fn record(&mut self, out: &mut String) {
        let key = self.key();
        let old = self.items[key].take();
        let new = match &old {
            None => Some(self.image(key)),
            Some(_) if self.ids.below(8) == 0 => None,
            Some(old) => Some(self.updated(old)),
        };
        let kind = match (&old, &new) {
            (None, _) => "INSERT",
            (_, Some(_)) => "MODIFY",
            (_, None) => "REMOVE",
        };
        let rate = self.habit.records_per_second;
        let (seconds, millis) = (self.now().0, self.records % rate * 1000 / rate);
        let sequence = FIRST + self.records;
        let size = new.as_ref().or(old.as_ref()).map_or(0, String::len);
        write!(
            out,
            "{{\"awsRegion\":\"eu-west-1\",\"dynamodb\":{{\"ApproximateCreationDateTime\":{seconds}.{millis:03},\
             \"Keys\":{{\"id\":{{\"S\":\"{}\"}}}},",
            id(key)
        )
        .unwrap();
        for (member, image) in [("NewImage", &new), ("OldImage", &old)] {
            if let Some(image) = image {
                write!(out, "\"{member}\":{image},").unwrap();
            }
        }
        write!(
            out,
            "\"SequenceNumber\":\"{sequence:021}\",\"SizeBytes\":{size},\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}},\
             \"eventID\":\"{:016x}{:016x}\",\"eventName\":\"{kind}\",\"eventSource\":\"aws:dynamodb\",\
             \"eventVersion\":\"1.1\"}}",
            self.ids.bits(),
            self.ids.bits()
        )
        .unwrap();
        self.records += 1;
        self.items[key] = new;
    }

    fn key(&self) -> usize {
        let keys = self.items.len();
        if !self.habit.skewed {
            return usize::try_from(self.ids.below(keys as u64)).unwrap();
        }
        let share = self.ids.below(1 << 32) as f64 / (1_u64 << 32) as f64;
        // What is spread evenly over the logarithm falls off as 1/n.
        ((keys as f64).powf(share) as usize - 1).min(keys - 1)
    }

    /// A new order.
    fn image(&self, key: usize) -> String {
        let hex = |words: u32| (0..words).map(|_| format!("{:016x}", self.ids.bits())).collect::<String>();
        let mut image = format!(
            "{{\"id\":{{\"S\":\"{}\"}},\"state\":{{\"S\":\"open\"}},\"total\":{{\"N\":\"{}.{:02}\"}},\
             \"trace\":{{\"S\":\"{}\"}},\"token\":{{\"B\":\"{}AA==\"}},\"note\":{{\"S\":\"{}\"}},\
             \"tags\":{{\"SS\":[\"{}\",\"{}x\"]}},\"paid\":{{\"BOOL\":true}},\"lines\":{{\"L\":[",
            id(key),
            self.ids.below(100_000),
            self.ids.below(100),
            hex(2),
            hex(3),
            self.words(self.habit.words),
            self.words(1),
            self.words(1),
        );
        for line in 0..self.habit.lines {
            write!(
                image,
                "{}{{\"M\":{{\"sku\":{{\"S\":\"{}-{}\"}},\"count\":{{\"N\":\"{}\"}},\"price\":{{\"N\":\"{}\"}}}}}}",
                if line > 0 { "," } else { "" },
                self.words(1),
                self.ids.below(10_000),
                self.ids.below(20),
                self.ids.below(10_000)
            )
            .unwrap();
        }
        write!(image, "]}},\"address\":{{\"M\":{{\"street\":{{\"S\":\"{}\"}},", self.words(3)).unwrap();
        write!(image, "\"zip\":{{\"S\":\"{}\"}}}}}}}}", self.ids.below(100_000)).unwrap();
        image
    }

    /// The order with another state, total and trace.
    fn updated(&self, old: &str) -> String {
        let from = old.find("\"state\"").unwrap();
        let to = old.find("\"token\"").unwrap();
        let state = ["open", "packed", "sent", "closed"][usize::try_from(self.ids.below(4)).unwrap()];
        let total = self.ids.below(100_000);
        let trace = format!("{:016x}{:016x}", self.ids.bits(), self.ids.bits());
        format!(
            "{}\"state\":{{\"S\":\"{state}\"}},\"total\":{{\"N\":\"{total}\"}},\"trace\":{{\"S\":\"{trace}\"}},{}",
            &old[..from],
            &old[to..]
        )
    }

    fn words(&self, count: usize) -> String {
        let word = |_| WORDS[usize::try_from(self.ids.below(WORDS.len() as u64)).unwrap()];
        (0..count).map(word).collect::<Vec<_>>().join(" ")
    }
}

fn id(key: usize) -> String {
    format!("customer-{:05}#order-{key:08}", key % 997)
}

/// The table's key.
pub(crate) fn keys() -> KeySchema {
    KeySchema(vec![KeyAttribute { name: "id".to_owned(), kind: KeyType::S }])
}

/// The table's one shard.
pub(crate) fn shard() -> ShardId {
    ShardId::new("shardId-00000001795305600000-0a1b2c3d")
}

/// The sequence number before all traffic.
pub(crate) fn before_first() -> Sequence {
    Sequence::parse(&format!("{:021}", FIRST - 1)).unwrap()
}

/// What the footers of its segments say.
pub(crate) fn facts() -> Facts {
    Facts::new("0f", "arn:aws:dynamodb:eu-west-1:111122223333:table/orders", "0a1b2c", &keys())
}
