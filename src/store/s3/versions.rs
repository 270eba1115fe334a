//! Versions of a bucket, and what its own rules would do to an archive.

use aws_sdk_s3::operation::get_object_lock_configuration::GetObjectLockConfigurationOutput;

use super::{S3Store, error};
use crate::store::StoreError;

impl S3Store {
    /// Whether the bucket keeps versions (or kept them once); asked once.
    pub(super) async fn versioned(&self) -> Result<bool, StoreError> {
        self.versioned.get_or_try_init(|| self.ask_versioned()).await.copied()
    }

    async fn ask_versioned(&self) -> Result<bool, StoreError> {
        match self.client.get_bucket_versioning().bucket(&self.bucket).send().await {
            Ok(answer) => Ok(answer.status.is_some()),
            // A store that does not know the call has no versions.
            Err(error) if error::lacks_call(&error) => Ok(false),
            Err(error) => Err(match error::of_read(&self.bucket, &error) {
                StoreError::Denied { reason, .. } => {
                    let reason = format!("{reason}; grant s3:GetBucketVersioning and s3:ListBucketVersions");
                    StoreError::Denied { path: self.bucket.clone(), reason }
                }
                // A bucket is asked here, not an object: whatever is absent is the bucket.
                StoreError::Absent { .. } => {
                    StoreError::Refused { path: self.bucket.clone(), reason: "there is no such bucket".to_owned() }
                }
                other => other,
            }),
        }
    }

    /// The oldest version of an object, delete markers aside. A listing shows the versions of one
    /// key from the newest to the oldest.
    pub(super) async fn oldest_version(&self, path: &str) -> Result<Option<String>, StoreError> {
        let key = self.key(path);
        let mut oldest = None;
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let request = self.client.list_object_versions().bucket(&self.bucket).prefix(&key);
            let request = request.set_key_marker(key_marker).set_version_id_marker(version_marker);
            let page = request.send().await.map_err(|error| error::of_read(path, &error))?;
            let versions = page.versions.unwrap_or_default();
            let mut ours = versions.iter().filter(|version| version.key.as_deref() == Some(key.as_str()));
            if let Some(last) = ours.next_back() {
                oldest.clone_from(&last.version_id);
            }
            // Keys are listed in order: once another one follows, all versions of ours were shown.
            if page.is_truncated != Some(true) || page.next_key_marker.as_deref() != Some(key.as_str()) {
                return Ok(oldest);
            }
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
        }
    }

    /// Why the bucket's own rules make it unfit for an archive, as far as it answers.
    pub(super) async fn bucket_rules(&self) -> Result<Option<String>, StoreError> {
        let asked = self.client.get_object_lock_configuration().bucket(&self.bucket).send().await;
        match asked {
            Ok(answer) => Ok(self.lock_rules(&answer)),
            Err(error) if error::code(&error) == "ObjectLockConfigurationNotFoundError" => Ok(self.lock_missing()),
            Err(error) if error::lacks_call(&error) => Ok(self.lock_missing()),
            Err(error) => match error::of_read(&self.bucket, &error) {
                // Reading the bucket's rules is a right of its own, which capture does not need.
                StoreError::Denied { reason, .. } => {
                    tracing::warn!(bucket = self.bucket, reason, "the bucket's lock rules could not be checked");
                    Ok(None)
                }
                // Some stores answer so where no bucket of theirs can lock.
                StoreError::Absent { .. } | StoreError::Refused { .. } => Ok(self.lock_missing()),
                other => Err(other),
            },
        }
    }

    fn lock_rules(&self, answer: &GetObjectLockConfigurationOutput) -> Option<String> {
        let Some(rules) = answer.object_lock_configuration() else { return self.lock_missing() };
        if rules.rule().and_then(|rule| rule.default_retention()).is_some() {
            let reason = "the bucket has a default retention, which would lock every object alike; remove the \
                          default (tailrace sets the retention of each object) or use another bucket";
            return Some(reason.to_owned());
        }
        if rules.object_lock_enabled().is_none() { self.lock_missing() } else { None }
    }

    fn lock_missing(&self) -> Option<String> {
        self.retention.map(|_| {
            let reason = "a retention was asked for, but Object Lock is off in this bucket; make a bucket with \
                          Object Lock, or init without a retention";
            reason.to_owned()
        })
    }
}
