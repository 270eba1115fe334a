//! The server's bucket, and the S3 calls on it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::TryStreamExt;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use sha2::{Digest, Sha256};

use super::{BUCKET, Rules};

/// Objects by key, each with its versions from the oldest to the newest.
#[derive(Debug)]
pub(crate) struct Bucket {
    rules: Rules,
    held: Mutex<Held>,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    keys: BTreeMap<String, Vec<Version>>,
    written: u64,
}

/// One version; without bytes a delete marker.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) bytes: Option<Bytes>,
    /// Mode and the date until which it is kept.
    pub(crate) lock: Option<(String, Timestamp)>,
    modified: Timestamp,
}

impl Bucket {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, held: Mutex::default(), sent: AtomicU64::default() }
    }

    /// Puts an object there without a request.
    pub(crate) fn place(&self, key: &str, bytes: Bytes) {
        self.held().add(key, Some(bytes), None, self.versioned());
    }

    /// Bytes of objects that were answered so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Everything of a key.
    pub(crate) fn versions(&self, key: &str) -> Vec<Version> {
        self.held().keys.get(key).cloned().unwrap_or_default()
    }

    /// All keys with something behind them.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.held().keys.keys().cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    fn versioned(&self) -> bool {
        self.rules.versioned || self.rules.lock.is_some()
    }

    fn id(&self, version: &Version) -> Option<String> {
        self.versioned().then(|| version.id.clone())
    }

    /// The condition and the write are one step: that is what makes a create atomic.
    fn put(&self, key: &str, bytes: Bytes, must_be_new: bool, lock: Option<(String, Timestamp)>) -> S3Result<Version> {
        let mut held = self.held();
        let current = held.keys.get(key).and_then(|versions| versions.last());
        if must_be_new && !self.rules.ignores_conditions && current.is_some_and(|version| version.bytes.is_some()) {
            return Err(s3_error!(PreconditionFailed));
        }
        Ok(held.add(key, Some(bytes), lock, self.versioned()))
    }

    fn find(&self, key: &str, version_id: Option<&str>) -> S3Result<Version> {
        let held = self.held();
        let versions = held.keys.get(key).map(Vec::as_slice).unwrap_or_default();
        match version_id {
            Some(id) => {
                let found = versions.iter().find(|version| version.id == id && version.bytes.is_some());
                found.cloned().ok_or_else(|| s3_error!(NoSuchVersion))
            }
            None => match versions.last() {
                None => Err(s3_error!(NoSuchKey)),
                Some(version) if version.bytes.is_none() => Err(hidden()),
                Some(version) => Ok(version.clone()),
            },
        }
    }

    fn remove(&self, key: &str, version_id: Option<&str>) -> S3Result<()> {
        let versioned = self.versioned();
        let mut held = self.held();
        let Some(id) = version_id else {
            if versioned {
                held.add(key, None, None, true);
            } else {
                held.keys.remove(key);
            }
            return Ok(());
        };
        let Some(versions) = held.keys.get_mut(key) else { return Ok(()) };
        let now = Timestamp::from(SystemTime::now());
        let locked = versions.iter().find(|version| version.id == id).and_then(|version| version.lock.as_ref());
        if locked.is_some_and(|(_, until)| *until > now) {
            return Err(s3_error!(AccessDenied, "the version is locked"));
        }
        versions.retain(|version| version.id != id);
        if versions.is_empty() {
            held.keys.remove(key);
        }
        Ok(())
    }
}

impl Held {
    fn add(&mut self, key: &str, bytes: Option<Bytes>, lock: Option<(String, Timestamp)>, versioned: bool) -> Version {
        self.written += 1;
        let id = if versioned { format!("v{:08}", self.written) } else { "null".to_owned() };
        let version = Version { id, bytes, lock, modified: SystemTime::now().into() };
        let versions = self.keys.entry(key.to_owned()).or_default();
        if !versioned {
            versions.clear();
        }
        versions.push(version.clone());
        version
    }
}

fn hidden() -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NoSuchKey);
    error.set_headers(HeaderMap::from_iter([(
        hyper::header::HeaderName::from_static("x-amz-delete-marker"),
        HeaderValue::from_static("true"),
    )]));
    error
}

