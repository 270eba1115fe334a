//! `base --at TIME`: an image of the archive's own, written as a snapshot. No table is asked.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Base, STOPPED, failure, scratch};
use crate::base::{self, ArchiveInput, BaseSummary};
use crate::command::Context;
use crate::command::gaps::one;
use crate::command::seal::facts;
use crate::failure::{Exit, Failure};
use crate::platform::clock;
use crate::platform::patience::{Patience, Waiting};
use crate::replay::point;

pub(super) async fn run(context: &Context, args: &Base, at: &str) -> Result<(), Failure> {
    let table = args.only_table(context)?;
    let time = point::time(at, clock::wall(), &TimeZone::system()).map_err(|error| {
        Failure::new(Exit::Usage, format!("--at: {error}"), "--at", "e.g. --at 2026-11-01T00:00:00Z")
    })?;
    context.out.note(&format!("the table as it was at {time}"));
    let archive = context.archive().await?;
    let mut opened = one(&archive, &table).await?;
    let place = format!("{} in {}", opened.table, archive.location());
    let Some(facts) = facts(&archive, &opened) else {
        let next = "start `tailrace capture`";
        return Err(Failure::new(Exit::OutsideCoverage, "nothing is archived of this table yet", place, next));
    };
    let out = context.out.clone();
    let tell = Arc::new(move |Waiting { why, .. }: Waiting| out.note(&format!("waiting: {why}")));
    let input = ArchiveInput {
        log: &opened.log,
        manifest: &mut opened.manifest,
        store: Arc::clone(&archive.store),
        folder: opened.table.folder(),
        facts,
        name: args.name.clone(),
        scratch: args.scratch.clone().unwrap_or_else(scratch),
        patience: Patience::new(tell, archive.ids.clone(), false),
    };
    let taken = context.stop.unless_stopped(Box::pin(base::from_archive(input, time))).await;
    let taken = taken.ok_or_else(|| context.stop.stopped(STOPPED, &place))?;
    let snapshot = taken.map_err(|error| failure(&error, &table, &place, &context.stop))?;
    context.out.summary(&Taken { table: opened.table.to_string(), snapshot });
    Ok(())
}

#[derive(Serialize)]
struct Taken {
    table: String,
    snapshot: BaseSummary,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BaseSummary { items, files, bytes, complete_at, .. } = &self.snapshot;
        writeln!(f, "snapshot of the archived table {}: {items} items, {files} files, {bytes} bytes", self.table)?;
        write!(f, "replays of times from {complete_at} on begin with it")
    }
}
