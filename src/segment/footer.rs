//! The facts in a segment's footer: a lone file still says what it is and where it belongs.

use parquet::file::metadata::KeyValue;

use super::schema::FORMAT;
use super::{SegmentError, Tier};
use crate::change::KeySchema;

/// This build, as footers and entries name their writer.
pub const BUILD: &str = concat!("tailrace/", env!("CARGO_PKG_VERSION"));

/// What all segments of one table and process share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The archive's origin id.
    pub origin: String,
    /// The table's ARN.
    pub table_arn: String,
    /// The table's id.
    pub table_id: String,
    /// The table's key.
    pub keys: KeySchema,
    /// The build that writes.
    pub writer: String,
}

impl Facts {
    /// The facts of segments that this build writes.
    #[must_use]
    pub fn new(origin: &str, table_arn: &str, table_id: &str, keys: &KeySchema) -> Self {
        let own = str::to_owned;
        Self {
            origin: own(origin),
            table_arn: own(table_arn),
            table_id: own(table_id),
            keys: keys.clone(),
            writer: own(BUILD),
        }
    }
}

/// All that a footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// What all segments of the table share.
    pub facts: Facts,
    /// Epochs of the rows, ascending; none in a base.
    pub epochs: Vec<u32>,
    /// The tier.
    pub tier: Tier,
    /// UTC day of every row's `cut_at`; of a base's start.
    pub dt: String,
    /// Buckets: 2^bits.
    pub bucket_bits: u8,
}

const NAMES: [&str; 10] = [
    "tailrace.format",
    "tailrace.origin",
    "tailrace.table_arn",
    "tailrace.table_id",
    "tailrace.keys",
    "tailrace.epochs",
    "tailrace.tier",
    "tailrace.dt",
    "tailrace.bucket_bits",
    "tailrace.writer",
];

impl Footer {
    /// As the Parquet writer takes it, always in the same order.
    pub(super) fn key_values(&self) -> Result<Vec<KeyValue>, SegmentError> {
        let json = |value: serde_json::Result<String>| value.map_err(|error| SegmentError::Write(error.to_string()));
        let values = [
            FORMAT.to_string(),
            self.facts.origin.clone(),
            self.facts.table_arn.clone(),
            self.facts.table_id.clone(),
            json(serde_json::to_string(&self.facts.keys))?,
            json(serde_json::to_string(&self.epochs))?,
            json(serde_json::to_string(&self.tier))?.trim_matches('"').to_owned(),
            self.dt.clone(),
            self.bucket_bits.to_string(),
            self.facts.writer.clone(),
        ];
        Ok(NAMES.iter().zip(values).map(|(name, value)| KeyValue::new((*name).to_owned(), value)).collect())
    }

    /// Reads it back; refuses another format.
    pub(super) fn read(pairs: &[KeyValue]) -> Result<Self, SegmentError> {
        let [format, origin, table_arn, table_id, keys, epochs, tier, dt, bucket_bits, writer] = NAMES;
        let found: u64 = parse(pairs, format)?;
        if found > FORMAT {
            return Err(SegmentError::Newer { found });
        }
        if found < FORMAT {
            return Err(unreadable(format));
        }
        let facts = Facts {
            origin: text(pairs, origin)?.to_owned(),
            table_arn: text(pairs, table_arn)?.to_owned(),
            table_id: text(pairs, table_id)?.to_owned(),
            keys: parse(pairs, keys)?,
            writer: text(pairs, writer)?.to_owned(),
        };
        let quoted_tier = format!("\"{}\"", text(pairs, tier)?);
        Ok(Self {
            facts,
            epochs: parse(pairs, epochs)?,
            tier: serde_json::from_str(&quoted_tier).map_err(|_| unreadable(tier))?,
            dt: text(pairs, dt)?.to_owned(),
            bucket_bits: parse(pairs, bucket_bits)?,
        })
    }
}

fn text<'a>(pairs: &'a [KeyValue], name: &'static str) -> Result<&'a str, SegmentError> {
    let pair = pairs.iter().find(|pair| pair.key == name);
    pair.and_then(|pair| pair.value.as_deref()).ok_or_else(|| unreadable(name))
}

fn parse<T: serde::de::DeserializeOwned>(pairs: &[KeyValue], name: &'static str) -> Result<T, SegmentError> {
    serde_json::from_str(text(pairs, name)?).map_err(|_| unreadable(name))
}

fn unreadable(name: &str) -> SegmentError {
    SegmentError::Damaged(format!("its footer does not say {name}"))
}
