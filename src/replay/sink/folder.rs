//! Items into a folder: parts of bounded size, each a file as [`FileSink`] writes it; the folder gets its name when
//! it is whole.
//!
//! Until then it is called `.NAME.partial`, and a lock in it keeps a second run out. What a killed run left behind
//! is emptied by the next one.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::partial::{failure, is_at, partial_path};
use super::{FileForm, FileSink, Item, Sink, SinkError, note};
use crate::platform::tasks;

/// Bytes of images in a part: large enough that a table of terabytes stays below the 50,000 objects that
/// `ImportTable` takes, small enough that parts are loaded side by side.
const PART_BYTES: usize = 256 << 20;
/// Held while the folder is written. The last thing to go, so that nobody mistakes a whole folder for one left over.
const LOCK: &str = ".lock";

/// A folder of items.
pub struct FolderSink {
    partial: PartialFolder,
    part: Option<FileSink>,
    parts: u32,
    /// Bytes in the part.
    bytes: usize,
    limit: usize,
    /// Why it is not exact.
    note: Option<String>,
    published: bool,
}

impl FolderSink {
    /// Begins the folder; `note` says why it is not exact.
    ///
    /// # Errors
    /// [`SinkError::Exists`] where it is there and not empty, and the others as named.
    pub fn create(destination: &Path, note: Option<String>) -> Result<Self, SinkError> {
        Self::with_limit(destination, note, PART_BYTES)
    }

    fn with_limit(destination: &Path, note: Option<String>, limit: usize) -> Result<Self, SinkError> {
        let partial = PartialFolder::open(destination)?;
        let mut sink = Self { partial, part: None, parts: 0, bytes: 0, limit, note, published: false };
        sink.begin_part()?;
        Ok(sink)
    }

    fn begin_part(&mut self) -> Result<(), SinkError> {
        let path = self.partial.path.join(format!("part-{:05}.jsonl.zst", self.parts));
        self.part = Some(FileSink::create(&path, FileForm::JsonlZstd, None).map_err(|error| self.named(error))?);
        (self.parts, self.bytes) = (self.parts + 1, 0);
        Ok(())
    }

    /// Nobody asked for the folder by the name that it has until it is whole.
    fn named(&self, error: SinkError) -> SinkError {
        let named = self.partial.destination.display().to_string();
        match error {
            SinkError::Exists { .. } => SinkError::Exists { place: named },
            SinkError::Busy { .. } => SinkError::Busy { place: named },
            SinkError::Denied { reason, .. } => SinkError::Denied { place: named, reason },
            SinkError::Stuck { puts, tries, .. } => SinkError::Stuck { place: named, puts, tries },
            SinkError::Failed { reason, .. } => SinkError::Failed { place: named, reason },
        }
    }

    async fn end_part(&mut self) -> Result<(), SinkError> {
        match self.part.take() {
            Some(mut part) => part.finish().await.map_err(|error| self.named(error)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Sink for FolderSink {
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        if self.bytes >= self.limit {
            self.end_part().await?;
        }
        if self.part.is_none() {
            self.begin_part()?;
        }
        self.bytes += items.iter().map(|item| item.image.len()).sum::<usize>();
        match &mut self.part {
            Some(part) => part.put(items).await.map_err(|error| self.named(error)),
            None => Ok(()),
        }
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        self.end_part().await?;
        let (partial, note) = (self.partial.clone(), self.note.take());
        let publish = move || note::publish(&partial.destination, note.as_deref(), || partial.publish());
        let published = tasks::wait(publish).await;
        published.map_err(|error| failure(&self.partial.destination, &io::Error::other(error)))??;
        self.published = true;
        Ok(())
    }
}

impl Drop for FolderSink {
    fn drop(&mut self) {
        // The part first: it removes its own file. What cannot be removed, the next run empties.
        self.part = None;
        if !self.published {
            let _ = fs::remove_dir_all(&self.partial.path);
        }
    }
}

/// The folder while it is written.
#[derive(Clone)]
struct PartialFolder {
    path: PathBuf,
    destination: PathBuf,
    /// Open for as long as the lock is held.
    _lock: std::sync::Arc<File>,
}

impl PartialFolder {
    fn open(destination: &Path) -> Result<Self, SinkError> {
        let failed = |error: &io::Error| failure(destination, error);
        refuse_full(destination)?;
        let path = partial_path(destination).ok_or_else(|| failed(&io::ErrorKind::InvalidFilename.into()))?;
        let lock = loop {
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&error)),
                _ => {}
            }
            let lock = match File::create(path.join(LOCK)) {
                Ok(lock) => lock,
                // The run that had the folder has just removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&error)),
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(SinkError::Busy { place: destination.display().to_string() });
                }
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
            }
            // Removed between opening and locking, it locks nothing: the next run makes another folder.
            if is_at(&lock, &path.join(LOCK)).map_err(|error| failed(&error))? {
                break lock;
            }
        };
        // Another run may have published since the first look: look again before it is emptied.
        refuse_full(destination).inspect_err(|_| drop(fs::remove_dir_all(&path)))?;
        let left = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(|e| failed(&e))?;
        for old in left.iter().filter(|old| old.file_name() != LOCK) {
            fs::remove_file(old.path()).map_err(|error| failed(&error))?;
        }
        Ok(Self { path, destination: destination.to_owned(), _lock: lock.into() })
    }

    /// Gives the folder its name, unless something of that name holds anything by now.
    fn publish(&self) -> Result<(), SinkError> {
        let failed = |error: io::Error| failure(&self.destination, &error);
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(failed)?;
        refuse_full(&self.destination)?;
        fs::rename(&self.path, &self.destination).map_err(failed)?;
        fs::remove_file(self.destination.join(LOCK)).map_err(failed)?;
        let above = self.destination.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new("."))).and_then(|above| above.sync_all()).map_err(failed)
    }
}

