//! Parquet to rows. Columns count by name and type only: a file may hold further ones, in any order, which a later
//! writer knows. What those of format 1 hold must be what this code would have written. The texts of a row share the
//! decoded column's bytes.
//!
//! These functions trust the bytes: [`open_checked`](super::open_checked) first proves that they are the
//! committed ones.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType, UInt32Type};
use arrow_array::{Array as _, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::ChunkReader;

use super::schema::{self, Column};
use super::{BaseRow, Footer, Row, SegmentError, Tier};
use crate::change::{ChangeKind, KeyHash, Micros, Second, Sequence, ShardId, Text};

/// The rows of a raw or sealed segment, in stored order.
///
/// # Errors
/// [`SegmentError::Newer`]; [`SegmentError::Damaged`] for what is no such segment.
pub fn changes(bytes: Bytes) -> Result<Vec<Row>, SegmentError> {
    Ok(read_changes(bytes)?.1)
}

/// The rows of a base segment, in stored order.
///
/// # Errors
/// As [`changes`].
pub fn base(bytes: Bytes) -> Result<Vec<BaseRow>, SegmentError> {
    Ok(read_base(bytes)?.1)
}

pub(super) fn read_changes(bytes: Bytes) -> Result<(Footer, Vec<Row>), SegmentError> {
    let (footer, batches) = read(bytes, &schema::CHANGES)?;
    if footer.tier == Tier::Base {
        return Err(damaged("its footer says that it is a base"));
    }
    let mut rows = Vec::new();
    for batch in &batches {
        changes_of(batch, &footer, &mut rows)?;
    }
    if !rows.is_sorted_by(|a, b| a.order() <= b.order()) {
        return Err(damaged("its rows are out of order"));
    }
    Ok((footer, rows))
}

pub(super) fn read_base(bytes: Bytes) -> Result<(Footer, Vec<BaseRow>), SegmentError> {
    let (footer, batches) = read(bytes, &schema::BASE)?;
    if footer.tier != Tier::Base {
        return Err(damaged("its footer says that it is no base"));
    }
    let mut rows = Vec::new();
    for batch in &batches {
        base_of(batch, &mut rows)?;
    }
    if !rows.is_sorted_by(|a, b| a.order() < b.order()) {
        return Err(damaged("its rows are out of order, or a key stands twice"));
    }
    Ok((footer, rows))
}

pub(super) fn damaged(why: impl Into<String>) -> SegmentError {
    SegmentError::Damaged(why.into())
}

/// What a segment says of itself at its end, with its page index or without.
pub(super) fn metadata(bytes: &impl ChunkReader, index: PageIndexPolicy) -> Result<ArrowReaderMetadata, SegmentError> {
    // Types are Parquet's own: another writer may have added Arrow's view of them, or not.
    let options = ArrowReaderOptions::new().with_page_index_policy(index).with_skip_arrow_metadata(true);
    ArrowReaderMetadata::load(bytes, options).map_err(|error| damaged(error.to_string()))
}

/// The footer, and a reader of the segment with the places of `columns` in it, whatever else the file holds.
pub(super) fn begin<R: ChunkReader + 'static>(
    bytes: R,
    metadata: ArrowReaderMetadata,
    columns: &[Column],
) -> Result<(Footer, ParquetRecordBatchReaderBuilder<R>, Vec<usize>), SegmentError> {
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
    let metadata = builder.metadata().file_metadata();
    let footer = Footer::read(metadata.key_value_metadata().map_or(&[], |pairs| pairs.as_slice()))?;
    let places = columns.iter().map(|column| place(builder.schema(), column)).collect::<Result<_, _>>()?;
    Ok((footer, builder, places))
}

/// The footer, and `columns` in their order.
fn read(bytes: Bytes, columns: &[Column]) -> Result<(Footer, Vec<RecordBatch>), SegmentError> {
    let metadata = metadata(&bytes, PageIndexPolicy::Skip)?;
    let (footer, builder, places) = begin(bytes, metadata, columns)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    let reader = builder.with_projection(mask).build().map_err(|error| damaged(error.to_string()))?;
    let in_order =
        |batch: Result<RecordBatch, ArrowError>| in_order(&batch.map_err(|error| damaged(error.to_string()))?, columns);
    Ok((footer, reader.map(in_order).collect::<Result<_, _>>()?))
}

/// Where the file has this column.
fn place(schema: &Schema, column: &Column) -> Result<usize, SegmentError> {
    let named = |field: &&Arc<Field>| field.name() == column.name;
    if schema.fields().iter().filter(named).count() > 1 {
        return Err(damaged(format!("it has the column {} twice", column.name)));
    }
    let (at, field) =
        schema.column_with_name(column.name).ok_or_else(|| damaged(format!("it has no column {}", column.name)))?;
    if *field.data_type() == column.kind.arrow() {
        return Ok(at);
    }
    Err(damaged(format!("its column {} is {}, not {}", column.name, field.data_type(), column.kind.word())))
}

/// The batch with its columns in the order of `columns`; refuses nulls where format 1 has none.
pub(super) fn in_order(batch: &RecordBatch, columns: &[Column]) -> Result<RecordBatch, SegmentError> {
    let mut order = Vec::new();
    for column in columns {
        let at = batch.schema_ref().index_of(column.name).map_err(|error| damaged(error.to_string()))?;
        if !column.nullable && batch.column(at).null_count() > 0 {
            return Err(damaged(format!("its column {} holds a null", column.name)));
        }
        order.push(at);
    }
    batch.project(&order).map_err(|error| damaged(error.to_string()))
}

/// A string column whose texts can be shared.
struct Texts<'a> {
    array: &'a StringArray,
    bytes: Bytes,
}

