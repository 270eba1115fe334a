//! The folded manifest as stored: a root, and a part per day with the paths of that day.
//!
//! Both are JSON under zstd. `fold/<n, 20 digits>.json.zst` is the root: every member of [`Root`] in its order;
//! maps whose keys are no strings are lists of `[key, value]`. `fold/day=<day>/<sha256>.json.zst` is a part
//! ([`Part`]); it is named by the hash of its stored bytes, never changes, and later roots name it again.
//! A fold is derived: without an entry that names it by hash it does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::action::{Definition, Interval};
use super::days::day_of;
use super::entry::FoldPointer;
use super::state::{
    Awaited, Base, Epoch, Gap, Intent, Manifest, PartPointer, Shard, ShardKey, StoredDay, UnknownAction, Voided,
};
use crate::change::Second;
use crate::segment::SegmentMeta;

/// The version of folds that this build writes and reads.
const VERSION: u32 = 1;
/// Names under which a part is tried.
pub(super) const NAMES: usize = 2;
/// Fast enough to write between two commits.
const LEVEL: i32 = 3;

/// Everything but the paths of segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    v: u32,
    /// The last entry folded, its hash, and its version where there are versions.
    pub(super) n: u64,
    sha256: String,
    pub(super) version_id: Option<String>,
    at: Second,
    fold: Option<FoldPointer>,
    epochs: BTreeMap<u32, Epoch>,
    shards: Vec<(ShardKey, Shard)>,
    awaited: Vec<(ShardKey, Awaited)>,
    gaps: Vec<Gap>,
    late: Vec<Interval>,
    bases: Vec<Base>,
    intents: BTreeMap<u64, Intent>,
    definition: Option<Definition>,
    coverage_ended: Option<String>,
    closed_through: Option<Second>,
    proven_through: Option<Second>,
    rows: u64,
    unknown: Vec<UnknownAction>,
    sealed_through: Option<String>,
    sealed_rows_through: Option<String>,
    voids: Vec<Voided>,
    pub(super) parts: Vec<PartPointer>,
}

/// The paths of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    v: u32,
    day: String,
    /// Live segments.
    segments: Vec<SegmentMeta>,
    /// Sealed days with the raw paths that each replaced.
    sealed: BTreeMap<String, Vec<String>>,
    /// Paths named by `collect`.
    collected: BTreeSet<String>,
    /// Paths that a void un-named.
    retired: BTreeSet<String>,
}

impl Manifest {
    /// The fold that the next entry names.
    pub(super) fn newest_fold(&self) -> Option<FoldPointer> {
        let newer = |named: &FoldPointer| self.verified.as_ref().is_none_or(|verified| verified.n <= named.n);
        self.fold.clone().filter(newer).or_else(|| self.verified.clone()).or_else(|| self.fold.clone())
    }

    /// Days whose part must be written before a root can be.
    pub(super) fn unstored(&self) -> Vec<Part> {
        let days = self.days.iter().filter(|(_, day)| day.stored.is_none());
        days.map(|(day, _)| self.part(day)).collect()
    }

    pub(super) fn part(&self, day: &str) -> Part {
        let paths = |set: &BTreeSet<String>| set.iter().filter(|path| day_of(path) == day).cloned().collect();
        let sealed = self.sealed.iter().filter(|(sealed, _)| sealed.as_str() == day);
        Part {
            v: VERSION,
            day: day.to_owned(),
            segments: self.segments_of(day).cloned().collect(),
            sealed: sealed.map(|(day, inputs)| (day.clone(), inputs.clone())).collect(),
            collected: paths(&self.collected),
            retired: paths(&self.retired),
        }
    }

    /// Live segments of a day, in order of path: a long log has too many to look through for each part.
    fn segments_of<'m>(&'m self, day: &'m str) -> impl Iterator<Item = &'m SegmentMeta> {
        ["raw/dt=", "sealed/dt="].into_iter().flat_map(move |tier| {
            let first = format!("{tier}{day}");
            let from = (Bound::Included(first.as_str()), Bound::Unbounded);
            let of_day = move |path: &str| path.starts_with(tier) && day_of(path) == day;
            self.segments.range::<str, _>(from).take_while(move |(path, _)| of_day(path)).map(|(_, meta)| &**meta)
        })
    }

