//! How long to wait before trying again.

use std::time::Duration;

use super::ids::Ids;

/// Exponential delays with full jitter, from `first` up to `most`.
#[derive(Debug, Clone)]
pub struct Backoff {
    ids: Ids,
    first: Duration,
    most: Duration,
    attempt: u32,
}

impl Backoff {
    /// Delays that double from `first` until they reach `most`.
    #[must_use]
    pub const fn new(ids: Ids, first: Duration, most: Duration) -> Self {
        Self { ids, first, most, attempt: 0 }
    }

    /// The next delay: at least half of the step, at most the step.
    pub fn step(&mut self) -> Duration {
        let step = self.first.saturating_mul(1 << self.attempt.min(20)).min(self.most);
        self.attempt = self.attempt.saturating_add(1);
        let half = step / 2;
        let spread = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_millis(self.ids.below(spread))
    }

    /// Begins again with the first delay, after a success.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }

    /// How many delays were handed out since the last success.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempt
    }
}
