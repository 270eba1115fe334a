//! The files of an export: read in parts, unpacked as they come, compared with their hashes and counts.

use std::io::{self, Write as _};

use bytes::{Buf as _, Bytes};
use flate2::write::MultiGzDecoder;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::ExportError;
use super::contents::DataFile;
use crate::base::BaseError;
use crate::base::gather::Items;
use crate::change::{Second, Text};
use crate::platform::patience::Patience;
use crate::platform::tasks;
use crate::store::{ObjectStore, StoreError};

/// Files that are read side by side.
const SIDE_BY_SIDE: usize = 4;
/// Compressed bytes that are asked for at once.
const PART: u64 = 1 << 20;
/// Bytes of lines that are handed on together.
const BATCH: usize = 1 << 20;
/// No item takes so many bytes as JSON: the service counts 400 KiB at most.
const LONGEST: usize = 16 << 20;

/// Reads all files into `items`, told as of `at`. A closed channel ends it early without an error.
pub(in crate::base) async fn read(
    bucket: &dyn ObjectStore,
    files: Vec<DataFile>,
    at: Second,
    patience: &Patience,
    items: mpsc::Sender<Items>,
) -> Result<(), BaseError> {
    stream::iter(files)
        .map(|file| one(bucket, file, at, patience.clone(), items.clone()))
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect::<()>()
        .await
}

async fn one(
    bucket: &dyn ObjectStore,
    file: DataFile,
    at: Second,
    mut patience: Patience,
    items: mpsc::Sender<Items>,
) -> Result<(), BaseError> {
    let (mut reading, mut from) = (Reading::default(), 0);
    loop {
        let part = match bucket.get_range(&file.key, from, PART).await {
            Ok(part) => part,
            // It is complete: what is not there does not come.
            Err(StoreError::Absent { path }) => return Err(ExportError::unfit(&path, "it is not there").into()),
            Err(error) => {
                patience.bear("reading the export", error).await?;
                continue;
            }
        };
        patience.renew();
        from += part.len() as u64;
        reading.last = (part.len() as u64) < PART;
        reading.feed(part);
        while !reading.is_empty() {
            let next = tasks::computed(move || reading.next().map(|batch| (reading, batch))).await?;
            let (rest, batch) = next.map_err(|reason| ExportError::unfit(&file.key, reason))?;
            reading = rest;
            if !batch.is_empty() && items.send(Items { items: batch, at }).await.is_err() {
                return Ok(());
            }
        }
        if reading.last {
            return Ok(reading.finish(&file)?);
        }
    }
}

/// A file, as far as it was read.
#[derive(Debug)]
struct Reading {
    md5: Md5,
    /// What was unpacked and not yet handed on.
    unpacked: MultiGzDecoder<Vec<u8>>,
    /// What came and was not yet unpacked.
    input: Bytes,
    /// Nothing comes behind it.
    last: bool,
    /// The last line was handed on.
    ended: bool,
    /// Items so far.
    items: u64,
}

impl Default for Reading {
    fn default() -> Self {
        let unpacked = MultiGzDecoder::new(Vec::new());
        Self { md5: Md5::new(), unpacked, input: Bytes::new(), last: false, ended: false, items: 0 }
    }
}

impl Reading {
    fn feed(&mut self, part: Bytes) {
        self.md5.update(&part);
        self.input = part;
    }

    /// Whether nothing more can be had of what came.
    const fn is_empty(&self) -> bool {
        self.input.is_empty() && (self.ended || !self.last)
    }

