//! The whole table, read and sorted: pages come in as the parts are scanned, and go out of memory in runs.

use std::path::Path;

use tokio::sync::mpsc;

use super::BaseError;
use super::scan::{self, Page, TableScan};
use super::spill::{Sorted, Spill};
use crate::change::{ItemKey, KeySchema, Second, Text};
use crate::platform::patience::Patience;
use crate::platform::rate::Cap;
use crate::platform::tasks;
use crate::segment::BaseRow;

/// Pages that wait to be sorted: one for each part, were all of them to come at once.
const PAGES: usize = 4;

/// How a table is read.
pub(super) struct Gather<'a> {
    pub(super) table: &'a dyn TableScan,
    pub(super) keys: &'a KeySchema,
    pub(super) parts: u32,
    pub(super) cap: &'a Cap,
    pub(super) patience: &'a Patience,
    /// Where runs go.
    pub(super) scratch: &'a Path,
    /// Bytes of rows held in memory.
    pub(super) held: u64,
}

/// What was read of the table.
pub(super) struct Gathered {
    /// All rows, in order.
    pub(super) rows: Sorted,
    pub(super) items: u64,
    /// The service's times of the first and the last page.
    pub(super) times: Option<(Second, Second)>,
}

impl Gather<'_> {
    /// Reads it all.
    pub(super) async fn run(self) -> Result<Gathered, BaseError> {
        let (send, pages) = mpsc::channel(PAGES);
        let read = scan::all(self.table, self.parts, self.cap, self.patience, send);
        // A page that cannot be taken closes the channel, which ends the scan without an error.
        let (read, gathered) = tokio::join!(read, self.take(pages));
        let (spill, items, times) = gathered?;
        read?;
        let sorted = tasks::compute(move || spill.sorted()).await;
        let rows = sorted.map_err(|error| BaseError::Interrupted(error.to_string()))??;
        Ok(Gathered { rows, items, times })
    }

    async fn take(&self, mut pages: mpsc::Receiver<Page>) -> Result<(Spill, u64, Option<(Second, Second)>), BaseError> {
        let mut spill = Spill::new(self.scratch, self.held);
        let (mut items, mut times) = (0, None::<(Second, Second)>);
        while let Some(page) = pages.recv().await {
            items += page.items.len() as u64;
            times = Some(times.map_or((page.at, page.at), |(first, last)| (first.min(page.at), last.max(page.at))));
            let keys = self.keys.clone();
            let taken = tasks::compute(move || add(&mut spill, page, &keys).map(|()| spill)).await;
            spill = taken.map_err(|error| BaseError::Interrupted(error.to_string()))??;
        }
        tracing::debug!(items, runs = spill.runs, "the table is read");
        Ok((spill, items, times))
    }
}

fn add(spill: &mut Spill, page: Page, keys: &KeySchema) -> Result<(), BaseError> {
    let row = |image: Text| ItemKey::from_image(keys, image.as_str()).and_then(|key| BaseRow::new(key, image));
    let rows: Result<Vec<BaseRow>, _> = page.items.into_iter().map(row).collect();
    Ok(spill.add(rows.map_err(BaseError::Item)?)?)
}
