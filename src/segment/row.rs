//! One row of a segment, and the rules that hold within it.

use super::{SegmentError, Tier};
use crate::change::image::{self, ImageError};
use crate::change::{Change, ChangeKind, ItemKey, KeyHash, Micros, Second, Sequence, ShardId, Stamped, Text, digest};

/// A change as a segment holds it. Texts share the segment's, or the page's, bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key's hash; `None` for an `UNKNOWN` whose key cannot be read.
    pub key_hash: Option<KeyHash>,
    /// The partition key's text; `None` likewise.
    pub pk: Option<Text>,
    /// The sort key's text; `None` also where the table has none.
    pub sk: Option<Text>,
    /// What happened.
    pub kind: ChangeKind,
    /// `ApproximateCreationDateTime`.
    pub changed_at: Micros,
    /// The archive's second for this change.
    pub cut_at: Second,
    /// The stream (1, 2, …).
    pub epoch: u32,
    /// Depth in the lineage.
    pub shard_rank: u32,
    /// Its place in its shard; from a segment it prints with 40 digits.
    pub sequence: Sequence,
    /// The shard.
    pub shard_id: ShardId,
    /// `eventID`.
    pub event_id: Option<Text>,
    /// `SizeBytes`.
    pub size_bytes: Option<i64>,
    /// `userIdentity`'s JSON.
    pub actor: Option<Text>,
    /// The new image's JSON; for `UNKNOWN` the whole record.
    pub new_image: Option<Text>,
    /// The old image's JSON.
    pub old_image: Option<Text>,
    /// What turns the new image into the old one.
    pub old_delta: Option<Text>,
    /// Digest of the new image.
    pub new_digest: Option<u128>,
    /// Digest of the old image.
    pub old_digest: Option<u128>,
}

/// What a row says about the image before its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldImage {
    /// It was not sent; for an `INSERT` there was none.
    NotSent,
    /// The JSON object of attributes.
    Json(Text),
    /// The new image of the previous change of this key in the same sealed day, which must have this digest.
    Previous(u128),
}

/// The bytes that every row counts, besides its texts, when outputs are cut.
const ROW_WEIGHT: u64 = 64;

impl Row {
    /// The row of a captured change: a `MODIFY` keeps its old image as a difference, a `REMOVE` whole.
    pub(super) fn from_stamped(stamped: Stamped) -> Result<Self, SegmentError> {
        let Stamped { origin, cut_at, change } = stamped;
        let Change { key, kind, new_image, mut old_image, .. } = change;
        let key_hash = key.as_ref().map(|key| key.hash().ok_or(ImageError::Key)).transpose()?;
        let (pk, sk) = key.map_or((None, None), |key| (Some(key.pk.text), key.sk.map(|sk| sk.text)));
        let mut old_delta = None;
        if let (ChangeKind::Modify, Some(new), Some(old)) = (kind, &new_image, &old_image) {
            old_delta = Some(Text::from(image::delta(old.as_str(), new.as_str())?));
            old_image = None;
        }
        let row = Self {
            key_hash,
            pk,
            sk,
            kind,
            changed_at: change.changed_at,
            cut_at,
            epoch: origin.epoch,
            shard_rank: origin.shard_rank,
            sequence: change.sequence,
            shard_id: origin.shard.clone(),
            event_id: change.event_id,
            size_bytes: change.size_bytes,
            actor: change.actor,
            new_image,
            old_image,
            old_delta,
            new_digest: change.new_digest,
            old_digest: change.old_digest,
        };
        row.check(Tier::Raw).map_err(SegmentError::Rows)?;
        Ok(row)
    }

