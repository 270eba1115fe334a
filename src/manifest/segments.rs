//! Segments that the log names, out of the store: proven to be what was committed, then decoded off the reactor.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use xxhash_rust::xxh3::xxh3_64;

use crate::change::KeyHash;
use crate::platform::tasks;
use crate::segment::parts::{self, Answer, Parts, Wanted};
use crate::segment::{BaseRow, Row, SegmentError, SegmentMeta, check_bytes, open_checked, open_checked_base};
use crate::store::{ObjectStore, StoreError};

/// An object up to this size is read whole: a second request would cost more than the bytes.
pub const WHOLE_BYTES: u64 = 1 << 20;
/// Metadata, page index, hashes, rows, each perhaps twice.
const MOST_ROUNDS: usize = 8;

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

/// What a proven object is known by when parts of it are read again in the same run: the XXH3-64 of each block.
#[derive(Debug, Clone)]
pub struct Known(Arc<[u64]>);

/// Eight bytes are held for each.
const BLOCK_BYTES: u64 = 64 << 10;

impl Known {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.chunks(BLOCK_BYTES as usize).map(xxh3_64).collect())
    }

    /// Whether the blocks from byte `from` on are these.
    fn is(&self, from: u64, bytes: &[u8]) -> bool {
        let first = usize::try_from(from / BLOCK_BYTES).unwrap_or(usize::MAX);
        let blocks = self.0.get(first..).unwrap_or_default();
        let found = bytes.chunks(BLOCK_BYTES as usize);
        found.len() <= blocks.len() && found.zip(blocks).all(|(found, known)| xxh3_64(found) == *known)
    }
}

/// The blocks that hold a range.
fn blocks(meta: &SegmentMeta, range: &Range<u64>) -> Range<u64> {
    let end = range.end.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES);
    range.start / BLOCK_BYTES * BLOCK_BYTES..end.min(meta.bytes)
}

