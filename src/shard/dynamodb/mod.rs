//! A DynamoDB stream through the AWS SDK: the only user of its streams client.
//!
//! The SDK signs, finds credentials, limits time and retries; pages of records come through as bytes (`answer`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodbstreams::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_dynamodbstreams::types as sdk;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{ListedShard, Listing, RawPage, ReadFrom, ShardIterator, SourceError, StreamSource, StreamStatus};
use crate::change::{Micros, Second, Sequence, ShardId};
use crate::platform::aws::ServiceError;
use crate::platform::aws::answer::{PassThrough, Seen, ServiceTime, Stand};

/// One attempt of a call; a page of 1 MB takes well below a second.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// A call with all the SDK's retries.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// What `DescribeStream` says of a stream as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    /// Its ARN: one epoch.
    pub arn: String,
    /// `NEW_AND_OLD_IMAGES`, `NEW_IMAGE`, `OLD_IMAGE` or `KEYS_ONLY`.
    pub view_type: String,
    /// When it was turned on, as exactly as the service says it.
    pub created: Micros,
    /// Its state.
    pub status: StreamStatus,
}

/// The typed answer of `GetRecords`, which pages do without.
const RECORDS: Stand = Stand {
    output: || Output::erase(GetRecordsOutput::builder().build()),
    error: |meta| Error::erase(GetRecordsError::generic(meta)),
};

/// The stream of one table.
#[derive(Debug, Clone)]
pub struct DynamoStream {
    client: Client,
    arn: String,
}

/// One page of `DescribeStream`, and the service's time of it.
struct Described {
    stream: sdk::StreamDescription,
    at: Second,
}

impl DynamoStream {
    /// The stream `arn`, with the region, credentials and endpoint of `config`.
    #[must_use]
    pub fn new(config: &SdkConfig, arn: impl Into<String>) -> Self {
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
        let config = aws_sdk_dynamodbstreams::config::Builder::from(config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), arn: arn.into() }
    }

    /// What the service says of the stream as a whole.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when the stream is gone; others as named.
    pub async fn facts(&self) -> Result<StreamFacts, SourceError> {
        let Described { stream, .. } = self.describe(None).await?;
        let created = stream.creation_request_date_time().map(micros);
        let labelled = stream.stream_label().and_then(labelled);
        Ok(StreamFacts {
            arn: self.arn.clone(),
            view_type: stream.stream_view_type().map(|view| view.as_str().to_owned()).unwrap_or_default(),
            // An emulator gives its table's creation here; nothing that was written before the stream may count as seen.
            created: created.max(labelled).ok_or_else(|| lacks("CreationRequestDateTime"))?,
            status: status(stream.stream_status())?,
        })
    }

    async fn describe(&self, after: Option<String>) -> Result<Described, SourceError> {
        let seen = Seen::default();
        let answer = self
            .client
            .describe_stream()
            .stream_arn(&self.arn)
            .set_exclusive_start_shard_id(after)
            .customize()
            .interceptor(ServiceTime(seen.clone()))
            .send()
            .await
            .map_err(|error| source_error(&error, seen.at()))?;
        let stream = answer.stream_description.ok_or_else(|| lacks("StreamDescription"))?;
        Ok(Described { stream, at: seen.at() })
    }

    async fn probe(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, SourceError> {
        let (kind, sequence) = match from {
            ReadFrom::TrimHorizon => (ShardIteratorType::TrimHorizon, None),
            ReadFrom::After(sequence) => (ShardIteratorType::AfterSequenceNumber, Some(sequence.to_string())),
        };
        let seen = Seen::default();
        let answer = self
            .client
            .get_shard_iterator()
            .stream_arn(&self.arn)
            .shard_id(shard.as_str())
            .shard_iterator_type(kind)
            .set_sequence_number(sequence)
            .customize()
            .interceptor(ServiceTime(seen.clone()))
            .send()
            .await
            .map_err(|error| source_error(&error, seen.at()))?;
        answer.shard_iterator.map(ShardIterator).ok_or_else(|| lacks("ShardIterator"))
    }
}

