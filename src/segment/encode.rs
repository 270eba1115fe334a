//! Rows to Parquet. The same rows give the same bytes, in whatever order they come.

mod columns;

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sha2::{Digest as _, Sha256};

use super::schema::{self, Column, Storage};
use super::{BaseRow, Facts, Footer, Row, SegmentError, SegmentMeta, Tier, digest};
use crate::change::{KeyHash, Second, Stamped};

/// Bytes of a page before compression: small enough to skip, large enough to compress.
const PAGE_BYTES: usize = 64 * 1024;

/// zstd's level where speed counts: in segments as captured, and in bases.
const FAST: i32 = 1;

/// A finished segment, and what an entry says about it.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The object.
    pub bytes: Bytes,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Rows.
    pub rows: u64,
    /// Order-free digest of the rows.
    pub row_digest: u128,
    /// UTC day of every row's `cut_at`; of a base's start.
    pub dt: String,
    /// Least and greatest `cut_at`; `None` in a base.
    pub cut_at: Option<(Second, Second)>,
    /// Least and greatest `key_hash`; `None` if no row has one.
    pub key_hash: Option<(KeyHash, KeyHash)>,
    /// RFC 6962 root of the rows; in a base.
    pub rows_root: Option<[u8; 32]>,
}

impl Encoded {
    /// As an entry names it.
    #[must_use]
    pub fn meta(&self, path: String, version_id: Option<String>, tier: Tier, bucket: Option<u16>) -> SegmentMeta {
        SegmentMeta {
            path,
            version_id,
            bytes: self.bytes.len() as u64,
            sha256: hex::encode(self.sha256),
            rows: self.rows,
            row_digest: format!("{:032x}", self.row_digest),
            tier,
            dt: self.dt.clone(),
            bucket,
            min_cut_at: self.cut_at.map(|(least, _)| least),
            max_cut_at: self.cut_at.map(|(_, greatest)| greatest),
            min_key_hash: self.key_hash.map(|(least, _)| hex::encode(least.0)),
            max_key_hash: self.key_hash.map(|(_, greatest)| hex::encode(greatest.0)),
            rows_root: self.rows_root.map(hex::encode),
        }
    }
}

/// Encodes captured changes: one raw segment per UTC day of `cut_at`, oldest day first. No rows, no segment.
///
/// # Errors
/// [`SegmentError::Rows`] and [`SegmentError::Image`] for changes that [`Change::with_digests`] has not
/// passed; [`SegmentError::Write`].
///
/// [`Change::with_digests`]: crate::change::Change::with_digests
pub fn changes(rows: Vec<Stamped>, facts: &Facts) -> Result<Vec<Encoded>, SegmentError> {
    let mut days: BTreeMap<Second, Vec<Row>> = BTreeMap::new();
    for stamped in rows {
        let day = stamped.cut_at.day_start();
        days.entry(day).or_default().push(Row::from_stamped(stamped)?);
    }
    days.into_iter().map(|(day, rows)| of_day(Tier::Raw, day, rows, facts, Layout::RAW)).collect()
}

/// How a segment of changes is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Buckets: 2^bits.
    pub bits: u8,
    /// zstd's level.
    pub level: i32,
}

impl Layout {
    /// Of segments as captured.
    pub const RAW: Self = Self { bits: 0, level: FAST };
}

