//! When the changes of a segment happened and to which keys: a few narrow columns.

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;

use super::{Day, NARROW_ROWS, Parts, chosen, damaged, fixed, from_on, get, texts};
use crate::change::{ChangeKind, KeyHash, Micros, Second};
use crate::segment::parts::Wanted;
use crate::segment::{SegmentError, SegmentMeta, schema};

/// What is always read.
const WHEN: [&str; 3] = ["key_hash", "kind", "cut_at"];
/// The same, and who changed what.
const WHO: [&str; 6] = ["key_hash", "pk", "sk", "kind", "cut_at", "actor"];

/// A change without its place in its shard and its images.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The key's hash; `None` for an `UNKNOWN` whose key cannot be read.
    pub key_hash: Option<KeyHash>,
    /// What happened.
    pub kind: ChangeKind,
    /// The archive's second for this change.
    pub cut_at: Second,
    /// Who changed what, if it was asked for.
    pub who: Option<Who<'a>>,
}

/// Who changed what.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The partition key's text.
    pub pk: Option<&'a str>,
    /// The sort key's text.
    pub sk: Option<&'a str>,
    /// `userIdentity`, as JSON: of changes that the service made by itself.
    pub actor: Option<&'a str>,
}

const fn columns(who: bool) -> &'static [&'static str] {
    if who { &WHO } else { &WHEN }
}

/// The parts of a segment that [`moments`] reads.
#[must_use]
pub fn wanted(meta: &SegmentMeta, who: bool) -> Vec<Wanted> {
    let rows = usize::try_from(meta.rows).unwrap_or(usize::MAX);
    let whole = |name: &&'static str| Wanted { column: Some(name), rows: std::iter::once(0..rows).collect() };
    columns(who).iter().map(whole).collect()
}

/// Gives `take` every change of a raw or sealed segment, in stored order.
///
/// # Errors
/// As [`super::positions`].
pub fn moments(
    parts: &Parts,
    meta: &SegmentMeta,
    who: bool,
    mut take: impl FnMut(Moment<'_>),
) -> Result<(), SegmentError> {
    let rows = from_on(meta, 0);
    let (footer, batches) = chosen(parts, meta, &schema::CHANGES, Some(columns(who)), rows, NARROW_ROWS)?;
    let day = Day::of(&footer)?;
    for batch in batches {
        let batch = batch?;
        let at = |name: &str| batch.schema_ref().index_of(name).map_err(|error| damaged(error.to_string()));
        let text = |name: &str| texts(&batch, at(name)?);
        let (hash, kind) = (batch.column(at("key_hash")?).as_fixed_size_binary(), text("kind")?);
        let cut_at = batch.column(at("cut_at")?).as_primitive::<TimestampMicrosecondType>();
        let columns = if who { Some((text("pk")?, text("sk")?, text("actor")?)) } else { None };
        for row in 0..batch.num_rows() {
            take(Moment {
                key_hash: fixed(hash, row).map(KeyHash),
                kind: ChangeKind::from_word(kind.value(row)).ok_or_else(|| damaged("a row has an unknown kind"))?,
                cut_at: day.stored_cut(Micros(cut_at.value(row)))?,
                who: columns.map(|(pk, sk, actor)| Who { pk: get(pk, row), sk: get(sk, row), actor: get(actor, row) }),
            });
        }
    }
    Ok(())
}