/// An empty folder may be filled; anything else of that name is left as it is.
fn refuse_full(destination: &Path) -> Result<(), SinkError> {
    let Ok(facts) = destination.symlink_metadata() else { return Ok(()) };
    let empty = facts.is_dir() && fs::read_dir(destination).is_ok_and(|mut entries| entries.next().is_none());
    if empty { Ok(()) } else { Err(SinkError::Exists { place: destination.display().to_string() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::sink::file::tests::{item, names};

    async fn write(folder: &Path, limit: usize) -> Result<(), SinkError> {
        let mut sink = FolderSink::with_limit(folder, None, limit)?;
        for ten in 0..10 {
            sink.put((ten * 10..ten * 10 + 10).map(item).collect()).await?;
        }
        sink.finish().await
    }

    #[tokio::test]
    async fn parts_hold_all_items_in_order() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("out");
        fs::create_dir(&folder).unwrap();
        write(&folder, 1000).await.unwrap();
        assert_eq!(names(above.path()), ["out"]);
        let parts = names(&folder);
        assert!(parts.len() > 2 && parts[0] == "part-00000.jsonl.zst", "{parts:?}");
        let read = |part: &String| zstd::decode_all(&fs::read(folder.join(part)).unwrap()[..]).unwrap();
        let all = parts.iter().flat_map(read).collect::<Vec<u8>>();
        let expected: String = (0..100).map(|n| format!("{{\"Item\":{}}}\n", item(n).image.as_str())).collect();
        assert_eq!(String::from_utf8(all).unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_full_stays_and_what_a_kill_left_goes() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("out");
        fs::create_dir(above.path().join(".out.partial")).unwrap();
        fs::write(above.path().join(".out.partial/part-00077.jsonl.zst"), "old").unwrap();
        write(&folder, 1 << 20).await.unwrap();
        assert_eq!(names(&folder), ["part-00000.jsonl.zst"]);
        assert!(matches!(write(&folder, 1 << 20).await, Err(SinkError::Exists { .. })));
        assert_eq!((names(above.path()), names(&folder)), (vec!["out".into()], vec!["part-00000.jsonl.zst".into()]));
    }

    #[tokio::test]
    async fn a_run_that_fails_or_comes_second_leaves_nothing() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("out");
        let mut first = FolderSink::create(&folder, None).unwrap();
        first.put(vec![item(1)]).await.unwrap();
        assert!(matches!(FolderSink::create(&folder, None), Err(SinkError::Busy { .. })));
        drop(first);
        assert_eq!(names(above.path()), [""; 0]);
        let mut late = FolderSink::create(&folder, None).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("mine"), "").unwrap();
        assert!(matches!(late.finish().await, Err(SinkError::Exists { .. })));
        drop(late);
        assert_eq!((names(above.path()), names(&folder)), (vec!["out".into()], vec!["mine".into()]));
    }

    #[test]
    fn runs_side_by_side_never_share_a_folder() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("out");
        let run = || {
            for _ in 0..300 {
                let Ok(sink) = FolderSink::create(&folder, None) else { continue };
                assert!(is_at(&sink.partial._lock, &sink.partial.path.join(LOCK)).unwrap());
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(run))));
        assert_eq!(names(above.path()), [""; 0]);
    }
}