/// The segment of one day's changes in this tier (of one bucket, where there are several); rows of a sealed one may
/// leave out old images.
///
/// # Errors
/// [`SegmentError::Write`].
pub fn of_day(
    tier: Tier,
    day: Second,
    mut rows: Vec<Row>,
    facts: &Facts,
    layout: Layout,
) -> Result<Encoded, SegmentError> {
    rows.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    let epochs: BTreeSet<u32> = rows.iter().map(|row| row.epoch).collect();
    let (epochs, dt, bucket_bits) = (epochs.into_iter().collect(), day.day(), layout.bits);
    let footer = Footer { facts: facts.clone(), epochs, tier, dt, bucket_bits };
    let columns = columns::changes(&rows)?;
    let bytes = write(&schema::CHANGES, &schema::CHANGES_ORDER, columns, &footer, layout.level)?;
    let cuts = || rows.iter().map(|row| row.cut_at);
    let mut hashes = rows.iter().filter_map(|row| row.key_hash);
    let least = hashes.next();
    Ok(Encoded {
        sha256: Sha256::digest(&bytes).into(),
        bytes,
        rows: rows.len() as u64,
        row_digest: digest::changes(&rows),
        dt: footer.dt,
        cut_at: cuts().min().zip(cuts().max()),
        key_hash: least.map(|least| (least, hashes.next_back().unwrap_or(least))),
        rows_root: tier.is_sealed().then(|| digest::changes_root(&rows)),
    })
}

/// Encodes items of one bucket of a base begun at `started` with 2^`bits` buckets.
///
/// # Errors
/// [`SegmentError::Rows`] if a key stands twice; [`SegmentError::Write`].
pub fn base(mut rows: Vec<BaseRow>, facts: &Facts, started: Second, bits: u8) -> Result<Encoded, SegmentError> {
    rows.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    if rows.windows(2).any(|pair| pair[0].order() == pair[1].order()) {
        return Err(SegmentError::Rows("a base holds one key twice"));
    }
    let footer =
        Footer { facts: facts.clone(), epochs: Vec::new(), tier: Tier::Base, dt: started.day(), bucket_bits: bits };
    let bytes = write(&schema::BASE, &schema::BASE_ORDER, columns::base(&rows)?, &footer, FAST)?;
    Ok(Encoded {
        sha256: Sha256::digest(&bytes).into(),
        bytes,
        rows: rows.len() as u64,
        row_digest: digest::base(&rows),
        dt: footer.dt,
        cut_at: None,
        key_hash: rows.first().zip(rows.last()).map(|(least, greatest)| (least.key_hash, greatest.key_hash)),
        rows_root: Some(digest::base_root(&rows)),
    })
}

fn write(
    columns: &[Column],
    order: &[&str],
    arrays: Vec<ArrayRef>,
    footer: &Footer,
    level: i32,
) -> Result<Bytes, SegmentError> {
    let failed = |error: &dyn std::fmt::Display| SegmentError::Write(error.to_string());
    let schema = schema::arrow(columns);
    let batch = RecordBatch::try_new(SchemaRef::clone(&schema), arrays).map_err(|error| failed(&error))?;
    // Readers rebuild the schema from Parquet's own types, so Arrow's copy of it would be dead weight.
    let options = ArrowWriterOptions::new()
        .with_properties(properties(columns, order, footer, level)?)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(|error| failed(&error))?;
    writer.write(&batch).map_err(|error| failed(&error))?;
    Ok(Bytes::from(writer.into_inner().map_err(|error| failed(&error))?))
}

fn properties(
    columns: &[Column],
    order: &[&str],
    footer: &Footer,
    level: i32,
) -> Result<WriterProperties, SegmentError> {
    let level = ZstdLevel::try_new(level).map_err(|error| SegmentError::Write(error.to_string()))?;
    let place = |name: &&str| columns.iter().position(|column| column.name == *name);
    let sorting = order.iter().filter_map(place).filter_map(|at| i32::try_from(at).ok());
    let sorting = sorting.map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: true });
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_enabled(false)
        .set_sorting_columns(Some(sorting.collect()))
        .set_key_value_metadata(Some(footer.key_values()?));
    for column in columns {
        let path = ColumnPath::from(column.name);
        builder = match column.storage {
            Storage::Repeating => builder.set_column_dictionary_enabled(path, true),
            Storage::Carried => builder.set_column_statistics_enabled(path, EnabledStatistics::None),
            Storage::Searched => builder,
        };
    }
    Ok(builder.build())
}
