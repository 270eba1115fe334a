//! The log in its store: opening, following, committing.

mod error;
mod folds;
mod follow;
mod open;
mod packs;
mod propose;
mod slot;

use std::sync::Arc;

pub use error::LogError;
pub(crate) use error::newer;
pub use propose::Proposed;
pub(super) use slot::Slot;

use super::entry::Writer;
use super::state::Manifest;
use crate::change::{Second, TableIdentity};
use crate::platform::ids::Ids;
use crate::segment::BUILD;
use crate::store::ObjectStore;

/// The log of one table. It holds no state of the table: that is the [`Manifest`].
#[derive(Debug)]
pub struct Log {
    store: Arc<dyn ObjectStore>,
    folder: String,
    ids: Ids,
    writer: Writer,
}

impl Log {
    /// Opens the log, for reading and writing alike. A log without entries gives the empty manifest.
    ///
    /// # Errors
    /// [`LogError`]; an entry without effect is none: the manifest then ends before it and says so in `blocked`.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        table: &TableIdentity,
        ids: Ids,
    ) -> Result<(Self, Manifest), LogError> {
        let writer = Writer { id: ids.commit_id(), build: BUILD.to_owned() };
        let log = Self { store, folder: table.folder(), ids, writer };
        let manifest = log.load().await?;
        log.understood(&manifest).await?;
        Ok((log, manifest))
    }

    /// Reads what others committed; gives the number of entries read.
    ///
    /// # Errors
    /// [`LogError`]; the manifest is then as before.
    pub async fn refresh(&self, manifest: &mut Manifest) -> Result<u64, LogError> {
        let before = manifest.next;
        self.follow(manifest).await?;
        self.understood(manifest).await?;
        Ok(manifest.next - before)
    }

    /// The path, in the archive, of a path that the manifest names.
    #[must_use]
    pub fn path(&self, relative: &str) -> String {
        format!("{}/{relative}", self.folder)
    }

    /// This process as the log's entries name it.
    #[must_use]
    pub const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Brings the segments whose rows may lie in `[from, to]` into `manifest.segments`; without bounds all.
    ///
    /// # Errors
    /// [`LogError`] when a part of the fold cannot be read.
    pub async fn load_segments(
        &self,
        manifest: &mut Manifest,
        from: Option<Second>,
        to: Option<Second>,
    ) -> Result<(), LogError> {
        let month = |at: Second| at.day().chars().take(7).collect::<String>();
        let (from, to) = (from.map(month), to.map(month));
        let wanted =
            |name: &str| from.as_deref().is_none_or(|from| name >= from) && (to.as_deref().is_none_or(|to| name <= to));
        let months = manifest.unloaded(wanted);
        self.load_months(manifest, &months).await
    }
}

#[cfg(test)]
mod tests;
