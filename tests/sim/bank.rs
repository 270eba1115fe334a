//! The bug bank: each planted bug must make some seed fail, or the simulation is not good enough.

use std::panic;
use std::sync::Mutex;

use tailrace::platform::bugs::{Bug, plant};

use crate::number;
use crate::seeds::all;

/// Seeds after which a bug counts as not found.
const SEEDS: u64 = 10_000;

const BANK: &[(Bug, &str)] = &[
    (Bug::TrimmedIsSkipped, "the official stream adapter and Flink, by default"),
    (Bug::ChildBeginsAtLatest, "Teleport 65534, Flink 14407"),
    (Bug::EmptyPageEndsShard, "readers that take an empty page for the tip"),
    (Bug::NoRecordsEndsShard, "a 200 response that was cut before its first byte"),
    (Bug::NotFoundEndsShard, "the official stream adapter"),
    (Bug::FirstReadMissesNothing, "restart after 30 h"),
    (Bug::UnknownParentMissesNothing, "restart after 60 h; Data Prepper, Camel 24861"),
    (Bug::TrimJudgedByFloor, "an early draft of the trim rule"),
    (Bug::RepeatsAreKept, "delivery at least once, taken for exactly once"),
    (Bug::ChildBeforeParent, "KCL and the stream adapter, lineages begun in parallel"),
    (Bug::LateAncestorIsRead, "an early draft of the openings"),
    (Bug::ParentReleasedEarly, "stream adapter 2.1.1: children not created at their parent's end"),
    (Bug::RankFromListing, "an early draft of the openings"),
    (Bug::HeartbeatClaimsNow, "TiDB 68857: a restore point beyond the checkpoint"),
    (Bug::StampsStepBack, "clocks that step back"),
    (Bug::RowsKeptAcrossGap, "an early draft of the lost race"),
    (Bug::FileReusedForNarrowedSpan, "Confluent 422: two versions of one object"),
    (Bug::OrphanIsCommitted, "Litestream 771, Iceberg's collectors"),
    (Bug::RaceKeepsRows, "KCL 108 and 677: two workers own one shard"),
    (Bug::UnknownIsDone, "SlateDB 766, Iceberg's unknown commit state, ClickHouse 112081"),
    (Bug::CommittedBeforeDurable, "NATS 2.12.1, Bufstream 0.1.0: acknowledged before durable"),
    (Bug::StragglerAfterBase, "a snapshot that holds what the stream brings later"),
    (Bug::SnapshotAcrossGap, "a snapshot over a stream with a hole"),
    (Bug::SnapshotWithoutOverlap, "Data Prepper: the stream begun after the snapshot"),
    (Bug::GapIsPassedOver, "Redpanda 4545: a restart behind a hole, with a warning"),
    (Bug::EpochsAreJoined, "floci 2076: an old checkpoint hides a new stream"),
    (Bug::SecondsDecideOrder, "restores ordered by whole seconds"),
];

/// A seed that failed.
struct Found {
    seed: u64,
    /// The first words of its reason.
    why: String,
}

/// The first seed that fails, of at most `most`.
fn first_failure(most: u64) -> Option<Found> {
    let found: Mutex<Option<Found>> = Mutex::new(None);
    all(0, most, |seed, outcome| {
        let Err(why) = outcome else { return true };
        let why = why.lines().next().unwrap_or_default().chars().take(90).collect();
        let mut found = found.lock().unwrap();
        if found.as_ref().is_none_or(|found| found.seed > seed) {
            *found = Some(Found { seed, why });
        }
        false
    });
    found.into_inner().unwrap()
}

#[test]
#[ignore = "alone: what is planted is planted for every test of the process"]
fn every_planted_bug_is_found() {
    panic::set_hook(Box::new(|_| {}));
    let most = number("TAILRACE_SIM_SEEDS").unwrap_or(SEEDS);
    let mut missed = vec![];
    println!("| bug | where it was seen | found by seed | what failed |\n| --- | --- | --- | --- |");
    let only = std::env::var("TAILRACE_SIM_BUG").ok();
    let wanted = |bug: &Bug| only.as_ref().is_none_or(|only| *only == format!("{bug:?}"));
    for (bug, seen) in BANK.iter().filter(|(bug, _)| wanted(bug)) {
        plant(*bug);
        match first_failure(most) {
            Some(Found { seed, why }) => println!("| {bug:?} | {seen} | {seed} | {why} |"),
            None => {
                println!("| {bug:?} | {seen} | not found | |");
                missed.push(bug);
            }
        }
    }
    println!("campaign: {} planted bugs, {} found within {most} seeds each", BANK.len(), BANK.len() - missed.len());
    let _ = panic::take_hook();
    assert!(missed.is_empty(), "not found within {most} seeds: {missed:?}");
}
