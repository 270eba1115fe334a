//! A file that appears under its name only when it is whole.
//!
//! It is written as `.NAME.partial` beside its destination, under a lock: what a killed run left behind is
//! overwritten by the next one, and two runs never write the same file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::SinkError;

/// The file while it is written. Dropping it without [`Partial::publish`] removes it.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    destination: PathBuf,
}

impl Partial {
    /// Begins a file that shall be called `destination`.
    pub(super) fn open(destination: &Path) -> Result<Self, SinkError> {
        let failed = |error: &io::Error| failure(destination, error);
        let exists = || destination.symlink_metadata().is_ok();
        let taken = || SinkError::Exists { place: destination.display().to_string() };
        if exists() {
            return Err(taken());
        }
        let path = partial_path(destination).ok_or_else(|| failed(&io::ErrorKind::InvalidFilename.into()))?;
        let file = loop {
            let file = File::options().create(true).write(true).truncate(false).open(&path).map_err(|e| failed(&e))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(SinkError::Busy { place: destination.display().to_string() });
                }
                Err(fs::TryLockError::Error(error)) => return Err(failed(&error)),
            }
            // Between opening and locking, the run that held it may have removed the name: such a lock is worth
            // nothing, for the next run makes another file of this name.
            if is_at(&file, &path).map_err(|e| failed(&e))? {
                break file;
            }
        };
        let partial = Self { file, path, destination: destination.to_owned() };
        // Another run may have published since the first look.
        if exists() {
            return Err(taken());
        }
        partial.file.set_len(0).map_err(|e| failed(&e))?;
        Ok(partial)
    }

    /// A second handle, to write through.
    pub(super) fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// The name that the file shall have.
    pub(super) fn destination(&self) -> &Path {
        &self.destination
    }

    /// Makes it durable and gives it its name, unless something has the name by now.
    pub(super) fn publish(self) -> Result<(), SinkError> {
        let linked = self.file.sync_all().and_then(|()| fs::hard_link(&self.path, &self.destination));
        linked.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => SinkError::Exists { place: self.destination.display().to_string() },
            _ => failure(&self.destination, &error),
        })?;
        let folder = self.destination.parent().filter(|folder| !folder.as_os_str().is_empty());
        let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failure(&self.destination, &error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Published or not, the temporary name goes; if it cannot, the next run overwrites it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether `path` still names this file.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match path.symlink_metadata() {
        Ok(named) => Ok((own.dev(), own.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the caller must do about an I/O error.
pub(super) fn failure(destination: &Path, error: &io::Error) -> SinkError {
    let (place, reason) = (destination.display().to_string(), error.to_string());
    match error.kind() {
        io::ErrorKind::PermissionDenied => SinkError::Denied { place, reason },
        io::ErrorKind::NotFound => {
            let folder = destination.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
            SinkError::Failed { place, reason: format!("the folder {folder} does not exist") }
        }
        _ => SinkError::Failed { place, reason },
    }
}

/// Where it lies until then.
pub(super) fn partial_path(destination: &Path) -> Option<PathBuf> {
    let name = destination.file_name()?.to_str()?;
    Some(destination.with_file_name(format!(".{name}.partial")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_on_a_file_that_lost_its_name_is_worth_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("a.jsonl");
        let first = Partial::open(&destination).unwrap();
        let path = partial_path(&destination).unwrap();
        let stale = File::options().write(true).open(&path).unwrap();
        assert!(is_at(&stale, &path).unwrap());
        drop(first);
        stale.try_lock().unwrap();
        assert!(!is_at(&stale, &path).unwrap());
        let third = Partial::open(&destination).unwrap();
        assert!(!is_at(&stale, &path).unwrap());
        assert!(is_at(&third.file, &path).unwrap());
    }

    #[test]
    fn runs_side_by_side_never_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("a.jsonl");
        let run = || {
            for _ in 0..2000 {
                let Ok(partial) = Partial::open(&destination) else { continue };
                assert!(is_at(&partial.file, &partial.path).unwrap());
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(run))));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}
