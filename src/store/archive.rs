//! `archive.json`: what makes a folder an archive. Written once by [`init`], never by anything else.
//!
//! No entry of a log names it, so it carries its own hash: its last member, over all bytes before that member.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Keep, Landed, ObjectStore, StoreError, put_verified};
use crate::change::Second;
use crate::failure::{Exit, Failure};
use crate::platform::ids::Ids;

mod probe;

/// The object's path.
pub const PATH: &str = "archive.json";
/// The format that this build writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
/// What stands before the object's own hash, in every format.
const HASH: &str = ",\"sha256\":\"";
/// What stands behind it.
const END: &str = "\"}\n";

/// What `archive.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// The format's number.
    pub format: u32,
    /// Random: tells a copy from the place where the archive was made.
    pub origin: String,
    /// When it was made, by the clock of the machine that made it.
    pub created: Second,
    /// How it is kept.
    pub modes: Modes,
}

/// What was decided for the whole archive when it was made. A mode that this build does not know is
/// one that it cannot keep, so it refuses the archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modes {
    /// What happens to a replay whose reader cannot write the access log.
    #[serde(default)]
    pub access_log: AccessLog,
    /// How long objects are locked; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// Whether an access must be recorded to be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLog {
    /// A reader without the right to write says so and goes on.
    #[default]
    Reported,
    /// An access that cannot be recorded is refused.
    Required,
}

/// Object Lock for what is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Who may shorten it.
    pub mode: LockMode,
    /// Days for log, sealed segments, bases, heads and exports; at least 1.
    pub full_days: u32,
    /// Days for raw segments; 0: not locked.
    pub raw_days: u32,
}

/// Who may shorten a retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// Those with a right of its own.
    Governance,
    /// Nobody, the account's root included.
    Compliance,
}

/// Why there is no archive to work with, by what the caller must do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArchiveError {
    /// No archive lies here.
    #[error("there is no archive at {place}")]
    NotFound {
        /// The place.
        place: String,
    },
    /// An archive lies here already.
    #[error("there is an archive at {place} already")]
    Exists {
        /// The place.
        place: String,
    },
    /// Something else lies here.
    #[error("{place} is not empty: it holds {found}")]
    NotEmpty {
        /// The place.
        place: String,
        /// One of the objects in it.
        found: String,
    },
    /// The store does not do what an archive's safety rests on.
    #[error("{place} cannot hold an archive: {reason}")]
    Unfit {
        /// The place.
        place: String,
        /// What failed, and what to do.
        reason: String,
    },
    /// Written by a later tailrace.
    #[error("the archive at {place} has {what}, which this tailrace does not know")]
    Newer {
        /// The place.
        place: String,
        /// Its format or mode.
        what: String,
    },
    /// `archive.json` is damaged.
    #[error("{place}/archive.json is not what init wrote: {reason}")]
    Damaged {
        /// The place.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The store failed.
    #[error("{place}: {error}")]
    Store {
        /// The place.
        place: String,
        /// Its error.
        error: StoreError,
    },
}

impl ArchiveError {
    /// The failure that a command reports.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let (exit, place, next) = match self {
            Self::Store { place, error } => return error.failure(place),
            Self::NotFound { place } => {
                (Exit::ArchiveNotFound, place, "check the address; `tailrace init` makes a new archive")
            }
            Self::Exists { place } => (Exit::DestinationNotEmpty, place, "use it as it is; nothing was changed"),
            Self::NotEmpty { place, .. } => {
                (Exit::DestinationNotEmpty, place, "choose an empty folder or prefix; nothing was changed")
            }
            Self::Unfit { place, .. } => (Exit::Failure, place, "mend it or choose another place, then init again"),
            Self::Newer { place, .. } => (Exit::FormatNewer, place, "install a newer tailrace"),
            Self::Damaged { place, .. } => {
                (Exit::VerificationFailed, place, "restore archive.json from a copy, or from the bucket's versions")
            }
        };
        Failure::new(exit, self.to_string(), place, next)
    }
}

/// Makes an archive in an empty place, after proving that the store keeps what the log rests on.
///
/// # Errors
/// When an archive or anything else is there, when a probe fails, or when the store fails. Nothing
/// is left behind.
pub async fn init(
    store: &Arc<dyn ObjectStore>,
    modes: Modes,
    ids: &Ids,
    created: Second,
) -> Result<Archive, ArchiveError> {
    let place = store.location();
    let failed = |error| ArchiveError::Store { place: place.clone(), error };
    if store.occupied(PATH).await.map_err(failed)? {
        return Err(ArchiveError::Exists { place });
    }
    probe::empty(store.as_ref()).await?;
    if let Some(reason) = store.unfit().await.map_err(failed)? {
        return Err(ArchiveError::Unfit { place, reason });
    }
    if let Err(error) = probe::run(store, ids).await {
        // Another init may have been faster, and swept our probes away.
        return Err(if store.occupied(PATH).await.map_err(failed)? { ArchiveError::Exists { place } } else { error });
    }
    let archive = Archive { format: FORMAT, origin: ids.commit_id(), created, modes };
    match put_verified(store.as_ref(), PATH, &archive.bytes(), Keep::Full, ids).await.map_err(failed)? {
        Landed::Ours { .. } => {
            if let Err(error) = probe::sweep(store.as_ref()).await {
                tracing::warn!(%error, "a probe of an earlier init was left: `tailrace verify` names it");
            }
            Ok(archive)
        }
        Landed::Foreign => Err(ArchiveError::Exists { place }),
    }
}

