//! The stream that the fake server serves: shards, records, iterators, trimming, on a clock of its own.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

/// An iterator lives this long, in seconds.
const ITERATOR_LIFE: i64 = 15 * 60;

/// A modelled error: status, code.
pub(crate) type Refusal = (u16, &'static str);

const EXPIRED: Refusal = (400, "ExpiredIteratorException");
const TRIMMED: Refusal = (400, "TrimmedDataAccessException");
const NOT_FOUND: Refusal = (400, "ResourceNotFoundException");
const INVALID: Refusal = (400, "ValidationException");

/// One shard.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) parent: Option<String>,
    pub(crate) start: u128,
    pub(crate) end: Option<u128>,
    /// Records by sequence number, as JSON.
    pub(crate) records: BTreeMap<u128, String>,
    /// Records up to here are gone.
    pub(crate) trimmed: u128,
    /// In the listing; a shard that is gone is neither listed nor readable.
    pub(crate) listed: bool,
    pub(crate) gone: bool,
    /// So many pages are empty before records are served.
    pub(crate) empty_pages: usize,
}

/// The whole stream.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) now: i64,
    pub(crate) status: &'static str,
    pub(crate) shards: BTreeMap<String, Shard>,
    /// Shards per page of `DescribeStream`.
    pub(crate) listing_page: usize,
    /// Records per page of `GetRecords`.
    pub(crate) records_page: usize,
    /// Pages of `GetRecords` that replace what the model would serve, whole bodies.
    pub(crate) canned: VecDeque<Vec<u8>>,
    /// `DescribeStream` names a last shard for ever.
    pub(crate) lists_for_ever: bool,
    next_sequence: u128,
    next_shard: i64,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            // Far from the client's clock the SDK would suspect its own.
            now: tailrace::platform::clock::wall().0,
            status: "ENABLED",
            shards: BTreeMap::new(),
            listing_page: 3,
            records_page: 1_000,
            canned: VecDeque::new(),
            lists_for_ever: false,
            next_sequence: 100_000_000_000_000_000_000,
            next_shard: 0,
        }
    }

    fn sequence(&mut self) -> u128 {
        self.next_sequence += 1_009;
        self.next_sequence
    }

    pub(crate) fn open(&mut self, parent: Option<&str>) -> String {
        self.next_shard += 1;
        let id = format!("shardId-{:020}-{:08x}", self.now * 1_000 + self.next_shard, self.next_shard);
        let start = self.sequence();
        let shard =
            Shard { parent: parent.map(str::to_owned), start, trimmed: start - 1, listed: true, ..Shard::default() };
        self.shards.insert(id.clone(), shard);
        id
    }

    pub(crate) fn close(&mut self, id: &str) {
        let end = self.sequence();
        self.shard(id).end = Some(end);
    }

    pub(crate) fn shard(&mut self, id: &str) -> &mut Shard {
        self.shards.get_mut(id).expect("a shard of this stream")
    }

    /// Appends a record; `fill` gets its sequence number and makes its JSON.
    pub(crate) fn push(&mut self, id: &str, fill: impl FnOnce(&str, i64) -> String) -> u128 {
        let sequence = self.sequence();
        let record = fill(&sequence.to_string(), self.now);
        assert!(self.shard(id).end.is_none(), "a closed shard takes no record");
        self.shard(id).records.insert(sequence, record);
        sequence
    }

    pub(crate) fn describe_stream(&self, arn: &str, request: &Value) -> Result<String, Refusal> {
        if request["StreamArn"] != arn {
            return Err(NOT_FOUND);
        }
        let after = request["ExclusiveStartShardId"].as_str().unwrap_or_default();
        let listed = || self.shards.iter().filter(|(_, shard)| shard.listed && !shard.gone);
        let page: Vec<_> = listed().filter(|(id, _)| id.as_str() > after).take(self.listing_page).collect();
        let last = page.last().map(|(id, _)| (*id).clone());
        let more = last.as_ref().is_some_and(|last| listed().any(|(id, _)| id > last));
        let shards: Vec<_> = page
            .into_iter()
            .map(|(id, shard)| {
                let mut range = json!({"StartingSequenceNumber": shard.start.to_string()});
                if let Some(end) = shard.end {
                    range["EndingSequenceNumber"] = json!(end.to_string());
                }
                let mut listed = json!({"ShardId": id, "SequenceNumberRange": range});
                if let Some(parent) = &shard.parent {
                    listed["ParentShardId"] = json!(parent);
                }
                listed
            })
            .collect();
        let mut stream = json!({
            "StreamArn": arn, "StreamLabel": "2026-11-22T00:00:00.000", "StreamStatus": self.status,
            "StreamViewType": "NEW_AND_OLD_IMAGES", "TableName": "orders",
            "CreationRequestDateTime": 1_795_219_200.25, "Shards": shards,
        });
        if self.lists_for_ever {
            stream["LastEvaluatedShardId"] = json!("shardId-00000000000000000000-ffffffff");
        } else if more {
            stream["LastEvaluatedShardId"] = json!(last);
        }
        Ok(json!({"StreamDescription": stream}).to_string())
    }

    pub(crate) fn get_shard_iterator(&self, arn: &str, request: &Value) -> Result<String, Refusal> {
        let id = request["ShardId"].as_str().ok_or(INVALID)?;
        let shard = self.shards.get(id).filter(|shard| !shard.gone && request["StreamArn"] == arn).ok_or(NOT_FOUND)?;
        let sequence = request["SequenceNumber"].as_str();
        let behind = match (request["ShardIteratorType"].as_str(), sequence) {
            (Some("TRIM_HORIZON"), None) => shard.trimmed,
            (Some("AFTER_SEQUENCE_NUMBER"), Some(sequence)) => {
                let behind: u128 = sequence.parse().map_err(|_| INVALID)?;
                if behind < shard.trimmed {
                    return Err(TRIMMED);
                }
                behind
            }
            _ => return Err(INVALID),
        };
        Ok(json!({"ShardIterator": self.iterator(id, behind)}).to_string())
    }

    fn iterator(&self, id: &str, behind: u128) -> String {
        format!("{id}|{behind}|{}", self.now)
    }

    pub(crate) fn get_records(&mut self, request: &Value) -> Result<String, Refusal> {
        let iterator = request["ShardIterator"].as_str().ok_or(INVALID)?.to_owned();
        let [id, behind, issued] = iterator.split('|').collect::<Vec<_>>()[..] else { return Err(INVALID) };
        let behind: u128 = behind.parse().map_err(|_| INVALID)?;
        if self.now - issued.parse::<i64>().map_err(|_| INVALID)? > ITERATOR_LIFE {
            return Err(EXPIRED);
        }
        let page = self.records_page;
        let shard = self.shards.get_mut(id).filter(|shard| !shard.gone).ok_or(NOT_FOUND)?;
        if behind < shard.trimmed {
            return Err(TRIMMED);
        }
        if shard.empty_pages > 0 {
            shard.empty_pages -= 1;
            return Ok(json!({"Records": [], "NextShardIterator": self.iterator(id, behind)}).to_string());
        }
        let records: Vec<_> = shard.records.range(behind + 1..).take(page).collect();
        let last = records.last().map_or(behind, |(sequence, _)| **sequence);
        let texts: Vec<&str> = records.into_iter().map(|(_, text)| text.as_str()).collect();
        let done = shard.end.is_some() && shard.records.range(last + 1..).next().is_none();
        let records = texts.join(",");
        let next =
            if done { String::new() } else { format!(",\"NextShardIterator\":{}", json!(self.iterator(id, last))) };
        Ok(format!("{{\"Records\":[{records}]{next}}}"))
    }
}
