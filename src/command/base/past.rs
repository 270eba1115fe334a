//! `base --at TIME`: an image of the archive's own, written as a snapshot. No table is asked.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{STOPPED, Snapshot, Taken, failure, scratch};
use crate::base::{self, ArchiveInput, BaseError, BaseSummary};
use crate::command::Context;
use crate::command::archive::{Archive, Opened};
use crate::command::gaps::one;
use crate::failure::{Exit, Failure};
use crate::manifest::Journal;
use crate::platform::clock;
use crate::platform::patience::{Patience, Tell};
use crate::replay::{Bounds, point};
use crate::segment::Facts;

/// What an image may take that is written beside a capture.
const BESIDE: Bounds = Bounds::of(96 << 20);

pub(super) async fn run(context: &Context, args: &Snapshot, at: &str) -> Result<(), Failure> {
    let table = args.only_table(context)?;
    let time = point::time(at, clock::wall(), &TimeZone::system()).map_err(|error| {
        Failure::new(Exit::Usage, format!("--at: {error}"), "--at", "e.g. --at 2026-11-01T00:00:00Z")
    })?;
    context.out.note(&format!("the table as it was at {time}"));
    let archive = context.archive().await?;
    let mut opened = one(&archive, &table).await?;
    let (place, facts) = (opened.place(&archive), opened.facts(&archive)?);
    let scratch = args.scratch.clone().unwrap_or_else(scratch);
    let patience = Patience::new(context.out.waits(), archive.ids.clone(), false);
    let name = args.name.clone();
    let input = ArchiveInput { name, ..input(&archive, &mut opened, facts, scratch, patience) };
    let taken = context.stop.unless_stopped(Box::pin(base::from_archive(input, time))).await;
    let taken = taken.ok_or_else(|| context.stop.stopped(STOPPED, &place))?;
    let snapshot = taken.map_err(|error| failure(&error, &table, &place))?;
    context.out.summary(&Taken { table: opened.table.to_string(), snapshot });
    Ok(())
}

/// Writes the image at the end of the last sealed day if that pays.
pub(in crate::command) async fn due(
    archive: &Archive,
    opened: &mut Opened,
    facts: Facts,
    scratch: PathBuf,
    tell: Tell,
) -> Result<Option<BaseSummary>, Failure> {
    let place = opened.place(archive);
    let table = opened.table.name.clone();
    let patience = Patience::new(tell, archive.ids.clone(), false);
    let mut journal = Journal { log: &opened.log, manifest: &mut opened.manifest, patience: patience.clone() };
    let due = base::due(&mut journal).await.map_err(BaseError::from);
    let written = match due {
        Ok(None) => return Ok(None),
        Ok(Some(time)) => {
            let input = ArchiveInput { bounds: BESIDE, ..input(archive, opened, facts, scratch, patience) };
            Box::pin(base::from_archive(input, time)).await
        }
        Err(error) => Err(error),
    };
    written.map(Some).map_err(|error| failure(&error, &table, &place))
}

fn input<'a>(
    archive: &Archive,
    opened: &'a mut Opened,
    facts: Facts,
    scratch: PathBuf,
    patience: Patience,
) -> ArchiveInput<'a> {
    ArchiveInput {
        log: &opened.log,
        manifest: &mut opened.manifest,
        store: Arc::clone(&archive.store),
        folder: opened.table.folder(),
        facts,
        name: None,
        scratch,
        patience,
        bounds: Bounds::DEFAULT,
    }
}
