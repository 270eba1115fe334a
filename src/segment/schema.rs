//! The columns of both kinds of segment, as `schemas/segment.v1.json` and `schemas/base.v1.json` publish them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

/// The format that this code writes, and the only one it reads.
pub const FORMAT: u64 = 1;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// 16 bytes: a hash or a digest, big-endian.
    Fixed16,
    /// UTF-8.
    Utf8,
    /// Microseconds since 1970 UTC.
    Timestamp,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 64 bits.
    I64,
}

impl ColumnType {
    /// The word in the published schema.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fixed16 => "fixed16",
            Self::Utf8 => "string",
            Self::Timestamp => "timestamp_us_utc",
            Self::U32 => "u32",
            Self::I64 => "i64",
        }
    }

    pub(super) fn arrow(self) -> DataType {
        match self {
            Self::Fixed16 => DataType::FixedSizeBinary(16),
            Self::Utf8 => DataType::Utf8,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::U32 => DataType::UInt32,
            Self::I64 => DataType::Int64,
        }
    }
}

/// How a column is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Few distinct values: with a dictionary.
    Repeating,
    /// Plain, with least and greatest value per page, by which readers skip pages.
    Searched,
    /// Plain, without statistics.
    Carried,
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ColumnType,
    /// Whether it may be null.
    pub nullable: bool,
    /// How it is stored.
    pub storage: Storage,
}

const fn column(name: &'static str, kind: ColumnType, nullable: bool, storage: Storage) -> Column {
    Column { name, kind, nullable, storage }
}

/// The columns of change rows. A column's field id is its place here, from 1.
pub const CHANGES: [Column; 18] = [
    column("key_hash", ColumnType::Fixed16, true, Storage::Searched),
    column("pk", ColumnType::Utf8, true, Storage::Searched),
    column("sk", ColumnType::Utf8, true, Storage::Searched),
    column("kind", ColumnType::Utf8, false, Storage::Repeating),
    column("changed_at", ColumnType::Timestamp, false, Storage::Searched),
    column("cut_at", ColumnType::Timestamp, false, Storage::Searched),
    column("epoch", ColumnType::U32, false, Storage::Repeating),
    column("shard_rank", ColumnType::U32, false, Storage::Repeating),
    column("sequence", ColumnType::Utf8, false, Storage::Searched),
    column("shard_id", ColumnType::Utf8, false, Storage::Repeating),
    column("event_id", ColumnType::Utf8, true, Storage::Carried),
    column("size_bytes", ColumnType::I64, true, Storage::Carried),
    column("actor", ColumnType::Utf8, true, Storage::Repeating),
    column("new_image", ColumnType::Utf8, true, Storage::Carried),
    column("old_image", ColumnType::Utf8, true, Storage::Carried),
    column("old_delta", ColumnType::Utf8, true, Storage::Carried),
    column("new_digest", ColumnType::Fixed16, true, Storage::Carried),
    column("old_digest", ColumnType::Fixed16, true, Storage::Carried),
];

/// The columns of base rows, likewise.
pub const BASE: [Column; 5] = [
    column("key_hash", ColumnType::Fixed16, false, Storage::Searched),
    column("pk", ColumnType::Utf8, false, Storage::Searched),
    column("sk", ColumnType::Utf8, true, Storage::Searched),
    column("image", ColumnType::Utf8, false, Storage::Carried),
    column("image_digest", ColumnType::Fixed16, false, Storage::Carried),
];

/// By what change rows are sorted; null comes first.
pub const CHANGES_ORDER: [&str; 6] = ["key_hash", "pk", "sk", "epoch", "shard_rank", "sequence"];

/// By what base rows are sorted.
pub const BASE_ORDER: [&str; 3] = ["key_hash", "pk", "sk"];

/// The Arrow schema of `columns`, with field ids.
#[must_use]
pub fn arrow(columns: &[Column]) -> SchemaRef {
    let field = |(at, column): (usize, &Column)| {
        let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), (at + 1).to_string());
        Field::new(column.name, column.kind.arrow(), column.nullable).with_metadata(HashMap::from([id]))
    };
    Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()))
}
