//! `base --at TIME`: an image of the archive's own, written as a snapshot. No table is asked.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{STOPPED, Snapshot, Taken, failure, scratch};
use crate::base::{self, ArchiveInput};
use crate::command::Context;
use crate::command::gaps::one;
use crate::failure::{Exit, Failure};
use crate::platform::clock;
use crate::platform::patience::Patience;
use crate::replay::point;

pub(super) async fn run(context: &Context, args: &Snapshot, at: &str) -> Result<(), Failure> {
    let table = args.only_table(context)?;
    let time = point::time(at, clock::wall(), &TimeZone::system()).map_err(|error| {
        Failure::new(Exit::Usage, format!("--at: {error}"), "--at", "e.g. --at 2026-11-01T00:00:00Z")
    })?;
    context.out.note(&format!("the table as it was at {time}"));
    let archive = context.archive().await?;
    let mut opened = one(&archive, &table).await?;
    let (place, facts) = (opened.place(&archive), opened.facts(&archive)?);
    let input = ArchiveInput {
        log: &opened.log,
        manifest: &mut opened.manifest,
        store: Arc::clone(&archive.store),
        folder: opened.table.folder(),
        facts,
        name: args.name.clone(),
        scratch: args.scratch.clone().unwrap_or_else(scratch),
        patience: Patience::new(context.out.waits(), archive.ids.clone(), false),
    };
    let taken = context.stop.unless_stopped(Box::pin(base::from_archive(input, time))).await;
    let taken = taken.ok_or_else(|| context.stop.stopped(STOPPED, &place))?;
    let snapshot = taken.map_err(|error| failure(&error, &table, &place, &context.stop))?;
    context.out.summary(&Taken { table: opened.table.to_string(), snapshot });
    Ok(())
}
