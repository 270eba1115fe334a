//! How one table is captured.

use std::time::Duration;

/// Below this, `settle` is for endpoints that are not AWS's: records of the real service may be on their way for longer.
const SETTLE_OF_AWS: Duration = Duration::from_secs(60);
/// Between the two listings with which an epoch begins.
const SECOND_LISTING: Duration = Duration::from_secs(10);

/// How one table is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureOptions {
    /// Bytes read at which a batch is committed.
    pub flush_bytes: u64,
    /// Age of the oldest row at which a batch is committed.
    pub flush_age: Duration,
    /// How long a record may be on its way; less than a minute only for endpoints that are not AWS's.
    pub settle: Duration,
    /// Ends as soon as `closed_through` has reached the service's time at the start.
    pub once: bool,
    /// The endpoint lists an ending sequence number on open shards too (an emulator, known by name).
    pub ends_mean_nothing: bool,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            flush_bytes: 32 << 20,
            flush_age: Duration::from_secs(60),
            settle: Duration::from_secs(120),
            once: false,
            ends_mean_nothing: false,
        }
    }
}

impl CaptureOptions {
    /// `settle` in whole seconds, at least one.
    #[must_use]
    pub fn settle_seconds(&self) -> i64 {
        i64::try_from(self.settle.as_secs()).unwrap_or(i64::MAX).max(1)
    }

    /// Between two pages of a shard that is read up to its tip: a small part of the time that rows wait anyway.
    #[must_use]
    pub fn pace(&self) -> Duration {
        (self.flush_age / 10).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// Between two listings of a table that is being read: an idle shard's heartbeat needs one newer than `settle`.
    #[must_use]
    pub fn listing_pace(&self) -> Duration {
        (self.settle / 4).clamp(Duration::from_millis(250), Duration::from_secs(30))
    }

    /// Between the first two heartbeats of an idle table.
    #[must_use]
    pub fn heartbeat_pace(&self) -> Duration {
        (self.settle / 2).clamp(Duration::from_millis(500), Duration::from_secs(60))
    }

    /// Between the two listings with which an epoch begins: 10 s, less where `settle` says that the endpoint is no AWS.
    #[must_use]
    pub fn second_listing(&self) -> Duration {
        if self.settle >= SETTLE_OF_AWS { SECOND_LISTING } else { self.settle / 6 }
    }
}
