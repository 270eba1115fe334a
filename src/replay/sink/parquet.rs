//! Parquet: one row for each item, with the columns of a base segment.

use std::fs::File;
use std::io;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::Item;
use super::file::Encoder;
use crate::segment::BUILD;

/// A row group is written out when it holds this many bytes, so memory stays bounded.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Rows of items.
pub(super) struct Rows {
    writer: ArrowWriter<File>,
    schema: Arc<Schema>,
}

impl Rows {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("key_hash", DataType::FixedSizeBinary(16), false),
            Field::new("pk", DataType::Utf8, false),
            Field::new("sk", DataType::Utf8, true),
            Field::new("image", DataType::Utf8, false),
            Field::new("image_digest", DataType::FixedSizeBinary(16), false),
        ]));
        let level = ZstdLevel::try_new(1).map_err(io::Error::other)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_dictionary_enabled(false)
            .set_created_by(BUILD.to_owned())
            .build();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(io_error)?;
        Ok(Self { writer, schema })
    }

    fn batch(&self, items: &[Item]) -> Result<RecordBatch, ArrowError> {
        let (mut hashes, mut digests) = (FixedSizeBinaryBuilder::new(16), FixedSizeBinaryBuilder::new(16));
        let (mut pks, mut sks, mut images) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
        for item in items {
            hashes.append_value(item.key_hash.0)?;
            pks.append_value(item.pk.as_str());
            sks.append_option(item.sk.as_ref().map(|sk| sk.as_str()));
            images.append_value(item.image.as_str());
            digests.append_value(item.digest.to_be_bytes())?;
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(hashes.finish()),
            Arc::new(pks.finish()),
            Arc::new(sks.finish()),
            Arc::new(images.finish()),
            Arc::new(digests.finish()),
        ];
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// Keeps the kind of an I/O error that parquet wraps, so that a full disk is told as one.
fn io_error(error: parquet::errors::ParquetError) -> io::Error {
    match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(inner) => io::Error::other(inner),
        },
        error => io::Error::other(error),
    }
}

impl Encoder for Rows {
    fn put(&mut self, items: &[Item]) -> io::Result<()> {
        // An Arrow string column ends at 2 GiB; an item is at most a few hundred KiB.
        for part in items.chunks(2048) {
            let batch = self.batch(part).map_err(io::Error::other)?;
            self.writer.write(&batch).map_err(io_error)?;
            if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
                self.writer.flush().map_err(io_error)?;
            }
        }
        Ok(())
    }

    fn end(self: Box<Self>) -> io::Result<()> {
        self.writer.close().map(|_| ()).map_err(io_error)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::change::{KeyHash, Text};
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    pub(crate) fn read(path: &std::path::Path) -> Vec<Item> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
        let mut items = Vec::new();
        for batch in reader {
            let batch = batch.unwrap();
            let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
            let fixed = |name: &str, row: usize| -> [u8; 16] {
                batch.column_by_name(name).unwrap().as_fixed_size_binary().value(row).try_into().unwrap()
            };
            let (pk, sk, image) = (text("pk"), text("sk"), text("image"));
            items.extend((0..batch.num_rows()).map(|row| Item {
                key_hash: KeyHash(fixed("key_hash", row)),
                pk: Text::from(pk.value(row)),
                sk: sk.is_valid(row).then(|| Text::from(sk.value(row))),
                image: Text::from(image.value(row)),
                digest: u128::from_be_bytes(fixed("image_digest", row)),
            }));
        }
        items
    }
}
