//! Whether the rows of an entry are those that its spans promise: invariants 2 and 3 on the rows themselves.

use std::collections::BTreeMap;

use crate::change::{Second, Sequence, ShardId};
use crate::manifest::{Action, Manifest, ShardKey, Span};
use crate::segment::Row;

/// A shard as it stood before the entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    rank: u32,
    floor: Second,
    cut: Second,
}

/// A span with its shard before it.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    span: Span,
    before: Before,
}

/// What is known of one row besides its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    sequence: Sequence,
    cut_at: Second,
    rank: u32,
}

/// The places of an entry's rows, by shard.
pub(super) type Places = BTreeMap<ShardKey, Vec<Place>>;

/// The spans with rows of an entry whose actions these are; `manifest` is the one in front of it.
pub(super) fn expected(actions: &[Action], manifest: &Manifest) -> Vec<Expected> {
    let mut shards = Running { manifest, changed: BTreeMap::new() };
    let mut found = Vec::new();
    for action in actions {
        match action {
            Action::ShardOpened(opened) => {
                let state = Before { rank: opened.rank, floor: opened.floor, cut: opened.cut };
                shards.changed.insert(ShardKey { epoch: opened.epoch, id: opened.shard.clone() }, state);
            }
            Action::Heartbeat(beat) => {
                shards.raise(beat.epoch, &beat.shard, beat.floor, Second(i64::MIN));
            }
            Action::Segments(added) => {
                for span in &added.spans {
                    let before = shards.get(span.epoch, &span.shard);
                    shards.raise(span.epoch, &span.shard, span.floor.unwrap_or_else(|| span.cut.plus(-1)), span.cut);
                    if span.gap.is_none() {
                        found.push(Expected { span: span.clone(), before });
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Shards while the actions of one entry pass.
struct Running<'a> {
    manifest: &'a Manifest,
    changed: BTreeMap<ShardKey, Before>,
}

impl Running<'_> {
    fn get(&self, epoch: u32, shard: &ShardId) -> Before {
        let key = ShardKey { epoch, id: shard.clone() };
        let stored = || self.manifest.shards.get(&key);
        let known = self.changed.get(&key).copied();
        let known = known.or_else(|| stored().map(|s| Before { rank: s.rank, floor: s.floor, cut: s.cut }));
        // A span of a shard that nobody opened never passes the predicates.
        known.unwrap_or(Before { rank: 0, floor: Second(i64::MAX), cut: Second(i64::MAX) })
    }

    fn raise(&mut self, epoch: u32, shard: &ShardId, floor: Second, cut: Second) {
        let before = self.get(epoch, shard);
        let after = Before { floor: before.floor.max(floor), cut: before.cut.max(cut), ..before };
        self.changed.insert(ShardKey { epoch, id: shard.clone() }, after);
    }
}

/// Adds the places of a segment's rows.
pub(super) fn collect(rows: &[Row], places: &mut Places) {
    for row in rows {
        let key = ShardKey { epoch: row.epoch, id: row.shard_id.clone() };
        let place = Place { sequence: row.sequence, cut_at: row.cut_at, rank: row.shard_rank };
        places.entry(key).or_default().push(place);
    }
}

/// Checks that `places` are exactly what `expected` promises. The error says which shard is wrong, and how.
pub(super) fn check(expected: &[Expected], mut places: Places) -> Result<(), String> {
    for rows in places.values_mut() {
        rows.sort_unstable();
    }
    for Expected { span, before } in expected {
        let key = ShardKey { epoch: span.epoch, id: span.shard.clone() };
        let all = places.remove(&key).unwrap_or_default();
        let (inside, left): (Vec<Place>, Vec<Place>) =
            all.into_iter().partition(|place| span.after < place.sequence && place.sequence <= span.through);
        if !left.is_empty() {
            places.insert(key, left);
        }
        one(span, *before, &inside).map_err(|what| format!("shard {} {what}", span.shard))?;
    }
    match places.keys().next() {
        Some(key) => Err(format!("shard {} has rows that no span of the entry holds", key.id)),
        None => Ok(()),
    }
}

fn one(span: &Span, before: Before, rows: &[Place]) -> Result<(), String> {
    if rows.len() as u64 != span.rows {
        return Err(format!("has {} rows, its span says {}", rows.len(), span.rows));
    }
    if rows.windows(2).any(|pair| pair[0].sequence == pair[1].sequence) {
        return Err("has a sequence number twice".to_owned());
    }
    if rows.last().is_none_or(|last| last.sequence != span.through || last.cut_at != span.cut) {
        return Err("does not end where its span ends".to_owned());
    }
    if rows.iter().any(|row| row.rank != before.rank) {
        return Err("has a row of another rank".to_owned());
    }
    let falls = rows.windows(2).any(|pair| pair[0].cut_at > pair[1].cut_at);
    if falls || rows.iter().any(|row| row.cut_at < before.cut || row.cut_at <= before.floor) {
        return Err("has a row that is earlier than what was promised before it".to_owned());
    }
    Ok(())
}
