//! The objects of a plan, each proven before any of its bytes are used.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::manifest::{ReadError, Segments};
use crate::segment::SegmentMeta;

/// Reads objects, and keeps the first ones as long as there is room. Every pass asks for them in the same order,
/// so what was kept first is what saves most: making room for newer ones would save nothing.
#[derive(Debug)]
pub(super) struct Objects {
    segments: Segments,
    kept: BTreeMap<u32, Bytes>,
    room: usize,
}

impl Objects {
    pub(super) const fn new(segments: Segments, room: usize) -> Self {
        Self { segments, kept: BTreeMap::new(), room }
    }

    /// The object number `file` of the plan. What is read again is proven again.
    pub(super) async fn get(&mut self, file: u32, meta: &SegmentMeta) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.kept.get(&file) {
            return Ok(bytes.clone());
        }
        let bytes = self.segments.proven(meta).await?;
        if let Some(room) = self.room.checked_sub(bytes.len()) {
            self.room = room;
            self.kept.insert(file, bytes.clone());
        }
        Ok(bytes)
    }
}
