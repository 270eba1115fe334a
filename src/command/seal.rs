//! `tailrace seal`: every day that is over becomes sorted files, from which replays read one change for each item; and
//! once these outweigh the snapshot before them, another is written.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::archive::{Archive, Opened, log_failure};
use super::base::{past, scratch};
use super::gaps::one;
use crate::base::BaseSummary;
use crate::failure::{Exit, Failure};
use crate::manifest::{Journal, JournalError, ReadError, ShelfError};
use crate::platform::patience::{Patience, Tell};
use crate::seal::{SealError, SealInput, SealOptions, SealedDay, Sealer};
use crate::segment::Facts;

/// What is said of a seal that was stopped.
const STOPPED: &str = "stopped before every day was sealed; the days before it are";

/// Arguments.
#[derive(Debug, Args)]
pub struct Seal {
    /// The table
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE")]
    table: String,
    /// Folder for temporary files, which take as much room as the largest day's images [default: TMPDIR, or /var/tmp]
    #[arg(long, value_name = "FOLDER", env = "TAILRACE_SCRATCH")]
    scratch: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, args: &Seal) -> Result<(), Failure> {
    let archive = context.archive().await?;
    let mut opened = one(&archive, &args.table).await?;
    let (place, facts) = (opened.place(&archive), opened.facts(&archive)?);
    let options = SealOptions { scratch: args.scratch.clone().unwrap_or_else(scratch), ..SealOptions::default() };
    let mut done = Done { table: opened.table.to_string(), ..Done::default() };
    let each = |step: &Step| {
        done.add(step);
        context.out.result(step.word(), step);
    };
    let sealing = Box::pin(days(&archive, &mut opened, facts, options, context.out.waits(), each));
    context.stop.unless_stopped(sealing).await.ok_or_else(|| context.stop.stopped(STOPPED, &place))??;
    done.sealed_through = opened.manifest.sealed_through.clone();
    context.out.summary(&done);
    Ok(())
}

/// Seals every day of one table that is over, each with the snapshot that it makes due, and tells of each.
pub(super) async fn days(
    archive: &Archive,
    opened: &mut Opened,
    facts: Facts,
    options: SealOptions,
    tell: Tell,
    mut each: impl FnMut(&Step),
) -> Result<(), Failure> {
    let place = opened.place(archive);
    loop {
        let patience = Patience::new(Arc::clone(&tell), archive.ids.clone(), false);
        let mut sealer = Sealer::new(SealInput {
            journal: Journal { log: &opened.log, manifest: &mut opened.manifest, patience },
            store: Arc::clone(&archive.store),
            folder: opened.table.folder(),
            facts: facts.clone(),
            options: options.clone(),
        });
        let day = sealer.next().await.map_err(|error| failure(&error, &place))?.map(Step::Day);
        day.iter().for_each(&mut each);
        let due = past::due(archive, opened, facts.clone(), options.scratch.clone(), Arc::clone(&tell)).await?;
        due.map(Step::Snapshot).iter().for_each(&mut each);
        if day.is_none() {
            return Ok(());
        }
    }
}

fn failure(error: &SealError, place: &str) -> Failure {
    let (exit, next) = match error {
        SealError::Log(JournalError::Log(error)) => return log_failure(error, place),
        SealError::Shelf(ShelfError::Store(error)) => return error.failure(place),
        SealError::Spill(_) => (
            Exit::Failure,
            "make room there for as many bytes as the day's images have, or name a folder on another disk with --scratch, \
             and run it again",
        ),
        SealError::Read(ReadError::Store(error)) => return error.failure(place),
        SealError::Read(ReadError::Newer { .. }) => (Exit::FormatNewer, "use a newer tailrace"),
        SealError::Read(_) => (
            Exit::VerificationFailed,
            "run `tailrace verify` to see everything that is affected; what was captured is not touched",
        ),
        _ => (Exit::Failure, "run it again; what was captured is not touched"),
    };
    Failure::new(exit, error.to_string(), place, next)
}

/// What was done.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Step {
    /// A day was sealed.
    Day(SealedDay),
    /// A snapshot was written of the days up to there.
    Snapshot(BaseSummary),
}

impl Step {
    const fn word(&self) -> &'static str {
        match self {
            Self::Day(_) => "sealed",
            Self::Snapshot(_) => "snapshot",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(SealedDay { day, changes, items, raw, sealed, .. }) => write!(
                f,
                "{day}: {changes} changes of {items} items; {} raw files of {} bytes are now {} of {} bytes",
                raw.0, raw.1, sealed.0, sealed.1
            ),
            Self::Snapshot(BaseSummary { items, files, bytes, complete_at, .. }) => {
                write!(f, "a snapshot of {complete_at}: {items} items, {files} files, {bytes} bytes")
            }
        }
    }
}

#[derive(Debug, Default, Serialize)]
struct Done {
    table: String,
    days: usize,
    changes: u64,
    raw_bytes: u64,
    sealed_bytes: u64,
    /// Snapshots that were written of them.
    snapshots: usize,
    /// The last sealed day, whoever sealed it.
    sealed_through: Option<String>,
}

impl Done {
    fn add(&mut self, step: &Step) {
        match step {
            Step::Day(day) => {
                self.days += 1;
                self.changes += day.changes;
                self.raw_bytes += day.raw.1;
                self.sealed_bytes += day.sealed.1;
            }
            Step::Snapshot(_) => self.snapshots += 1,
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, days, changes, raw_bytes, sealed_bytes, .. } = self;
        match (days, &self.sealed_through) {
            (0, None) => write!(f, "{table}: no day is over yet; a day is sealed once nothing can be added to it"),
            (0, Some(last)) => write!(f, "{table}: every day that is over is sealed, up to {last}"),
            (_, last) => write!(
                f,
                "{table}: {days} days sealed, up to {}: {changes} changes, {raw_bytes} bytes are now {sealed_bytes}; \
                 what was captured stays beside them",
                last.as_deref().unwrap_or("the last")
            ),
        }
    }
}
