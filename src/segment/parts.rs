//! Part of a segment's bytes, for who wants a few rows of a large object: what is lacking is named, fetched, and asked
//! for again. Without I/O: [`Parts`] holds what was fetched.
//!
//! Nothing here proves that the bytes are the committed ones, which only the whole object can; images have their digests.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range, RangeInclusive};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Buf as _, Bytes, buf::Reader};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::decode::{self, damaged};
use super::{Row, SegmentError, SegmentMeta, select};
use crate::change::KeyHash;

/// What is fetched of an object's end at first: its metadata and page index, in most objects.
const TAIL: Range<u64> = 64 << 10..4 << 20;
/// The metadata are about this share of an object.
const TAIL_SHARE: u64 = 64;
/// Ranges that lie closer together than this are fetched as one.
const GAP: u64 = 256 << 10;

/// The bytes of an object, as far as they were fetched. Clones share them.
#[derive(Debug, Clone)]
pub struct Parts {
    length: u64,
    fetched: Arc<Mutex<Fetched>>,
    metadata: Arc<OnceLock<ArrowReaderMetadata>>,
}

#[derive(Debug, Default)]
struct Fetched {
    /// By where they begin.
    parts: BTreeMap<u64, Bytes>,
    /// The first range that was asked for and is not there.
    lacking: Option<Range<u64>>,
}

impl Parts {
    /// None yet of the object that `meta` names.
    #[must_use]
    pub fn new(meta: &SegmentMeta) -> Self {
        Self { length: meta.bytes, fetched: Arc::default(), metadata: Arc::default() }
    }

    /// All of it.
    #[must_use]
    pub fn whole(meta: &SegmentMeta, bytes: Bytes) -> Self {
        let parts = Self::new(meta);
        parts.add(0, bytes);
        parts
    }

    /// Adds what was fetched from byte `from` on.
    pub fn add(&self, from: u64, bytes: Bytes) {
        self.with(|fetched| fetched.parts.insert(from, bytes));
    }

