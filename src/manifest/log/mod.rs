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
pub use propose::Proposed;
pub(super) use slot::Slot;

use follow::Halt;

use super::entry::Writer;
use super::state::Manifest;
use crate::change::{Second, TableIdentity};
use crate::platform::ids::Ids;
use crate::segment::BUILD;
use crate::store::ObjectStore;

/// The log of one table. It holds no state of the table: that is the [`Manifest`].
#[derive(Debug, Clone)]
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
        let log = Self::unread(store, table, ids);
        let manifest = log.load().await?;
        log.understood(&manifest).await?;
        Ok((log, manifest))
    }

    /// The log, of which nothing is read yet.
    #[must_use]
    pub fn unread(store: Arc<dyn ObjectStore>, table: &TableIdentity, ids: Ids) -> Self {
        let writer = Writer { id: ids.commit_id(), build: BUILD.to_owned() };
        Self { store, folder: table.folder(), ids, writer }
    }

    /// Reads what others committed; gives the number of entries read.
    ///
    /// # Errors
    /// [`LogError`]; the manifest then stands at an entry at or after the one it stood at.
    pub async fn refresh(&self, manifest: &mut Manifest) -> Result<u64, LogError> {
        let before = manifest.next;
        match self.follow(manifest).await {
            Ok(()) => {}
            Err(Halt::Part) => self.without_parts(manifest).await?,
            Err(Halt::Log(error)) => return Err(error),
        }
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

    /// Brings the segments whose rows may lie in `[from, to]` into `manifest.segments`; without bounds all. Where a
    /// part of the fold is lost the log is read anew without it, up to its present tail.
    ///
    /// # Errors
    /// [`LogError`] when neither the fold nor the log can be read.
    pub async fn load_segments(
        &self,
        manifest: &mut Manifest,
        from: Option<Second>,
        to: Option<Second>,
    ) -> Result<(), LogError> {
        let day = |at: Second| at.day().chars().take(10).collect::<String>();
        let (from, to) = (from.map(day), to.map(day));
        let wanted =
            |name: &str| from.as_deref().is_none_or(|from| name >= from) && (to.as_deref().is_none_or(|to| name <= to));
        let days = manifest.unloaded(wanted);
        match self.load_days(manifest, &days).await {
            Ok(()) => Ok(()),
            Err(Halt::Part) => self.without_parts(manifest).await,
            Err(Halt::Log(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
