//! A cap on units per second.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::clock;

/// A cap that all clones share; without a limit it costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Cap(Option<(Arc<DefaultDirectRateLimiter>, u32)>);

impl Cap {
    /// At most `units` a second; none or 0 is no cap.
    #[must_use]
    pub fn per_second(units: Option<u32>) -> Self {
        let quota = units.and_then(NonZeroU32::new);
        Self(quota.map(|units| (Arc::new(RateLimiter::direct(Quota::per_second(units))), units.get())))
    }

    /// Waits until `units` more are allowed.
    pub async fn spend(&self, units: u32) {
        let Some((limiter, most)) = &self.0 else { return };
        let mut left = units;
        // The limiter never grants more at once than it holds for a second.
        while let Some(step) = NonZeroU32::new(left.min(*most)) {
            match limiter.check_n(step) {
                Ok(Ok(())) | Err(_) => left -= step.get(),
                Ok(Err(wait)) => clock::sleep(wait.wait_time_from(DefaultClock::default().now())).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cap_holds_back_what_exceeds_it() {
        let begun = clock::now();
        let cap = Cap::per_second(Some(20));
        cap.spend(20).await;
        cap.spend(10).await;
        assert!(begun.elapsed().as_millis() >= 400);
        Cap::per_second(None).spend(u32::MAX).await;
        assert!(begun.elapsed().as_secs() < 30);
    }
}
