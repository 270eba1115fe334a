//! Verification beside a capture, and in a bucket where somebody removed or overwrote what the log names.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use async_trait::async_trait;
use tailrace::store::{Object, ObjectInfo, StoreError};

use super::*;

/// A store whose listings are older than some of its objects.
#[derive(Debug)]
struct Stale {
    inner: Arc<dyn ObjectStore>,
    unlisted: String,
}

#[async_trait]
impl ObjectStore for Stale {
    fn location(&self) -> String {
        self.inner.location()
    }
    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError> {
        self.inner.get(path, version_id).await
    }
    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        self.inner.get_oldest(path).await
    }
    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        self.inner.occupied(path).await
    }
    async fn put_new(&self, path: &str, bytes: Bytes, keep: Keep) -> Result<Option<String>, StoreError> {
        self.inner.put_new(path, bytes, keep).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut listed = self.inner.list(prefix, after, limit).await?;
        listed.retain(|object| !object.path.contains(&self.unlisted));
        Ok(listed)
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list_folders(prefix).await
    }
    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError> {
        self.inner.delete(path, version_id).await
    }
}

#[tokio::test]
async fn folds_that_a_capture_writes_meanwhile_are_not_lost() {
    let world = world(21).await;
    let stale = |inner| Arc::new(Stale { inner, unlisted: "/fold/".to_owned() });
    let (counts, findings) = verified(&world, stale(Arc::clone(&world.store)), Level::Full).await;
    assert_eq!(findings, []);
    assert!(counts.folds >= 2, "{counts:?}");
    // Present with other bytes is damage all the same.
    let named = world.manifest.fold.clone().unwrap().n;
    let root = world.log.path(&format!("fold/{named:020}.json.zst"));
    let parts: Vec<String> = objects(&world).await.into_iter().filter(|path| path.contains("/fold/day=")).collect();
    for path in parts.into_iter().chain([root]) {
        let mut flipped = bytes(&world, &path).await;
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let bent = with_one_bent(&world, &path, Some(Bytes::from(flipped)));
        let (_, findings) = verified(&world, stale(bent), Level::Full).await;
        let told = findings.iter().any(|finding| finding.state == State::Altered && finding.object == path);
        let unnamed = findings.is_empty() && path.contains("day=");
        assert!(told || unnamed, "{path}: {findings:?}");
    }
}

/// A store in which the newest entry is put when segments are listed.
#[derive(Debug)]
struct Growing {
    inner: Arc<dyn ObjectStore>,
    newest: String,
    grown: AtomicBool,
}

#[async_trait]
impl ObjectStore for Growing {
    fn location(&self) -> String {
        self.inner.location()
    }
    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError> {
        self.inner.get(path, version_id).await
    }
    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        if path == self.newest && !self.grown.load(Relaxed) {
            return Err(StoreError::Absent { path: path.to_owned() });
        }
        self.inner.get_oldest(path).await
    }
    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        self.inner.occupied(path).await
    }
    async fn put_new(&self, path: &str, bytes: Bytes, keep: Keep) -> Result<Option<String>, StoreError> {
        self.inner.put_new(path, bytes, keep).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        if prefix.ends_with("/raw/") {
            self.grown.store(true, Relaxed);
        }
        self.inner.list(prefix, after, limit).await
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list_folders(prefix).await
    }
    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError> {
        self.inner.delete(path, version_id).await
    }
}

#[tokio::test]
async fn what_a_capture_commits_meanwhile_is_neither_a_hole_nor_left_over() {
    let mut world = world(25).await;
    world.change(&[("a1", Some("meanwhile"))]).await;
    let newest = world.log.path(&format!("log/{:020}.entry", world.manifest.next - 1));
    let growing = Growing { inner: Arc::clone(&world.store), newest, grown: AtomicBool::new(false) };
    let (counts, findings) = verified(&world, Arc::new(growing), Level::Full).await;
    assert_eq!(findings, []);
    assert_eq!(counts.entries, world.manifest.next - 1);
}

async fn versioned(seed: u64) -> World {
    let mut world = World::begin(Arc::new(MemoryStore::versioned()), seed).await;
    world.live().await;
    world
}

async fn found(world: &World, level: Level) -> Vec<(State, String)> {
    let (_, findings) = verified(world, Arc::clone(&world.store), level).await;
    findings.into_iter().map(|finding| (finding.state, finding.object)).collect()
}

