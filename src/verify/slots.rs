//! The entries in order, read ahead: each from its slot, or out of packs where these may stand for them.
//!
//! A pack proves nothing by itself. Its entries count because they chain from the entry before it to the last of them,
//! which is read from its own slot; what stands in the slots between is not looked at then.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;

use crate::manifest::Stored;
use crate::manifest::audit::{self, Packed};
use crate::manifest::entry::sha256;
use crate::platform::tasks;
use crate::store::{Object, ObjectStore, StoreError};

/// Entries read ahead.
const AHEAD: usize = 16;

/// The path of entry `n` in the table's folder.
pub(super) fn slot(n: u64) -> String {
    format!("log/{n:020}.entry")
}

/// What stands in a slot.
pub(super) enum Slot {
    Filled {
        object: Object,
        /// Out of a pack.
        packed: bool,
    },
    /// It was never filled.
    Absent,
    /// A delete marker is all that is left.
    Hidden,
}

/// Where an entry lies, as the next one chains to it.
pub(super) fn stored(object: &Object) -> Stored {
    Stored { sha256: sha256(&object.bytes), version_id: object.version_id.clone() }
}

/// Slots in order.
pub(super) struct Slots {
    store: Arc<dyn ObjectStore>,
    folder: String,
    /// The packs that may stand for their entries, by first entry, less those that were tried.
    packs: BTreeSet<u64>,
    /// The next slot.
    next: u64,
    /// The next slot to ask for.
    asked: u64,
    /// What stands in the slot before the next.
    last: Option<Bytes>,
    ahead: FuturesOrdered<BoxFuture<'static, Result<Object, StoreError>>>,
    packed: VecDeque<Packed>,
    /// Bytes read.
    pub bytes: u64,
    /// Packs that stood for their entries.
    pub used: u64,
    /// Packs that do not chain, or not to what stands in the slot of their last entry.
    pub unsound: Vec<u64>,
}

impl Slots {
    /// Those from `next` on; of `packs` (by first entry) those that chain are used.
    pub(super) fn new(store: Arc<dyn ObjectStore>, folder: String, next: u64, packs: BTreeSet<u64>) -> Self {
        Self {
            store,
            folder,
            packs,
            next,
            asked: next,
            last: None,
            ahead: FuturesOrdered::new(),
            packed: VecDeque::new(),
            bytes: 0,
            used: 0,
            unsound: Vec::new(),
        }
    }

    /// The next slot.
    pub(super) async fn next(&mut self) -> Result<Slot, StoreError> {
        if self.packed.is_empty() && self.packs.remove(&self.next) {
            self.unpack(self.next).await?;
        }
        if let Some(Packed { bytes, version_id }) = self.packed.pop_front() {
            return Ok(self.give(Object { bytes, version_id }, true));
        }
        while self.ahead.len() < AHEAD && !self.packs.contains(&self.asked) {
            let (store, path) = (Arc::clone(&self.store), self.path(&slot(self.asked)));
            self.ahead.push_back(Box::pin(async move { store.get_oldest(&path).await }));
            self.asked += 1;
        }
        match self.ahead.next().await {
            Some(Ok(object)) => {
                self.bytes += object.bytes.len() as u64;
                Ok(self.give(object, false))
            }
            Some(Err(StoreError::Hidden { .. })) => Ok(Slot::Hidden),
            Some(Err(StoreError::Absent { .. })) | None => Ok(Slot::Absent),
            Some(Err(error)) => Err(error),
        }
    }

    fn give(&mut self, object: Object, packed: bool) -> Slot {
        self.next += 1;
        self.last = Some(object.bytes.clone());
        Slot::Filled { object, packed }
    }

    /// Takes the entries of the pack that begins at `first`, if it is there and sound.
    async fn unpack(&mut self, first: u64) -> Result<(), StoreError> {
        let before = match (self.last.take(), first.checked_sub(1)) {
            (Some(bytes), _) => Some(bytes),
            (None, Some(n)) => self.read(slot(n), true).await?.map(|object| object.bytes),
            (None, None) => None,
        };
        self.last.clone_from(&before);
        let Some(pack) = self.read(audit::pack_path(first), false).await? else { return Ok(()) };
        let Some(end) = self.read(slot(first + audit::PACKED - 1), true).await? else { return Ok(()) };
        let entries = tasks::compute(move || {
            let before = before.map(|bytes| sha256(&bytes));
            audit::pack_entries(first, before.as_deref(), &pack.bytes)
        });
        let entries = entries.await.unwrap_or_default();
        match entries.filter(|entries| entries.last().is_some_and(|last| last.bytes == end.bytes)) {
            Some(mut entries) => {
                if let Some(last) = entries.last_mut() {
                    last.version_id = end.version_id;
                }
                self.packed = entries.into();
                self.asked = first + audit::PACKED;
                self.used += 1;
            }
            None => self.unsound.push(first),
        }
        Ok(())
    }

    async fn read(&mut self, path: String, of_log: bool) -> Result<Option<Object>, StoreError> {
        let path = self.path(&path);
        let read = if of_log { self.store.get_oldest(&path).await } else { self.store.get(&path, None).await };
        match read {
            Ok(object) => {
                self.bytes += object.bytes.len() as u64;
                Ok(Some(object))
            }
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(&self, relative: &str) -> String {
        format!("{}/{relative}", self.folder)
    }
}