/// Lets texts keep a column's buffer alive.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> Texts<'a> {
    fn of(batch: &'a RecordBatch, at: usize) -> Self {
        let array = batch.column(at).as_string::<i32>();
        Self { array, bytes: Bytes::from_owner(Shared(array.values().clone())) }
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        (!self.array.is_null(row)).then(|| self.array.value(row))
    }

    fn text(&self, row: usize) -> Option<Text> {
        // An empty slice need not lie within the buffer.
        self.get(row).map(|text| if text.is_empty() { Text::default() } else { Text::slice_of(&self.bytes, text) })
    }

    fn needed(&self, row: usize) -> Result<Text, SegmentError> {
        self.text(row).ok_or_else(|| damaged("a column that is never null is null"))
    }
}

pub(super) fn fixed(array: &FixedSizeBinaryArray, row: usize) -> Option<[u8; 16]> {
    if array.is_null(row) { None } else { array.value(row).try_into().ok() }
}

pub(super) fn changes_of(batch: &RecordBatch, footer: &Footer, out: &mut Vec<Row>) -> Result<(), SegmentError> {
    // Columns by their place in `schema::CHANGES`, as `in_order` gives them.
    let texts = |at: usize| Texts::of(batch, at);
    let (pk, sk, kind, sequence, shard_id) = (texts(1), texts(2), texts(3), texts(8), texts(9));
    let (event_id, actor, new_image, old_image, old_delta) = (texts(10), texts(12), texts(13), texts(14), texts(15));
    let key_hash = batch.column(0).as_fixed_size_binary();
    let changed_at = batch.column(4).as_primitive::<TimestampMicrosecondType>();
    let cut_at = batch.column(5).as_primitive::<TimestampMicrosecondType>();
    let (epoch, rank) = (batch.column(6).as_primitive::<UInt32Type>(), batch.column(7).as_primitive::<UInt32Type>());
    let size_bytes = batch.column(11).as_primitive::<Int64Type>();
    let new_digest = batch.column(16).as_fixed_size_binary();
    let old_digest = batch.column(17).as_fixed_size_binary();
    let mut shards: HashMap<&str, ShardId> = HashMap::new();
    let day = Day::of(footer)?;
    for at in 0..batch.num_rows() {
        let cut = Micros(cut_at.value(at));
        let shard = shard_id.get(at).unwrap_or_default();
        let row = Row {
            key_hash: fixed(key_hash, at).map(KeyHash),
            pk: pk.text(at),
            sk: sk.text(at),
            kind: kind.get(at).and_then(ChangeKind::from_word).ok_or_else(|| damaged("a row has an unknown kind"))?,
            changed_at: Micros(changed_at.value(at)),
            cut_at: day.stored_cut(cut)?,
            epoch: epoch.value(at),
            shard_rank: rank.value(at),
            sequence: stored_sequence(sequence.get(at).unwrap_or_default())?,
            shard_id: shards.entry(shard).or_insert_with(|| ShardId::new(shard)).clone(),
            event_id: event_id.text(at),
            size_bytes: (!size_bytes.is_null(at)).then(|| size_bytes.value(at)),
            actor: actor.text(at),
            new_image: new_image.text(at),
            old_image: old_image.text(at),
            old_delta: old_delta.text(at),
            new_digest: fixed(new_digest, at).map(u128::from_be_bytes),
            old_digest: fixed(old_digest, at).map(u128::from_be_bytes),
        };
        row.check(footer.tier).map_err(|why| damaged(format!("row {at}: {why}")))?;
        out.push(row);
    }
    Ok(())
}

/// The seconds of a segment's day, for the many rows that have to lie in it.
#[derive(Debug, Clone)]
pub(super) struct Day<'a> {
    dt: &'a str,
    seconds: Range<i64>,
}

impl<'a> Day<'a> {
    pub(super) fn of(footer: &'a Footer) -> Result<Self, SegmentError> {
        let begin = Second::parse(&format!("{}T00:00:00Z", footer.dt));
        let begin = begin.ok_or_else(|| damaged(format!("{:?} is no day", footer.dt)))?;
        Ok(Self { dt: &footer.dt, seconds: begin.0..begin.plus(86_400).0 })
    }

    pub(super) fn stored_cut(&self, cut: Micros) -> Result<Second, SegmentError> {
        let second = cut.second();
        if second.micros() == cut && self.seconds.contains(&second.0) {
            return Ok(second);
        }
        Err(damaged(format!("a cut_at is no whole second of the day {}", self.dt)))
    }
}

pub(super) fn stored_sequence(text: &str) -> Result<Sequence, SegmentError> {
    Sequence::of_digits(text.as_bytes()).ok_or_else(|| damaged("a sequence number has not 40 digits"))
}

pub(super) fn base_of(batch: &RecordBatch, out: &mut Vec<BaseRow>) -> Result<(), SegmentError> {
    let (pk, sk, image) = (Texts::of(batch, 1), Texts::of(batch, 2), Texts::of(batch, 3));
    let (key_hash, digest) = (batch.column(0).as_fixed_size_binary(), batch.column(4).as_fixed_size_binary());
    let needed = |value: Option<[u8; 16]>| value.ok_or_else(|| damaged("a column that is never null is null"));
    for at in 0..batch.num_rows() {
        out.push(BaseRow {
            key_hash: KeyHash(needed(fixed(key_hash, at))?),
            pk: pk.needed(at)?,
            sk: sk.text(at),
            image: image.needed(at)?,
            image_digest: u128::from_be_bytes(needed(fixed(digest, at))?),
        });
    }
    Ok(())
}
