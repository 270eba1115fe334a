//! Reads the segments of an entry back: the bytes that were committed, rows that agree with images, log and spans.

use std::sync::Arc;

use super::files::{self, Extent};
use super::report::State;
use super::rows::{self, Schemas};
use super::spans::{self, Expected, Places};
use crate::manifest::{ReadError, Segments};
use crate::platform::tasks;
use crate::segment::{BaseRow, Row, SegmentMeta, Tier};
use crate::store::StoreError;

/// The segments that one entry made visible.
#[derive(Debug)]
pub(super) struct Job {
    /// The entry.
    pub n: u64,
    pub segments: Vec<SegmentMeta>,
    /// What its spans promise; none for sealed segments and bases.
    pub expected: Option<Vec<Expected>>,
    /// For sealed segments and bases: how many bits of a key's hash say its bucket.
    pub bits: Option<u8>,
    /// Keys of the table at that entry.
    pub schemas: Arc<Schemas>,
}

/// What a job found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// The entry.
    pub n: u64,
    pub segments: u64,
    pub rows: u64,
    pub bytes: u64,
    /// State, path relative to the table's folder, reason.
    pub wrong: Vec<(State, String, String)>,
    /// Not there: lost, unless the log has given them up since.
    pub absent: Vec<String>,
    /// A segment that only a newer tailrace can read.
    pub newer: Option<String>,
}

/// Checks one job. The error means that the store did not answer, so that nothing is known.
pub(super) async fn check(stored: Segments, job: Job) -> Result<Checked, StoreError> {
    let mut checked = Checked { n: job.n, ..Checked::default() };
    let (mut places, mut extents) = (Places::new(), Vec::new());
    for meta in &job.segments {
        match read(&stored, meta, &job).await {
            Ok(Read { rows, places: of_segment, extent }) => {
                checked.segments += 1;
                checked.rows += rows;
                extents.extend(extent);
                for (shard, mut of_shard) in of_segment {
                    places.entry(shard).or_default().append(&mut of_shard);
                }
            }
            Err(Wrong::NotRead(ReadError::Store(StoreError::Hidden { .. }))) => {
                let reason = "a delete marker hides it: remove the marker".to_owned();
                checked.wrong.push((State::Hidden, meta.path.clone(), reason));
                continue;
            }
            Err(Wrong::NotRead(ReadError::Store(error))) => return Err(error),
            Err(Wrong::NotRead(ReadError::Missing { path })) => {
                checked.absent.push(path);
                continue;
            }
            Err(Wrong::NotRead(ReadError::Damaged { path, reason })) => {
                checked.wrong.push((State::Altered, path, reason));
            }
            Err(Wrong::NotRead(error @ ReadError::Newer { .. })) => checked.newer = Some(error.to_string()),
            Err(Wrong::Contradicts(reason)) => checked.wrong.push((State::Contradiction, meta.path.clone(), reason)),
        }
        checked.bytes += meta.bytes;
    }
    if let Err((path, reason)) = files::apart(extents) {
        checked.wrong.push((State::Contradiction, path, reason));
    }
    // With a segment missing or altered, counting the others against the spans tells nothing new.
    if checked.wrong.is_empty()
        && checked.absent.is_empty()
        && checked.newer.is_none()
        && let Some(expected) = &job.expected
        && let Err(reason) = spans::check(expected, places)
    {
        let first = job.segments.first().map_or_else(|| format!("entry {}", job.n), |meta| meta.path.clone());
        checked.wrong.push((State::Contradiction, first, format!("entry {}: {reason}", job.n)));
    }
    Ok(checked)
}

/// What is kept of a segment once its rows are checked.
struct Read {
    rows: u64,
    places: Places,
    extent: Option<Extent>,
}

/// Why a segment is not what it should be.
enum Wrong {
    NotRead(ReadError),
    Contradicts(String),
}

async fn read(stored: &Segments, meta: &SegmentMeta, job: &Job) -> Result<Read, Wrong> {
    let (facts, schemas, bits) = (meta.clone(), Arc::clone(&job.schemas), job.bits);
    let checked = if meta.tier == Tier::Base {
        let rows = stored.base(meta).await.map_err(Wrong::NotRead)?;
        tasks::compute(move || base(&rows, &facts, &schemas, bits)).await
    } else {
        let rows = stored.changes(meta).await.map_err(Wrong::NotRead)?;
        tasks::compute(move || changes(&rows, &facts, &schemas, bits)).await
    };
    checked.unwrap_or_else(|error| Err(format!("checking it fails: {error}"))).map_err(Wrong::Contradicts)
}

fn base(rows: &[BaseRow], meta: &SegmentMeta, schemas: &Schemas, bits: Option<u8>) -> Result<Read, String> {
    let schema = schemas.values().next_back().ok_or("the table has no key yet")?;
    rows::base(rows, meta, schema)?;
    bits.map_or(Ok(()), |bits| files::bucket(meta, bits, rows.iter().map(|row| row.key_hash)))?;
    Ok(Read { rows: rows.len() as u64, places: Places::new(), extent: Extent::of_base(rows, meta) })
}

fn changes(rows: &[Row], meta: &SegmentMeta, schemas: &Schemas, bits: Option<u8>) -> Result<Read, String> {
    rows::changes(rows, meta, schemas)?;
    let mut places = Places::new();
    if meta.tier == Tier::Raw {
        spans::collect(rows, &mut places);
        return Ok(Read { rows: rows.len() as u64, places, extent: None });
    }
    bits.map_or(Ok(()), |bits| files::bucket(meta, bits, rows.iter().filter_map(|row| row.key_hash)))?;
    Ok(Read { rows: rows.len() as u64, places, extent: Extent::of_changes(rows, meta) })
}
