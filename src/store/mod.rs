//! Objects: put once, read, list, delete. One trait; S3, a local folder, memory, and a faulty wrapper.
//!
//! Paths are relative to the archive's root, with `/` between the parts and none at the ends.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::SdkConfig;
use bytes::Bytes;

use crate::change::Second;
use crate::failure::{Exit, Failure};
use crate::platform::clock;
use crate::platform::ids::Ids;
use crate::platform::patience::{Curable, Cure};

pub mod archive;
pub mod counting;
pub mod fault;
pub mod local;
pub mod location;
pub mod memory;
mod put;
pub mod s3;

use archive::{Archive, Modes, Retention};
use local::LocalStore;
pub use location::{Location, LocationError};
pub use put::{Landed, put_verified};
use s3::S3Store;

/// What a store knows of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Path relative to the archive's root.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub modified: Option<Second>,
}

/// An object's bytes.
#[derive(Debug, Clone)]
pub struct Object {
    /// All bytes.
    pub bytes: Bytes,
    /// The version read, in a versioned bucket.
    pub version_id: Option<String>,
}

/// What the object is for; it decides how long a store that can lock must keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Log, sealed, base, heads, exports: the archive's full retention.
    Full,
    /// Raw segments: until they are sealed and collected.
    Short,
    /// Folds and packs: derived, never locked.
    Derived,
}

/// Why a store did not do what it was asked, by what the caller must do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The object is not there.
    #[error("{path} is not there")]
    Absent {
        /// The object.
        path: String,
    },
    /// A put found the path taken. It may be our own earlier put: read back and compare.
    #[error("{path} exists already")]
    Taken {
        /// The object.
        path: String,
    },
    /// A delete marker hides a slot that was once written: occupied, not absent.
    #[error("{path} is hidden by a delete marker")]
    Hidden {
        /// The object.
        path: String,
    },
    /// A mutation may or may not have happened, now or later (time-out, 5xx, 409): repeat the same bytes or read back.
    #[error("the outcome of writing {path} is unknown: {reason}")]
    Unknown {
        /// The object.
        path: String,
        /// What the store said.
        reason: String,
    },
    /// A read failed for a passing reason: try again.
    #[error("reading {path} failed: {reason}")]
    Unavailable {
        /// The object, or the prefix of a listing.
        path: String,
        /// What the store said.
        reason: String,
    },
    /// Credentials are missing, expired or not enough: an operator must act.
    #[error("no permission for {path}: {reason}")]
    Denied {
        /// The object.
        path: String,
        /// What the store said.
        reason: String,
    },
    /// The place itself is missing or unusable (no such bucket or folder, disk full, read-only): an operator must act.
    #[error("the store refuses {path}: {reason}")]
    Refused {
        /// The object.
        path: String,
        /// What the store said.
        reason: String,
    },
}

/// Objects under one root. Every mutation is conditional or names what it removes.
#[async_trait]
pub trait ObjectStore: Send + Sync + std::fmt::Debug {
    /// The root as a user writes it, for messages.
    fn location(&self) -> String;

    /// Reads an object; with `version_id` that version of it.
    ///
    /// # Errors
    /// [`StoreError::Absent`] or a reason why it could not be read.
    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError>;

    /// Reads up to `length` bytes of an object from the byte `from` on: fewer where it ends sooner, none behind its end.
    ///
    /// # Errors
    /// As [`ObjectStore::get`].
    async fn get_range(&self, path: &str, from: u64, length: u64) -> Result<Bytes, StoreError> {
        let whole = self.get(path, None).await?.bytes;
        let end = (whole.len() as u64).min(from.saturating_add(length));
        let range = usize::try_from(from.min(end)).ok().zip(usize::try_from(end).ok());
        Ok(range.map(|(from, end)| whole.slice(from..end)).unwrap_or_default())
    }

    /// Reads the *oldest* version of a log slot; where there are no versions, the object.
    ///
    /// # Errors
    /// As [`ObjectStore::get`], and [`StoreError::Hidden`] where only a delete marker is left.
    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError>;

    /// Whether a slot was ever written: true also under a delete marker.
    ///
    /// # Errors
    /// A reason why it could not be asked.
    async fn occupied(&self, path: &str) -> Result<bool, StoreError>;

    /// Writes an object that must not exist, whole or not at all, and durable on return.
    /// Gives the version id where the store has versions.
    ///
    /// # Errors
    /// [`StoreError::Taken`], [`StoreError::Unknown`], or a reason that an operator must mend.
    async fn put_new(&self, path: &str, bytes: Bytes, keep: Keep) -> Result<Option<String>, StoreError>;

