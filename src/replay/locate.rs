//! Points that only the segments know: an event, or a position.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::error::ReplayError;
use super::point::{Asked, Edge, Point};
use super::refold;
use crate::change::{Second, Sequence, ShardId};
use crate::manifest::{Log, Manifest, ReadError, Segments, ShardKey, unpacked};
use crate::segment::parts::Parts;
use crate::segment::select::{self, Beside, Position};

/// A change that was looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    epoch: u32,
    shard: ShardId,
    sequence: Sequence,
    cut_at: Second,
}

/// Resolves what was asked for. `manifest` must hold all segments in question; if one of them was replaced since the
/// log was read, the log is read again.
///
/// # Errors
/// [`ReplayError::NoSuchChange`], [`ReplayError::NotExact`], or what kept a segment or the log from being read.
pub async fn locate(
    asked: &Asked,
    log: &Log,
    manifest: &mut Manifest,
    segments: &Segments,
) -> Result<Point, ReplayError> {
    loop {
        match resolve(asked, manifest, segments).await {
            Err(ReplayError::Read(ReadError::Missing { path })) => refold(log, manifest, &path).await?,
            resolved => return resolved,
        }
    }
}

/// The same by this manifest as it is.
pub(super) async fn resolve(asked: &Asked, manifest: &Manifest, segments: &Segments) -> Result<Point, ReplayError> {
    if let Some(point) = Point::resolve(asked, manifest) {
        return Ok(point);
    }
    match asked {
        Asked::BeforeEvent(event) => before_event(event, manifest, segments).await,
        Asked::AtSequence(sequence) => at_sequence(*sequence, manifest, segments).await,
        Asked::Before(_) | Asked::At(_) | Asked::Latest => {
            Err(ReplayError::NoSuchChange { what: "point", value: format!("{asked:?}") })
        }
    }
}

async fn before_event(event: &str, manifest: &Manifest, segments: &Segments) -> Result<Point, ReplayError> {
    let id = event.to_owned();
    let found = find(manifest, segments, Beside::EventId, move |row| row.event_id == Some(&id)).await?;
    let seen = found.first().ok_or_else(|| ReplayError::NoSuchChange { what: "event id", value: event.to_owned() })?;
    Ok(edge(manifest, seen, false))
}

async fn at_sequence(sequence: Sequence, manifest: &Manifest, segments: &Segments) -> Result<Point, ReplayError> {
    let value = || sequence.to_string();
    let found = find(manifest, segments, Beside::Nothing, move |row| row.sequence == sequence).await?;
    match found.as_slice() {
        [] => Err(ReplayError::NoSuchChange { what: "sequence number", value: value() }),
        [seen] => Ok(edge(manifest, seen, true)),
        _ => Err(ReplayError::NotExact { value: value(), reason: "several shards hold it" }),
    }
}

/// The changes that `is_it` tells, each position once.
async fn find(
    manifest: &Manifest,
    segments: &Segments,
    beside: Beside,
    is_it: impl Fn(&Position<'_>) -> bool + Clone + Send + 'static,
) -> Result<Vec<Seen>, ReplayError> {
    let mut found: Vec<Seen> = Vec::new();
    for meta in manifest.segments.values() {
        let (bytes, owned, is_it) = (segments.proven(meta).await?, Arc::clone(meta), is_it.clone());
        let of_segment = unpacked(meta, move || {
            let mut seen = Vec::new();
            select::positions(&Parts::whole(&owned, bytes), &owned, 0, beside, |row| {
                if is_it(row) {
                    let (epoch, shard, sequence, cut_at) = (row.epoch, row.shard_id.clone(), row.sequence, row.cut_at);
                    seen.push(Seen { epoch, shard, sequence, cut_at });
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(seen)
        });
        found.extend(of_segment.await?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn edge(manifest: &Manifest, seen: &Seen, inclusive: bool) -> Point {
    let ancestors = ancestors(manifest, seen.epoch, &seen.shard);
    let edge = Edge { epoch: seen.epoch, shard: seen.shard.clone(), ancestors, sequence: seen.sequence, inclusive };
    Point { edge: Some(edge), ..Point::at(seen.cut_at.plus(-1)) }
}

/// The shards that were read to their end before this one was begun.
fn ancestors(manifest: &Manifest, epoch: u32, shard: &ShardId) -> Vec<ShardId> {
    let mut found = Vec::new();
    let mut next = Some(shard.clone());
    while let Some(id) = next {
        let parent = manifest.shards.get(&ShardKey { epoch, id }).and_then(|shard| shard.parent.clone());
        next = parent.filter(|parent| !found.contains(parent));
        found.extend(next.clone());
    }
    found
}
