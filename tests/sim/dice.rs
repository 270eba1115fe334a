//! All chance of a run, out of its seed.

use std::time::Duration;

use tailrace::platform::ids::Ids;

/// One series of draws. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Ids);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Ids::seeded(seed))
    }

    /// Below `bound`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// From `from` to `to`, both included.
    pub(crate) fn between(&self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below(u64::try_from(to - from).unwrap() + 1)).unwrap()
    }

    /// Once in `times`.
    pub(crate) fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn seconds(&self, from: i64, to: i64) -> Duration {
        Duration::from_secs(self.between(from, to).unsigned_abs()) + Duration::from_millis(self.below(1000))
    }

    pub(crate) fn pick<T: Copy>(&self, among: &[T]) -> T {
        among[usize::try_from(self.below(among.len() as u64)).unwrap()]
    }
}
