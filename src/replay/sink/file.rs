//! Items into a file: encoded off the reactor, published when whole.

use std::io;
use std::path::Path;

use async_trait::async_trait;

use super::partial::{Partial, failure};
use super::{FileForm, Item, Sink, SinkError, jsonl, note, parquet};
use crate::platform::tasks;

/// Turns items into the bytes of a file.
pub(super) trait Encoder: Send {
    /// Appends items.
    fn put(&mut self, items: &[Item]) -> io::Result<()>;
    /// Writes what is still held back.
    fn end(self: Box<Self>) -> io::Result<()>;
}

/// A file of items.
pub struct FileSink {
    // In this order: the encoder's handle closes before the file is removed.
    encoder: Option<Box<dyn Encoder>>,
    partial: Option<Partial>,
    /// Why it is not exact.
    note: Option<String>,
}

impl FileSink {
    /// Begins the file; `note` says why it is not exact.
    ///
    /// # Errors
    /// [`SinkError::Exists`] and the others as named.
    pub fn create(destination: &Path, form: FileForm, note: Option<String>) -> Result<Self, SinkError> {
        let partial = Partial::open(destination)?;
        let encoder = partial.writer().and_then(|file| -> io::Result<Box<dyn Encoder>> {
            Ok(match form {
                FileForm::Jsonl => Box::new(jsonl::Lines::plain(file)),
                FileForm::JsonlZstd => Box::new(jsonl::Lines::zstd(file)?),
                FileForm::Parquet => Box::new(parquet::Rows::new(file)?),
            })
        });
        let encoder = encoder.map_err(|error| failure(destination, &error))?;
        Ok(Self { encoder: Some(encoder), partial: Some(partial), note })
    }

    fn failed(&self, error: &io::Error) -> SinkError {
        self.partial.as_ref().map_or_else(ended, |partial| failure(partial.destination(), error))
    }
}

fn ended() -> SinkError {
    SinkError::Failed { place: String::new(), reason: "the file was ended before".to_owned() }
}

#[async_trait]
impl Sink for FileSink {
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        let mut encoder = self.encoder.take().ok_or_else(ended)?;
        let work = tasks::compute(move || encoder.put(&items).map(|()| encoder));
        let encoder = work.await.map_err(io::Error::other).and_then(|done| done);
        self.encoder = Some(encoder.map_err(|error| self.failed(&error))?);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        let encoder = self.encoder.take().ok_or_else(ended)?;
        let done = tasks::compute(move || encoder.end()).await.map_err(io::Error::other).and_then(|done| done);
        done.map_err(|error| self.failed(&error))?;
        let partial = self.partial.take().ok_or_else(ended)?;
        let note = self.note.take();
        let destination = partial.destination().to_owned();
        tasks::wait(move || note::publish(&destination, note.as_deref(), || partial.publish()))
            .await
            .map_err(|error| SinkError::Failed { place: String::new(), reason: error.to_string() })?
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::change::{KeyHash, Text};

    pub(crate) fn item(n: u128) -> Item {
        Item {
            key_hash: KeyHash(n.to_be_bytes()),
            pk: Text::from(n.to_string()),
            sk: n.is_multiple_of(2).then(|| Text::from("s\u{0}\"é")),
            image: Text::from(format!(
                "{{\"id\":{{\"N\":\"{n}\"}},\"n\":{{\"N\":\"1.50\"}} ,\"s\":{{\"S\":\"\\u00e9\\n\"}}}}"
            )),
            digest: n * 7,
        }
    }

    async fn write(path: &Path, form: FileForm) -> Result<(), SinkError> {
        let mut sink = FileSink::create(path, form, None)?;
        sink.put((0..700).map(item).collect()).await?;
        sink.put((700..1000).map(item).collect()).await?;
        sink.finish().await
    }

    pub(crate) fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            folder.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn lines_hold_images_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a.jsonl"), FileForm::Jsonl).await.unwrap();
        write(&folder.path().join("a.jsonl.zst"), FileForm::JsonlZstd).await.unwrap();
        let plain = std::fs::read_to_string(folder.path().join("a.jsonl")).unwrap();
        let packed = std::fs::read(folder.path().join("a.jsonl.zst")).unwrap();
        assert_eq!(zstd::decode_all(&packed[..]).unwrap(), plain.as_bytes());
        let expected: String = (0..1000).map(|n| format!("{{\"Item\":{}}}\n", item(n).image.as_str())).collect();
        assert_eq!(plain, expected);
        assert_eq!(names(folder.path()), ["a.jsonl", "a.jsonl.zst"]);
    }

    #[tokio::test]
    async fn rows_hold_items_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        write(&path, FileForm::Parquet).await.unwrap();
        let read = parquet::tests::read(&path);
        assert_eq!(read, (0..1000).map(item).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_exists_stays_and_what_a_kill_left_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(folder.path().join(".a.jsonl.partial"), "x".repeat(1 << 20)).unwrap();
        write(&path, FileForm::Jsonl).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert!(!whole.contains(&b'x'));
        assert!(matches!(write(&path, FileForm::Jsonl).await, Err(SinkError::Exists { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        assert_eq!(names(folder.path()), ["a.jsonl"]);
    }

    #[tokio::test]
    async fn two_runs_never_write_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let first = FileSink::create(&path, FileForm::Jsonl, None).unwrap();
        assert!(matches!(FileSink::create(&path, FileForm::Jsonl, None), Err(SinkError::Busy { .. })));
        drop(first);
        assert_eq!(names(folder.path()), [""; 0]);
        let mut late = FileSink::create(&path, FileForm::Jsonl, None).unwrap();
        std::fs::write(&path, "someone else's").unwrap();
        assert!(matches!(late.finish().await, Err(SinkError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "someone else's");
    }

    /// A disk that is full after some bytes.
    struct Full(usize);
    impl Encoder for Full {
        fn put(&mut self, items: &[Item]) -> io::Result<()> {
            self.0 = self.0.checked_sub(items.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(())
        }
        fn end(self: Box<Self>) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[tokio::test]
    async fn a_full_disk_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        for room in [5, 50] {
            let mut sink = FileSink::create(&path, FileForm::Jsonl, None).unwrap();
            sink.encoder = Some(Box::new(Full(room)));
            let put = sink.put((0..10).map(item).collect()).await;
            let done = if put.is_ok() { sink.finish().await } else { put };
            assert!(matches!(done, Err(SinkError::Failed { .. })));
            drop(sink);
            assert_eq!(names(folder.path()), [""; 0]);
        }
    }
}
