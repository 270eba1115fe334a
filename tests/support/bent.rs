//! A store that lies: what is read of it differs from what was put, and it takes only what it is told to.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tailrace::store::{Keep, Object, ObjectInfo, ObjectStore, StoreError};

/// What a reader gets of an object with this path and these bytes; nothing: it is gone.
type Reads = dyn Fn(&str, Bytes) -> Option<Bytes> + Send + Sync;

/// A store between a caller and a sound store.
pub(crate) struct Bent {
    inner: Arc<dyn ObjectStore>,
    takes: fn(&str) -> bool,
    reads: Box<Reads>,
}

impl Bent {
    /// Puts whose path `takes` does not like are refused; what is read goes through `reads`.
    pub(crate) fn over(
        inner: &Arc<dyn ObjectStore>,
        takes: fn(&str) -> bool,
        reads: impl Fn(&str, Bytes) -> Option<Bytes> + Send + Sync + 'static,
    ) -> Arc<dyn ObjectStore> {
        Arc::new(Self { inner: Arc::clone(inner), takes, reads: Box::new(reads) })
    }

    fn of(&self, path: &str, object: Object) -> Result<Object, StoreError> {
        let bytes = (self.reads)(path, object.bytes).ok_or_else(|| StoreError::Absent { path: path.to_owned() })?;
        Ok(Object { bytes, version_id: object.version_id })
    }

    fn is_there(&self, path: &str) -> bool {
        (self.reads)(path, Bytes::new()).is_some()
    }
}

impl fmt::Debug for Bent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, bent", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Bent {
    fn location(&self) -> String {
        self.inner.location()
    }
    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError> {
        self.of(path, self.inner.get(path, version_id).await?)
    }
    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        self.of(path, self.inner.get_oldest(path).await?)
    }
    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        Ok(self.is_there(path) && self.inner.occupied(path).await?)
    }
    async fn put_new(&self, path: &str, bytes: Bytes, keep: Keep) -> Result<Option<String>, StoreError> {
        if (self.takes)(path) {
            return self.inner.put_new(path, bytes, keep).await;
        }
        Err(StoreError::Refused { path: path.to_owned(), reason: "this store does not take it".to_owned() })
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut listed = self.inner.list(prefix, after, limit).await?;
        listed.retain(|object| self.is_there(&object.path));
        Ok(listed)
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list_folders(prefix).await
    }
    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError> {
        self.inner.delete(path, version_id).await
    }
}