/// Reads what `archive.json` says.
///
/// # Errors
/// When there is no archive, when it is too new or damaged, or when the store fails.
pub async fn open(store: &dyn ObjectStore) -> Result<Archive, ArchiveError> {
    let place = store.location();
    // The oldest version: nobody can make it say something else later.
    match store.get_oldest(PATH).await {
        Ok(object) => Archive::read(&object.bytes, &place),
        Err(StoreError::Absent { .. }) => Err(ArchiveError::NotFound { place }),
        Err(StoreError::Hidden { .. }) => {
            Err(ArchiveError::Damaged { place, reason: "only a delete marker is left of it".to_owned() })
        }
        Err(error) => Err(ArchiveError::Store { place, error }),
    }
}

impl Archive {
    /// The object's bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let mut text = serde_json::json!(self).to_string();
        text.pop();
        let hash = hex::encode(Sha256::digest(&text));
        Bytes::from(format!("{text}{HASH}{hash}{END}"))
    }

    /// Reads the object that lies at `place`.
    ///
    /// # Errors
    /// [`ArchiveError::Newer`], or [`ArchiveError::Damaged`] for bytes that no init wrote.
    pub fn read(bytes: &[u8], place: &str) -> Result<Self, ArchiveError> {
        /// What every format has.
        #[derive(Deserialize)]
        struct Any {
            format: u32,
        }
        let place = place.to_owned();
        let damaged = |reason: String| ArchiveError::Damaged { place: place.clone(), reason };
        if !is_whole(bytes) {
            return Err(damaged("its bytes do not have the hash that stands at their end".to_owned()));
        }
        let any: Any = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if any.format > FORMAT {
            return Err(ArchiveError::Newer { place, what: format!("format {}", any.format) });
        }
        serde_json::from_slice(bytes).map_err(|error| {
            let text = error.to_string();
            if error.is_data() && (text.contains("unknown field") || text.contains("unknown variant")) {
                return ArchiveError::Newer { place: place.clone(), what: format!("a mode of its own ({text})") };
            }
            damaged(text)
        })
    }
}

/// Whether the bytes are those that the hash at their end was made of.
fn is_whole(bytes: &[u8]) -> bool {
    let text = bytes.strip_suffix(END.as_bytes());
    let parts = text.and_then(|text| text.split_at_checked(text.len().checked_sub(64)?));
    parts.is_some_and(|(before, hash)| {
        let body = before.strip_suffix(HASH.as_bytes());
        body.is_some_and(|body| hex::encode(Sha256::digest(body)).as_bytes() == hash)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object as another build may have written it.
    fn written(modes: &str, format: u32) -> Vec<u8> {
        let body = format!(r#"{{"format":{format},"origin":"0f","created":"2026-11-22T00:00:00Z","modes":{modes}"#);
        format!("{body}{HASH}{}{END}", hex::encode(Sha256::digest(&body))).into_bytes()
    }

    const MODES: &str = r#"{"access_log":"required","retention":{"mode":"compliance","full_days":2555,"raw_days":7}}"#;

    #[test]
    fn what_init_writes_reads_back() {
        let archive = Archive::read(&written(MODES, 1), "here").unwrap();
        assert_eq!(archive.modes.retention.map(|kept| (kept.full_days, kept.raw_days)), Some((2555, 7)));
        assert_eq!(Archive::read(&archive.bytes(), "here").unwrap(), archive);
    }

    #[test]
    fn a_newer_format_or_mode_says_so() {
        for newer in [written(MODES, 2), written(r#"{"sealed_by":"us"}"#, 1)] {
            assert_eq!(Archive::read(&newer, "here").unwrap_err().failure().exit, Exit::FormatNewer);
        }
    }

    #[test]
    fn every_flipped_bit_every_cut_and_every_byte_more_is_damage() {
        let whole = written(MODES, 1);
        let damaged = |bytes: &[u8]| {
            assert_eq!(Archive::read(bytes, "here").unwrap_err().failure().exit, Exit::VerificationFailed);
        };
        for at in 0..whole.len() {
            damaged(&whole[..at]);
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                damaged(&flipped);
            }
        }
        damaged(&[&whole[..], b"\n"].concat());
    }
}
