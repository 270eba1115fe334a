//! Where the items of an image go: one trait, and what every destination has in common.

pub mod dynamodb;
mod file;
mod folder;
mod jsonl;
mod note;
mod parquet;
mod partial;

use std::path::PathBuf;

use async_trait::async_trait;

pub use file::FileSink;
pub use folder::FolderSink;

use crate::change::{KeyHash, Text};

/// One item of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The hash of its key.
    pub key_hash: KeyHash,
    /// The partition key: S as is, N canonical, B in base64.
    pub pk: Text,
    /// The sort key, where the table has one.
    pub sk: Option<Text>,
    /// The JSON object of attributes, byte for byte as the service sent it.
    pub image: Text,
    /// The digest of the image.
    pub digest: u128,
}

/// A destination that takes items once, in order of key, and shows nothing to anybody before it is finished
/// (a new table excepted, which no one reads yet).
#[async_trait]
pub trait Sink: Send {
    /// Takes items.
    ///
    /// # Errors
    /// [`SinkError`]; the sink must then be dropped.
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError>;

    /// Makes the result durable and visible.
    ///
    /// # Errors
    /// [`SinkError`]; nothing half written stays under the destination's name.
    async fn finish(&mut self) -> Result<(), SinkError>;

    /// What stays behind if the sink is dropped now; nothing where the sink removes it.
    fn left_behind(&self) -> Option<LeftBehind> {
        None
    }
}

/// A destination that is made and not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBehind {
    /// What it is, and what it holds.
    pub what: String,
    /// How to go on.
    pub next: String,
}

/// Why a destination did not take the items, by what the caller must do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It is there already: choose another, nothing is overwritten.
    #[error("{place} exists already")]
    Exists {
        /// The file or table.
        place: String,
    },
    /// Another replay is writing it now.
    #[error("another replay is writing {place}")]
    Busy {
        /// The file.
        place: String,
    },
    /// Credentials or permission.
    #[error("no permission for {place}: {reason}")]
    Denied {
        /// The file or table.
        place: String,
        /// What was said.
        reason: String,
    },
    /// It answers, and takes nothing.
    #[error("{place} left {puts} puts unprocessed {tries} times in a row")]
    Stuck {
        /// The table.
        place: String,
        /// Puts that wait.
        puts: usize,
        /// How often they were sent in vain.
        tries: u32,
    },
    /// It cannot be written (disk full, a value that the service refuses, no answer for long).
    #[error("writing {place} failed: {reason}")]
    Failed {
        /// The file or table.
        place: String,
        /// What was said.
        reason: String,
    },
}

/// The form of a file of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// One line `{"Item":{…}}` for each item: DynamoDB JSON, as `ImportTable` takes it.
    Jsonl,
    /// The same, compressed with zstd.
    JsonlZstd,
    /// One row for each item, with the columns of a base segment.
    Parquet,
}

/// A destination as the user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `file:PATH`
    File(PathBuf, FileForm),
    /// `file:PATH/`: parts of `.jsonl.zst`
    Folder(PathBuf),
    /// `dynamodb:TABLE`, a table that does not exist yet.
    Dynamodb(String),
}

/// What a destination may begin with.
pub const SCHEMES: &[&str] = &["file", "dynamodb"];

/// What the path of a file may end with, the longest first.
pub const ENDINGS: &[&str] = &[".jsonl.zst", ".parquet", ".jsonl"];

/// Text that names no destination: a usage error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Nothing says what it is.
    #[error("{0:?} does not say what kind of destination it is")]
    NoScheme(String),
    /// A kind of destination that is not known.
    #[error("{0:?} is no kind of destination")]
    Scheme(String),
    /// A kind of file that is not known.
    #[error("{0:?} has no ending that tells the form of the file")]
    Ending(String),
    /// No name of a table.
    #[error("{0:?} is no name of a table, which has 3 to 255 letters, digits, dots, hyphens and underscores")]
    TableName(String),
}

impl Destination {
    /// Reads a destination.
    ///
    /// # Errors
    /// [`DestinationError`].
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        match text.split_once(':') {
            Some(("file", path)) => match (form(path), path.trim_end_matches('/')) {
                (Some(form), _) => Ok(Self::File(path.into(), form)),
                (None, folder) if folder.len() < path.len() && !folder.is_empty() => Ok(Self::Folder(folder.into())),
                _ => Err(DestinationError::Ending(path.to_owned())),
            },
            Some(("dynamodb", table)) if is_table_name(table) => Ok(Self::Dynamodb(table.to_owned())),
            Some(("dynamodb", table)) => Err(DestinationError::TableName(table.to_owned())),
            Some((scheme, _)) => Err(DestinationError::Scheme(scheme.to_owned())),
            None => Err(DestinationError::NoScheme(text.to_owned())),
        }
    }
}

fn form(path: &str) -> Option<FileForm> {
    let name = path.rsplit('/').next()?;
    let ending = ENDINGS.iter().find(|ending| name.len() > ending.len() && name.ends_with(**ending))?;
    Some(match *ending {
        ".parquet" => FileForm::Parquet,
        ".jsonl" => FileForm::Jsonl,
        _ => FileForm::JsonlZstd,
    })
}

fn is_table_name(name: &str) -> bool {
    (3..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_destinations() {
        let file = |path: &str, form| Ok(Destination::File(path.into(), form));
        assert_eq!(Destination::parse("file:/a/b.jsonl"), file("/a/b.jsonl", FileForm::Jsonl));
        assert_eq!(Destination::parse("file:b.jsonl.zst"), file("b.jsonl.zst", FileForm::JsonlZstd));
        assert_eq!(Destination::parse("file:b.parquet"), file("b.parquet", FileForm::Parquet));
        assert_eq!(Destination::parse("dynamodb:orders-2"), Ok(Destination::Dynamodb("orders-2".into())));
        let wrong = |bad: &str| Destination::parse(bad).unwrap_err();
        for bad in ["b.jsonl", ""] {
            assert_eq!(wrong(bad), DestinationError::NoScheme(bad.into()));
        }
        assert_eq!(Destination::parse("file:a/b/"), Ok(Destination::Folder("a/b".into())));
        for bad in ["b.csv", "/a/.jsonl", "folder", "/", ""] {
            assert_eq!(wrong(&format!("file:{bad}")), DestinationError::Ending(bad.into()));
        }
        for bad in ["x", "a b c"] {
            assert_eq!(wrong(&format!("dynamodb:{bad}")), DestinationError::TableName(bad.into()));
        }
        assert_eq!(wrong("s3://b/c.jsonl"), DestinationError::Scheme("s3".into()));
    }
}
