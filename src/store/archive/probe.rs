//! What `init` tries out before it trusts a store.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;

use super::ArchiveError;
use crate::platform::ids::Ids;
use crate::store::{Keep, Landed, ObjectStore, StoreError, put_verified};

/// Where probes are put. What an init that was killed left here does not count as foreign.
const FOLDER: &str = "probe/";
/// Writers that race for one name.
const WRITERS: usize = 8;

/// Refuses a place that holds anything but left probes.
pub(super) async fn empty(store: &dyn ObjectStore) -> Result<(), ArchiveError> {
    let failed = |error| ArchiveError::Store { place: store.location(), error };
    let before = store.list("", None, Some(1)).await.map_err(failed)?;
    // Left probes may hide what sorts behind them: `0` is the character after the slash.
    let behind = store.list("", Some("probe0"), Some(1)).await.map_err(failed)?;
    let foreign = before.into_iter().chain(behind).find(|object| !object.path.starts_with(FOLDER));
    foreign.map_or(Ok(()), |object| Err(ArchiveError::NotEmpty { place: store.location(), found: object.path }))
}

/// Puts, races, reads and removes probes; removes them also when one fails.
pub(super) async fn run(store: &Arc<dyn ObjectStore>, ids: &Ids) -> Result<(), ArchiveError> {
    let mut probe = Probe { store, ids, written: Vec::new() };
    let outcome = probe.all().await;
    let removed = probe.remove().await;
    outcome.and(removed)
}

/// Removes what inits left that were killed, or whose puts landed late. Whoever probes here at the same time finds
/// the archive made.
pub(super) async fn sweep(store: &dyn ObjectStore) -> Result<(), StoreError> {
    for left in store.list(FOLDER, None, None).await? {
        match store.get(&left.path, None).await {
            Ok(object) => store.delete(&left.path, object.version_id.as_deref()).await?,
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

struct Probe<'a> {
    store: &'a Arc<dyn ObjectStore>,
    ids: &'a Ids,
    /// What may lie in the store, with the versions we know of.
    written: Vec<(String, Option<String>)>,
}

impl Probe<'_> {
    async fn all(&mut self) -> Result<(), ArchiveError> {
        self.second_put().await?;
        self.race().await
    }

    /// A second put under the same name must be refused and must change nothing.
    async fn second_put(&mut self) -> Result<(), ArchiveError> {
        let path = format!("{FOLDER}{}", self.ids.commit_id());
        if self.store.occupied(&path).await.map_err(|error| self.failed(error))? {
            return Err(self.unfit("it says that a name which was never used is taken"));
        }
        let first = Bytes::from_static(b"first");
        self.put(&path, &first).await?;
        match self.store.put_new(&path, Bytes::from_static(b"second"), Keep::Derived).await {
            Err(StoreError::Taken { .. } | StoreError::Unknown { .. }) => {}
            Ok(version_id) => {
                self.written.push((path, version_id));
                return Err(self.unfit(
                    "a second put with If-None-Match was not refused, so two writers could overwrite each other; \
                     use a store that enforces conditional writes",
                ));
            }
            Err(error) => return Err(self.failed(error)),
        }
        let there = self.store.get_oldest(&path).await.map_err(|error| self.failed(error))?;
        let occupied = self.store.occupied(&path).await.map_err(|error| self.failed(error))?;
        if there.bytes != first || !occupied {
            return Err(self.unfit("what was put does not read back as it was put"));
        }
        Ok(())
    }

    /// Of several puts at once under one name exactly one may win.
    async fn race(&mut self) -> Result<(), ArchiveError> {
        let path = format!("{FOLDER}{}", self.ids.commit_id());
        let bodies: Vec<Bytes> = (0..WRITERS).map(|_| Bytes::from(self.ids.commit_id())).collect();
        let puts = bodies.iter().map(|body| put_verified(self.store.as_ref(), &path, body, Keep::Derived, self.ids));
        let outcomes = join_all(puts).await;
        let mut winners = 0;
        let mut error = None;
        for outcome in outcomes {
            match outcome {
                Ok(Landed::Ours { version_id }) => {
                    winners += 1;
                    self.written.push((path.clone(), version_id));
                }
                Ok(Landed::Foreign) => {}
                Err(failed) => error = Some(failed),
            }
        }
        match (winners, error) {
            (1, _) => Ok(()),
            (0, Some(error)) => {
                self.written.push((path, None));
                Err(self.failed(error))
            }
            (winners, _) => Err(self.unfit(&format!(
                "of {WRITERS} puts at once under one name {winners} won instead of one; use a store that enforces \
                 conditional writes"
            ))),
        }
    }

    async fn put(&mut self, path: &str, bytes: &Bytes) -> Result<(), ArchiveError> {
        match put_verified(self.store.as_ref(), path, bytes, Keep::Derived, self.ids).await {
            Ok(Landed::Ours { version_id }) => {
                self.written.push((path.to_owned(), version_id));
                Ok(())
            }
            Ok(Landed::Foreign) => Err(self.unfit("a name that was never used holds other bytes")),
            Err(error) => {
                self.written.push((path.to_owned(), None));
                Err(self.failed(error))
            }
        }
    }

    async fn remove(&mut self) -> Result<(), ArchiveError> {
        let mut outcome = Ok(());
        for (path, version_id) in std::mem::take(&mut self.written) {
            if let Err(error) = self.store.delete(&path, version_id.as_deref()).await {
                outcome = Err(self.failed(error));
            }
        }
        outcome
    }

    fn failed(&self, error: StoreError) -> ArchiveError {
        ArchiveError::Store { place: self.store.location(), error }
    }

    fn unfit(&self, reason: &str) -> ArchiveError {
        ArchiveError::Unfit { place: self.store.location(), reason: reason.to_owned() }
    }
}