#[async_trait]
impl StreamSource for DynamoStream {
    async fn list(&self) -> Result<Listing, SourceError> {
        let mut shards: BTreeMap<ShardId, ListedShard> = BTreeMap::new();
        let mut asked = BTreeSet::new();
        let mut after = None;
        let mut begun = None;
        loop {
            let Described { stream, at } = self.describe(after).await?;
            let begun = *begun.get_or_insert(at);
            for shard in stream.shards() {
                let shard = listed(shard)?;
                match shards.get_mut(&shard.id) {
                    Some(known) => known.end = known.end.or(shard.end),
                    None => drop(shards.insert(shard.id.clone(), shard)),
                }
            }
            let Some(last) = stream.last_evaluated_shard_id.as_deref().filter(|last| !last.is_empty()) else {
                let status = status(stream.stream_status())?;
                return Ok(Listing { begun, status, shards: shards.into_values().collect() });
            };
            // A server that does not page forward would be asked for ever, and its listing is not known to be full.
            if !asked.insert(last.to_owned()) {
                return Err(ServiceError::Malformed(format!(
                    "the listing of shards names {last} twice as its last page"
                ))
                .into());
            }
            after = Some(last.to_owned());
        }
    }

    async fn knows(&self, shard: &ShardId) -> Result<bool, SourceError> {
        match self.probe(shard, ReadFrom::TrimHorizon).await {
            Ok(_) | Err(SourceError::Trimmed) => Ok(true),
            Err(SourceError::Service(ServiceError::NotFound { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn iterator(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, SourceError> {
        self.probe(shard, from).await
    }

    async fn read(&self, iterator: &ShardIterator) -> Result<RawPage, SourceError> {
        let seen = Seen::default();
        self.client
            .get_records()
            .shard_iterator(&iterator.0)
            .customize()
            .interceptor(ServiceTime(seen.clone()))
            .interceptor(PassThrough(seen.clone(), RECORDS))
            .send()
            .await
            .map_err(|error| source_error(&error, seen.at()))?;
        let body = seen.body().await.ok_or_else(|| lacks("a body"))?;
        Ok(RawPage { body, at: seen.at() })
    }
}

/// What a failed call means to a reader: two errors are the stream's own.
fn source_error<E>(error: &SdkError<E, HttpResponse>, at: Second) -> SourceError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match error.code() {
        Some("ExpiredIteratorException") => SourceError::Expired,
        Some("TrimmedDataAccessException") => SourceError::Trimmed,
        _ => ServiceError::of(error, at).into(),
    }
}

/// One shard of a listing. Some emulators name no first sequence number while a shard is empty: then any record is above it.
fn listed(shard: &sdk::Shard) -> Result<ListedShard, SourceError> {
    let range = shard.sequence_number_range();
    let number = |text: &str| {
        Sequence::parse(text).map_err(|error| ServiceError::Malformed(format!("the listing of shards: {error}")))
    };
    let start = range.and_then(sdk::SequenceNumberRange::starting_sequence_number).unwrap_or("1");
    let end = range.and_then(sdk::SequenceNumberRange::ending_sequence_number).map(number).transpose()?;
    Ok(ListedShard {
        id: shard.shard_id().map(ShardId::new).ok_or_else(|| lacks("ShardId"))?,
        parent: shard.parent_shard_id().map(ShardId::new),
        start: number(start)?,
        end,
    })
}

fn status(status: Option<&sdk::StreamStatus>) -> Result<StreamStatus, SourceError> {
    match status {
        Some(sdk::StreamStatus::Enabling) => Ok(StreamStatus::Enabling),
        Some(sdk::StreamStatus::Enabled) => Ok(StreamStatus::Enabled),
        Some(sdk::StreamStatus::Disabling) => Ok(StreamStatus::Disabling),
        Some(sdk::StreamStatus::Disabled) => Ok(StreamStatus::Disabled),
        _ => Err(lacks("a known StreamStatus")),
    }
}

/// A time as the service gives it; out of range it is the epoch's begin.
fn micros(at: &aws_sdk_dynamodbstreams::primitives::DateTime) -> Micros {
    Micros(i64::try_from(at.as_nanos().div_euclid(1_000)).unwrap_or_default())
}

/// A stream's label is the time of its creation, `2026-11-22T14:03:00.123`; an emulator writes seconds since 1970.
fn labelled(label: &str) -> Option<Micros> {
    let second = label.get(..19).and_then(|label| Second::parse(&format!("{label}Z")));
    let second = second.or_else(|| label.split('.').next()?.parse().ok().map(Second));
    second.map(Second::micros)
}

fn lacks(what: &str) -> SourceError {
    ServiceError::Malformed(format!("a response without {what}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_label_is_read_as_the_service_and_as_an_emulator_writes_it() {
        let at = Some(Second(1_795_356_180).micros());
        for label in ["2026-11-22T14:03:00.123", "2026-11-22T14:03:00", "1795356180.123000000", "1795356180"] {
            assert_eq!(labelled(label), at, "{label}");
        }
        assert_eq!(["", "latest", "2026-11-22"].map(labelled), [None; 3]);
    }
}
