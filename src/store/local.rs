//! Objects as files of a folder.
//!
//! A put writes a temporary file beside the object's place, flushes it, links it to its name, and
//! flushes the folder. The link fails where the name exists, so exactly one writer wins, and a name
//! never shows half a file: a crash leaves at most a temporary file, whose name begins with a dot
//! and which no listing shows. Nothing here reads a whole folder but the listings.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Keep, Object, ObjectInfo, ObjectStore, StoreError, checked};
use crate::change::Second;
use crate::platform::ids::Ids;
use crate::platform::tasks;

mod walk;

/// An object store in a folder of this machine.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: Arc<PathBuf>,
    ids: Ids,
    /// Folders that this process has flushed, with everything above them, up to the root.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

impl LocalStore {
    /// The store at `root`. Nothing is made or checked: a put fails while the folder is missing,
    /// so that a disk that is not mounted never starts a second, empty archive.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: Arc::new(root.into()), ids: Ids::random(), durable: Arc::default() }
    }

    /// Makes the folder where it is missing, then opens it.
    ///
    /// # Errors
    /// When it cannot be made, or its entry cannot be flushed.
    pub async fn create(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self::new(root);
        if store.root.exists() && !store.root.is_dir() {
            let reason = "there is a file of this name, and an archive needs a folder".to_owned();
            return Err(StoreError::Refused { path: store.location(), reason });
        }
        store.run(String::new(), Action::Write, |store| make_root(&store.root)).await?;
        Ok(store)
    }

    /// Runs file operations where they do not hold up the reactor.
    async fn run<T: Send + 'static>(
        &self,
        path: String,
        action: Action,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let work = move || work(&store).map_err(|error| store.error(&path, action, &error));
        let done = match action {
            // What is read takes memory, which only few threads shall keep.
            Action::Read => tasks::compute(work),
            Action::Write => tasks::wait(work),
        };
        done.await
            .unwrap_or_else(|error| Err(StoreError::Unavailable { path: String::new(), reason: error.to_string() }))
    }

    fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn error(&self, path: &str, action: Action, error: &io::Error) -> StoreError {
        let path = path.to_owned();
        let reason = format!("{error} (in {})", self.root.display());
        match (error.kind(), action) {
            // Below a file there is nothing, too.
            (ErrorKind::NotFound | ErrorKind::NotADirectory, Action::Read) => StoreError::Absent { path },
            (ErrorKind::NotFound, Action::Write) => {
                let reason = format!("the folder {} is missing; is its disk mounted", self.root.display());
                StoreError::Refused { path, reason }
            }
            (ErrorKind::AlreadyExists, Action::Write) => StoreError::Taken { path },
            (ErrorKind::PermissionDenied, _) => StoreError::Denied { path, reason },
            (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => {
                StoreError::Refused { path, reason: format!("{reason}; make room, then try again") }
            }
            (_, Action::Read) => StoreError::Unavailable { path, reason },
            (_, Action::Write) => StoreError::Refused { path, reason },
        }
    }

    /// Makes the folder of an object, and everything between it and the root, durable.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let known = |folder: &Path| self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(folder);
        if known(folder) || folder == self.root.as_path() {
            return Ok(());
        }
        let above = folder.parent().ok_or(ErrorKind::NotFound)?;
        self.make_folder(above)?;
        match fs::create_dir(folder) {
            // Made by another process: its entry may not be on the disk yet, so it is flushed here too.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made?,
        }
        flush_folder(above)?;
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_path_buf());
        Ok(())
    }

    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<Landed> {
        let place = self.file(path);
        let folder = place.parent().ok_or(ErrorKind::NotFound)?;
        self.make_folder(folder)?;
        let temporary = folder.join(format!(".put-{}", self.ids.commit_id()));
        let linked = write_flushed(&temporary, bytes).and_then(|()| fs::hard_link(&temporary, &place));
        // The object stands (or does not) whatever becomes of the temporary name.
        let _ = fs::remove_file(&temporary);
        match linked {
            // A folder of an archive may be removed by hand: forget it, so that the next put makes it again.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.durable.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return Err(error);
            }
            linked => linked?,
        }
        Ok(match flush_folder(folder) {
            Ok(()) => Landed::Durable,
            Err(error) => Landed::Unflushed(error),
        })
    }
}

/// What the caller wanted; it decides what an error means.
#[derive(Clone, Copy)]
enum Action {
    Read,
    Write,
}

/// What became of a put whose link succeeded.
enum Landed {
    Durable,
    /// Visible, but a power loss may undo it.
    Unflushed(io::Error),
}

fn make_root(root: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = root.ancestors().take_while(|part| !part.exists()).collect();
    missing.retain(|part| !part.as_os_str().is_empty());
    fs::create_dir_all(root)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        flush_folder(above.unwrap_or_else(|| Path::new(".")))?;
    }
    Ok(())
}

fn write_flushed(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn modified(facts: &fs::Metadata) -> Option<Second> {
    let since = facts.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok().map(Second)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(file)?.is_dir() {
        return Err(ErrorKind::NotFound.into());
    }
    fs::read(file)
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    async fn get(&self, path: &str, _version_id: Option<&str>) -> Result<Object, StoreError> {
        checked(path)?;
        let file = self.file(path);
        let bytes = self.run(path.to_owned(), Action::Read, move |_| read(&file)).await?;
        Ok(Object { bytes: bytes.into(), version_id: None })
    }

    async fn get_range(&self, path: &str, from: u64, length: u64) -> Result<Bytes, StoreError> {
        checked(path)?;
        let file = self.file(path);
        let bytes = self.run(path.to_owned(), Action::Read, move |_| {
            let mut bytes = Vec::new();
            let mut file = File::open(file)?;
            file.seek(SeekFrom::Start(from))?;
            file.take(length).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        Ok(bytes.await?.into())
    }

    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        self.get(path, None).await
    }

    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        checked(path)?;
        let file = self.file(path);
        let asked = self.run(path.to_owned(), Action::Read, move |_| fs::symlink_metadata(file));
        match asked.await {
            Ok(_) => Ok(true),
            Err(StoreError::Absent { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put_new(&self, path: &str, bytes: Bytes, _keep: Keep) -> Result<Option<String>, StoreError> {
        checked(path)?;
        let place = path.to_owned();
        match self.run(path.to_owned(), Action::Write, move |store| store.put(&place, &bytes)).await? {
            Landed::Durable => Ok(None),
            Landed::Unflushed(error) => {
                let reason = format!("it is written, but flushing its folder failed: {error}");
                Err(StoreError::Unknown { path: path.to_owned(), reason })
            }
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        let (folder, after) = (prefix.to_owned(), after.map(str::to_owned));
        let limit = limit.unwrap_or(usize::MAX);
        self.run(prefix.to_owned(), Action::Read, move |store| {
            walk::objects(&store.root, &folder, after.as_deref(), limit)
        })
        .await
        .or_else(empty_if_absent)
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folder = self.file(prefix);
        self.run(prefix.to_owned(), Action::Read, move |_| walk::folders(&folder)).await.or_else(empty_if_absent)
    }

    async fn delete(&self, path: &str, _version_id: Option<&str>) -> Result<(), StoreError> {
        checked(path)?;
        let file = self.file(path);
        self.run(path.to_owned(), Action::Write, move |_| match fs::remove_file(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => flush_folder(file.parent().unwrap_or(&file)),
        })
        .await
    }
}

fn empty_if_absent<T>(error: StoreError) -> Result<Vec<T>, StoreError> {
    match error {
        StoreError::Absent { .. } => Ok(Vec::new()),
        other => Err(other),
    }
}
