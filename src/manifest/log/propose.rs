//! One commit: the same bytes into the same slot until it is known who filled it.

use std::time::Duration;

use bytes::Bytes;

use super::follow::Halt;
use super::slot::Slot;
use super::{Log, LogError};
use crate::change::Second;
use crate::manifest::Action;
use crate::manifest::apply::Stored;
use crate::manifest::entry::{Entry, sha256};
use crate::manifest::invariants::Violation;
use crate::manifest::state::Manifest;
use crate::platform::bugs::{Bug, planted};
use crate::platform::clock;
use crate::platform::retry::Backoff;
use crate::store::{Keep, StoreError};

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// It is entry `n`, and the manifest has it.
    Committed {
        /// The entry.
        n: u64,
    },
    /// Another writer filled the slot, or the log had to be read anew; the manifest has what was written. Make the
    /// actions anew.
    Lost,
    /// Our own predicates refuse it; nothing was written and the manifest is as before.
    Refused(Violation),
}

impl Log {
    /// Proposes `actions` as the next entry. `at` is the service's latest time.
    ///
    /// Keep the pace: at most 5 commits a second per table.
    ///
    /// # Errors
    /// [`LogError`]. The outcome may then be unknown: [`Log::refresh`] before anything else.
    pub async fn propose(
        &self,
        manifest: &mut Manifest,
        at: Second,
        actions: Vec<Action>,
    ) -> Result<Proposed, LogError> {
        self.writable(manifest).await?;
        self.stands(manifest).await?;
        self.fold_if_due(manifest).await;
        let entry = Entry {
            n: manifest.next,
            commit_id: self.ids.commit_id(),
            prev_sha256: manifest.tail_sha256.clone(),
            prev_version_id: manifest.tail_version_id.clone(),
            at,
            writer: self.writer.clone(),
            fold: manifest.newest_fold(),
            actions,
        };
        let days = manifest.unloaded_for(&entry);
        match self.load_days(manifest, &days).await {
            Ok(()) => {}
            Err(Halt::Part) => {
                self.without_parts(manifest).await?;
                self.understood(manifest).await?;
                return Ok(Proposed::Lost);
            }
            Err(Halt::Log(error)) => return Err(error),
        }
        let bytes = entry.encode()?;
        // What no reader could decode must not fill a slot, whatever our own predicates think of it.
        Entry::decode(entry.n, &bytes)?;
        let own = Stored { sha256: sha256(&bytes), version_id: None };
        let mut next = manifest.clone();
        let without = self.without_range(&entry, manifest).await?;
        if let Err(violation) = next.apply_in_place(&entry, &own, without.as_ref()) {
            return Ok(Proposed::Refused(violation));
        }
        let standing = self.fill(entry.n, bytes).await?;
        if standing.entry.as_ref().is_ok_and(|standing| standing.commit_id == entry.commit_id) {
            next.tail_version_id = standing.stored.version_id;
            next.blocked = None;
            *manifest = next;
            return Ok(Proposed::Committed { n: entry.n });
        }
        self.refresh(manifest).await?;
        Ok(Proposed::Lost)
    }

    /// A writer whose last slot holds another entry now must stop: what it commits would chain to nothing. Where the
    /// store does not answer, the next commit, or whoever reads the chain, finds out.
    async fn stands(&self, manifest: &Manifest) -> Result<(), LogError> {
        match self.not_exchanged(manifest, manifest.next).await {
            Err(LogError::Store(StoreError::Unavailable { .. })) => Ok(()),
            told => told,
        }
    }

    /// Puts `bytes` into slot `n` until it is filled, and gives what fills it.
    async fn fill(&self, n: u64, bytes: Bytes) -> Result<Slot, LogError> {
        let path = self.slot_path(n);
        let mut backoff = Backoff::new(self.ids.clone(), Duration::from_millis(100), Duration::from_secs(10));
        loop {
            match self.store.put_new(&path, bytes.clone(), Keep::Full).await {
                // Without versions nothing can have been there before ours.
                Ok(None) => return Ok(Slot::new(n, bytes, None)),
                Ok(Some(_)) | Err(StoreError::Taken { .. }) => {}
                Err(StoreError::Unknown { .. }) if planted(Bug::UnknownIsDone) => {
                    return Ok(Slot::new(n, bytes, None));
                }
                Err(StoreError::Unknown { reason, .. }) => {
                    tracing::warn!(entry = n, %reason, "the outcome of a commit is unknown: asking again");
                }
                Err(error) => return Err(error.into()),
            }
            // An empty slot does not mean that the put failed: it may still land.
            match self.slot(n).await {
                Ok(Some(slot)) => return Ok(slot),
                Ok(None) | Err(LogError::Store(StoreError::Unavailable { .. })) => {}
                Err(error) => return Err(error),
            }
            clock::sleep(backoff.step()).await;
        }
    }
}
