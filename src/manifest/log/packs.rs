//! Packs in the store.

use futures::{StreamExt as _, TryStreamExt as _};

use super::slot::Slot;
use super::{Log, LogError};
use crate::manifest::pack;
use crate::manifest::state::Manifest;
use crate::store::StoreError;

/// Entries read at a time while a pack is made.
const AT_ONCE: usize = 16;

impl Log {
    /// Writes the packs that are due: of every full range of 10,000 entries that has none. Gives how many it wrote.
    /// It reads each of those entries once, so run it beside the commits, not between them.
    ///
    /// # Errors
    /// [`LogError`]; packs are derived, nothing is lost without them.
    pub async fn write_packs(&self, manifest: &Manifest) -> Result<u64, LogError> {
        let mut written = 0;
        for first in (0..manifest.next / pack::ENTRIES).map(|index| index * pack::ENTRIES) {
            let path = self.path(&pack::path(first));
            if self.store.occupied(&path).await? {
                continue;
            }
            let slots = futures::stream::iter(first..first + pack::ENTRIES).map(|n| self.filled(n)).buffered(AT_ONCE);
            let slots: Vec<Slot> = slots.try_collect().await?;
            let Some(bytes) = pack::encode(&slots) else { continue };
            self.put_derived(&path, bytes).await?;
            written += 1;
        }
        Ok(written)
    }

    /// The slots of the pack that begins at entry `first`, chained within; none where there is no sound pack.
    /// The last entry is read from its slot: so the chain binds every one before it to the log.
    pub(super) async fn pack(&self, first: u64) -> Result<Option<Vec<Slot>>, LogError> {
        let stored = match self.store.get(&self.path(&pack::path(first)), None).await {
            Ok(object) => object.bytes,
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let before = match first.checked_sub(1) {
            Some(last) => Some(self.filled(last).await?.stored.sha256),
            None => None,
        };
        let Some(mut slots) = pack::decode(first, before.as_deref(), &stored) else {
            tracing::warn!(first, "a pack is not what the log says: reading the entries themselves");
            return Ok(None);
        };
        let end = self.filled(first + pack::ENTRIES - 1).await?;
        let sound = slots.last().is_some_and(|last| last.stored.sha256 == end.stored.sha256);
        if let Some(last) = slots.last_mut() {
            *last = end;
        }
        Ok(sound.then_some(slots))
    }
}
