//! Whether the rows of an entry are those that its spans promise: invariants 2 and 3 on the rows themselves, the seconds
//! of undecoded rows, and the times for which answers are late.
//!
//! Spans of a shard never overlap (invariant 1), and every row of an entry lies in one of its spans, once. So no two live
//! raw segments hold one (epoch, shard, sequence), and by the conservation of seals no two sealed ones either.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::{ChangeKind, Micros, Second, Sequence, ShardId};
use crate::manifest::{Action, Interval, Manifest, Shard, ShardKey, Span};
use crate::segment::Row;

/// A shard as it stood before a span.
#[derive(Debug, Clone)]
pub(super) struct Before {
    rank: u32,
    floor: Second,
    cut: Second,
    through: Sequence,
    parent: Option<ShardId>,
}

/// A span with what stood before it.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    span: Span,
    before: Before,
    /// The last sequence number of the parent, if that is in the log.
    above: Option<Sequence>,
    epoch_floor: Second,
}

/// What is known of one row besides its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    sequence: Sequence,
    cut_at: Second,
    changed_at: Micros,
    rank: u32,
    undecoded: bool,
}

/// The places of an entry's rows, by shard.
pub(super) type Places = BTreeMap<ShardKey, Vec<Place>>;

/// The spans with rows of an entry whose actions these are; `manifest` is the one in front of it.
pub(super) fn expected(actions: &[Action], manifest: &Manifest) -> Vec<Expected> {
    let mut shards = Running { manifest, changed: BTreeMap::new(), started: None };
    let mut found = Vec::new();
    for action in actions {
        match action {
            Action::EpochStarted(started) => shards.started = Some((started.epoch, started.floor)),
            Action::ShardOpened(opened) => {
                let state = Before {
                    rank: opened.rank,
                    floor: opened.floor,
                    cut: opened.cut,
                    through: opened.start.before(),
                    parent: opened.parent.clone(),
                };
                shards.changed.insert(ShardKey { epoch: opened.epoch, id: opened.shard.clone() }, state);
            }
            Action::Heartbeat(beat) => shards.raise(beat.epoch, &beat.shard, |shard| {
                shard.floor = shard.floor.max(beat.floor);
            }),
            Action::Segments(added) => {
                for span in &added.spans {
                    if span.gap.is_none() {
                        found.extend(shards.expect(span));
                    }
                    shards.raise(span.epoch, &span.shard, |shard| {
                        shard.floor = shard.floor.max(span.floor.unwrap_or_else(|| span.cut.plus(-1)));
                        shard.cut = shard.cut.max(span.cut);
                        shard.through = span.through;
                    });
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
    /// The epoch that this entry starts, and its floor.
    started: Option<(u32, Second)>,
}

impl Running<'_> {
    fn get(&self, epoch: u32, shard: &ShardId) -> Option<Before> {
        let key = ShardKey { epoch, id: shard.clone() };
        let stored = || {
            let shard = self.manifest.shards.get(&key)?;
            let Shard { rank, floor, cut, through, ref parent, .. } = *shard;
            Some(Before { rank, floor, cut, through, parent: parent.clone() })
        };
        self.changed.get(&key).cloned().or_else(stored)
    }

    /// None for a shard that nobody opened: that never passes the predicates.
    fn expect(&self, span: &Span) -> Option<Expected> {
        let before = self.get(span.epoch, &span.shard)?;
        let above = before.parent.as_ref().and_then(|parent| self.get(span.epoch, parent)).map(|parent| parent.through);
        let started = self.started.filter(|(epoch, _)| *epoch == span.epoch).map(|(_, floor)| floor);
        let earlier = || self.manifest.epochs.get(&span.epoch).map(|epoch| epoch.started.floor);
        let epoch_floor = started.or_else(earlier)?;
        Some(Expected { span: span.clone(), before, above, epoch_floor })
    }

    fn raise(&mut self, epoch: u32, shard: &ShardId, with: impl FnOnce(&mut Before)) {
        if let Some(mut state) = self.get(epoch, shard) {
            with(&mut state);
            self.changed.insert(ShardKey { epoch, id: shard.clone() }, state);
        }
    }
}

/// Adds the places of a segment's rows.
pub(super) fn collect(rows: &[Row], places: &mut Places) {
    for row in rows {
        let key = ShardKey { epoch: row.epoch, id: row.shard_id.clone() };
        let place = Place {
            sequence: row.sequence,
            cut_at: row.cut_at,
            changed_at: row.changed_at,
            rank: row.shard_rank,
            undecoded: row.kind == ChangeKind::Unknown,
        };
        places.entry(key).or_default().push(place);
    }
}

/// Checks that `places` are exactly what `expected` promises. The error says which shard is wrong, and how.
pub(super) fn check(expected: &[Expected], mut places: Places) -> Result<(), String> {
    for rows in places.values_mut() {
        rows.sort_unstable();
    }
    for promised in expected {
        let span = &promised.span;
        let key = ShardKey { epoch: span.epoch, id: span.shard.clone() };
        let all = places.remove(&key).unwrap_or_default();
        let (inside, left): (Vec<Place>, Vec<Place>) =
            all.into_iter().partition(|place| span.after < place.sequence && place.sequence <= span.through);
        if !left.is_empty() {
            places.insert(key, left);
        }
        one(promised, &inside).map_err(|what| format!("shard {} {what}", span.shard))?;
    }
    match places.keys().next() {
        Some(key) => Err(format!("shard {} has rows that no span of the entry holds", key.id)),
        None => Ok(()),
    }
}

fn one(promised: &Expected, rows: &[Place]) -> Result<(), String> {
    let Expected { span, before, above, epoch_floor } = promised;
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
    if rows.first().is_some_and(|first| Some(first.sequence) <= *above) {
        return Err("has a row that does not come after its parent's last".to_owned());
    }
    let undecoded: BTreeSet<Second> = rows.iter().filter(|row| row.undecoded).map(|row| row.cut_at).collect();
    if undecoded != span.unknown.iter().copied().collect() {
        return Err("has other seconds of undecoded rows than its span says".to_owned());
    }
    let (mut late, mut said) = (Vec::new(), Vec::new());
    let lifted = rows.iter().filter_map(|row| Interval::of_lifted(row.changed_at, row.cut_at, *epoch_floor));
    lifted.for_each(|interval| interval.join(&mut late));
    span.late.iter().for_each(|interval| interval.join(&mut said));
    if late != said {
        return Err("has rows that make other times late than its span says".to_owned());
    }
    Ok(())
}
