//! Time. Sleeping and measuring go through the runtime's clock, so a paused runtime makes them virtual.
//!
//! No safety argument uses this clock: times that are committed come from the service's `Date` header.
#![expect(clippy::disallowed_methods, reason = "this file is where ambient time is let in")]

use std::time::Duration;

pub use tokio::time::Instant;

use crate::change::Second;

/// The runtime's monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits; virtual under a paused runtime.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Fails with `None` when `work` takes longer than `limit`.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

/// The machine's idea of the present second: for messages and for reading `10m ago`, never for the log.
#[must_use]
pub fn wall() -> Second {
    Second(jiff::Timestamp::now().as_second())
}
