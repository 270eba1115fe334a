//! Many seeds, on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::story::{self, Outcome};

/// One seed of so many is run twice: the same seed gives the same run.
const TWICE: u64 = 10;

/// Runs one seed.
pub(crate) fn run(seed: u64, aloud: bool) -> Outcome {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(Box::pin(story::run(seed, aloud)))
}

/// Runs one seed, now and then twice; the reason if it fails.
pub(crate) fn attempt(seed: u64) -> Result<Outcome, String> {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let outcome = run(seed, false);
        if seed.is_multiple_of(TWICE) {
            let again = run(seed, false);
            assert_eq!(again.trace.digest(), outcome.trace.digest(), "the same seed gave another run");
        }
        outcome
    }));
    tried.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// Gives each seed to `each`, until it says to end.
pub(crate) fn all(first: u64, seeds: u64, each: impl Fn(u64, Result<Outcome, String>) -> bool + Sync) {
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || !each(seed, attempt(seed)) {
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}