#[tokio::test]
async fn a_delete_marker_over_any_entry_is_told() {
    let world = versioned(22).await;
    assert_eq!(found(&world, Level::Full).await, []);
    let entry = |n: u64| world.log.path(&format!("log/{n:020}.entry"));
    let (middle, newest) = (entry(7), entry(world.manifest.next - 1));
    for level in [Level::Log, Level::Full] {
        for path in [&middle, &newest] {
            let version = world.store.get(path, None).await.unwrap().version_id;
            world.store.delete(path, None).await.unwrap();
            // The oldest version is the entry: nothing is lost, but somebody tried.
            assert_eq!(found(&world, level).await, [(State::Hidden, path.clone())]);
            let marker = world.store.get(path, None).await.unwrap_err();
            assert!(matches!(marker, StoreError::Hidden { .. }));
            // Undo by putting the same bytes again over it, which changes nothing of the oldest version.
            let whole = world.store.get(path, version.as_deref()).await.unwrap().bytes;
            world.store.put_new(path, whole, Keep::Full).await.unwrap();
            assert_eq!(found(&world, level).await, []);
        }
    }
    for path in [&newest, &middle] {
        let first = world.store.get_oldest(path).await.unwrap().version_id;
        world.store.delete(path, None).await.unwrap();
        world.store.delete(path, first.as_deref()).await.unwrap();
        let second = world.store.get_oldest(path).await.unwrap().version_id;
        world.store.delete(path, second.as_deref()).await.unwrap();
        for level in [Level::Log, Level::Full] {
            let found = found(&world, level).await;
            assert!(found.contains(&(State::Hidden, path.clone())), "{found:?}");
            assert!(found.iter().all(|(state, _)| *state == State::Hidden), "{found:?}");
        }
    }
}

#[tokio::test]
async fn a_segment_that_is_hidden_or_overwritten_is_told_and_read_all_the_same() {
    let world = versioned(23).await;
    let meta = Arc::clone(world.manifest.segments.values().next().unwrap());
    assert!(meta.version_id.is_some());
    let path = world.log.path(&meta.path);
    let segments = tailrace::manifest::Segments::new(Arc::clone(&world.store), world.table.folder());
    let rows = segments.changes(&meta).await.unwrap();
    world.store.delete(&path, None).await.unwrap();
    assert_eq!(found(&world, Level::Full).await, [(State::Hidden, path.clone())]);
    assert_eq!(segments.changes(&meta).await.unwrap(), rows);
    world.store.put_new(&path, Bytes::from_static(b"other"), Keep::Short).await.unwrap();
    assert_eq!(found(&world, Level::Full).await, [(State::Altered, path)]);
    assert_eq!(segments.changes(&meta).await.unwrap(), rows);
}

#[tokio::test]
async fn a_copy_in_another_bucket_is_as_sound_as_its_origin() {
    let world = versioned(24).await;
    let copy: Arc<dyn ObjectStore> = Arc::new(MemoryStore::versioned());
    let origin = verified(&world, Arc::clone(&world.store), Level::Full).await;
    for path in objects(&world).await.into_iter().rev() {
        let bytes = world.store.get_oldest(&path).await.unwrap().bytes;
        copy.put_new(&path, bytes, Keep::Full).await.unwrap();
    }
    assert_eq!(verified(&world, copy, Level::Full).await, origin);
}

#[tokio::test]
async fn a_fold_that_no_entry_names_yet_is_told_from_one_that_names_a_part_which_never_was() {
    let world = world(26).await;
    let replace = async |path: &str, now: Option<Vec<u8>>| {
        world.store.delete(path, None).await.unwrap();
        if let Some(now) = now {
            world.store.put_new(path, Bytes::from(now), Keep::Derived).await.unwrap();
        }
    };
    // The log as it was when its newest fold was written, and not yet named.
    let newest = world.manifest.fold.clone().unwrap().n;
    for n in newest + 1..world.manifest.next {
        replace(&world.log.path(&format!("log/{n:020}.entry")), None).await;
    }
    let root = world.log.path(&format!("fold/{newest:020}.json.zst"));
    let whole = bytes(&world, &root).await;
    let json = String::from_utf8(zstd::decode_all(whole.as_slice()).unwrap()).unwrap();
    let (before, parts) = json.split_once(r#""parts":[{"day":"2026-11-22","sha256":""#).unwrap();
    let part = world.log.path(&format!("fold/day=2026-11-22/{}.json.zst", &parts[..64]));
    let kept = bytes(&world, &part).await;
    replace(&part, None).await;
    assert_eq!(found(&world, Level::Full).await, [(State::Missing, part.clone())]);
    replace(&part, Some(kept)).await;
    assert_eq!(found(&world, Level::Full).await, []);
    let other = if parts.starts_with('0') { "1" } else { "0" };
    let lie = format!(r#"{before}"parts":[{{"day":"2026-11-22","sha256":"{other}{}"#, &parts[1..]);
    replace(&root, Some(zstd::encode_all(lie.as_bytes(), 3).unwrap())).await;
    let found = found(&world, Level::Full).await;
    assert!(found.contains(&(State::Altered, root)), "{found:?}");
}