    /// Objects whose path begins with `prefix` (a folder, ending in `/`, or empty), in order of path, after `after`;
    /// at most `limit` when it is given. A hint: no safety argument may rest on it.
    ///
    /// # Errors
    /// A reason why it could not be listed.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError>;

    /// The names of the folders directly under `prefix` (ending in `/`), in order, without slashes.
    ///
    /// # Errors
    /// A reason why it could not be listed.
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Removes an object (that version of it, where `version_id` is given). Removing what is absent succeeds.
    ///
    /// # Errors
    /// A reason why it could not be removed.
    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError>;

    /// Why the place's own rules make it unfit for an archive (a bucket-wide retention, say), and
    /// what to do; none where nothing speaks against it. Asked by `init`.
    ///
    /// # Errors
    /// A reason why it could not be asked.
    async fn unfit(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}

/// Opens the place that `location` names, without looking whether an archive lies there; objects
/// that are put are locked as `retention` says.
///
/// # Errors
/// [`StoreError::Denied`] for S3 without a region.
pub fn connect(
    location: &Location,
    aws: &SdkConfig,
    retention: Option<Retention>,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Ok(match location {
        Location::Local(path) => Arc::new(LocalStore::new(path)),
        Location::S3 { bucket, prefix } => Arc::new(S3Store::new(aws, bucket, prefix, retention)?),
    })
}

/// Opens the archive at `url`, with the retention that it asks for.
///
/// # Errors
/// The failure to report: a malformed address, no archive there, one that is too new, or what the store says.
pub async fn open(url: &str, aws: &SdkConfig) -> Result<(Arc<dyn ObjectStore>, Archive), Failure> {
    let location = Location::parse(url).map_err(|error| error.failure())?;
    let refused = |error: StoreError| error.failure(&location.to_string());
    let store = connect(&location, aws, None).map_err(refused)?;
    let archive = archive::open(store.as_ref()).await.map_err(|error| error.failure())?;
    let store = if archive.modes.retention.is_some() {
        connect(&location, aws, archive.modes.retention).map_err(refused)?
    } else {
        store
    };
    Ok((store, archive))
}

/// Makes an archive at `url`: the folder too, where it is one of this machine; never a bucket.
///
/// # Errors
/// The failure to report, as [`open`], or that the place is taken or fails a probe.
pub async fn init(
    url: &str,
    aws: &SdkConfig,
    modes: Modes,
    ids: &Ids,
) -> Result<(Arc<dyn ObjectStore>, Archive), Failure> {
    let location = Location::parse(url).map_err(|error| error.failure())?;
    let refused = |error: StoreError| error.failure(&location.to_string());
    if let Location::Local(path) = &location {
        LocalStore::create(path).await.map_err(refused)?;
    }
    let store = connect(&location, aws, modes.retention).map_err(refused)?;
    let archive = archive::init(&store, modes, ids, clock::wall()).await.map_err(|error| error.failure())?;
    Ok((store, archive))
}

impl Curable for StoreError {
    fn cure(&self) -> Cure {
        match self {
            Self::Absent { .. } | Self::Taken { .. } | Self::Unknown { .. } | Self::Unavailable { .. } => Cure::Time,
            Self::Denied { .. } | Self::Refused { .. } => Cure::Person,
            Self::Hidden { .. } => Cure::Nothing,
        }
    }
}

impl StoreError {
    /// The failure that a command reports when it gives up; `place` is the store's location.
    #[must_use]
    pub fn failure(&self, place: &str) -> Failure {
        let (exit, next) = match self {
            Self::Denied { .. } if place.starts_with("s3://") => {
                (Exit::Credentials, "sign in, or grant s3:ListBucket, s3:GetObject and s3:PutObject for this place")
            }
            Self::Denied { .. } => (Exit::Credentials, "run it as a user who may, or change who may use this place"),
            Self::Refused { .. } => (Exit::Failure, "mend what the store says, then run the same command again"),
            Self::Unknown { .. } | Self::Unavailable { .. } => {
                (Exit::Failure, "run the same command again; nothing that was written is repeated or lost")
            }
            Self::Absent { .. } | Self::Hidden { .. } => {
                (Exit::VerificationFailed, "run `tailrace verify` to see what else is missing")
            }
            Self::Taken { .. } => (Exit::Failure, "run the same command again"),
        };
        Failure::new(exit, self.to_string(), place, next)
    }
}

/// Refuses what cannot be an object's path: each part must be a name that every store can hold.
fn checked(path: &str) -> Result<(), StoreError> {
    let wrong = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(['\\', '\0', '\n', '\r']);
    let hidden = path.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
    if hidden || path.split('/').any(wrong) {
        let reason = "it cannot be the path of an object in an archive".to_owned();
        return Err(StoreError::Refused { path: path.to_owned(), reason });
    }
    Ok(())
}
