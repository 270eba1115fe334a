//! One object of the log: a line of JSON and the line of its hash.

use serde::{Deserialize, Serialize};

use super::action::Action;
use crate::change::Second;

/// Who wrote an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writer {
    /// One process's random identity.
    pub id: String,
    /// `tailrace/0.1.0`.
    pub build: String,
}

/// The newest fold that a writer verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldPointer {
    /// The entry up to which it folds.
    pub n: u64,
    /// SHA-256 of the stored object, lower-case hex.
    pub sha256: String,
}

/// An entry, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: 0, 1, 2, …
    pub n: u64,
    /// Random; tells our own commit from another's.
    pub commit_id: String,
    /// SHA-256 of all bytes of the previous object; none in entry 0.
    pub prev_sha256: Option<String>,
    /// The previous entry's version, in a versioned bucket.
    pub prev_version_id: Option<String>,
    /// The writer's latest service time.
    pub at: Second,
    /// Who wrote it.
    pub writer: Writer,
    /// The newest fold its writer verified.
    pub fold: Option<FoldPointer>,
    /// What it says.
    pub actions: Vec<Action>,
}
