//! The whole table, sorted: items come in as they are read, and go out of memory in runs.

use std::path::Path;

use tokio::sync::mpsc;

use super::BaseError;
use crate::change::{ItemKey, KeySchema, Second, Text};
use crate::platform::tasks;
use crate::segment::BaseRow;
use crate::spill::{Sorted, Spill};

/// Pages that wait to be sorted: one for each part, were all of them to come at once.
const PAGES: usize = 4;

/// Items as they come in.
#[derive(Debug)]
pub struct Items {
    /// Images, byte for byte.
    pub items: Vec<Text>,
    /// As of when, by the service's time.
    pub at: Second,
}

/// How items are sorted.
pub(super) struct Gather<'a> {
    pub(super) keys: &'a KeySchema,
    /// Where runs go.
    pub(super) scratch: &'a Path,
    /// Bytes of rows held in memory.
    pub(super) held: u64,
}

/// What was read of the table.
pub(super) struct Gathered {
    /// All rows, in order.
    pub(super) rows: Sorted<BaseRow>,
    pub(super) items: u64,
    /// The service's times of the first and the last items.
    pub(super) times: Option<(Second, Second)>,
}

impl Gather<'_> {
    /// Takes all that `read` sends. A page that cannot be taken closes its channel, which must end it without an error.
    pub(super) async fn run<E>(
        self,
        read: impl AsyncFnOnce(mpsc::Sender<Items>) -> Result<(), E>,
    ) -> Result<Gathered, BaseError>
    where
        BaseError: From<E>,
    {
        let (send, pages) = mpsc::channel(PAGES);
        let (read, gathered) = tokio::join!(read(send), self.take(pages));
        let (spill, items, times) = gathered?;
        read?;
        let rows = tasks::computed(move || spill.sorted()).await??;
        Ok(Gathered { rows, items, times })
    }

    async fn take(
        &self,
        mut pages: mpsc::Receiver<Items>,
    ) -> Result<(Spill<BaseRow>, u64, Option<(Second, Second)>), BaseError> {
        let mut spill = Spill::new(self.scratch, self.held);
        let (mut items, mut times) = (0, None::<(Second, Second)>);
        while let Some(page) = pages.recv().await {
            items += page.items.len() as u64;
            times = Some(times.map_or((page.at, page.at), |(first, last)| (first.min(page.at), last.max(page.at))));
            let keys = self.keys.clone();
            spill = tasks::computed(move || add(&mut spill, page, &keys).map(|()| spill)).await??;
        }
        tracing::debug!(items, runs = spill.runs, "the table is read");
        Ok((spill, items, times))
    }
}

fn add(spill: &mut Spill<BaseRow>, page: Items, keys: &KeySchema) -> Result<(), BaseError> {
    let row = |image: Text| ItemKey::from_image(keys, image.as_str()).and_then(|key| BaseRow::new(key, image));
    let rows: Result<Vec<BaseRow>, _> = page.items.into_iter().map(row).collect();
    Ok(spill.add(rows.map_err(BaseError::Item)?)?)
}