    /// The metadata with its page index, unpacked once.
    pub(super) fn metadata(&self) -> Result<&ArrowReaderMetadata, SegmentError> {
        if self.metadata.get().is_none() {
            let read = decode::metadata(self, PageIndexPolicy::Optional)?;
            // Whoever was first read the same.
            let _ = self.metadata.set(read);
        }
        self.metadata.get().ok_or_else(|| damaged("its metadata are nowhere"))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Fetched) -> T) -> T {
        work(&mut self.fetched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, wanted: Range<u64>) -> Option<Bytes> {
        self.with(|fetched| {
            // Of parts that begin before it, any may reach beyond its end.
            let found = fetched.parts.range(..=wanted.start).rev().find_map(|(from, part)| {
                let begin = usize::try_from(wanted.start - from).ok()?;
                let end = usize::try_from(wanted.end - from).ok()?;
                (end <= part.len()).then(|| part.slice(begin..end))
            });
            if found.is_none() && fetched.lacking.is_none() {
                fetched.lacking = Some(wanted);
            }
            found
        })
    }

    /// What was asked for and was not there, since this was asked last.
    fn lacking(&self) -> Option<Range<u64>> {
        let lacking = self.with(|fetched| fetched.lacking.take())?;
        let tail = (self.length / TAIL_SHARE).clamp(TAIL.start, TAIL.end).min(self.length);
        // Metadata are read from the end backward.
        let at_end = lacking.end + tail >= self.length;
        let from = if at_end { lacking.start.min(self.length - tail) } else { lacking.start };
        Some(from..if at_end { self.length } else { lacking.end })
    }

    /// Of `wanted`, what is not there, with what lies closely together in one.
    fn absent(&self, mut wanted: Vec<Range<u64>>) -> Vec<Range<u64>> {
        wanted.retain(|range| self.get(range.clone()).is_none());
        self.with(|fetched| fetched.lacking = None);
        wanted.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in wanted {
            match joined.last_mut() {
                Some(last) if range.start <= last.end + GAP => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        joined
    }
}

impl Length for Parts {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Parts {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let part = self.with(|fetched| {
            let (from, part) = fetched.parts.range(..=start).next_back()?;
            let begin = usize::try_from(start - from).ok().filter(|begin| *begin < part.len())?;
            Some(part.slice(begin..))
        });
        match part {
            Some(part) => Ok(part.reader()),
            None => self.get_bytes(start, 1).map(bytes::Buf::reader),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.saturating_add(length as u64);
        if end > self.length {
            return Err(ParquetError::EOF(format!("it ends before byte {end}")));
        }
        self.get(start..end).ok_or_else(|| ParquetError::General("not fetched yet".to_owned()))
    }
}

/// An answer, or the ranges of bytes without which there is none.
#[derive(Debug)]
pub enum Answer<T> {
    /// Fetch these, and ask again.
    Lacks(Vec<Range<u64>>),
    /// The answer.
    Is(T),
}

/// Rows that are wanted, in ascending order, of one column or of all.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The column.
    pub column: Option<&'static str>,
    /// The rows.
    pub rows: Vec<Range<usize>>,
}

/// The parts themselves once the bytes are there from which [`select`] reads what is wanted.
///
/// # Errors
/// [`SegmentError::Damaged`] for what is no segment.
pub fn all_there(parts: &Parts, wanted: &[Wanted]) -> Result<Answer<Parts>, SegmentError> {
    let lacking = |parts: &Parts| {
        let metadata = parts.metadata()?;
        let of = |wanted: &Wanted| pages(metadata.metadata(), wanted.column, &wanted.rows);
        let lacking = parts.absent(wanted.iter().flat_map(of).collect());
        Ok(if lacking.is_empty() { Answer::Is(parts.clone()) } else { Answer::Lacks(lacking) })
    };
    or_lacks(parts, lacking(parts))
}

/// The rows of a raw or sealed segment whose keys have these hashes, in stored order.
///
/// # Errors
/// [`SegmentError::Damaged`] for what is no such segment, and [`SegmentError::Newer`].
pub fn of_keys(
    parts: &Parts,
    meta: &SegmentMeta,
    hashes: &RangeInclusive<KeyHash>,
) -> Result<Answer<Vec<Row>>, SegmentError> {
    or_lacks(parts, rows_of_keys(parts, meta, hashes))
}

/// Whatever went wrong, it went wrong for want of bytes if any were asked for in vain.
fn or_lacks<T>(parts: &Parts, answer: Result<Answer<T>, SegmentError>) -> Result<Answer<T>, SegmentError> {
    match answer {
        Err(error) => {
            parts.lacking().map_or(Err(error), |lacking| Ok(Answer::Lacks(std::iter::once(lacking).collect())))
        }
        answer => answer,
    }
}

/// Rows as ranges of one each.
pub(crate) fn one_by_one(rows: &[usize]) -> Vec<Range<usize>> {
    rows.iter().map(|row| *row..row + 1).collect()
}

fn rows_of_keys(
    parts: &Parts,
    meta: &SegmentMeta,
    hashes: &RangeInclusive<KeyHash>,
) -> Result<Answer<Vec<Row>>, SegmentError> {
    let metadata = parts.metadata()?.metadata();
    let mut rows = Vec::new();
    for stretch in may_hold(metadata, hashes) {
        let lacking = parts.absent(pages(metadata, Some("key_hash"), std::slice::from_ref(&stretch)));
        if !lacking.is_empty() {
            return Ok(Answer::Lacks(lacking));
        }
        select::hashes(parts, meta, stretch, |row, found| {
            rows.extend(found.is_some_and(|found| hashes.contains(&found)).then_some(row));
            Ok(if found > Some(*hashes.end()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    let lacking = parts.absent(pages(metadata, None, &one_by_one(&rows)));
    if !lacking.is_empty() {
        return Ok(Answer::Lacks(lacking));
    }
    let mut found = Vec::with_capacity(rows.len());
    select::changes(parts, meta, &rows, |_, row| {
        found.push(row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Answer::Is(found))
}

/// The stretches of rows among which the hashes can be: those of pages that say so, or all.
fn may_hold(metadata: &ParquetMetaData, hashes: &RangeInclusive<KeyHash>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for_each_column(metadata, Some("key_hash"), |group, column, first, rows| {
        let pages = page_rows(metadata, group, column, rows);
        let index = metadata.column_index().and_then(|index| index.get(group)?.get(column));
        let holds = |page: usize| match index {
            Some(ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index)) => {
                match (index.min_value(page), index.max_value(page)) {
                    (Some(min), Some(max)) => min <= &hashes.end().0[..] && &hashes.start().0[..] <= max,
                    _ => false,
                }
            }
            _ => true,
        };
        let holding = pages.into_iter().enumerate().filter(|(page, _)| holds(*page));
        found.extend(holding.map(|(_, rows)| first + rows.start..first + rows.end));
    });
    found
}

/// The bytes of the pages of a column, or of all, that hold any of `rows`, which are ascending.
fn pages(metadata: &ParquetMetaData, name: Option<&str>, rows: &[Range<usize>]) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    for_each_column(metadata, name, |group, column, first, of_group| {
        let chunk = metadata.row_group(group).column(column);
        let (from, length) = chunk.byte_range();
        let locations = metadata.offset_index().and_then(|index| index.get(group)?.get(column));
        let wanted = |page: &Range<usize>| {
            let next = rows.partition_point(|range| range.end <= first + page.start);
            rows.get(next).is_some_and(|range| range.start < first + page.end)
        };
        let Some(locations) = locations else {
            found.extend(wanted(&(0..of_group)).then_some(from..from + length));
            return;
        };
        let locations = locations.page_locations();
        let bytes = |page: usize| {
            let offset = u64::try_from(locations.get(page)?.offset).ok()?;
            Some(offset..offset + u64::try_from(locations.get(page)?.compressed_page_size).ok()?)
        };
        let before = found.len();
        let of_page = page_rows(metadata, group, column, of_group).into_iter().enumerate();
        found.extend(of_page.filter(|(_, rows)| wanted(rows)).filter_map(|(page, _)| bytes(page)));
        // A dictionary stands before the first page.
        if let (true, Some(first_page)) = (found.len() > before, bytes(0))
            && from < first_page.start
        {
            found.push(from..first_page.start);
        }
    });
    found
}

/// The rows of each page, counted within the row group.
fn page_rows(metadata: &ParquetMetaData, group: usize, column: usize, rows: usize) -> Vec<Range<usize>> {
    let Some(index) = metadata.offset_index().and_then(|index| index.get(group)?.get(column)) else {
        return std::iter::once(0..rows).collect();
    };
    let starts = index.page_locations().iter().map(|page| usize::try_from(page.first_row_index).unwrap_or(rows));
    let starts: Vec<usize> = starts.chain([rows]).collect();
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

/// Gives the row group, the column's place, the group's first row and how many it has.
fn for_each_column(metadata: &ParquetMetaData, name: Option<&str>, mut each: impl FnMut(usize, usize, usize, usize)) {
    let mut first = 0;
    for (group, of_group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(of_group.num_rows()).unwrap_or_default();
        for (column, chunk) in of_group.columns().iter().enumerate() {
            if name.is_none_or(|name| chunk.column_path().string() == name) {
                each(group, column, first, rows);
            }
        }
        first += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Text;
    use crate::segment::Tier;
    use crate::segment::open_checked;
    use crate::segment::tests::{NOON, key, one, stamped};

    /// 60,000 rows of 6,000 keys, so that hashes fill several pages and images many.
    fn large() -> (Bytes, SegmentMeta) {
        let image = |n: u64| format!("{{\"pk\":{{\"S\":\"k{}\"}},\"n\":{{\"N\":\"{n}\"}}}}", n % 6_000);
        let rows = (0..60_000).map(|n| stamped(NOON, &format!("k{}", n % 6_000), n, Some(&image(n)), None)).collect();
        let encoded = one(rows);
        let meta = encoded.meta("p".to_owned(), None, Tier::Raw, None);
        (encoded.bytes, meta)
    }

    /// The rows of a key, and how many bytes in how many rounds that took.
    fn fetch(bytes: &Bytes, meta: &SegmentMeta, hash: KeyHash) -> Result<(Vec<Row>, u64, usize), SegmentError> {
        let (parts, mut fetched, mut rounds) = (Parts::new(meta), 0, 0);
        loop {
            match of_keys(&parts, meta, &(hash..=hash))? {
                Answer::Is(rows) => return Ok((rows, fetched, rounds)),
                Answer::Lacks(ranges) => {
                    rounds += 1;
                    assert!(rounds < 8, "{ranges:?} are asked for for ever");
                    for range in ranges {
                        fetched += range.end - range.start;
                        let at = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                        parts.add(range.start, bytes.slice(at));
                    }
                }
            }
        }
    }

    #[test]
    fn the_rows_of_a_key_come_out_of_a_part_of_the_bytes() {
        let (bytes, meta) = large();
        let all = open_checked(bytes.clone(), &meta).unwrap();
        for name in ["k0", "k17", "k5999"] {
            let hash = key(name).hash().unwrap();
            let (rows, fetched, rounds) = fetch(&bytes, &meta, hash).unwrap();
            let expected: Vec<Row> = all.iter().filter(|row| row.pk == Some(Text::from(name))).cloned().collect();
            assert_eq!((rows.len(), rows), (10, expected));
            assert!(fetched < meta.bytes / 2 && rounds <= 4, "{fetched} of {} bytes in {rounds} rounds", meta.bytes);
        }
        let (none, fetched, _) = fetch(&bytes, &meta, key("nobody").hash().unwrap()).unwrap();
        assert!(none.is_empty() && fetched < meta.bytes / 2);
    }

    #[test]
    fn bytes_that_are_no_segment_are_damage_and_not_asked_for_for_ever() {
        let (bytes, meta) = large();
        let hash = key("k17").hash().unwrap();
        let cut = SegmentMeta { bytes: meta.bytes - 1, ..meta.clone() };
        assert!(fetch(&bytes, &cut, hash).is_err());
        let mut spoilt = bytes.to_vec();
        spoilt.fill(0xa5);
        assert!(fetch(&spoilt.into(), &meta, hash).is_err());
    }
}
