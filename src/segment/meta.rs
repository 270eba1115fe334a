//! What an entry of the log says of a segment.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::change::{KeyHash, Second};

/// The tier of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// As captured.
    Raw,
    /// Sealed: the last change of each item of a day.
    Heads,
    /// Sealed: the earlier changes of a day.
    Rest,
    /// One row per item.
    Base,
}

impl Tier {
    /// As paths and entries name it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Heads => "heads",
            Self::Rest => "rest",
            Self::Base => "base",
        }
    }

    /// Whether it holds a day's changes for good.
    #[must_use]
    pub const fn is_sealed(self) -> bool {
        matches!(self, Self::Heads | Self::Rest)
    }
}

/// A segment as an entry names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentMeta {
    /// Relative to the table's folder.
    pub path: String,
    /// A hint, where the bucket has versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Length.
    pub bytes: u64,
    /// SHA-256 of the object, lower-case hex.
    pub sha256: String,
    /// Rows.
    pub rows: u64,
    /// Order-free digest of the rows, 32 hex digits.
    pub row_digest: String,
    /// The tier.
    pub tier: Tier,
    /// UTC day of `cut_at` of every row (for a base: of `started`).
    pub dt: String,
    /// The bucket, in sealed and base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u16>,
    /// Least `cut_at` (absent in a base).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_cut_at: Option<Second>,
    /// Greatest `cut_at` (absent in a base).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cut_at: Option<Second>,
    /// Least `key_hash`, 32 hex digits; absent if no row has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_key_hash: Option<String>,
    /// Greatest `key_hash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_key_hash: Option<String>,
    /// RFC 6962 root over the SHA-256 of each row in stored order, hex; in sealed and base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_root: Option<String>,
}

impl SegmentMeta {
    /// Whether a change of it may be stamped from `from` to `to`, as far as the entry tells.
    #[must_use]
    pub fn meets(&self, from: Second, to: Second) -> bool {
        self.min_cut_at.is_none_or(|min| min <= to) && self.max_cut_at.is_none_or(|max| max >= from)
    }

    /// Whether a key of it may have one of these hashes, likewise.
    #[must_use]
    pub fn meets_keys(&self, hashes: &RangeInclusive<KeyHash>) -> bool {
        let (least, greatest) = self.key_hashes();
        least.is_none_or(|least| least <= *hashes.end()) && greatest.is_none_or(|greatest| greatest >= *hashes.start())
    }

    /// The least and the greatest hash of its keys, where the entry tells.
    #[must_use]
    pub fn key_hashes(&self) -> (Option<KeyHash>, Option<KeyHash>) {
        let hash = |text: &Option<String>| Some(KeyHash(hex::decode(text.as_deref()?).ok()?.try_into().ok()?));
        (hash(&self.min_key_hash), hash(&self.max_key_hash))
    }
}