    /// The rules within a row of this tier.
    pub(super) fn check(&self, tier: Tier) -> Result<(), &'static str> {
        if self.key_hash.is_some() != self.pk.is_some() || (self.pk.is_none() && self.sk.is_some()) {
            return Err("a key is there in part");
        }
        let old_columns = self.old_image.is_some() || self.old_delta.is_some() || self.old_digest.is_some();
        if self.kind == ChangeKind::Unknown {
            let whole = self.new_image.is_some() && self.new_digest.is_none() && !old_columns;
            return if whole { Ok(()) } else { Err("an UNKNOWN holds other than its whole record") };
        }
        if self.pk.is_none() {
            return Err("only an UNKNOWN may lack its key");
        }
        if self.new_image.is_some() == (self.kind == ChangeKind::Remove) {
            return Err("only a REMOVE lacks a new image");
        }
        if self.new_image.is_some() != self.new_digest.is_some() {
            return Err("a new image stands without its digest, or a digest without its image");
        }
        if self.kind == ChangeKind::Insert && old_columns {
            return Err("an INSERT has an old image");
        }
        match (&self.old_image, &self.old_delta, self.old_digest) {
            (None, None, None) | (Some(_), None, Some(_)) => Ok(()),
            (None, Some(_), Some(_)) if self.new_image.is_some() => Ok(()),
            (None, None, Some(_)) if tier.is_sealed() => Ok(()),
            _ => Err("its old_ columns stand in a combination that means nothing"),
        }
    }

    /// The image before the change.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] for a difference that does not fit, or a combination that means nothing.
    pub fn old_image_json(&self) -> Result<OldImage, SegmentError> {
        let damaged = |why: String| SegmentError::Damaged(format!("the old image of a row: {why}"));
        match (&self.old_image, &self.old_delta, &self.new_image, self.old_digest) {
            (Some(old), None, _, Some(_)) => Ok(OldImage::Json(old.clone())),
            (None, Some(delta), Some(new), Some(_)) => {
                let old = image::apply(new.as_str(), delta.as_str()).map_err(|error| damaged(error.to_string()))?;
                Ok(OldImage::Json(Text::from(old)))
            }
            (None, None, _, Some(digest)) => Ok(OldImage::Previous(digest)),
            (None, None, _, None) => Ok(OldImage::NotSent),
            _ => Err(damaged("its columns stand in a combination that means nothing".to_owned())),
        }
    }

    /// What rows are sorted by; the shard only settles what cannot be equal in one lineage.
    #[must_use]
    pub fn order(&self) -> impl Ord + '_ {
        (self.key_hash, &self.pk, &self.sk, self.epoch, self.shard_rank, self.sequence, &self.shard_id)
    }

    /// What this row counts when outputs are cut.
    #[must_use]
    pub fn weight(&self) -> u64 {
        weight([&self.pk, &self.sk, &self.new_image, &self.old_image, &self.old_delta])
    }
}

/// An item of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseRow {
    /// The key's hash.
    pub key_hash: KeyHash,
    /// The partition key's text.
    pub pk: Text,
    /// The sort key's text, where the table has one.
    pub sk: Option<Text>,
    /// The JSON object of attributes, byte for byte as sent.
    pub image: Text,
    /// Its digest.
    pub image_digest: u128,
}

impl BaseRow {
    /// The row of an item.
    ///
    /// # Errors
    /// An image or key that cannot be read.
    pub fn new(key: ItemKey, image: Text) -> Result<Self, ImageError> {
        let key_hash = key.hash().ok_or(ImageError::Key)?;
        let image_digest = digest::image(image.as_str())?;
        Ok(Self { key_hash, pk: key.pk.text, sk: key.sk.map(|sk| sk.text), image, image_digest })
    }

    /// What rows are sorted by.
    pub fn order(&self) -> impl Ord + '_ {
        (self.key_hash, &self.pk, &self.sk)
    }

    /// What this row counts when outputs are cut.
    #[must_use]
    pub fn weight(&self) -> u64 {
        weight([&Some(self.pk.clone()), &self.sk, &Some(self.image.clone())])
    }
}

fn weight<const N: usize>(texts: [&Option<Text>; N]) -> u64 {
    let bytes = |text: &Option<Text>| text.as_ref().map_or(0, |text| text.len() as u64);
    ROW_WEIGHT + texts.into_iter().map(bytes).sum::<u64>()
}
