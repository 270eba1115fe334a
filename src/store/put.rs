//! Putting a data file whose name is ours alone: the outcome is settled by repeating and reading back.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Keep, ObjectStore, StoreError};
use crate::platform::clock;
use crate::platform::ids::Ids;
use crate::platform::retry::Backoff;

/// How often the same bytes are put, or read back, before the caller is told that the outcome is unknown.
const ATTEMPTS: u32 = 6;
/// The first pause between two attempts.
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause between two attempts.
const MOST: Duration = Duration::from_secs(5);

/// What a settled put found in the object's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landed {
    /// Our bytes.
    Ours {
        /// Their version, in a versioned bucket.
        version_id: Option<String>,
    },
    /// Other bytes: the name is taken for ever, choose a new one.
    Foreign,
}

/// Puts `bytes` and finds out what became of them, also where answers are lost: an unknown outcome
/// is repeated with the same bytes until the place is occupied, then what stands there is compared.
///
/// # Errors
/// [`StoreError::Unknown`] when the outcome stays unknown (call again with the same path and bytes,
/// and remove nothing), or what an operator must mend.
pub async fn put_verified(
    store: &dyn ObjectStore,
    path: &str,
    bytes: &Bytes,
    keep: Keep,
    ids: &Ids,
) -> Result<Landed, StoreError> {
    let mut pause = Backoff::new(ids.clone(), FIRST, MOST);
    loop {
        let failed = match store.put_new(path, bytes.clone(), keep).await {
            Ok(version_id) => return Ok(Landed::Ours { version_id }),
            Err(StoreError::Taken { .. }) => match compare(store, path, bytes).await {
                Ok(landed) => return Ok(landed),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let passing = matches!(failed, StoreError::Unknown { .. } | StoreError::Unavailable { .. });
        if !passing || pause.attempts() + 1 >= ATTEMPTS {
            return Err(failed);
        }
        clock::sleep(pause.step()).await;
    }
}

/// Reads the place back. The oldest version counts: it is the one that took the name.
async fn compare(store: &dyn ObjectStore, path: &str, bytes: &Bytes) -> Result<Landed, StoreError> {
    let unknown = |reason: String| StoreError::Unknown { path: path.to_owned(), reason };
    match store.get_oldest(path).await {
        Ok(there) if Sha256::digest(&there.bytes) == Sha256::digest(bytes) => {
            Ok(Landed::Ours { version_id: there.version_id })
        }
        Ok(_) => Ok(Landed::Foreign),
        // Taken a moment ago and gone now: somebody removes, so what our put did is not known.
        Err(StoreError::Absent { .. } | StoreError::Hidden { .. }) => {
            Err(unknown("it was removed meanwhile".to_owned()))
        }
        Err(StoreError::Unavailable { reason, .. }) => Err(unknown(format!("reading it back failed: {reason}"))),
        Err(error) => Err(error),
    }
}
