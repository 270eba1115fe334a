//! Objects in memory: for simulation and tests. Behaves like a bucket, with versions or without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Keep, Object, ObjectInfo, ObjectStore, StoreError, checked};
use crate::change::Second;
use crate::platform::clock;

/// An object store that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    versioned: bool,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    slots: BTreeMap<String, Vec<Version>>,
    written: u64,
    time: Option<Second>,
}

/// One version, oldest first in its slot; without bytes a delete marker.
#[derive(Debug, Clone)]
struct Version {
    id: Option<String>,
    bytes: Option<Bytes>,
    modified: Second,
}

impl MemoryStore {
    /// Like a bucket without versions, or a folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Like a bucket with versions: a removal without a version leaves a delete marker, and a
    /// conditional put succeeds over it.
    #[must_use]
    pub fn versioned() -> Self {
        Self { versioned: true, ..Self::default() }
    }

    /// Sets the store's clock, which otherwise is the machine's.
    pub fn set_time(&self, at: Second) {
        self.held().time = Some(at);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn add(&mut self, path: &str, bytes: Option<Bytes>, versioned: bool) -> Option<String> {
        self.written += 1;
        let id = versioned.then(|| format!("v{:08}", self.written));
        let version = Version { id: id.clone(), bytes, modified: self.time.unwrap_or_else(clock::wall) };
        self.slots.entry(path.to_owned()).or_default().push(version);
        id
    }

    fn current(&self, path: &str) -> Option<&Version> {
        self.slots.get(path)?.last()
    }
}

impl Version {
    fn object(&self) -> Option<Object> {
        Some(Object { bytes: self.bytes.clone()?, version_id: self.id.clone() })
    }
}

fn absent(path: &str) -> StoreError {
    StoreError::Absent { path: path.to_owned() }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError> {
        let held = self.held();
        let Some(wanted) = version_id else {
            let current = held.current(path).ok_or_else(|| absent(path))?;
            return current.object().ok_or_else(|| StoreError::Hidden { path: path.to_owned() });
        };
        let versions = held.slots.get(path).map(Vec::as_slice).unwrap_or_default();
        let found = versions.iter().find(|version| version.id.as_deref() == Some(wanted));
        found.and_then(Version::object).ok_or_else(|| absent(path))
    }

    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        let held = self.held();
        let versions = held.slots.get(path).ok_or_else(|| absent(path))?;
        versions.iter().find_map(Version::object).ok_or_else(|| StoreError::Hidden { path: path.to_owned() })
    }

    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        Ok(self.held().slots.contains_key(path))
    }

    async fn put_new(&self, path: &str, bytes: Bytes, _keep: Keep) -> Result<Option<String>, StoreError> {
        checked(path)?;
        let mut held = self.held();
        if held.current(path).is_some_and(|version| version.bytes.is_some()) {
            return Err(StoreError::Taken { path: path.to_owned() });
        }
        Ok(held.add(path, Some(bytes), self.versioned))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        let held = self.held();
        let objects = held.slots.iter().filter(|(path, _)| path.starts_with(prefix));
        let later = objects.filter(|(path, _)| after.is_none_or(|after| path.as_str() > after));
        let seen = later.filter_map(|(path, versions)| {
            let current = versions.last()?;
            let bytes = current.bytes.as_ref()?.len() as u64;
            Some(ObjectInfo { path: path.clone(), bytes, modified: Some(current.modified) })
        });
        Ok(seen.take(limit.unwrap_or(usize::MAX)).collect())
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let objects = self.list(prefix, None, None).await?;
        let folders = objects.iter().filter_map(|object| Some(object.path.strip_prefix(prefix)?.split_once('/')?.0));
        Ok(folders.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError> {
        let mut held = self.held();
        let Some(versions) = held.slots.get_mut(path) else { return Ok(()) };
        match version_id {
            Some(wanted) => versions.retain(|version| version.id.as_deref() != Some(wanted)),
            None if self.versioned => {
                held.add(path, None, true);
                return Ok(());
            }
            None => versions.clear(),
        }
        if versions.is_empty() {
            held.slots.remove(path);
        }
        Ok(())
    }
}
