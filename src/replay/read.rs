//! Segments out of the store: checked against what the log says of them, then decoded off the reactor.

use std::sync::Arc;

use bytes::Bytes;

use super::error::ReplayError;
use crate::manifest::SegmentMeta;
use crate::platform::tasks;
use crate::segment::{BaseRow, Row, SegmentError, open_checked, open_checked_base};
use crate::store::{ObjectStore, StoreError};

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

    /// The rows of a raw or sealed segment.
    pub(crate) async fn changes(&self, meta: &SegmentMeta) -> Result<Vec<Row>, ReplayError> {
        self.opened(meta, open_checked).await
    }

    /// The rows of a base segment.
    pub(crate) async fn base(&self, meta: &SegmentMeta) -> Result<Vec<BaseRow>, ReplayError> {
        self.opened(meta, open_checked_base).await
    }

    async fn opened<R: Send + 'static>(
        &self,
        meta: &SegmentMeta,
        open: fn(Bytes, &SegmentMeta) -> Result<Vec<R>, SegmentError>,
    ) -> Result<Vec<R>, ReplayError> {
        let damaged = |reason: String| ReplayError::Damaged { path: meta.path.clone(), reason };
        let bytes = self.bytes(meta).await?;
        let facts = meta.clone();
        let rows = tasks::compute(move || open(bytes, &facts)).await.map_err(|error| damaged(error.to_string()))?;
        rows.map_err(|error| match error {
            SegmentError::Newer { found } => ReplayError::Newer { path: meta.path.clone(), found },
            error => damaged(error.to_string()),
        })
    }

    /// The version id is a hint: a copied archive has other versions.
    async fn bytes(&self, meta: &SegmentMeta) -> Result<Bytes, ReplayError> {
        let path = format!("{}/{}", self.folder, meta.path);
        match self.store.get(&path, None).await {
            Ok(object) => Ok(object.bytes),
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => {
                Err(ReplayError::Missing { path: meta.path.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }
}
