//! Segments that the log names, out of the store: proven to be what was committed, then decoded off the reactor.

use std::sync::Arc;

use bytes::Bytes;

use crate::platform::tasks;
use crate::segment::{BaseRow, Row, SegmentError, SegmentMeta, check_bytes, open_checked, open_checked_base};
use crate::store::{ObjectStore, StoreError};

/// Why a segment could not be read, by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is gone. The log may have replaced it since it was read: read the log again.
    #[error("{path} is named by the log and not there")]
    Missing {
        /// Relative to the table's folder.
        path: String,
    },
    /// Stored bytes are not what was committed: an integrity alarm.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Relative to the table's folder.
        path: String,
        /// What differs.
        reason: String,
    },
    /// Written by a newer tailrace: use that.
    #[error("{path} has format {found}, and this tailrace reads format 1")]
    Newer {
        /// Relative to the table's folder.
        path: String,
        /// Its format.
        found: u64,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The segments of one table.
#[derive(Debug, Clone)]
pub struct Segments {
    store: Arc<dyn ObjectStore>,
    folder: String,
}

impl Segments {
    /// Those under `folder`, the table's own.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, folder: String) -> Self {
        Self { store, folder }
    }

    /// The rows of a raw or sealed segment, in stored order.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes(&self, meta: &SegmentMeta) -> Result<Vec<Row>, ReadError> {
        self.opened(meta, open_checked).await
    }

    /// The rows of a base segment, in stored order.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn base(&self, meta: &SegmentMeta) -> Result<Vec<BaseRow>, ReadError> {
        self.opened(meta, open_checked_base).await
    }

    async fn opened<R: Send + 'static>(
        &self,
        meta: &SegmentMeta,
        open: fn(Bytes, &SegmentMeta) -> Result<Vec<R>, SegmentError>,
    ) -> Result<Vec<R>, ReadError> {
        let bytes = self.bytes(meta).await?;
        let facts = meta.clone();
        unpacked(meta, move || open(bytes, &facts)).await
    }

    /// The object itself, proven to be the committed one; for readers that want parts of it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn proven(&self, meta: &SegmentMeta) -> Result<Bytes, ReadError> {
        let bytes = self.bytes(meta).await?;
        let facts = meta.clone();
        unpacked(meta, move || check_bytes(&bytes, &facts).map(|()| bytes)).await
    }

    /// The version id is a hint: a copied archive has other versions.
    async fn bytes(&self, meta: &SegmentMeta) -> Result<Bytes, ReadError> {
        let path = format!("{}/{}", self.folder, meta.path);
        match self.store.get(&path, None).await {
            Ok(object) => Ok(object.bytes),
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => {
                Err(ReadError::Missing { path: meta.path.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Runs `work` on the bytes of a segment off the reactor; its error names the segment.
///
/// # Errors
/// [`ReadError::Damaged`] and [`ReadError::Newer`].
pub async fn unpacked<R: Send + 'static>(
    meta: &SegmentMeta,
    work: impl FnOnce() -> Result<R, SegmentError> + Send + 'static,
) -> Result<R, ReadError> {
    let damaged = |reason: String| ReadError::Damaged { path: meta.path.clone(), reason };
    let done = tasks::compute(work).await.map_err(|error| damaged(error.to_string()))?;
    done.map_err(|error| match error {
        SegmentError::Newer { found } => ReadError::Newer { path: meta.path.clone(), found },
        error => damaged(error.to_string()),
    })
}
