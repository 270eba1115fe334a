//! The deterministic world: the product's own capture, log, snapshots, replay and verification against a service and a
//! store that do everything a real one may do, on virtual time.
//!
//! Every run follows from its seed. `TAILRACE_SIM_SEED=n` runs one seed and prints all that happens in it;
//! `TAILRACE_SIM_SEEDS=n` runs so many.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::large_futures,
    reason = "a test that cannot go on fails, helpers included; a simulation may hold large futures and starts threads"
)]

mod dice;
mod gate;
mod model;
mod scan;
mod service;
mod story;
mod stream;
mod trace;
mod worker;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use story::Outcome;

/// Seeds of one `cargo test`.
const SEEDS: u64 = 200;
/// One seed of so many is run twice: the same seed gives the same run.
const TWICE: u64 = 10;
/// Seconds of a run that counts as a long one.
const LONG: i64 = 26 * 3600;

fn run(seed: u64, aloud: bool) -> Outcome {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(Box::pin(story::run(seed, aloud)))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number: {text}")))
}

#[derive(Default)]
struct Sum {
    runs: u64,
    long: u64,
    hours: i64,
    replays: u64,
    counts: BTreeMap<&'static str, u64>,
    failed: Vec<u64>,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.long += u64::from(outcome.seconds >= LONG);
        self.hours += outcome.seconds / 3600;
        self.replays += outcome.replays;
        for (what, count) in outcome.trace.counts() {
            *self.counts.entry(what).or_default() += count;
        }
    }
}

fn try_seed(seed: u64, sum: &Mutex<Sum>) {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let outcome = run(seed, false);
        if seed.is_multiple_of(TWICE) {
            let again = run(seed, false);
            assert_eq!(again.trace.digest(), outcome.trace.digest(), "the same seed gave another run");
        }
        outcome
    }));
    let mut sum = sum.lock().unwrap();
    match tried {
        Ok(outcome) => sum.add(&outcome),
        Err(_) => {
            eprintln!("seed {seed} failed: TAILRACE_SIM_SEED={seed} cargo test --test sim -- --nocapture");
            sum.failed.push(seed);
        }
    }
}

#[test]
fn nothing_is_lost_in_any_world() {
    if let Some(seed) = number("TAILRACE_SIM_SEED") {
        let outcome = run(seed, true);
        println!("seed {seed}: {} replays, {} s, {:?}", outcome.replays, outcome.seconds, outcome.trace.digest());
        return;
    }
    let first = number("TAILRACE_SIM_FIRST").unwrap_or(0);
    let seeds = number("TAILRACE_SIM_SEEDS").unwrap_or(SEEDS);
    let (next, sum) = (AtomicU64::new(first), Mutex::new(Sum::default()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    try_seed(seed, &sum);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    println!("{:#?}", sum.counts);
    println!(
        "campaign: {} seeds from {first}, {} of them longer than 26 h, {} h simulated, {} replays compared, {} violations",
        sum.runs,
        sum.long,
        sum.hours,
        sum.replays,
        sum.failed.len()
    );
    assert!(sum.failed.is_empty(), "seeds that failed: {:?}", sum.failed);
    if seeds >= SEEDS {
        assert!(sum.long * 10 >= sum.runs, "too few long runs");
    }
}
