//! Parts of a segment: a few columns of all rows, or all columns of a few rows. What is left out is not
//! decompressed.
//!
//! Like [`decode`], these functions trust the bytes: [`check_bytes`](super::check_bytes) proves them first. Since
//! they do not see every row whole, they cannot check the segment's digest of rows; the SHA-256 stands for it.
//! They hold one page of each column that they read, and one batch.

pub mod moments;

use std::ops::{ControlFlow, Range};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{TimestampMicrosecondType, UInt32Type};
use arrow_array::{Array as _, RecordBatch, StringArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{RowSelection, RowSelectionPolicy, RowSelector};

use super::decode::{self, Day, damaged, fixed};
use super::parts::Parts;
use super::schema::{self, Column};
use super::{Footer, Row, SegmentError, SegmentMeta, Tier};
use crate::change::{ChangeKind, KeyHash, Micros, Second, Sequence, ShardId};

/// Rows that are unpacked at once where images are among the columns: an image may have a few MiB.
const WIDE_ROWS: usize = 64;
/// The same where they are not.
const NARROW_ROWS: usize = 1024;

/// The columns that say where a change stands, in table order.
const POSITION: [&str; 9] = ["key_hash", "pk", "sk", "kind", "cut_at", "epoch", "shard_rank", "sequence", "shard_id"];

/// Where a change stands, without its images.
#[derive(Debug)]
pub struct Position<'a> {
    /// The row's number in the segment.
    pub row: usize,
    /// The key's hash; `None` for an `UNKNOWN` whose key cannot be read.
    pub key_hash: Option<KeyHash>,
    /// The partition key's text; `None` likewise.
    pub pk: Option<&'a str>,
    /// The sort key's text.
    pub sk: Option<&'a str>,
    /// What happened.
    pub kind: ChangeKind,
    /// The archive's second for this change.
    pub cut_at: Second,
    /// The stream.
    pub epoch: u32,
    /// Depth in the lineage.
    pub shard_rank: u32,
    /// Its place in its shard.
    pub sequence: Sequence,
    /// The shard.
    pub shard_id: &'a ShardId,
    /// `eventID`, if it was asked for.
    pub event_id: Option<&'a str>,
    /// The digest of the image after the change, if it was asked for.
    pub new_digest: Option<u128>,
    /// The digest of the image before it, likewise.
    pub old_digest: Option<u128>,
}

/// What is asked for beside the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// No more.
    Nothing,
    /// `eventID`.
    EventId,
    /// The digest of the image after the change.
    NewDigest,
    /// Those of both images.
    Digests,
}

impl Beside {
    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::EventId => &["event_id"],
            Self::NewDigest => &["new_digest"],
            Self::Digests => &["new_digest", "old_digest"],
        }
    }
}

/// An item of a base, without its image.
#[derive(Debug)]
pub struct BaseKey<'a> {
    /// The row's number in the segment.
    pub row: usize,
    /// The key's hash.
    pub key_hash: KeyHash,
    /// The partition key's text.
    pub pk: &'a str,
    /// The sort key's text.
    pub sk: Option<&'a str>,
    /// The digest of the image.
    pub image_digest: u128,
}

