//! Rows that the archive places late hold a base back: what is archived while it is taken is looked at.

use std::collections::BTreeSet;

use super::ready;
use crate::change::Second;
use crate::manifest::{Manifest, ReadError, Segments};
use crate::segment::{SegmentMeta, Tier};

/// What was archived since a base began.
pub(super) struct Watch {
    segments: Segments,
    /// Raw segments that were looked at, or stood there when it began.
    known: BTreeSet<String>,
    /// The second that late rows make the base wait for.
    pub(super) until: Option<Second>,
}

impl Watch {
    /// Begins with a base that was begun long ago, perhaps: whatever may hold it back is looked at.
    pub(super) const fn from_the_start(segments: Segments) -> Self {
        Self { segments, known: BTreeSet::new(), until: None }
    }

    /// Begins with a base that begins now; `manifest` has every segment loaded that can hold a row above the fence, or old segments would seem new
    /// once a new row brings their day into memory.
    pub(super) fn from_now(segments: Segments, manifest: &Manifest) -> Self {
        Self { segments, known: raw(manifest).map(|meta| meta.path.clone()).collect(), until: None }
    }

    /// Reads new segments that may hold the base back: one that ends at or before `closed_through` cannot, and neither
    /// can a sealed day, which lies before it as a whole.
    pub(super) async fn look(&mut self, manifest: &Manifest) -> Result<(), ReadError> {
        let holds = |meta: &&SegmentMeta| meta.max_cut_at > manifest.closed_through && !self.known.contains(&meta.path);
        let new: Vec<&SegmentMeta> = raw(manifest).filter(holds).collect();
        for meta in new {
            let rows = self.segments.changes(meta).await?;
            self.until = rows.iter().filter_map(ready::holds_back).chain(self.until).max();
            self.known.insert(meta.path.clone());
            tracing::debug!(path = %meta.path, "read for late changes");
        }
        Ok(())
    }
}

fn raw(manifest: &Manifest) -> impl Iterator<Item = &SegmentMeta> {
    manifest.segments.values().map(|meta| &**meta).filter(|meta| meta.tier == Tier::Raw)
}
