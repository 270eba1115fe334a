//! Counts requests and bytes, for tests and benches that promise how many a task costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Keep, Object, ObjectInfo, ObjectStore, StoreError};

/// A store that counts what it passes on.
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    reads: AtomicU64,
    bytes_read: AtomicU64,
    probes: AtomicU64,
    puts: AtomicU64,
    bytes_put: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
}

/// What was asked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects read, found or not.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Questions whether a slot is occupied.
    pub probes: u64,
    /// Puts, landed or not.
    pub puts: u64,
    /// Bytes of all puts.
    pub bytes_put: u64,
    /// Listings.
    pub lists: u64,
    /// Removals.
    pub deletes: u64,
}

impl CountingStore {
    /// Counts what goes to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self {
            inner,
            reads: AtomicU64::default(),
            bytes_read: AtomicU64::default(),
            probes: AtomicU64::default(),
            puts: AtomicU64::default(),
            bytes_put: AtomicU64::default(),
            lists: AtomicU64::default(),
            deletes: AtomicU64::default(),
        }
    }

    /// What was asked since the store was made, or since the last [`CountingStore::take`].
    pub fn take(&self) -> Counts {
        Counts {
            reads: self.reads.swap(0, Relaxed),
            bytes_read: self.bytes_read.swap(0, Relaxed),
            probes: self.probes.swap(0, Relaxed),
            puts: self.puts.swap(0, Relaxed),
            bytes_put: self.bytes_put.swap(0, Relaxed),
            lists: self.lists.swap(0, Relaxed),
            deletes: self.deletes.swap(0, Relaxed),
        }
    }

    fn read(&self, got: Result<Object, StoreError>) -> Result<Object, StoreError> {
        self.reads.fetch_add(1, Relaxed);
        if let Ok(object) = &got {
            self.bytes_read.fetch_add(object.bytes.len() as u64, Relaxed);
        }
        got
    }
}

#[async_trait]
impl ObjectStore for CountingStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError> {
        self.read(self.inner.get(path, version_id).await)
    }

    async fn get_range(&self, path: &str, from: u64, length: u64) -> Result<Bytes, StoreError> {
        let bytes = self.inner.get_range(path, from, length).await;
        self.read(bytes.map(|bytes| Object { bytes, version_id: None })).map(|object| object.bytes)
    }

    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        self.read(self.inner.get_oldest(path).await)
    }

    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        self.probes.fetch_add(1, Relaxed);
        self.inner.occupied(path).await
    }

    async fn put_new(&self, path: &str, bytes: Bytes, keep: Keep) -> Result<Option<String>, StoreError> {
        self.puts.fetch_add(1, Relaxed);
        self.bytes_put.fetch_add(bytes.len() as u64, Relaxed);
        self.inner.put_new(path, bytes, keep).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        self.lists.fetch_add(1, Relaxed);
        self.inner.list(prefix, after, limit).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.lists.fetch_add(1, Relaxed);
        self.inner.list_folders(prefix).await
    }

    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError> {
        self.deletes.fetch_add(1, Relaxed);
        self.inner.delete(path, version_id).await
    }

    async fn unfit(&self) -> Result<Option<String>, StoreError> {
        self.inner.unfit().await
    }
}
