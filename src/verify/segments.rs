//! Reads the segments of an entry back: the bytes that were committed, rows that agree with images, log and spans.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::report::State;
use super::rows::{self, Schemas};
use super::spans::{self, Expected, Places};
use crate::manifest::{SegmentMeta, Tier};
use crate::platform::tasks;
use crate::segment::{self, SegmentError};
use crate::store::{ObjectStore, StoreError};

/// The segments that one entry made visible.
#[derive(Debug)]
pub(super) struct Job {
    /// The entry.
    pub n: u64,
    pub segments: Vec<SegmentMeta>,
    /// What its spans promise; none for sealed segments and bases.
    pub expected: Option<Vec<Expected>>,
    /// Keys of the table at that entry.
    pub schemas: Arc<Schemas>,
}

/// What a job found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub segments: u64,
    pub rows: u64,
    pub bytes: u64,
    /// State, path relative to the table's folder, reason.
    pub wrong: Vec<(State, String, String)>,
    /// Not there: lost, unless the log has given them up since.
    pub absent: Vec<String>,
}

/// Checks one job. The error means that the store did not answer, so that nothing is known.
pub(super) async fn check(store: Arc<dyn ObjectStore>, folder: String, job: Job) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    let mut places = Places::new();
    for meta in &job.segments {
        let bytes = match store.get(&format!("{folder}/{}", meta.path), None).await {
            Ok(object) => object.bytes,
            Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => {
                checked.absent.push(meta.path.clone());
                continue;
            }
            Err(error) => return Err(error),
        };
        checked.bytes += bytes.len() as u64;
        let (meta_of_task, schemas) = (meta.clone(), Arc::clone(&job.schemas));
        let read = tasks::compute(move || read(bytes, &meta_of_task, &schemas)).await;
        match read.unwrap_or_else(|error| Err((State::Altered, format!("reading it fails: {error}")))) {
            Ok(Read { rows, places: of_segment }) => {
                checked.segments += 1;
                checked.rows += rows;
                for (shard, mut of_shard) in of_segment {
                    places.entry(shard).or_default().append(&mut of_shard);
                }
            }
            Err((state, reason)) => checked.wrong.push((state, meta.path.clone(), reason)),
        }
    }
    // With a segment missing or altered, counting the others against the spans tells nothing new.
    if checked.wrong.is_empty()
        && checked.absent.is_empty()
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
}

fn read(bytes: Bytes, meta: &SegmentMeta, schemas: &Schemas) -> Result<Read, (State, String)> {
    let altered = |error: SegmentError| (State::Altered, error.to_string());
    let contradicts = |reason: String| (State::Contradiction, reason);
    if meta.tier == Tier::Base {
        let read = segment::open_checked_base(bytes, meta).map_err(altered)?;
        let schema = schemas.values().next_back().ok_or_else(|| contradicts("the table has no key yet".to_owned()))?;
        rows::base(&read, meta, schema).map_err(contradicts)?;
        return Ok(Read { rows: read.len() as u64, places: BTreeMap::new() });
    }
    let read = segment::open_checked(bytes, meta).map_err(altered)?;
    rows::changes(&read, meta, schemas).map_err(contradicts)?;
    let mut places = Places::new();
    spans::collect(&read, &mut places);
    Ok(Read { rows: read.len() as u64, places })
}
