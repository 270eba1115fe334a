//! The numbered slots: each is written once and for ever.

use bytes::Bytes;

use super::{Log, LogError};
use crate::manifest::Entry;
use crate::manifest::apply::Stored;
use crate::manifest::entry::{EntryError, sha256};
use crate::manifest::pack;
use crate::store::{Object, StoreError};

/// Slots per step of the search for the tail: few probes to get near it, then halves.
const STRIDE: u64 = 16;
/// How far behind the first empty slot entries are looked for: a lost entry must not pass for the tail.
const BEHIND: [u64; 4] = [1, 10, 100, 1000];

/// A filled slot.
#[derive(Debug, Clone)]
pub(in crate::manifest) struct Slot {
    pub(in crate::manifest) bytes: Bytes,
    pub(in crate::manifest) stored: Stored,
    pub(in crate::manifest) entry: Result<Entry, EntryError>,
}

impl Slot {
    pub(in crate::manifest) fn new(n: u64, bytes: Bytes, version_id: Option<String>) -> Self {
        let stored = Stored { sha256: sha256(&bytes), version_id };
        Self { entry: Entry::decode(n, &bytes), bytes, stored }
    }
}

impl Log {
    pub(super) fn slot_path(&self, n: u64) -> String {
        format!("{}/log/{n:020}.entry", self.folder)
    }

    /// The entry in slot `n`, or none if the slot was never filled.
    pub(super) async fn slot(&self, n: u64) -> Result<Option<Slot>, LogError> {
        match self.store.get_oldest(&self.slot_path(n)).await {
            Ok(Object { bytes, version_id }) => Ok(Some(Slot::new(n, bytes, version_id))),
            Err(StoreError::Absent { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The entry in slot `n`, which lies below the tail.
    pub(super) async fn filled(&self, n: u64) -> Result<Slot, LogError> {
        self.slot(n).await?.ok_or(LogError::Hole { n })
    }

    /// How many slots are filled: from the last pack, or from entry 0, by growing strides, then by halves.
    ///
    /// # Errors
    /// [`LogError::Hole`] where entries stand behind the first empty slot: what looks like the tail is a loss.
    pub async fn length(&self) -> Result<u64, LogError> {
        let mut known = self.known_length().await?;
        loop {
            let length = self.search(known).await?;
            if !self.stands_behind(length).await? {
                return Ok(length);
            }
            // Another writer may have filled it, and more, since it was found empty.
            if !self.store.occupied(&self.slot_path(length)).await? {
                return Err(LogError::Hole { n: length });
            }
            known = length + 1;
        }
    }

    /// A lower bound of the length. The listing of packs is a hint: the last entry of the newest must stand.
    async fn known_length(&self) -> Result<u64, LogError> {
        let Some(newest) = self.packs().await?.last().copied() else { return Ok(0) };
        let end = newest + pack::ENTRIES;
        Ok(if self.store.occupied(&self.slot_path(end - 1)).await? { end } else { 0 })
    }

    async fn stands_behind(&self, length: u64) -> Result<bool, LogError> {
        for distance in BEHIND {
            if self.store.occupied(&self.slot_path(length + distance)).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first empty slot by growing strides from `known` on, where all below are filled.
    async fn search(&self, known: u64) -> Result<u64, LogError> {
        let (mut filled, mut step) = (known, 1);
        loop {
            let probe = filled + step - 1;
            if !self.store.occupied(&self.slot_path(probe)).await? {
                return self.between(filled, probe).await;
            }
            (filled, step) = (probe + 1, step * STRIDE);
        }
    }

    /// The first empty slot, where all below `filled` are filled and `empty` is not.
    async fn between(&self, mut filled: u64, mut empty: u64) -> Result<u64, LogError> {
        while filled < empty {
            let middle = filled + (empty - filled) / 2;
            if self.store.occupied(&self.slot_path(middle)).await? {
                filled = middle + 1;
            } else {
                empty = middle;
            }
        }
        Ok(filled)
    }
}
