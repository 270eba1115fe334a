//! A result that is not exact says so beside itself: its own lines are what `ImportTable` takes, and have no room for it.
//!
//! The note stands before the result has its name, so that nobody ever finds the one without the other.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::SinkError;
use super::partial::failure;

/// Where the note of a file or folder lies.
pub(super) fn path(destination: &Path) -> PathBuf {
    let mut name = destination.file_name().unwrap_or_default().to_owned();
    name.push(".not-exact.txt");
    destination.with_file_name(name)
}

/// Publishes `destination` by `publish`, with the note beside it; without one, what an older result of this name left
/// there goes.
pub(super) fn publish(
    destination: &Path,
    note: Option<&str>,
    publish: impl FnOnce() -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    let at = path(destination);
    let Some(note) = note else {
        publish()?;
        return match fs::remove_file(&at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(&at, &error)),
            _ => Ok(()),
        };
    };
    write(&at, note).map_err(|error| failure(&at, &error))?;
    // What has the name by now is another's, and may be exact.
    publish().inspect_err(|_| drop(fs::remove_file(&at)))
}

fn write(at: &Path, note: &str) -> io::Result<()> {
    let mut file = File::create(at)?;
    writeln!(file, "{note}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_stands_with_its_result_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("a.jsonl");
        let note = folder.path().join("a.jsonl.not-exact.txt");
        let failed = || Err(SinkError::Exists { place: "a".to_owned() });
        publish(&destination, Some("gap 4.0"), failed).unwrap_err();
        assert!(!note.exists(), "the result is not ours");
        let stands = || {
            assert!(note.exists(), "it stands before the result does");
            Ok(())
        };
        publish(&destination, Some("gap 4.0"), stands).unwrap();
        assert_eq!(fs::read_to_string(&note).unwrap(), "gap 4.0\n");
        publish(&destination, None, failed).unwrap_err();
        assert!(note.exists(), "another's result keeps its note");
        publish(&destination, None, || Ok(())).unwrap();
        assert!(!note.exists());
        publish(&destination, None, || Ok(())).unwrap();
    }
}