fn damaged(meta: &SegmentMeta, reason: &str) -> ReadError {
    ReadError::Damaged { path: meta.path.clone(), reason: reason.to_owned() }
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
    async fn opened<R: Send + 'static>(&self, meta: &SegmentMeta, open: impl Open<R>) -> Result<R, ReadError> {
        let error = match self.version(meta, None, open.clone()).await {
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

    /// The rows of a raw or sealed segment whose keys have these hashes, in stored order. Of a large object only the
    /// pages are read that hold them, so that it is not proven as a whole.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn of_keys(&self, meta: &SegmentMeta, hashes: RangeInclusive<KeyHash>) -> Result<Vec<Row>, ReadError> {
        let owned = meta.clone();
        self.asked(meta, None, move |parts: &Parts| parts::of_keys(parts, &owned, &hashes)).await
    }

    /// As much of the object as holds what is wanted, not proven.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn part(&self, meta: &SegmentMeta, wanted: Vec<Wanted>) -> Result<Parts, ReadError> {
        let wanted = Arc::new(wanted);
        self.asked(meta, None, move |parts: &Parts| parts::all_there(parts, &wanted)).await
    }

    /// As much of a proven object as holds what is wanted: the same bytes as when it was proven.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn again(&self, meta: &SegmentMeta, known: &Known, wanted: Vec<Wanted>) -> Result<Parts, ReadError> {
        let wanted = Arc::new(wanted);
        self.asked(meta, Some(known), move |parts: &Parts| parts::all_there(parts, &wanted)).await
    }

    /// What `ask` says of parts of the object. Where they are gone, or are not what they were, it is asked of the whole,
    /// proven: that may be found where the object stands no longer. So it is at once of a small object that is not
    /// `known`, for the same request.
    async fn asked<T: Send + 'static>(
        &self,
        meta: &SegmentMeta,
        known: Option<&Known>,
        ask: impl Ask<T>,
    ) -> Result<T, ReadError> {
        if meta.bytes > WHOLE_BYTES || known.is_some() {
            match self.fetched(meta, &Parts::new(meta), known, ask.clone()).await {
                Err(ReadError::Missing { .. } | ReadError::Damaged { .. }) => {}
                done => return done,
            }
        }
        let whole = Parts::whole(meta, self.proven(meta).await?);
        self.fetched(meta, &whole, None, ask).await
    }

    /// Fetches what `ask` lacks until it answers.
    async fn fetched<T: Send + 'static>(
        &self,
        meta: &SegmentMeta,
        parts: &Parts,
        known: Option<&Known>,
        ask: impl Ask<T>,
    ) -> Result<T, ReadError> {
        for _ in 0..MOST_ROUNDS {
            let (ask, asked) = (ask.clone(), parts.clone());
            let lacks = match unpacked(meta, move || ask(&asked)).await? {
                Answer::Is(answer) => return Ok(answer),
                Answer::Lacks(_) if meta.bytes <= WHOLE_BYTES => std::iter::once(0..meta.bytes).collect(),
                Answer::Lacks(lacks) if known.is_some() => lacks.iter().map(|range| blocks(meta, range)).collect(),
                Answer::Lacks(lacks) => lacks,
            };
            let mut fetching: Vec<BoxFuture<'_, _>> = Vec::with_capacity(lacks.len());
            for range in &lacks {
                fetching.push(self.range(meta, range).boxed());
            }
            for (range, bytes) in lacks.iter().zip(try_join_all(fetching).await?) {
                if bytes.len() as u64 != range.end - range.start
                    || known.is_some_and(|known| !known.is(range.start, &bytes))
                {
                    return Err(damaged(meta, "its bytes are not those that were committed"));
                }
                parts.add(range.start, bytes);
            }
        }
        Err(damaged(meta, "its parts lead nowhere"))
    }

    fn path(&self, meta: &SegmentMeta) -> String {
        format!("{}/{}", self.folder, meta.path)
    }

    async fn range(&self, meta: &SegmentMeta, range: &Range<u64>) -> Result<Bytes, ReadError> {
        match self.store.get_range(&self.path(meta), range.start, range.end - range.start).await {
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => {
                Err(ReadError::Missing { path: meta.path.clone() })
            }
            read => Ok(read?),
        }
    }

    async fn version<R: Send + 'static>(
        &self,
        meta: &SegmentMeta,
        version_id: Option<&str>,
        open: impl Open<R>,
    ) -> Result<R, ReadError> {
        let bytes = match self.store.get(&self.path(meta), version_id).await {
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
        self.opened(meta, |bytes: Bytes, meta: &SegmentMeta| check_bytes(&bytes, meta).map(|()| bytes)).await
    }

    /// The same, with what [`Self::again`] knows it by.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn proven_first(&self, meta: &SegmentMeta) -> Result<(Bytes, Known), ReadError> {
        let open = |bytes: Bytes, meta: &SegmentMeta| {
            check_bytes(&bytes, meta)?;
            let known = Known::of(&bytes);
            Ok((bytes, known))
        };
        self.opened(meta, open).await
    }
}

/// What answers out of parts of a segment, or says which it lacks.
trait Ask<T>: Fn(&Parts) -> Result<Answer<T>, SegmentError> + Clone + Send + 'static {}
impl<T, F: Fn(&Parts) -> Result<Answer<T>, SegmentError> + Clone + Send + 'static> Ask<T> for F {}

/// What makes something of a segment's bytes.
trait Open<R>: FnOnce(Bytes, &SegmentMeta) -> Result<R, SegmentError> + Clone + Send + 'static {}
impl<R, F: FnOnce(Bytes, &SegmentMeta) -> Result<R, SegmentError> + Clone + Send + 'static> Open<R> for F {}

