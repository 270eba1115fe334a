//! The outputs of an intent: put if absent, read back, and compared with what was to be written.

use bytes::Bytes;

use super::entry::sha256;
use crate::platform::patience::Patience;
use crate::platform::tasks::{self, Interrupted};
use crate::segment::{Encoded, SegmentError, SegmentMeta, Tier};
use crate::store::{Keep, Object, ObjectStore, StoreError};

/// Why an output does not stand, by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be written.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// What stands there has other rows: the intent must be abandoned, the next one has other names.
    #[error("{path} does not hold what was written to it")]
    Differs {
        /// Relative to the table's folder.
        path: String,
    },
    /// The runtime ended a task.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Where an output stands.
#[derive(Debug, Clone)]
pub struct Label {
    /// Relative to the table's folder.
    pub path: String,
    /// Its tier.
    pub tier: Tier,
    /// Its bucket.
    pub bucket: u16,
}

/// Where the outputs of one intent go.
pub struct Shelf<'a> {
    /// The archive.
    pub store: &'a dyn ObjectStore,
    /// The table's folder in it.
    pub folder: String,
    /// How failures of the store are borne.
    pub patience: Patience,
    /// What is written, for whoever is told of a wait.
    pub what: &'static str,
}

impl Shelf<'_> {
    /// Stores one output and gives what the entry says of the bytes that were *read back*: another run of the same intent
    /// may have been there first, with other bytes and the same rows. `open` proves rows, digest and root.
    ///
    /// # Errors
    /// [`ShelfError`].
    pub async fn put<R: Send + 'static>(
        &self,
        label: Label,
        encode: impl FnOnce() -> Result<Encoded, SegmentError> + Send + 'static,
        open: fn(Bytes, &SegmentMeta) -> Result<R, SegmentError>,
    ) -> Result<SegmentMeta, ShelfError> {
        // The rows end here: what is read back is compared with their digest and root, not with a copy.
        let encoded = tasks::computed(encode).await??;
        let Label { path, tier, bucket } = label;
        let stored = self.stored(&format!("{}/{path}", self.folder), &encoded).await?;
        let mut meta = encoded.meta(path, stored.version_id, tier, Some(bucket));
        drop(encoded);
        tasks::computed(move || {
            (meta.bytes, meta.sha256) = (stored.bytes.len() as u64, sha256(&stored.bytes));
            match open(stored.bytes, &meta) {
                Ok(_) => Ok(meta),
                Err(_) => Err(ShelfError::Differs { path: meta.path }),
            }
        })
        .await?
    }

    /// Puts until something stands there, and reads it.
    async fn stored(&self, at: &str, encoded: &Encoded) -> Result<Object, StoreError> {
        let mut patience = self.patience.clone();
        loop {
            // Taken: an earlier put of ours may have landed; the comparison decides.
            let put = match self.store.put_new(at, encoded.bytes.clone(), Keep::Full).await {
                Ok(_) | Err(StoreError::Taken { .. } | StoreError::Unknown { .. }) => self.store.get(at, None).await,
                Err(error) => Err(error),
            };
            match put {
                Ok(object) => return Ok(object),
                Err(error) => patience.bear(self.what, error).await?,
            }
        }
    }
}
