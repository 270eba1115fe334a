//! Points that only the segments know: an event, or a position.

use super::error::ReplayError;
use super::point::{Asked, Edge, Point};
use crate::change::{Sequence, ShardId};
use crate::manifest::{Manifest, Segments, ShardKey};
use crate::segment::Row;

/// Resolves what was asked for. `manifest` must hold all segments in question.
///
/// # Errors
/// [`ReplayError::NoSuchChange`], [`ReplayError::NotExact`], or what kept a segment from being read.
pub async fn resolve(asked: &Asked, manifest: &Manifest, segments: &Segments) -> Result<Point, ReplayError> {
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
    let is_it = |row: &Row| row.event_id.as_ref().is_some_and(|id| id.as_str() == event);
    let found = find(manifest, segments, is_it).await?;
    let row = found.first().ok_or_else(|| ReplayError::NoSuchChange { what: "event id", value: event.to_owned() })?;
    Ok(edge(manifest, row, false))
}

async fn at_sequence(sequence: Sequence, manifest: &Manifest, segments: &Segments) -> Result<Point, ReplayError> {
    let value = || sequence.to_string();
    let found = find(manifest, segments, |row| row.sequence == sequence).await?;
    let row = match found.as_slice() {
        [] => return Err(ReplayError::NoSuchChange { what: "sequence number", value: value() }),
        [row] => row,
        _ => return Err(ReplayError::NotExact { value: value(), reason: "several shards hold it" }),
    };
    if manifest.shards.keys().filter(|shard| shard.epoch == row.epoch).count() != 1 {
        let reason = "its stream has several shards, whose numbers do not order the changes of one with another's";
        return Err(ReplayError::NotExact { value: value(), reason });
    }
    Ok(edge(manifest, row, true))
}

/// The changes that `is_it` tells, each position once.
async fn find(manifest: &Manifest, segments: &Segments, is_it: impl Fn(&Row) -> bool) -> Result<Vec<Row>, ReplayError> {
    let mut found: Vec<Row> = Vec::new();
    for meta in manifest.segments.values() {
        found.extend(segments.changes(meta).await?.into_iter().filter(|row| is_it(row)));
    }
    found.sort_by(|a, b| (a.epoch, &a.shard_id, a.sequence).cmp(&(b.epoch, &b.shard_id, b.sequence)));
    found.dedup_by(|a, b| a.epoch == b.epoch && a.shard_id == b.shard_id && a.sequence == b.sequence);
    Ok(found)
}

fn edge(manifest: &Manifest, row: &Row, inclusive: bool) -> Point {
    let ancestors = ancestors(manifest, row.epoch, &row.shard_id);
    let edge = Edge { epoch: row.epoch, shard: row.shard_id.clone(), ancestors, sequence: row.sequence, inclusive };
    Point { edge: Some(edge), ..Point::at(row.cut_at.plus(-1)) }
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
