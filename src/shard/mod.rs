//! 1. Where changes come from: the shards of one `DynamoDB` stream.
//!
//! Order holds within a shard and from parent to child, and nowhere else. Delivery is at least once:
//! a retry can bring the same page again. An empty page says nothing about the tip; only a response
//! without a next iterator ends a shard.

pub mod decode;
pub mod dynamodb;
mod lineage;
pub mod table;
pub mod tail;

use async_trait::async_trait;
use bytes::Bytes;

use crate::change::{Second, Sequence, ShardId};
use crate::platform::aws::ServiceError;

/// The state of a stream, as the service tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamStatus {
    /// Being turned on.
    Enabling,
    /// On.
    Enabled,
    /// Being turned off.
    Disabling,
    /// Off; still readable for 24 hours.
    Disabled,
}

/// One shard in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedShard {
    /// Its id.
    pub id: ShardId,
    /// Its parent, if it names one; the parent may be gone from the listing.
    pub parent: Option<ShardId>,
    /// `StartingSequenceNumber`.
    pub start: Sequence,
    /// `EndingSequenceNumber`: present once the shard is closed.
    pub end: Option<Sequence>,
}

/// All pages of `DescribeStream`.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The service's time at its first page.
    pub begun: Second,
    /// The stream's state on the last page.
    pub status: StreamStatus,
    /// Every shard, each once, in no particular order.
    pub shards: Vec<ListedShard>,
}

impl Listing {
    /// Of a stream that is gone: it lists nothing and takes no more records.
    #[must_use]
    pub const fn of_none(begun: Second) -> Self {
        Self { begun, status: StreamStatus::Disabled, shards: vec![] }
    }
}

/// Where an iterator begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest record that is still there.
    TrimHorizon,
    /// Behind this record.
    After(Sequence),
}

/// An iterator: opaque, good for 15 minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardIterator(pub String);

/// One `GetRecords` response, as bytes. [`decode`] turns it into changes.
#[derive(Debug, Clone)]
pub struct RawPage {
    /// The response's body.
    pub body: Bytes,
    /// The service's time (`Date`) of this response.
    pub at: Second,
}

/// Why a source did not answer, by what the reader must do next. (facts: one reaction per error.)
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The iterator is too old: take a new one after the last change that was kept.
    #[error("the shard iterator expired")]
    Expired,
    /// The position is older than what the service keeps: read from the trim horizon under the trim rule.
    #[error("the position was trimmed by the service")]
    Trimmed,
    /// What any call may meet. A page without `Records` is malformed, never the end of a shard.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A stream of one table.
#[async_trait]
pub trait StreamSource: Send + Sync + std::fmt::Debug {
    /// Reads every page of the shard listing.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when the stream itself is gone; others as named.
    async fn list(&self) -> Result<Listing, SourceError>;

    /// Whether the service still knows `shard` (`GetShardIterator` does not answer not-found).
    ///
    /// # Errors
    /// Any but [`ServiceError::NotFound`].
    async fn knows(&self, shard: &ShardId) -> Result<bool, SourceError>;

    /// A fresh iterator.
    ///
    /// # Errors
    /// As named by the variants.
    async fn iterator(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, SourceError>;

    /// One page.
    ///
    /// # Errors
    /// As named by the variants.
    async fn read(&self, iterator: &ShardIterator) -> Result<RawPage, SourceError>;
}
