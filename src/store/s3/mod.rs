//! Objects in an S3 bucket: the only user of the S3 SDK.
//!
//! Every put is conditional (`If-None-Match: *`) and carries the SHA-256 of its bytes, so the
//! service stores whole and unchanged bytes or nothing. The SDK's own retries may turn our own
//! success into `Taken`; callers compare what stands there, as they must anyway.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::ObjectLockMode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::archive::{LockMode, Retention};
use super::{Keep, Object, ObjectInfo, ObjectStore, StoreError, checked};
use crate::change::Second;
use crate::platform::{causes, clock};

mod connect;
mod error;
mod list;
mod versions;

/// The least time that one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(20);
/// Bytes per second below which a transfer is given up.
const SLOWEST: u64 = 512 * 1024;
/// The longest a body that is read may take; the segment limit is 128 MiB.
const BODY: Duration = Duration::from_secs(300);
/// How often a body that breaks off is read again.
const READS: u32 = 3;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// An object store in a bucket, below a prefix.
#[derive(Debug)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Empty, or ending in a slash.
    prefix: String,
    retention: Option<Retention>,
    versioned: OnceCell<bool>,
}

impl S3Store {
    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// One read of an object, or of a range of it: the request under the SDK's deadlines, the body under ours. An
    /// answer whose body did not come whole is the inner error.
    async fn read(&self, path: &str, wanted: Wanted<'_>) -> Result<Result<Object, String>, StoreError> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.key(path));
        let request = match wanted {
            Wanted::Whole(version_id) => request.set_version_id(version_id.map(str::to_owned)),
            Wanted::Range { from, length } => request.range(format!("bytes={from}-{}", from + length - 1)),
        };
        let answer = match request.send().await {
            Err(error) if error::code(&error) == "InvalidRange" => {
                return Ok(Ok(Object { bytes: Bytes::new(), version_id: None }));
            }
            answer => answer.map_err(|error| error::of_read(path, &error))?,
        };
        // Checks the service's checksum of the whole object, where it sent one.
        let Some(body) = clock::within(BODY, answer.body.collect()).await else {
            return Ok(Err(format!("its bytes did not arrive within {} s", BODY.as_secs())));
        };
        let bytes = match body {
            Ok(body) => body.into_bytes(),
            Err(error) => return Ok(Err(causes(&error))),
        };
        let told = answer.content_length.and_then(|told| u64::try_from(told).ok());
        if told.is_some_and(|told| told != bytes.len() as u64) {
            return Ok(Err(format!("only {} of its bytes arrived", bytes.len())));
        }
        // Read as if it were the part that was asked for, an object would never end.
        if matches!(wanted, Wanted::Range { length, .. } if bytes.len() as u64 > length) {
            return Ok(
                Err("more bytes came than were asked for: the store does not serve parts of objects".to_owned()),
            );
        }
        Ok(Ok(Object { bytes, version_id: answer.version_id }))
    }

    /// Reads until the body comes whole, a few times at most.
    async fn read_whole(&self, path: &str, wanted: Wanted<'_>) -> Result<Object, StoreError> {
        checked(path)?;
        let mut tries = 1;
        loop {
            // What gave no answer was asked several times already, by the SDK.
            match self.read(path, wanted).await? {
                Ok(object) => return Ok(object),
                Err(_) if tries < READS => tries += 1,
                Err(reason) => return Err(StoreError::Unavailable { path: path.to_owned(), reason }),
            }
        }
    }

    /// Until when an object that is put now must be kept, if the archive locks.
    fn locked_until(&self, keep: Keep) -> Option<(ObjectLockMode, DateTime)> {
        let retention = self.retention?;
        let days = match keep {
            Keep::Full => retention.full_days,
            Keep::Short => retention.raw_days,
            Keep::Derived => 0,
        };
        let mode = match retention.mode {
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        };
        (days > 0).then(|| (mode, DateTime::from_secs(clock::wall().plus(i64::from(days) * DAY).0)))
    }
}

/// What of an object.
#[derive(Debug, Clone, Copy)]
enum Wanted<'a> {
    /// All of it, of this version.
    Whole(Option<&'a str>),
    /// At most `length` bytes, which is not 0.
    Range { from: u64, length: u64 },
}

/// Deadlines for a request that carries `bytes`: one attempt, and all attempts together.
fn deadlines(bytes: usize) -> TimeoutConfig {
    let attempt = ATTEMPT + Duration::from_secs(bytes as u64 / SLOWEST);
    TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(attempt * 3).build()
}

#[async_trait]
impl ObjectStore for S3Store {
    fn location(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix).trim_end_matches('/').to_owned()
    }

    async fn get(&self, path: &str, version_id: Option<&str>) -> Result<Object, StoreError> {
        self.read_whole(path, Wanted::Whole(version_id)).await
    }

    async fn get_range(&self, path: &str, from: u64, length: u64) -> Result<Bytes, StoreError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        Ok(self.read_whole(path, Wanted::Range { from, length }).await?.bytes)
    }

    async fn get_oldest(&self, path: &str) -> Result<Object, StoreError> {
        if !self.versioned().await? {
            return self.get(path, None).await;
        }
        match self.oldest_version(path).await? {
            Some(version_id) => self.get(path, Some(&version_id)).await,
            None => self.get(path, None).await,
        }
    }

    async fn occupied(&self, path: &str) -> Result<bool, StoreError> {
        checked(path)?;
        let asked = self.client.head_object().bucket(&self.bucket).key(self.key(path)).send().await;
        match asked.map_err(|error| error::of_read(path, &error)) {
            Ok(_) | Err(StoreError::Hidden { .. }) => Ok(true),
            Err(StoreError::Absent { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put_new(&self, path: &str, bytes: Bytes, keep: Keep) -> Result<Option<String>, StoreError> {
        checked(path)?;
        let times = aws_sdk_s3::config::Builder::new().timeout_config(deadlines(bytes.len()));
        let mut request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.key(path))
            .if_none_match("*")
            .checksum_sha256(STANDARD.encode(Sha256::digest(&bytes)))
            .body(ByteStream::from(bytes));
        if let Some((mode, until)) = self.locked_until(keep) {
            request = request.object_lock_mode(mode).object_lock_retain_until_date(until);
        }
        let put = request.customize().config_override(times).send().await;
        Ok(put.map_err(|error| error::of_mutation(path, &error))?.version_id)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        self.list_objects(prefix, after, limit.unwrap_or(usize::MAX)).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.list_prefixes(prefix).await
    }

    async fn delete(&self, path: &str, version_id: Option<&str>) -> Result<(), StoreError> {
        checked(path)?;
        let request = self.client.delete_object().bucket(&self.bucket).key(self.key(path));
        match request.set_version_id(version_id.map(str::to_owned)).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error::of_mutation(path, &error) {
                StoreError::Absent { .. } => Ok(()),
                other => Err(other),
            },
        }
    }

    async fn unfit(&self) -> Result<Option<String>, StoreError> {
        self.bucket_rules().await
    }
}

/// The whole second of a time that the SDK delivers.
fn second(at: DateTime) -> Second {
    Second(at.secs())
}
