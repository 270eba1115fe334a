//! Listings of a local folder, in the order a bucket lists its keys.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::modified;
use crate::store::ObjectInfo;

/// The objects below `prefix` after `after`, in order of path, at most `limit`.
pub(super) fn objects(root: &Path, prefix: &str, after: Option<&str>, limit: usize) -> io::Result<Vec<ObjectInfo>> {
    let mut found = Vec::new();
    let walk = Walk { root, after, limit };
    walk.folder(prefix, &mut found)?;
    Ok(found)
}

/// The folders directly in `folder`.
pub(super) fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_folder(&entry)?
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

struct Walk<'a> {
    root: &'a Path,
    after: Option<&'a str>,
    limit: usize,
}

impl Walk<'_> {
    fn folder(&self, prefix: &str, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
        for path in self.names(prefix)? {
            if found.len() >= self.limit {
                break;
            }
            let below = path.ends_with('/');
            // A folder that holds `after` is walked; one that ends before it is not.
            let passed =
                |after: &str| if below { *path < *after && !after.starts_with(&path) } else { *path <= *after };
            if self.after.is_some_and(passed) {
                continue;
            }
            if below {
                unless_gone(self.folder(&path, found))?;
            } else if let Some(facts) = unless_gone(fs::metadata(self.root.join(&path)))? {
                found.push(ObjectInfo { path, bytes: facts.len(), modified: modified(&facts) });
            }
        }
        Ok(())
    }

    /// What lies directly in a folder, folders with a slash behind them, so that they sort as keys do.
    fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(prefix))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_folder = is_folder(&entry)?;
            // What a disk's own recovery keeps at its root is no part of the archive, and often unreadable.
            let recovered = prefix.is_empty() && name == "lost+found";
            if recovered || (!is_folder && name.starts_with('.')) {
                continue;
            }
            let path = format!("{prefix}{name}{}", if is_folder { "/" } else { "" });
            // A log of millions is asked for what stands behind its last entry: only that is kept and sorted.
            if is_folder || self.after.is_none_or(|after| path.as_str() > after) {
                names.push(path);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// The kind comes with the entry: only links cost a look at what they name.
fn is_folder(entry: &fs::DirEntry) -> io::Result<bool> {
    let kind = entry.file_type()?;
    Ok(kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()))
}

/// What was removed while we walked is not listed.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
