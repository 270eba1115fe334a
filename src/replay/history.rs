//! Every archived version of one item, out of the few pages that hold its rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::error::ReplayError;
use crate::change::{ItemKey, KeyHash, Second, Text, digest};
use crate::manifest::{Manifest, ReadError, Segments};
use crate::segment::{OldImage, Row, SegmentMeta, Tier};

/// Objects that are looked into at once: each is waited for more than it is worked on.
const AT_ONCE: usize = 16;

/// One change of the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The change, as archived.
    pub row: Row,
    /// The item before it, where it was there and is known.
    pub before: Option<Text>,
}

impl Version {
    /// The item after it, where it is there. A record that could not be decoded tells of none.
    #[must_use]
    pub fn after(&self) -> Option<&Text> {
        self.row.new_image.as_ref().filter(|_| self.row.new_digest.is_some())
    }
}

/// The changes of the item with this key that are stamped from `from` to `to`, in order of position. `manifest` must
/// hold the segments of that time.
///
/// Rows are read by their pages, so what proves them is the digest of each image, not the SHA-256 of the object.
///
/// # Errors
/// [`ReplayError::Read`]; damage also where an image does not have its digest.
pub async fn history(
    manifest: &Manifest,
    segments: &Segments,
    key: &ItemKey,
    (from, to): (Second, Second),
) -> Result<Vec<Version>, ReplayError> {
    let Some(hash) = key.hash() else { return Ok(Vec::new()) };
    let mut reads: Vec<BoxFuture<'_, _>> = Vec::new();
    for meta in manifest.segments.values().filter(|meta| may_hold(meta, hash, (from, to))) {
        let meta = Arc::clone(meta);
        reads.push(async move { Ok::<_, ReadError>((segments.of_keys(&meta, hash..=hash).await?, meta)) }.boxed());
    }
    let read: Vec<(Vec<Row>, Arc<SegmentMeta>)> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
    let is_it =
        |row: &Row| row.pk.as_ref() == Some(&key.pk.text) && row.sk.as_ref() == key.sk.as_ref().map(|sk| &sk.text);
    let rows = read.into_iter().flat_map(|(rows, meta)| rows.into_iter().map(move |row| (row, Arc::clone(&meta))));
    let mut rows: Vec<(Row, Arc<SegmentMeta>)> = rows.filter(|(row, _)| is_it(row)).collect();
    rows.sort_by(|(a, _), (b, _)| a.order().cmp(&b.order()));
    let mut versions: Vec<Version> = Vec::with_capacity(rows.len());
    for (row, meta) in rows {
        let version = version(row, versions.last()).map_err(|reason| damaged(&meta, reason))?;
        versions.push(version);
    }
    versions.retain(|version| (from..=to).contains(&version.row.cut_at));
    Ok(versions)
}

fn damaged(meta: &SegmentMeta, reason: String) -> ReplayError {
    ReplayError::Read(ReadError::Damaged { path: meta.path.clone(), reason })
}

/// Whether a segment may hold a change of the key in that time. Of a sealed day, all may: a row may lean on the one
/// before it.
fn may_hold(meta: &SegmentMeta, hash: KeyHash, (from, to): (Second, Second)) -> bool {
    let digits = hex::encode(hash.0);
    let in_hash = meta.min_key_hash.as_ref().is_none_or(|min| *min <= digits)
        && meta.max_key_hash.as_ref().is_none_or(|max| digits <= *max);
    in_hash
        && match meta.tier {
            Tier::Base => false,
            Tier::Raw => meta.meets(from, to),
            Tier::Heads | Tier::Rest => from.day() <= meta.dt && meta.dt <= to.day(),
        }
}

/// The change with the image before it, both proven by their digests.
fn version(row: Row, last: Option<&Version>) -> Result<Version, String> {
    let proven = |image: &Text, stored: u128| match digest::image(image.as_str()) {
        Ok(found) if found == stored => Ok(()),
        Ok(_) => Err("an image does not have its digest".to_owned()),
        Err(error) => Err(format!("an image cannot be read: {error}")),
    };
    if let (Some(image), Some(stored)) = (&row.new_image, row.new_digest) {
        proven(image, stored)?;
    }
    let before = match row.old_image_json().map_err(|error| error.to_string())? {
        OldImage::Json(image) => Some(image),
        OldImage::NotSent => None,
        OldImage::Previous(stored) => {
            let previous = last.filter(|last| last.row.new_digest == Some(stored)).and_then(Version::after);
            Some(previous.ok_or("it leaves out an old image that is nowhere")?.clone())
        }
    };
    if let (Some(image), Some(stored)) = (&before, row.old_digest) {
        proven(image, stored)?;
    }
    Ok(Version { row, before })
}

/// What a change did to one attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldChange<'a> {
    /// Its value before, as JSON; none where it was not there.
    pub before: Option<&'a str>,
    /// Its value after.
    pub after: Option<&'a str>,
}

/// The attributes whose values differ between two images, in order of name. Equal values that are spelled
/// differently do not.
///
/// # Errors
/// An image that cannot be read.
pub fn fields<'a>(
    before: Option<&'a Text>,
    after: Option<&'a Text>,
) -> Result<Vec<(String, FieldChange<'a>)>, crate::change::image::ImageError> {
    use crate::change::{canonical, image};
    let of = |image: Option<&'a Text>| image.map_or_else(|| Ok(Vec::new()), |image| image::attributes(image.as_str()));
    let (old, new) = (of(before)?, of(after)?);
    let names: BTreeSet<&str> = old.iter().chain(&new).map(|(name, _)| &**name).collect();
    let value = |of: &[image::Attribute<'a>], name: &str| {
        of.iter().find(|(other, _)| other == name).map(|(_, value)| value.get())
    };
    let mut changes = Vec::new();
    for name in names {
        let change = FieldChange { before: value(&old, name), after: value(&new, name) };
        let same = match (change.before, change.after) {
            (Some(before), Some(after)) => before == after || canonical::value(before)? == canonical::value(after)?,
            _ => false,
        };
        if !same {
            changes.push((name.to_owned(), change));
        }
    }
    Ok(changes)
}
