//! What the service's errors mean to a caller.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::platform::causes;
use crate::store::StoreError;

/// What is known of a request that failed.
#[derive(Debug)]
struct Facts {
    /// The HTTP status, where an answer came.
    status: Option<u16>,
    /// The service's code, if its answer had one.
    code: String,
    /// What the service (or the SDK) said.
    said: String,
    /// The answer says that a delete marker hides the object.
    marker: bool,
    /// The bucket's region, where the answer names another one than ours.
    region: Option<String>,
    /// The SDK found no credentials to sign with.
    unsigned: bool,
}

/// The error of a read, a probe or a listing.
pub(super) fn of_read<E>(path: &str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let facts = facts(error);
    let path = path.to_owned();
    if facts.marker {
        return StoreError::Hidden { path };
    }
    match standing(&facts) {
        Some(Standing::Denied) => StoreError::Denied { path, reason: facts.reason() },
        Some(Standing::Refused) => StoreError::Refused { path, reason: facts.reason() },
        Some(Standing::Absent) => StoreError::Absent { path },
        None => StoreError::Unavailable { path, reason: facts.reason() },
    }
}

/// The error of a put or a removal.
pub(super) fn of_mutation<E>(path: &str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let facts = facts(error);
    let path = path.to_owned();
    if facts.status == Some(412) || facts.code == "PreconditionFailed" {
        return StoreError::Taken { path };
    }
    match standing(&facts) {
        Some(Standing::Denied) => StoreError::Denied { path, reason: facts.reason() },
        Some(Standing::Refused) => StoreError::Refused { path, reason: facts.reason() },
        Some(Standing::Absent) => StoreError::Absent { path },
        // Everything else may have landed, or may land yet: 409, 5xx, a time-out, a lost answer.
        None => StoreError::Unknown { path, reason: facts.reason() },
    }
}

/// Whether the service lacks this call (a stand-in that does not know it), rather than failing it.
pub(super) fn lacks_call<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let facts = facts(error);
    matches!(facts.status, Some(405 | 501)) || matches!(facts.code.as_str(), "NotImplemented" | "MethodNotAllowed")
}

/// The service's code, empty where it sent none.
pub(super) fn code<E>(error: &SdkError<E, HttpResponse>) -> &str
where
    E: ProvideErrorMetadata + Error + 'static,
{
    error.code().unwrap_or_default()
}

/// What stays so until somebody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Denied,
    Refused,
    Absent,
}

fn standing(facts: &Facts) -> Option<Standing> {
    if facts.unsigned {
        return Some(Standing::Denied);
    }
    match facts.code.as_str() {
        "NoSuchKey" | "NoSuchVersion" | "NotFound" => return Some(Standing::Absent),
        "NoSuchBucket"
        | "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "InvalidBucketName"
        | "InvalidObjectState"
        | "NotImplemented"
        | "MethodNotAllowed"
        | "InvalidRequest"
        | "InvalidArgument"
        | "XMinioStorageFull"
        | "EntityTooLarge" => return Some(Standing::Refused),
        "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired" => {
            return Some(Standing::Denied);
        }
        // Our bytes or our time did not survive the way: nothing is stored, and the same bytes may pass next time.
        "BadDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch"
        | "IncompleteBody"
        | "RequestTimeout" => return None,
        _ => {}
    }
    match facts.status? {
        401 | 403 => Some(Standing::Denied),
        404 => Some(Standing::Absent),
        301 | 307 | 400 | 405 | 501 | 507 => Some(Standing::Refused),
        _ => None,
    }
}

fn facts<E>(error: &SdkError<E, HttpResponse>) -> Facts
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let answer = error.raw_response();
    let header = |name: &str| answer.and_then(|answer| answer.headers().get(name));
    Facts {
        status: answer.map(|answer| answer.status().as_u16()),
        code: error.code().unwrap_or_default().to_owned(),
        said: match (error.message(), answer) {
            (Some(said), _) => said.to_owned(),
            // The answer to a HEAD has no body to say more.
            (None, Some(_)) => "the service gives no reason".to_owned(),
            (None, None) => causes(error),
        },
        marker: header("x-amz-delete-marker") == Some("true"),
        region: header("x-amz-bucket-region").map(str::to_owned),
        unsigned: answer.is_none() && lacks_credentials(error),
    }
}

fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<CredentialsError>().is_some() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Facts {
    fn reason(&self) -> String {
        let said = match (self.status, self.code.as_str()) {
            (None, _) => self.said.clone(),
            (Some(status), "") => format!("HTTP {status}: {}", self.said),
            (Some(status), code) => format!("HTTP {status} {code}: {}", self.said),
        };
        match (self.code.as_str(), &self.region) {
            ("NoSuchBucket", _) => format!("{said}; make the bucket, or correct its name"),
            ("PermanentRedirect" | "AuthorizationHeaderMalformed", Some(region)) => {
                format!("{said}; the bucket lies in {region}: set AWS_REGION={region}")
            }
            ("RequestTimeTooSkewed", _) => format!("{said}; set this machine's clock"),
            ("InvalidObjectState", _) => format!("{said}; it lies in a cold storage class and must be restored first"),
            _ => said,
        }
    }
}