    /// The next items; a file that unpacks to a thousand times its size is handed on as piecemeal as any.
    fn next(&mut self) -> Result<Vec<Text>, String> {
        self.unpack().map_err(|error| format!("it cannot be unpacked: {error}"))?;
        let bytes = self.unpacked.get_mut();
        let whole =
            if self.ended { bytes.len() } else { bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        if whole == 0 && bytes.len() > LONGEST {
            return Err(format!("a line of more than {LONGEST} bytes"));
        }
        let rest = bytes.split_off(whole);
        let lines = Bytes::from(std::mem::replace(bytes, rest));
        let items = items(&lines)?;
        self.items += items.len() as u64;
        Ok(items)
    }

    fn unpack(&mut self) -> io::Result<()> {
        while !self.input.is_empty() && self.unpacked.get_ref().len() < BATCH {
            let taken = self.unpacked.write(&self.input)?;
            self.input.advance(taken);
        }
        if self.last && self.input.is_empty() && !self.ended {
            self.unpacked.try_finish()?;
            self.ended = true;
        }
        Ok(())
    }

    /// Judges the whole file.
    fn finish(self, file: &DataFile) -> Result<(), ExportError> {
        if <[u8; 16]>::from(self.md5.finalize()) != file.md5 {
            return Err(ExportError::unfit(&file.key, "its MD5 is not what the manifest says"));
        }
        if self.items != file.items {
            let reason = format!("it holds {} items, and the manifest says {}", self.items, file.items);
            return Err(ExportError::unfit(&file.key, reason));
        }
        Ok(())
    }
}

/// The images in these lines, byte for byte.
fn items(lines: &Bytes) -> Result<Vec<Text>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line<'a> {
        #[serde(borrow, rename = "Item")]
        item: &'a RawValue,
    }
    let text = Text::whole(lines.clone()).ok_or("it is not UTF-8")?;
    let lines = text.as_str().lines().filter(|line| !line.is_empty());
    let item = |line: &str| match serde_json::from_str::<Line<'_>>(line) {
        Ok(line) => Ok(text.slice_ref(line.item.get())),
        Err(error) => Err(format!("a line is no item: {error}")),
    };
    lines.map(item).collect()
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    }

    fn lines(count: usize) -> String {
        (0..count)
            .map(|n| format!("{{\"Item\":{{\"id\":{{\"N\":\"{n}\"}} , \"s\":{{\"S\":\"\\u00e9\"}}}}}}\n"))
            .collect()
    }

    /// Reads a file that comes in parts of so many bytes, and counts its batches.
    fn read(bytes: &[u8], part: usize, file: &DataFile) -> Result<(Vec<Text>, usize), String> {
        let (mut reading, mut found, mut batches) = (Reading::default(), Vec::new(), 0);
        let parts: Vec<&[u8]> = bytes.chunks(part).chain([&b""[..]]).collect();
        for (n, part) in parts.iter().enumerate() {
            reading.last = n + 1 == parts.len();
            reading.feed(Bytes::copy_from_slice(part));
            while !reading.is_empty() {
                let batch = reading.next()?;
                assert!(reading.unpacked.get_ref().len() < BATCH + LONGEST);
                batches += usize::from(!batch.is_empty());
                found.extend(batch);
            }
        }
        reading.finish(file).map(|()| (found, batches)).map_err(|error| error.to_string())
    }

    fn file(bytes: &[u8], items: u64) -> DataFile {
        DataFile { key: "k".to_owned(), items, md5: Md5::digest(bytes).into() }
    }

    #[test]
    fn items_come_byte_for_byte_however_the_file_is_cut() {
        let bytes = packed(&lines(50));
        for part in [1, 7, 64, bytes.len(), 1 << 20] {
            let (found, _) = read(&bytes, part, &file(&bytes, 50)).unwrap();
            assert_eq!(found.len(), 50);
            assert_eq!(found[49].as_str(), r#"{"id":{"N":"49"} , "s":{"S":"\u00e9"}}"#);
        }
        // Several members, a last line without its end, and nothing at all.
        let joined = [packed(&lines(3)), packed(lines(2).trim_end())].concat();
        assert_eq!(read(&joined, 10, &file(&joined, 5)).unwrap().0.len(), 5);
        let none = packed("");
        assert_eq!(read(&none, 10, &file(&none, 0)).unwrap().0, []);
    }

    #[test]
    fn a_file_that_unpacks_to_much_is_handed_on_piecemeal() {
        let text = format!("{{\"Item\":{{\"id\":{{\"S\":\"{}\"}}}}}}\n", "x".repeat(1000)).repeat(20_000);
        let bytes = packed(&text);
        let (found, batches) = read(&bytes, 1 << 20, &file(&bytes, 20_000)).unwrap();
        assert_eq!(found.len(), 20_000);
        assert!(batches >= text.len() / (BATCH * 2), "{batches} batches of {} bytes", text.len());
    }

    #[test]
    fn what_is_not_as_the_manifest_says_is_told() {
        let bytes = packed(&lines(5));
        for (changed, count, why) in [
            (bytes.clone(), 6, "holds 5 items"),
            ([&bytes[..], &packed(&lines(1))].concat(), 6, "MD5"),
            (bytes[..bytes.len() - 1].to_vec(), 5, "unpacked"),
            (b"{\"Item\":{}}\n".to_vec(), 1, "unpacked"),
            (packed("{\"Keys\":{},\"NewImage\":{}}\n"), 1, "no item"),
            (packed("{\"Item\":{}"), 1, "no item"),
        ] {
            let expected = if why == "MD5" { file(&bytes, count) } else { file(&changed, count) };
            let told = read(&changed, 100, &expected).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
