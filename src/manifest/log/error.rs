//! Why a log cannot be read or written, by what the caller must do.

use crate::manifest::state::{Blocked, Manifest, UnknownAction};
use crate::manifest::{Entry, EntryError, Need};
use crate::store::{ObjectStore, StoreError};

/// Why a log cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The store did not answer, or an operator must act. [`StoreError::Hidden`]: somebody laid a delete marker over
    /// an entry; alarm, and remove the marker.
    #[error("the log cannot be reached: {0}")]
    Store(#[from] StoreError),
    /// Written by a newer tailrace: update this one. For a writer also an action that readers may ignore.
    #[error("entry {n} needs a newer tailrace: {what}")]
    FormatNewer {
        /// The entry.
        n: u64,
        /// What this build does not know.
        what: String,
    },
    /// An entry without effect stands at the end of what is served: writers wait until a void goes past it.
    #[error("entry {n} has no effect ({why}); nothing can be committed until a void goes past it")]
    Blocked {
        /// The entry.
        n: u64,
        /// Why.
        why: String,
    },
    /// Entries below the tail are missing.
    #[error("entry {n} is missing although later entries stand: the log was damaged")]
    Hole {
        /// The entry.
        n: u64,
    },
    /// A slot that this process read or filled holds another entry now: stop, and look who writes to the store.
    #[error("entry {n} was exchanged for another")]
    Forked {
        /// The entry.
        n: u64,
    },
    /// An action cannot be written.
    #[error("an entry cannot be written: {0}")]
    Unwritable(#[from] EntryError),
}

impl super::Log {
    /// Refuses a log with actions that nobody here may ignore.
    pub(super) async fn understood(&self, manifest: &Manifest) -> Result<(), LogError> {
        if let Some(Blocked { n, why, newer: true }) = &manifest.blocked {
            return Err(LogError::FormatNewer { n: *n, what: why.clone() });
        }
        self.needs(manifest, |need| need == Need::Read).await
    }

    /// Refuses to write where only readers may go on; whoever writes anything beside the log asks before.
    ///
    /// # Errors
    /// [`LogError::Blocked`] or [`LogError::FormatNewer`].
    pub async fn writable(&self, manifest: &Manifest) -> Result<(), LogError> {
        if let Some(Blocked { n, why, .. }) = &manifest.blocked {
            return Err(LogError::Blocked { n: *n, why: why.clone() });
        }
        self.needs(manifest, |need| need != Need::None).await
    }

    async fn needs(&self, manifest: &Manifest, stops: fn(Need) -> bool) -> Result<(), LogError> {
        match manifest.unknown.iter().find(|action| stops(action.need)) {
            Some(action) => Err(newer(&*self.store, &self.slot_path(action.n), action).await),
            None => Ok(()),
        }
    }
}

/// The refusal of an action that stands in the entry at `path`, with the build that wrote it.
async fn newer(store: &dyn ObjectStore, path: &str, action: &UnknownAction) -> LogError {
    // If the entry cannot be read now, the refusal stands all the same.
    let object = store.get_oldest(path).await.ok();
    let entry = object.and_then(|object| Entry::decode(action.n, &object.bytes).ok());
    let by = entry.map(|entry| format!(", written by {}", entry.writer.build)).unwrap_or_default();
    LogError::FormatNewer { n: action.n, what: format!("the action {}{by}", action.name) }
}
