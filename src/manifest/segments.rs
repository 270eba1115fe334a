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
    /// Only what stands under the path now.
    strict: bool,
}

impl Segments {
    /// Those under `folder`, the table's own.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, folder: String) -> Self {
        Self { store, folder, strict: false }
    }

    /// The same, blind to committed versions below the newest: for who must notice that an object was overwritten, or
    /// hidden by a delete marker, which is an error then ([`StoreError::Hidden`]).
    #[must_use]
    pub fn strict(self) -> Self {
        Self { strict: true, ..self }
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

    /// What was committed, wherever it stands: in a versioned bucket the object may have been overwritten or hidden
    /// since, and its committed version is there all the same.
    async fn opened<R: Send + 'static>(&self, meta: &SegmentMeta, open: Open<R>) -> Result<R, ReadError> {
        let error = match self.version(meta, None, open).await {
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        let gone = matches!(error, ReadError::Missing { .. } | ReadError::Damaged { .. });
        let Some(committed) = meta.version_id.as_deref().filter(|_| gone && !self.strict) else {
            return Err(error);
        };
        match self.version(meta, Some(committed), open).await {
            Ok(read) => {
                tracing::warn!(path = meta.path, %error, "reading the version that was committed");
                Ok(read)
            }
            Err(passing @ ReadError::Store(StoreError::Unavailable { .. })) => Err(passing),
            // The version id is a hint: a copied archive has other versions.
            Err(_) => Err(error),
        }
    }

    async fn version<R: Send + 'static>(
        &self,
        meta: &SegmentMeta,
        version_id: Option<&str>,
        open: Open<R>,
    ) -> Result<R, ReadError> {
        let path = format!("{}/{}", self.folder, meta.path);
        let bytes = match self.store.get(&path, version_id).await {
            Ok(object) => object.bytes,
            Err(StoreError::Absent { .. }) => return Err(ReadError::Missing { path: meta.path.clone() }),
            Err(StoreError::Hidden { .. }) if !self.strict => {
                return Err(ReadError::Missing { path: meta.path.clone() });
            }
            Err(error) => return Err(error.into()),
        };
        let facts = meta.clone();
        unpacked(meta, move || open(bytes, &facts)).await
    }

    /// The object itself, proven to be the committed one; for readers that want parts of it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn proven(&self, meta: &SegmentMeta) -> Result<Bytes, ReadError> {
        self.opened(meta, |bytes, meta| check_bytes(&bytes, meta).map(|()| bytes)).await
    }
}

type Open<R> = fn(Bytes, &SegmentMeta) -> Result<R, SegmentError>;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{
        Change, ChangeKind, ItemKey, KeyAttribute, KeySchema, KeyType, Origin, Second, Sequence, ShardId, Stamped, Text,
    };
    use crate::segment::{Facts, Tier, encode};
    use crate::store::Keep;
    use crate::store::memory::MemoryStore;

    const PATH: &str = "raw/dt=2026-11-22/a.parquet";

    fn encoded(image: &str) -> encode::Encoded {
        let keys = KeySchema(vec![KeyAttribute { name: "k".to_owned(), kind: KeyType::S }]);
        let at = Second(1_795_348_800);
        let change = Change {
            sequence: Sequence::parse("7").unwrap(),
            kind: ChangeKind::Insert,
            changed_at: at.micros(),
            key: Some(ItemKey::from_image(&keys, image).unwrap()),
            event_id: None,
            size_bytes: None,
            actor: None,
            new_image: Some(Text::from(image)),
            old_image: None,
            new_digest: None,
            old_digest: None,
        };
        let origin = Arc::new(Origin { epoch: 1, shard_rank: 0, shard: ShardId::new("s") });
        let row = Stamped { origin, cut_at: at, change: change.with_digests().unwrap() };
        encode::changes(vec![row], &Facts::new("o", "arn", "id", &keys)).unwrap().remove(0)
    }

    /// A segment in a versioned bucket, then hidden by a delete marker, and then overwritten with other bytes.
    #[tokio::test]
    async fn the_committed_version_is_read_whatever_lies_above_it() {
        let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::versioned());
        let (committed, other) = (encoded(r#"{"k":{"S":"a"}}"#), encoded(r#"{"k":{"S":"b"}}"#));
        let path = format!("t/{PATH}");
        let version_id = store.put_new(&path, committed.bytes.clone(), Keep::Short).await.unwrap();
        let meta = committed.meta(PATH.to_owned(), version_id, Tier::Raw, None);
        let segments = Segments::new(Arc::clone(&store), "t".to_owned());
        let pk = |rows: Vec<Row>| rows[0].pk.clone().unwrap();
        store.delete(&path, None).await.unwrap();
        assert_eq!(pk(segments.changes(&meta).await.unwrap()), Text::from("a"));
        let strict = segments.clone().strict();
        let hidden = strict.changes(&meta).await.unwrap_err();
        assert!(matches!(hidden, ReadError::Store(StoreError::Hidden { .. })), "{hidden}");
        store.put_new(&path, other.bytes, Keep::Short).await.unwrap();
        assert_eq!(pk(segments.changes(&meta).await.unwrap()), Text::from("a"));
        assert!(matches!(strict.changes(&meta).await.unwrap_err(), ReadError::Damaged { .. }));
        let copied = SegmentMeta { version_id: Some("of another bucket".to_owned()), ..meta };
        assert!(matches!(segments.changes(&copied).await.unwrap_err(), ReadError::Damaged { .. }));
    }
}
