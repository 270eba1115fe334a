//! The campaign: many seeds, and what they came to.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::number;
use crate::seeds::{all, run};
use crate::story::Outcome;

/// Seeds of one `cargo test`.
const SEEDS: u64 = 200;
/// Seconds of a run that counts as a long one.
const LONG: i64 = 26 * 3600;
/// What must have happened somewhere in so many seeds, or they tell nothing about it.
const MUST_HAPPEN: &[&str] = &[
    "body cut",
    "body without records",
    "delivered again",
    "denied",
    "export call failed",
    "exported",
    "frozen",
    "iterator expired",
    "killed",
    "last page",
    "lost and declared",
    "not found",
    "not listed",
    "position trimmed",
    "refused",
    "replayed",
    "replayed, late",
    "scan failed",
    "service stalled",
    "silence",
    "snapshot",
    "snapshot by export",
    "snapshot dropped",
    "straggler",
    "stream turned off",
    "throttled",
    "told of a gap",
    "told of an alarm",
    "too many reads",
    "unknown shard",
    "young shard denied",
];

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

    fn print(&self, first: u64) {
        println!("{:#?}", self.counts);
        let Self { runs, long, hours, replays, failed, .. } = self;
        let tried = runs + failed.len() as u64;
        print!("campaign: {tried} seeds from {first}, {long} of them longer than 26 h, {hours} h simulated, ");
        print!("{replays} replays compared, {} violations", failed.len());
        match (failed.len(), tried) {
            (0, 1..) => println!("; so at 95 % fewer than {:.6} of such runs fail (3/n)", 3.0 / tried as f64),
            _ => println!(),
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
    let sum = Mutex::new(Sum::default());
    all(first, seeds, |seed, outcome| {
        let mut sum = sum.lock().unwrap();
        match outcome {
            Ok(outcome) => sum.add(&outcome),
            Err(_) => {
                eprintln!("seed {seed} failed: TAILRACE_SIM_SEED={seed} cargo test --test sim -- --nocapture");
                sum.failed.push(seed);
            }
        }
        true
    });
    let sum = sum.into_inner().unwrap();
    sum.print(first);
    assert!(sum.failed.is_empty(), "seeds that failed: {:?}", sum.failed);
    if seeds >= SEEDS {
        assert!(sum.long * 10 >= sum.runs, "too few long runs");
        let missing: Vec<_> = MUST_HAPPEN.iter().filter(|what| !sum.counts.contains_key(*what)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}
