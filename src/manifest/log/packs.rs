//! Packs in the store: written beside the commits, read where a long stretch of the log is needed.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::slot::Slot;
use super::{Log, LogError};
use crate::manifest::pack;
use crate::platform::tasks;
use crate::store::StoreError;

/// Entries read at a time while a pack is made.
const AT_ONCE: usize = 16;

impl Log {
    /// Writes the packs that are due below entry `end`: of every full range of 10,000 entries that has none. Gives
    /// how many it wrote. It reads each of those entries once, so run it beside the commits, not between them.
    ///
    /// # Errors
    /// [`LogError`]; packs are derived, nothing is lost without them.
    pub async fn write_packs(&self, end: u64) -> Result<u64, LogError> {
        let standing = self.packs().await?;
        let due = (0..end / pack::ENTRIES).map(|index| index * pack::ENTRIES);
        let mut written = 0;
        for first in due.filter(|first| !standing.contains(first)) {
            written += u64::from(self.write_pack(first).await?);
        }
        Ok(written)
    }

    /// Writes one pack; true once it was read back as it was meant.
    async fn write_pack(&self, first: u64) -> Result<bool, LogError> {
        let entries = futures::stream::iter(first..first + pack::ENTRIES).map(|n| self.bytes_of(n)).buffered(AT_ONCE);
        let entries: Vec<Bytes> = entries.try_collect().await?;
        let Ok(Some(bytes)) = tasks::compute(move || pack::encode(&entries)).await else { return Ok(false) };
        let (path, bytes) = (self.path(&pack::path(first)), Bytes::from(bytes));
        self.put_derived(&path, bytes.clone()).await?;
        let same = self.store.get(&path, None).await?.bytes == bytes;
        if !same {
            tracing::warn!(first, "another pack stands where ours was to go; reading judges it by the chain");
        }
        Ok(same)
    }

    /// What stands in slot `n`, whatever it says.
    async fn bytes_of(&self, n: u64) -> Result<Bytes, StoreError> {
        Ok(self.store.get_oldest(&self.slot_path(n)).await?.bytes)
    }

    /// The first entries of the packs that a listing shows.
    pub(super) async fn packs(&self) -> Result<BTreeSet<u64>, StoreError> {
        let folder = self.path("");
        let listed = self.store.list(&self.path("pack/"), None, None).await?;
        let first = |path: &str| pack::first_of(path.strip_prefix(&folder)?);
        Ok(listed.iter().filter_map(|object| first(&object.path)).collect())
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

/// Slots in order, out of packs where they stand.
pub(super) struct Feed<'l> {
    log: &'l Log,
    next: u64,
    packed: std::vec::IntoIter<Slot>,
}

impl<'l> Feed<'l> {
    /// The slots from `next` on.
    pub(super) fn from(log: &'l Log, next: u64) -> Self {
        Self { log, next, packed: Vec::new().into_iter() }
    }

    /// The next slot; none at the first that was never filled.
    pub(super) async fn next(&mut self) -> Result<Option<Slot>, LogError> {
        if let Some(slot) = self.packed.next() {
            self.next += 1;
            return Ok(Some(slot));
        }
        let Some(mut slot) = self.log.slot(self.next).await? else { return Ok(None) };
        if self.next.is_multiple_of(pack::ENTRIES)
            && let Some(pack) = self.log.pack(self.next).await?
        {
            self.packed = pack.into_iter();
            slot = self.packed.next().unwrap_or(slot);
        }
        self.next += 1;
        Ok(Some(slot))
    }
}
