//! Rows to Arrow columns. This is the one place where the bytes of an image are copied.

use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, StringBuilder};
use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray, UInt32Array};

use crate::change::Text;
use crate::segment::{BaseRow, Row, SegmentError};

/// The columns of change rows, in the schema's order.
pub(super) fn changes(rows: &[Row]) -> Result<Vec<ArrayRef>, SegmentError> {
    Ok(vec![
        fixed(rows, |row| row.key_hash.map(|hash| hash.0))?,
        texts(rows, |row| row.pk.as_ref())?,
        texts(rows, |row| row.sk.as_ref())?,
        strings(rows, |row| Some(row.kind.word()))?,
        timestamps(rows, |row| row.changed_at.0),
        timestamps(rows, |row| row.cut_at.micros().0),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.epoch))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.shard_rank))),
        strings(rows, |row| Some(row.sequence.padded()))?,
        strings(rows, |row| Some(row.shard_id.as_str()))?,
        texts(rows, |row| row.event_id.as_ref())?,
        Arc::new(rows.iter().map(|row| row.size_bytes).collect::<Int64Array>()),
        texts(rows, |row| row.actor.as_ref())?,
        texts(rows, |row| row.new_image.as_ref())?,
        texts(rows, |row| row.old_image.as_ref())?,
        texts(rows, |row| row.old_delta.as_ref())?,
        fixed(rows, |row| row.new_digest.map(u128::to_be_bytes))?,
        fixed(rows, |row| row.old_digest.map(u128::to_be_bytes))?,
    ])
}

/// The columns of base rows, in the schema's order.
pub(super) fn base(rows: &[BaseRow]) -> Result<Vec<ArrayRef>, SegmentError> {
    Ok(vec![
        fixed(rows, |row| Some(row.key_hash.0))?,
        texts(rows, |row| Some(&row.pk))?,
        texts(rows, |row| row.sk.as_ref())?,
        texts(rows, |row| Some(&row.image))?,
        fixed(rows, |row| Some(row.image_digest.to_be_bytes()))?,
    ])
}

fn texts<R>(rows: &[R], get: impl Fn(&R) -> Option<&Text>) -> Result<ArrayRef, SegmentError> {
    strings(rows, |row| get(row).map(Text::as_str))
}

fn strings<'r, R>(rows: &'r [R], get: impl Fn(&'r R) -> Option<&'r str>) -> Result<ArrayRef, SegmentError> {
    let total: usize = rows.iter().filter_map(&get).map(str::len).sum();
    if i32::try_from(total).is_err() {
        return Err(SegmentError::Rows("a column of one segment would pass 2 GiB; flush or cut earlier"));
    }
    let mut builder = StringBuilder::with_capacity(rows.len(), total);
    for row in rows {
        builder.append_option(get(row));
    }
    Ok(Arc::new(builder.finish()))
}

fn fixed<R>(rows: &[R], get: impl Fn(&R) -> Option<[u8; 16]>) -> Result<ArrayRef, SegmentError> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
    for row in rows {
        match get(row) {
            Some(bytes) => builder.append_value(bytes).map_err(|error| SegmentError::Write(error.to_string()))?,
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn timestamps<R>(rows: &[R], get: impl Fn(&R) -> i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(get)).with_timezone("UTC"))
}
