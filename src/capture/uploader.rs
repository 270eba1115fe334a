//! From a batch to objects that an entry may name: encode, put under a name of its own, bounded in parallel.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::error::CaptureError;
use super::memory::Memory;
use crate::change::{Second, Stamped};
use crate::platform::bugs::{Bug, planted};
use crate::platform::ids::Ids;
use crate::platform::patience::Patience;
use crate::platform::tasks;
use crate::segment::{self, SegmentMeta, Tier, encode::Encoded};
use crate::store::{Keep, ObjectStore, StoreError};

/// Objects on their way at once: a batch has one per day it touches.
const PARALLEL: usize = 4;

/// Writes raw segments of one table.
pub(super) struct Uploader {
    /// The archive.
    pub(super) store: Arc<dyn ObjectStore>,
    /// The table's folder in it.
    pub(super) folder: String,
    /// What every footer says.
    pub(super) facts: segment::Facts,
    /// Names.
    pub(super) ids: Ids,
    /// How many batches are encoded at a time.
    pub(super) memory: Memory,
    /// How failures are borne.
    pub(super) patience: Patience,
}

/// What came of one put.
enum Put {
    Written(Option<String>),
    /// Another object has this name.
    Other,
}

impl Uploader {
    /// Encodes `rows` and writes them; `at` is the service's time, which names the objects.
    ///
    /// # Errors
    /// Rows that cannot be encoded, or a store that an operator must mend.
    pub(super) async fn upload(&self, rows: Vec<Stamped>, at: Second) -> Result<Vec<SegmentMeta>, CaptureError> {
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let facts = self.facts.clone();
        let turn = self.memory.encoder().await;
        let encoded = tasks::compute(move || segment::encode::changes(rows, &facts)).await;
        drop(turn);
        let encoded = encoded.map_err(|error| CaptureError::Task(error.to_string()))??;
        stream::iter(encoded).map(|object| self.write(object, at)).buffered(PARALLEL).try_collect().await
    }

    /// What a collector of orphans does: only a planted bug asks for it here.
    pub(super) async fn collect(&self, segments: &[SegmentMeta]) {
        for segment in segments {
            let path = format!("{}/{}", self.folder, segment.path);
            let _ = self.store.delete(&path, segment.version_id.as_deref()).await;
        }
    }

    async fn write(&self, object: Encoded, at: Second) -> Result<SegmentMeta, CaptureError> {
        let at_ms = u64::try_from(at.0.saturating_mul(1000)).unwrap_or_default();
        loop {
            let path = segment::name::raw(&object.dt, &self.ids.ulid(at_ms));
            match self.put(&format!("{}/{path}", self.folder), &object.bytes).await? {
                Put::Written(version_id) => return Ok(object.meta(path, version_id, Tier::Raw, None)),
                Put::Other => {}
            }
        }
    }

    /// Puts until the outcome is known. The same bytes under the name are ours, whoever's put they came by.
    async fn put(&self, path: &str, bytes: &Bytes) -> Result<Put, CaptureError> {
        let mut patience = self.patience.clone();
        loop {
            let error = match self.store.put_new(path, bytes.clone(), Keep::Short).await {
                Ok(version_id) => return Ok(Put::Written(version_id)),
                Err(error) => error,
            };
            if planted(Bug::CommittedBeforeDurable) {
                return Ok(Put::Written(None));
            }
            match self.store.get(path, None).await {
                Ok(there) if Sha256::digest(&there.bytes) == Sha256::digest(bytes) => {
                    return Ok(Put::Written(there.version_id));
                }
                Ok(_) => return Ok(Put::Other),
                // A name that somebody hid is no name for a segment.
                Err(error @ StoreError::Hidden { .. }) => return Err(error.into()),
                Err(_) => patience.bear("writing a segment", error).await?,
            }
        }
    }
}