fn sha256(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

fn known(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
}

fn size(version: &Version) -> i64 {
    version.bytes.as_ref().map_or(0, |bytes| i64::try_from(bytes.len()).unwrap())
}

/// The S3 calls that a store makes; all others are not implemented.
pub(super) struct Api(pub(super) Arc<Bucket>);

#[async_trait::async_trait]
impl S3 for Api {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let body = input.body.ok_or_else(|| s3_error!(IncompleteBody))?;
        let pieces: Vec<Bytes> = body.try_collect().await.map_err(|error| {
            let code =
                if error.to_string().contains("hecksum") { "XAmzContentSHA256Mismatch" } else { "IncompleteBody" };
            S3Error::with_message(code.parse().unwrap(), error.to_string())
        })?;
        let bytes = Bytes::from(pieces.concat());
        let Some(told) = input.checksum_sha256 else {
            return Err(s3_error!(InvalidRequest, "this server wants x-amz-checksum-sha256 with every put"));
        };
        if told != sha256(&bytes) {
            return Err(s3_error!(BadDigest));
        }
        let lock = input.object_lock_mode.map(|mode| mode.as_str().to_owned()).zip(input.object_lock_retain_until_date);
        if lock.is_some() && self.0.rules.lock.is_none() {
            return Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"));
        }
        let must_be_new = input.if_none_match.is_some_and(|condition| condition.is_any());
        let version = self.0.put(&input.key, bytes, must_be_new, lock)?;
        let version_id = self.0.id(&version);
        Ok(S3Response::new(PutObjectOutput { checksum_sha256: Some(told), version_id, ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let version = self.0.find(&input.key, input.version_id.as_deref())?;
        let bytes = version.bytes.clone().unwrap_or_default();
        if let Some(range) = input.range.filter(|_| !self.0.rules.ignores_ranges) {
            let length = bytes.len() as u64;
            let part = range.check(length).map_err(|_| s3_error!(InvalidRange))?;
            let content_range = Some(format!("bytes {}-{}/{length}", part.start, part.end - 1));
            self.0.sent.fetch_add(part.end - part.start, Relaxed);
            let part = bytes.slice(usize::try_from(part.start).unwrap()..usize::try_from(part.end).unwrap());
            return Ok(S3Response::new(GetObjectOutput {
                content_length: i64::try_from(part.len()).ok(),
                content_range,
                version_id: self.0.id(&version),
                last_modified: Some(version.modified),
                body: Some(s3s::Body::from(part).into()),
                ..Default::default()
            }));
        }
        self.0.sent.fetch_add(bytes.len() as u64, Relaxed);
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(size(&version)),
            checksum_sha256: Some(sha256(&bytes)),
            version_id: self.0.id(&version),
            last_modified: Some(version.modified),
            body: Some(s3s::Body::from(bytes).into()),
            ..Default::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        known(&request.input.bucket)?;
        let version = self.0.find(&request.input.key, request.input.version_id.as_deref())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(size(&version)),
            version_id: self.0.id(&version),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        known(&request.input.bucket)?;
        self.0.remove(&request.input.key, request.input.version_id.as_deref())?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        known(&input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        let most = usize::try_from(input.max_keys.unwrap_or(1000).min(1000)).unwrap();
        // The token is the last key of the page before.
        let after = input.continuation_token.or(input.start_after).unwrap_or_default();
        let held = self.0.held();
        let (mut contents, mut folders, mut last, mut more) = (Vec::new(), Vec::<String>::new(), String::new(), false);
        for (key, versions) in held.keys.range::<String, _>((Bound::Excluded(&after), Bound::Unbounded)) {
            let Some(below) = key.strip_prefix(&prefix) else { continue };
            let Some(version) = versions.last().filter(|version| version.bytes.is_some()) else { continue };
            let folder =
                input.delimiter.as_ref().and_then(|cut| Some(format!("{prefix}{}{cut}", below.split_once(cut)?.0)));
            let seen =
                folder.as_ref().is_some_and(|folder| folders.last() == Some(folder) || after.starts_with(folder));
            if !seen && contents.len() + folders.len() == most {
                more = true;
                break;
            }
            last.clone_from(key);
            match folder {
                Some(_) if seen => {}
                Some(folder) => folders.push(folder),
                None => contents.push(Object {
                    key: Some(key.clone()),
                    size: Some(size(version)),
                    last_modified: Some(version.modified.clone()),
                    ..Default::default()
                }),
            }
        }
        Ok(S3Response::new(ListObjectsV2Output {
            is_truncated: Some(more),
            next_continuation_token: more.then_some(last),
            contents: Some(contents),
            common_prefixes: Some(folders.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect()),
            ..Default::default()
        }))
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        // Two to a page, so that every reader has to turn pages.
        let most = 2;
        let (after_key, after_version) = (input.key_marker.unwrap_or_default(), input.version_id_marker);
        let held = self.0.held();
        let all = held.keys.iter().filter(|(key, _)| key.starts_with(&prefix));
        let all = all.flat_map(|(key, versions)| versions.iter().rev().map(move |version| (key, version)));
        let behind: Vec<_> = all
            .skip_while(|(key, version)| match &after_version {
                Some(id) => **key < after_key || (**key == after_key && version.id >= *id),
                None => !after_key.is_empty() && **key <= after_key,
            })
            .collect();
        let page = &behind[..behind.len().min(most)];
        let mut output = ListObjectVersionsOutput { is_truncated: Some(behind.len() > most), ..Default::default() };
        let (mut versions, mut markers) = (Vec::new(), Vec::new());
        for (key, version) in page {
            let (key, version_id) = (Some((*key).clone()), Some(version.id.clone()));
            match version.bytes {
                Some(_) => versions.push(ObjectVersion { key, version_id, ..Default::default() }),
                None => markers.push(DeleteMarkerEntry { key, version_id, ..Default::default() }),
            }
        }
        if let Some((key, version)) = page.last().filter(|_| behind.len() > most) {
            output.next_key_marker = Some((*key).clone());
            output.next_version_id_marker = Some(version.id.clone());
        }
        output.versions = Some(versions);
        output.delete_markers = Some(markers);
        Ok(S3Response::new(output))
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        known(&request.input.bucket)?;
        if self.0.rules.plain {
            return Err(s3_error!(NotImplemented));
        }
        let status = self.0.versioned().then(|| BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED));
        Ok(S3Response::new(GetBucketVersioningOutput { status, ..Default::default() }))
    }

    async fn get_object_lock_configuration(
        &self,
        request: S3Request<GetObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
        known(&request.input.bucket)?;
        if self.0.rules.plain {
            return Err(s3_error!(NotImplemented));
        }
        let Some(days) = self.0.rules.lock else { return Err(s3_error!(ObjectLockConfigurationNotFoundError)) };
        let mode = Some(ObjectLockRetentionMode::from_static(ObjectLockRetentionMode::GOVERNANCE));
        let default_retention = days.map(|days| DefaultRetention { days: Some(days), mode, years: None });
        let object_lock_configuration = Some(ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
            rule: default_retention.map(|default| ObjectLockRule { default_retention: Some(default) }),
        });
        Ok(S3Response::new(GetObjectLockConfigurationOutput { object_lock_configuration }))
    }
}
