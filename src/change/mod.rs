//! The vocabulary: changes, keys, images, positions. No I/O, and no dependency on the rest of the house.

pub mod canonical;
mod delta;
pub mod digest;
mod id;
pub mod image;
mod key;
mod number;
mod sequence;
mod text;
mod time;

pub use id::{ShardId, TableIdentity};
pub use key::{ItemKey, KeyAttribute, KeyHash, KeySchema, KeyType, KeyValue};
pub use sequence::{Sequence, SequenceError};
pub use text::Text;
pub use time::{Micros, Second};

/// What happened to the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// The item did not exist before.
    Insert,
    /// The item existed before and after.
    Modify,
    /// The item does not exist after.
    Remove,
    /// A record that could not be decoded; it is kept whole.
    Unknown,
}

impl ChangeKind {
    /// The word stored in segments and sent by the service.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Modify => "MODIFY",
            Self::Remove => "REMOVE",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The kind that `word` names, if it is one of ours.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Insert, Self::Modify, Self::Remove, Self::Unknown].into_iter().find(|kind| kind.word() == word)
    }
}

/// One item-level modification as a shard delivered it.
///
/// Texts are slices of the page that brought them: nothing is copied until a segment is written.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its place in its shard.
    pub sequence: Sequence,
    /// What happened.
    pub kind: ChangeKind,
    /// `ApproximateCreationDateTime`.
    pub changed_at: Micros,
    /// The item's key; absent only for `UNKNOWN`.
    pub key: Option<ItemKey>,
    /// `eventID` as delivered.
    pub event_id: Option<Text>,
    /// `SizeBytes` as delivered.
    pub size_bytes: Option<i64>,
    /// `userIdentity`'s JSON as delivered.
    pub actor: Option<Text>,
    /// `NewImage`'s JSON as delivered; for `UNKNOWN` the whole record.
    pub new_image: Option<Text>,
    /// `OldImage`'s JSON as delivered.
    pub old_image: Option<Text>,
    /// The digest of `new_image`; `None` without one, and for `UNKNOWN`. [`Change::with_digests`] fills it in.
    pub new_digest: Option<u128>,
    /// The digest of `old_image`, likewise.
    pub old_digest: Option<u128>,
}

impl Change {
    /// Reads both images once: fills in their digests, which proves that they can be archived as images.
    /// The decoder calls this for every change; a change that fails is kept as `UNKNOWN` with its whole record.
    ///
    /// # Errors
    /// An image that cannot be read, or that is not of this kind of change: an `INSERT` or `MODIFY` has a
    /// new image, a `REMOVE` has none; an `INSERT` has no old one. A change without a key is refused too.
    pub fn with_digests(mut self) -> Result<Self, image::ImageError> {
        if self.kind == ChangeKind::Unknown {
            return Ok(Self { new_digest: None, old_digest: None, ..self });
        }
        let fits = match self.kind {
            ChangeKind::Insert => self.new_image.is_some() && self.old_image.is_none(),
            ChangeKind::Modify => self.new_image.is_some(),
            ChangeKind::Remove | ChangeKind::Unknown => self.new_image.is_none(),
        };
        if !fits || self.key.is_none() {
            return Err(image::ImageError::Shape);
        }
        (self.new_digest, self.old_digest) = match (&self.new_image, &self.old_image) {
            (Some(new), Some(old)) => {
                let (new, old) = digest::images(new.as_str(), old.as_str())?;
                (Some(new), Some(old))
            }
            (Some(new), None) => (Some(digest::image(new.as_str())?), None),
            (None, old) => (None, old.as_ref().map(|old| digest::image(old.as_str())).transpose()?),
        };
        Ok(self)
    }
}

/// Where a change comes from: the shard, and its rank in the lineage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The stream (1, 2, …) of this table.
    pub epoch: u32,
    /// Depth in the lineage; orders the shards of one item.
    pub shard_rank: u32,
    /// The shard.
    pub shard: ShardId,
}

/// A change with the place and the second that the archive gives it.
#[derive(Debug, Clone)]
pub struct Stamped {
    /// Shard and rank, shared by all changes of the shard.
    pub origin: std::sync::Arc<Origin>,
    /// The archive's second for this change: never falls along a lineage.
    pub cut_at: Second,
    /// What was delivered.
    pub change: Change,
}

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
