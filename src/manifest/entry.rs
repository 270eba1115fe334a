//! One object of the log: a line of JSON and the line of its hash.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::action::Action;
use super::{codec, strict};
use crate::change::Second;

/// The version of entries that this build writes and reads.
const VERSION: u64 = 1;

/// Why bytes are no entry of this build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Damaged or forged: it occupies its number and has no effect.
    #[error("{0}")]
    Form(String),
    /// Written by a newer build: nobody here may guess what it says.
    #[error("it has version {0}, this build knows {VERSION}")]
    Newer(u64),
}

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

/// The line of JSON, members in order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    v: u64,
    n: u64,
    commit_id: String,
    prev_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prev_version_id: Option<String>,
    at: Second,
    writer: Writer,
    fold: Option<FoldPointer>,
    actions: Vec<Box<RawValue>>,
}

/// Only the version: members of a newer one are unknown here.
#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

impl Entry {
    /// The object's bytes.
    ///
    /// # Errors
    /// A verbatim action that is no JSON.
    pub fn encode(&self) -> Result<Bytes, EntryError> {
        let actions: Result<Vec<_>, _> = self.actions.iter().map(codec::encode).collect();
        let line = Line {
            v: VERSION,
            n: self.n,
            commit_id: self.commit_id.clone(),
            prev_sha256: self.prev_sha256.clone(),
            prev_version_id: self.prev_version_id.clone(),
            at: self.at,
            writer: self.writer.clone(),
            fold: self.fold.clone(),
            actions: actions.map_err(form)?,
        };
        let json = serde_json::to_string(&line).map_err(form)?;
        Ok(Bytes::from(format!("{json}\n{}\n", sha256(json.as_bytes()))))
    }

    /// Reads an object that stands in slot `n`.
    ///
    /// # Errors
    /// [`EntryError::Newer`], or [`EntryError::Form`] for bytes that nobody meant to write here.
    pub fn decode(n: u64, bytes: &[u8]) -> Result<Self, EntryError> {
        let text = std::str::from_utf8(bytes).map_err(form)?;
        let lines: Vec<&str> = text.split('\n').collect();
        let [json, hash, ""] = lines[..] else { return Err(form("it is not two lines")) };
        if json.contains('\r') || sha256(json.as_bytes()) != hash {
            return Err(form("its hash is not that of its line"));
        }
        strict::check(json).map_err(form)?;
        let Versioned { v } = serde_json::from_str(json).map_err(form)?;
        if v != VERSION {
            return Err(EntryError::Newer(v));
        }
        let line: Line = serde_json::from_str(json).map_err(form)?;
        if line.n != n {
            return Err(form(format!("it says that it is number {}", line.n)));
        }
        let actions: Result<Vec<_>, _> = line.actions.iter().map(|action| codec::decode(action)).collect();
        Ok(Self {
            n,
            commit_id: line.commit_id,
            prev_sha256: line.prev_sha256,
            prev_version_id: line.prev_version_id,
            at: line.at,
            writer: line.writer,
            fold: line.fold,
            actions: actions.map_err(form)?,
        })
    }
}

/// SHA-256 of stored bytes, lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn form(why: impl std::fmt::Display) -> EntryError {
    EntryError::Form(format!("{why}"))
}