/// Runs `work` on the bytes of a segment off the reactor; its error names the segment.
///
/// # Errors
/// [`ReadError::Damaged`] and [`ReadError::Newer`].
pub async fn unpacked<R: Send + 'static>(
    meta: &SegmentMeta,
    work: impl FnOnce() -> Result<R, SegmentError> + Send + 'static,
) -> Result<R, ReadError> {
    let done = tasks::compute(work).await.map_err(|error| damaged(meta, &error.to_string()))?;
    done.map_err(|error| match error {
        SegmentError::Newer { found } => ReadError::Newer { path: meta.path.clone(), found },
        error => damaged(meta, &error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{
        Change, ChangeKind, ItemKey, KeyAttribute, KeySchema, KeyType, KeyValue, Origin, Second, Sequence, ShardId,
        Stamped, Text,
    };
    use crate::segment::{Facts, Tier, encode};
    use crate::store::Keep;
    use crate::store::memory::MemoryStore;

    const PATH: &str = "raw/dt=2026-11-22/a.parquet";

    fn encoded(image: &str) -> encode::Encoded {
        let keys = KeySchema(vec![KeyAttribute { name: "k".to_owned(), kind: KeyType::S }]);
        encode::changes(vec![row(&keys, 7, image)], &Facts::new("o", "arn", "id", &keys)).unwrap().remove(0)
    }

    fn row(keys: &KeySchema, sequence: u64, image: &str) -> Stamped {
        let at = Second(1_795_348_800);
        let change = Change {
            sequence: Sequence::parse(&sequence.to_string()).unwrap(),
            kind: ChangeKind::Insert,
            changed_at: at.micros(),
            key: Some(ItemKey::from_image(keys, image).unwrap()),
            event_id: None,
            size_bytes: None,
            actor: None,
            new_image: Some(Text::from(image)),
            old_image: None,
            new_digest: None,
            old_digest: None,
        };
        let origin = Arc::new(Origin { epoch: 1, shard_rank: 0, shard: ShardId::new("s") });
        Stamped { origin, cut_at: at, change: change.with_digests().unwrap() }
    }

    /// More than is read whole.
    fn large() -> encode::Encoded {
        let keys = KeySchema(vec![KeyAttribute { name: "k".to_owned(), kind: KeyType::S }]);
        let mut noise = 1_u64;
        let rows = (0..3_000).map(|n| {
            let mut text = String::new();
            for _ in 0..60 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text += &format!("{noise:016x}");
            }
            row(&keys, n, &format!(r#"{{"k":{{"S":"k{n}"}},"v":{{"S":"{text}"}}}}"#))
        });
        let encoded = encode::changes(rows.collect(), &Facts::new("o", "arn", "id", &keys)).unwrap().remove(0);
        assert!(encoded.bytes.len() as u64 > WHOLE_BYTES);
        encoded
    }

    #[tokio::test]
    async fn the_rows_of_a_key_are_found_in_the_committed_version_too() {
        let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::versioned());
        let path = format!("t/{PATH}");
        let (committed, other) = (large(), encoded(r#"{"k":{"S":"b"}}"#));
        let version_id = store.put_new(&path, committed.bytes.clone(), Keep::Short).await.unwrap();
        let meta = committed.meta(PATH.to_owned(), version_id, Tier::Raw, None);
        let segments = Segments::new(Arc::clone(&store), "t".to_owned());
        let hash = KeyValue::parse(KeyType::S, "k700").map(|pk| ItemKey { pk, sk: None }.hash().unwrap()).unwrap();
        let expected = segments.of_keys(&meta, hash..=hash).await.unwrap();
        assert_eq!(expected.len(), 1);
        store.delete(&path, None).await.unwrap();
        assert_eq!(segments.of_keys(&meta, hash..=hash).await.unwrap(), expected);
        store.put_new(&path, other.bytes, Keep::Short).await.unwrap();
        assert_eq!(segments.of_keys(&meta, hash..=hash).await.unwrap(), expected);
        let copied = SegmentMeta { version_id: Some("of another bucket".to_owned()), ..meta };
        assert!(matches!(segments.of_keys(&copied, hash..=hash).await.unwrap_err(), ReadError::Damaged { .. }));
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
