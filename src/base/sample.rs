//! Before an image of the archive's own is committed, some of its files are made again the plain way: rows decoded whole,
//! and of each key the last one by its place. Behind the decoding this shares nothing with replay, so that an error in one of
//! them shows while nothing is named yet.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::BaseError;
use crate::change::{ChangeKind, KeyHash, Sequence, Text};
use crate::manifest::Segments;
use crate::replay::{Plan, Way};
use crate::segment::{Row, SegmentMeta};

/// Files that are made again.
const SAMPLES: usize = 3;

/// A key, in order of hash.
type Key = (KeyHash, Text, Option<Text>);
/// Where a change stands among those of its key; none for a row of a base, which comes before them.
type Place = Option<(u32, u32, Sequence)>;

/// Makes some of the files again that were `written` of `plan`; which ones, `turn` decides. A backward plan, which a person
/// asked for by its time, is not compared.
///
/// # Errors
/// [`BaseError::Differs`], or what kept a segment from being read.
pub(super) async fn compared(
    segments: &Segments,
    plan: &Plan,
    written: &[SegmentMeta],
    turn: u64,
) -> Result<(), BaseError> {
    if plan.way != Way::Forward {
        return Ok(());
    }
    let mut sorted: Vec<&SegmentMeta> = written.iter().collect();
    sorted.sort_by(|a, b| a.min_key_hash.cmp(&b.min_key_hash));
    let begins: Vec<KeyHash> = sorted.iter().filter_map(|meta| meta.key_hashes().0).collect();
    let first = usize::try_from(turn).unwrap_or_default();
    // An image without items has no file, and one to make again all the same.
    let files = sorted.len().max(1);
    for sample in 0..SAMPLES.min(files) {
        let at = (first + sample * (files / SAMPLES).max(1)) % files;
        let file = sorted.get(at).copied();
        let from = if at == 0 { KeyHash::LEAST } else { begins.get(at).copied().unwrap_or(KeyHash::LEAST) };
        let last = begins.get(at + 1).map_or(KeyHash::GREATEST, |next| next.before());
        let expected = plainly(segments, plan, from..=last).await?;
        let mut found = BTreeMap::new();
        if let Some(file) = file {
            found.extend(segments.base(file).await?.into_iter().map(|row| ((row.key_hash, row.pk, row.sk), row.image)));
        }
        if found != expected {
            let path = file.map_or("an image without files", |file| &file.path);
            let what = format!("{path} has {} items, and the rows of the archive say {}", found.len(), expected.len());
            return Err(BaseError::Differs(what));
        }
    }
    Ok(())
}

/// The images of these keys at the plan's point.
async fn plainly(
    segments: &Segments,
    plan: &Plan,
    hashes: RangeInclusive<KeyHash>,
) -> Result<BTreeMap<Key, Text>, BaseError> {
    let mut last: BTreeMap<Key, (Place, Option<Text>)> = BTreeMap::new();
    for meta in plan.base.segments.iter().filter(|meta| meta.meets_keys(&hashes)) {
        let rows = segments.base(meta).await?.into_iter().filter(|row| hashes.contains(&row.key_hash));
        last.extend(rows.map(|row| ((row.key_hash, row.pk, row.sk), (None, Some(row.image)))));
    }
    for meta in plan.changes.iter().filter(|meta| meta.meets_keys(&hashes)) {
        for row in segments.of_keys(meta, hashes.clone()).await? {
            let counts = plan.after < row.cut_at && row.cut_at <= plan.until && row.kind != ChangeKind::Unknown;
            if let (true, Some(key)) = (counts, key(&row)) {
                let place = Some((row.epoch, row.shard_rank, row.sequence));
                let known = last.entry(key).or_insert((None, None));
                if place > known.0 {
                    *known = (place, row.new_image);
                }
            }
        }
    }
    Ok(last.into_iter().filter_map(|(key, (_, image))| Some((key, image?))).collect())
}

fn key(row: &Row) -> Option<Key> {
    Some((row.key_hash?, row.pk.clone()?, row.sk.clone()))
}
