//! The objects of a plan, each proven before any of its bytes are used.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::image::Bounds;
use crate::manifest::{Known, ReadError, Segments};
use crate::segment::SegmentMeta;
use crate::segment::parts::{Parts, Wanted};

/// Reads objects, and keeps the first ones as long as there is room. Every pass asks for them in the same order,
/// so what was kept first is what saves most: making room for newer ones would save nothing.
#[derive(Debug)]
pub(super) struct Objects {
    segments: Segments,
    kept: Mutex<Kept>,
    /// Room for objects that are being read, in [`UNIT_BYTES`].
    reading: Arc<Semaphore>,
    units: u32,
}

/// What room is counted in.
const UNIT_BYTES: usize = 64 << 10;

#[derive(Debug)]
struct Kept {
    objects: BTreeMap<u32, Bytes>,
    room: usize,
    /// What every object that was proven is known by.
    known: BTreeMap<u32, Known>,
}

impl Objects {
    pub(super) fn new(segments: Segments, bounds: Bounds) -> Self {
        let kept = Kept { objects: BTreeMap::new(), room: bounds.kept, known: BTreeMap::new() };
        let units = u32::try_from(bounds.reading / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        Self { segments, kept: Mutex::new(kept), reading: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits until there is room to read this object: all of it, where it is larger than that.
    pub(super) async fn room(&self, meta: &SegmentMeta) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(meta.bytes.div_ceil(UNIT_BYTES as u64)).unwrap_or(u32::MAX);
        // It is never closed.
        Arc::clone(&self.reading).acquire_many_owned(units.clamp(1, self.units)).await.ok()
    }

    /// The whole object number `file` of the plan.
    pub(super) async fn whole(&self, file: u32, meta: &SegmentMeta) -> Result<Parts, ReadError> {
        if let Some(bytes) = self.kept(|kept| kept.objects.get(&file).cloned()) {
            return Ok(Parts::whole(meta, bytes));
        }
        let (bytes, known) = self.segments.proven_first(meta).await?;
        self.kept(|kept| {
            kept.known.insert(file, known);
            if let Some(room) = kept.room.checked_sub(bytes.len()) {
                kept.room = room;
                kept.objects.insert(file, bytes.clone());
            }
        });
        Ok(Parts::whole(meta, bytes))
    }

    /// As much of it as holds what is wanted; the same bytes as when the whole was proven.
    pub(super) async fn part(&self, file: u32, meta: &SegmentMeta, wanted: Vec<Wanted>) -> Result<Parts, ReadError> {
        let known = self.kept(|kept| kept.known.get(&file).filter(|_| !kept.objects.contains_key(&file)).cloned());
        match known {
            Some(known) => self.segments.again(meta, &known, wanted).await,
            None => self.whole(file, meta).await,
        }
    }

    fn kept<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