/// Gives `take` the positions of a raw or sealed segment from row `from` on, with what is asked for beside, until
/// it breaks.
///
/// # Errors
/// [`SegmentError::Damaged`] for what is no such segment, [`SegmentError::Newer`], and what `take` says.
pub fn positions(
    parts: &Parts,
    meta: &SegmentMeta,
    from: usize,
    beside: Beside,
    mut take: impl FnMut(&Position<'_>) -> Result<ControlFlow<()>, SegmentError>,
) -> Result<(), SegmentError> {
    let names: Vec<&str> = POSITION.into_iter().chain(beside.columns().iter().copied()).collect();
    let (footer, batches) = narrow(parts, meta, &schema::CHANGES, &names, from)?;
    let (mut row, mut before, day) = (from, None, Day::of(&footer)?);
    for batch in batches {
        let batch = batch?;
        let rows = batch.num_rows();
        let keys = Keys::of(&batch)?;
        let (kind, sequence, shard) = (texts(&batch, 3)?, texts(&batch, 7)?, texts(&batch, 8)?);
        let event_id = if beside == Beside::EventId { Some(texts(&batch, 9)?) } else { None };
        let digests = match beside {
            Beside::Nothing | Beside::EventId => [None, None],
            Beside::NewDigest => [Some(batch.column(9)), None],
            Beside::Digests => [Some(batch.column(9)), Some(batch.column(10))],
        };
        let [new_digest, old_digest] = digests.map(|column| column.map(|column| column.as_fixed_size_binary()));
        let digest = |column: Option<_>, at: usize| fixed(column?, at).map(u128::from_be_bytes);
        let cut_at = batch.column(4).as_primitive::<TimestampMicrosecondType>();
        let (epoch, rank) =
            (batch.column(5).as_primitive::<UInt32Type>(), batch.column(6).as_primitive::<UInt32Type>());
        let mut shards = Shards::default();
        for at in 0..rows {
            let key_hash = keys.hash(at);
            in_order(&mut before, key_hash)?;
            let position = Position {
                row: row + at,
                key_hash,
                pk: get(keys.pk, at),
                sk: get(keys.sk, at),
                kind: ChangeKind::from_word(kind.value(at)).ok_or_else(|| damaged("a row has an unknown kind"))?,
                cut_at: day.stored_cut(Micros(cut_at.value(at)))?,
                epoch: epoch.value(at),
                shard_rank: rank.value(at),
                sequence: decode::stored_sequence(sequence.value(at))?,
                shard_id: shards.of(shard.value(at)),
                event_id: event_id.and_then(|ids| get(ids, at)),
                new_digest: digest(new_digest, at),
                old_digest: digest(old_digest, at),
            };
            if take(&position)?.is_break() {
                return Ok(());
            }
        }
        row += rows;
    }
    Ok(())
}

/// Gives `take` the keys of a base segment from row `from` on, until it breaks.
///
/// # Errors
/// As [`positions`].
pub fn base_keys(
    parts: &Parts,
    meta: &SegmentMeta,
    from: usize,
    mut take: impl FnMut(&BaseKey<'_>) -> Result<ControlFlow<()>, SegmentError>,
) -> Result<(), SegmentError> {
    let (_, batches) = narrow(parts, meta, &schema::BASE, &["key_hash", "pk", "sk", "image_digest"], from)?;
    let (mut row, mut before) = (from, None);
    for batch in batches {
        let batch = batch?;
        let (keys, digests) = (Keys::of(&batch)?, batch.column(3).as_fixed_size_binary());
        for at in 0..batch.num_rows() {
            let lacks = || damaged("a row has no key, or no digest of its image");
            let key_hash = keys.hash(at).ok_or_else(lacks)?;
            in_order(&mut before, Some(key_hash))?;
            let image_digest = fixed(digests, at).map(u128::from_be_bytes).ok_or_else(lacks)?;
            let key = BaseKey { row: row + at, key_hash, pk: keys.pk.value(at), sk: get(keys.sk, at), image_digest };
            if take(&key)?.is_break() {
                return Ok(());
            }
        }
        row += batch.num_rows();
    }
    Ok(())
}

/// Gives `take` the rows of a raw or sealed segment that stand at `rows` (ascending), each with its number, until
/// it breaks.
///
/// # Errors
/// As [`positions`]; a row that is not there is damage.
pub fn changes(
    parts: &Parts,
    meta: &SegmentMeta,
    rows: &[usize],
    mut take: impl FnMut(usize, Row) -> Result<ControlFlow<()>, SegmentError>,
) -> Result<(), SegmentError> {
    let (footer, batches) = chosen(parts, meta, &schema::CHANGES, None, selected(rows), WIDE_ROWS)?;
    let mut numbers = rows.iter();
    for batch in batches {
        let mut unpacked = Vec::with_capacity(WIDE_ROWS);
        decode::changes_of(&batch?, &footer, &mut unpacked)?;
        for (row, number) in unpacked.into_iter().zip(numbers.by_ref()) {
            if take(*number, row)?.is_break() {
                return Ok(());
            }
        }
    }
    all_there(numbers.next())
}

/// Gives `take` the hashes of some rows of a raw or sealed segment, each with its row's number, until it breaks.
///
/// # Errors
/// As [`positions`].
pub fn hashes(
    parts: &Parts,
    meta: &SegmentMeta,
    rows: Range<usize>,
    mut take: impl FnMut(usize, Option<KeyHash>) -> Result<ControlFlow<()>, SegmentError>,
) -> Result<(), SegmentError> {
    let selection = vec![RowSelector::skip(rows.start), RowSelector::select(rows.len())];
    let (_, batches) = chosen(parts, meta, &schema::CHANGES, Some(&["key_hash"]), selection.into(), NARROW_ROWS)?;
    let (mut numbers, mut before) = (rows, None);
    for batch in batches {
        let batch = batch?;
        let hashes = batch.column(0).as_fixed_size_binary();
        for (at, number) in (0..batch.num_rows()).zip(numbers.by_ref()) {
            let hash = fixed(hashes, at).map(KeyHash);
            in_order(&mut before, hash)?;
            if take(number, hash)?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Gives `take` the new images of a raw or sealed segment, or the images of a base, that stand at `rows` (ascending),
/// each with its row's number, until it breaks. No other column is read.
///
/// # Errors
/// As [`changes`].
pub fn images(
    parts: &Parts,
    meta: &SegmentMeta,
    rows: &[usize],
    mut take: impl FnMut(usize, Option<&str>) -> Result<ControlFlow<()>, SegmentError>,
) -> Result<(), SegmentError> {
    let (columns, name): (&[Column], _) =
        if meta.tier == Tier::Base { (&schema::BASE, "image") } else { (&schema::CHANGES, "new_image") };
    let name = [name];
    let (_, batches) = chosen(parts, meta, columns, Some(&name), selected(rows), WIDE_ROWS)?;
    let mut numbers = rows.iter();
    for batch in batches {
        let batch = batch?;
        let images = texts(&batch, 0)?;
        for (at, number) in (0..batch.num_rows()).zip(numbers.by_ref()) {
            if take(*number, get(images, at))?.is_break() {
                return Ok(());
            }
        }
    }
    all_there(numbers.next())
}

fn all_there(not_found: Option<&usize>) -> Result<(), SegmentError> {
    not_found.map_or(Ok(()), |_| Err(damaged("it has fewer rows than it had")))
}

/// Some columns of the rows from `from` on.
fn narrow(
    parts: &Parts,
    meta: &SegmentMeta,
    columns: &[Column],
    names: &[&str],
    from: usize,
) -> Result<(Footer, impl Iterator<Item = Result<RecordBatch, SegmentError>>), SegmentError> {
    chosen(parts, meta, columns, Some(names), from_on(meta, from), NARROW_ROWS)
}

/// The rows from `from` on.
fn from_on(meta: &SegmentMeta, from: usize) -> RowSelection {
    let rows = usize::try_from(meta.rows).unwrap_or(usize::MAX);
    vec![RowSelector::skip(from), RowSelector::select(rows.saturating_sub(from))].into()
}

fn chosen(
    parts: &Parts,
    meta: &SegmentMeta,
    columns: &[Column],
    names: Option<&[&str]>,
    rows: RowSelection,
    at_once: usize,
) -> Result<(Footer, impl Iterator<Item = Result<RecordBatch, SegmentError>>), SegmentError> {
    let wanted = |column: &&Column| names.is_none_or(|names| names.contains(&column.name));
    let wanted: Vec<Column> = columns.iter().filter(wanted).copied().collect();
    let (footer, builder, places) = decode::begin(parts.clone(), parts.metadata()?.clone(), &wanted)?;
    if footer.tier != meta.tier || footer.dt != meta.dt {
        return Err(damaged("its tier or day is not what was committed"));
    }
    if u64::try_from(builder.metadata().file_metadata().num_rows()) != Ok(meta.rows) {
        return Err(damaged("its number of rows is not what was committed"));
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    // A mask would decode whole pages and drop what is not wanted; selectors skip.
    let builder = builder.with_row_selection_policy(RowSelectionPolicy::Selectors);
    let builder = builder.with_projection(mask).with_row_selection(rows).with_batch_size(at_once);
    let reader = builder.build().map_err(|error| damaged(error.to_string()))?;
    let batches = reader.map(move |batch| {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        decode::in_order(&batch, &wanted)
    });
    Ok((footer, batches))
}

fn selected(rows: &[usize]) -> RowSelection {
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut next = 0;
    for row in rows {
        match selectors.last_mut() {
            Some(last) if *row == next => last.row_count += 1,
            _ => selectors.extend([RowSelector::skip(row.saturating_sub(next)), RowSelector::select(1)]),
        }
        next = row + 1;
    }
    selectors.into()
}

/// The shards of a batch: few, and mostly the one of the row before.
#[derive(Default)]
struct Shards<'a> {
    known: Vec<(&'a str, ShardId)>,
    last: usize,
}

impl<'a> Shards<'a> {
    fn of(&mut self, text: &'a str) -> &ShardId {
        if self.known.get(self.last).is_none_or(|(known, _)| *known != text) {
            self.last = self.known.iter().position(|(known, _)| *known == text).unwrap_or_else(|| {
                self.known.push((text, ShardId::new(text)));
                self.known.len() - 1
            });
        }
        &self.known[self.last].1
    }
}

/// The key columns, which stand first in both kinds of segment.
struct Keys<'a> {
    hash: &'a arrow_array::FixedSizeBinaryArray,
    pk: &'a StringArray,
    sk: &'a StringArray,
}

impl<'a> Keys<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, SegmentError> {
        Ok(Self { hash: batch.column(0).as_fixed_size_binary(), pk: texts(batch, 1)?, sk: texts(batch, 2)? })
    }

    fn hash(&self, row: usize) -> Option<KeyHash> {
        fixed(self.hash, row).map(KeyHash)
    }
}

fn texts(batch: &RecordBatch, at: usize) -> Result<&StringArray, SegmentError> {
    batch.column(at).as_string_opt::<i32>().ok_or_else(|| damaged("a column of texts holds none"))
}

fn get(array: &StringArray, row: usize) -> Option<&str> {
    (!array.is_null(row)).then(|| array.value(row))
}

/// Readers stop at the first hash beyond what they look for.
fn in_order(before: &mut Option<KeyHash>, hash: Option<KeyHash>) -> Result<(), SegmentError> {
    if hash < *before {
        return Err(damaged("its rows are out of order"));
    }
    *before = hash;
    Ok(())
}
