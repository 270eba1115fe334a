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

#[cfg(feature = "bug-bank")]
mod bank;
mod dice;
mod export;
mod flood;
mod gate;
mod keep;
mod load;
mod model;
mod rows;
mod scan;
mod seeds;
mod service;
mod story;
mod stream;
mod trace;
mod worker;
mod world;

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number: {text}")))
}