    /// The root, once every day is stored and there is an entry.
    pub(super) fn root(&self) -> Option<Root> {
        let parts: Option<Vec<PartPointer>> = self.days.values().map(|day| day.stored.clone()).collect();
        Some(Root {
            v: VERSION,
            n: self.next.checked_sub(1)?,
            sha256: self.tail_sha256.clone()?,
            version_id: self.tail_version_id.clone(),
            at: self.at?,
            fold: self.fold.clone(),
            epochs: self.epochs.clone(),
            shards: pairs(&self.shards),
            awaited: pairs(&self.awaited),
            gaps: self.gaps.clone(),
            late: self.late.clone(),
            bases: self.bases.clone(),
            intents: self.intents.clone(),
            definition: self.definition.clone(),
            coverage_ended: self.coverage_ended.clone(),
            closed_through: self.closed_through,
            proven_through: self.proven_through,
            rows: self.rows,
            unknown: self.unknown.clone(),
            sealed_through: self.sealed_through.clone(),
            sealed_rows_through: self.sealed_rows_through.clone(),
            voids: self.voids.clone(),
            parts: parts?,
        })
    }

    /// Takes a part's paths into memory.
    pub(super) fn add_part(&mut self, part: Part) {
        self.segments.extend(part.segments.into_iter().map(|meta| (meta.path.as_str().into(), Arc::new(meta))));
        self.sealed.extend(part.sealed);
        self.collected.extend(part.collected);
        self.retired.extend(part.retired);
        self.days.entry(part.day).or_default().loaded = true;
    }
}

impl From<Root> for Manifest {
    fn from(root: Root) -> Self {
        let day = |stored: PartPointer| (stored.day.clone(), StoredDay { stored: Some(stored), loaded: false });
        Self {
            next: root.n + 1,
            tail_sha256: Some(root.sha256),
            tail_version_id: root.version_id,
            at: Some(root.at),
            fold: root.fold,
            epochs: root.epochs,
            shards: root.shards.into_iter().collect(),
            awaited: root.awaited.into_iter().collect(),
            gaps: root.gaps,
            late: root.late,
            bases: root.bases,
            intents: root.intents,
            definition: root.definition,
            coverage_ended: root.coverage_ended,
            closed_through: root.closed_through,
            proven_through: root.proven_through,
            rows: root.rows,
            unknown: root.unknown,
            sealed_through: root.sealed_through,
            sealed_rows_through: root.sealed_rows_through,
            voids: root.voids,
            days: root.parts.into_iter().map(day).collect(),
            ..Self::default()
        }
    }
}

impl Part {
    pub(super) fn day(&self) -> &str {
        &self.day
    }
}

fn pairs<K: Clone, V: Clone>(map: &BTreeMap<K, V>) -> Vec<(K, V)> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The stored bytes of a root or part, with line feeds behind it: they mean nothing, and give it another hash.
pub(super) fn pack(value: &impl Serialize, feeds: usize) -> Option<Vec<u8>> {
    let mut json = serde_json::to_vec(value).ok()?;
    json.resize(json.len() + feeds, b'\n');
    zstd::encode_all(json.as_slice(), LEVEL).ok()
}

/// The root or part that stored bytes hold; none for damaged bytes, or those of another version.
pub(super) fn unpack<T: DeserializeOwned + Versioned>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(&zstd::decode_all(bytes).ok()?).ok()?;
    (value.version() == VERSION).then_some(value)
}

/// Says by which version it was written.
pub(super) trait Versioned {
    fn version(&self) -> u32;
}

impl Versioned for Root {
    fn version(&self) -> u32 {
        self.v
    }
}

impl Versioned for Part {
    fn version(&self) -> u32 {
        self.v
    }
}
