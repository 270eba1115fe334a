//! From what the SDK reports to what the caller of `DynamoDB` must do.
//!
//! Errors are told apart by their code alone: the service sends some that its model does not name
//! (`ThrottlingException`, `ValidationException`), which the SDK has no type for.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::Deserialize;

use crate::change::Second;
use crate::platform::causes;
use crate::platform::patience::{Curable, Cure};

/// Why `DynamoDB` or its streams did not do what was asked, by what the caller must do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The table, stream or shard is gone. On an unfinished shard this is a gap.
    #[error("the service does not know it (any more)")]
    NotFound {
        /// The service's time of this answer: the gap is judged by it.
        at: Second,
    },
    /// Too many requests, or too many readers: wait, and try the same call again.
    #[error("the service asks to slow down: {0}")]
    Throttled(String),
    /// A passing failure: try the same call again.
    #[error("the service did not answer: {0}")]
    Unavailable(String),
    /// Credentials or permissions: an operator must act.
    #[error("no permission: {0}")]
    Denied(String),
    /// The call itself was wrong: a bug or a configuration error; stop.
    #[error("the service refuses the call: {0}")]
    Invalid(String),
    /// A response that is not what such a call gives (cut, or without what it must hold): try again, it says nothing.
    #[error("the response cannot be read: {0}")]
    Malformed(String),
}

/// Codes that an operator must act on.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "KMSAccessDeniedException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Codes that ask for fewer calls, or fewer readers.
const THROTTLED: &[&str] = &[
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

impl ServiceError {
    /// What a failed call means; `at` is the service's time of its answer.
    pub(crate) fn of<E>(error: &SdkError<E, HttpResponse>, at: Second) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(context) => service_error(context.err().meta(), context.raw().status().as_u16(), at),
            // The call never left, and not for a passing reason: there are no credentials to sign it with.
            SdkError::DispatchFailure(failure)
                if failure.is_other() && failure.as_connector_error().is_none_or(|e| e.as_other().is_none()) =>
            {
                Self::Denied(causes(error))
            }
            SdkError::ConstructionFailure(_) => Self::Invalid(causes(error)),
            _ => Self::Unavailable(causes(error)),
        }
    }

    /// Whether the same call may succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        self.cure() == Cure::Time
    }
}

impl Curable for ServiceError {
    fn cure(&self) -> Cure {
        match self {
            Self::Denied(_) => Cure::Person,
            Self::NotFound { .. } | Self::Invalid(_) => Cure::Nothing,
            Self::Throttled(_) | Self::Unavailable(_) | Self::Malformed(_) => Cure::Time,
        }
    }
}

fn service_error(meta: &ErrorMetadata, status: u16, at: Second) -> ServiceError {
    let code = meta.code().unwrap_or_default();
    let text = || match (code, meta.message()) {
        ("", None) => format!("status {status}"),
        ("", Some(message)) => format!("status {status}: {message}"),
        (code, None) => code.to_owned(),
        (code, Some(message)) => format!("{code}: {message}"),
    };
    match code {
        "ResourceNotFoundException" => ServiceError::NotFound { at },
        "InternalServerError" | "InternalFailure" | "ReplicatedWriteConflictException" | "ServiceUnavailable" => {
            ServiceError::Unavailable(text())
        }
        code if THROTTLED.contains(&code) => ServiceError::Throttled(text()),
        code if DENIED.contains(&code) => ServiceError::Denied(text()),
        _ => match status {
            429 => ServiceError::Throttled(text()),
            // What a proxy on the way answers: nothing that the service says of the call.
            408 | 425 => ServiceError::Unavailable(text()),
            401 | 403 => ServiceError::Denied(text()),
            200..=299 => ServiceError::Malformed(text()),
            400..=499 => ServiceError::Invalid(text()),
            _ => ServiceError::Unavailable(text()),
        },
    }
}

/// The code and message of an error response: a header, or `__type` and `message` of the body.
pub(super) fn response_error(headers: &Headers, body: &[u8]) -> ErrorMetadata {
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(rename = "__type")]
        kind: Option<String>,
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let mut error = ErrorMetadata::builder();
    if let Some(kind) = headers.get("x-amzn-errortype").or(body.kind.as_deref()) {
        error = error.code(bare(kind));
    }
    if let Some(message) = body.message {
        error = error.message(message);
    }
    error.build()
}

/// `namespace#Code:uri` without what surrounds the code.
fn bare(kind: &str) -> &str {
    let code = kind.rsplit('#').next().unwrap_or(kind);
    code.split(':').next().unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_reaction() {
        let at = Second(7);
        let of =
            |code: &str, status| service_error(&ErrorMetadata::builder().code(code).message("m").build(), status, at);
        assert_eq!(of("ResourceNotFoundException", 400), ServiceError::NotFound { at });
        for code in THROTTLED {
            assert_eq!(of(code, 400), ServiceError::Throttled(format!("{code}: m")));
        }
        for code in DENIED {
            assert_eq!(of(code, 400), ServiceError::Denied(format!("{code}: m")));
        }
        assert_eq!(of("ValidationException", 400), ServiceError::Invalid("ValidationException: m".to_owned()));
        assert_eq!(of("InternalServerError", 500), ServiceError::Unavailable("InternalServerError: m".to_owned()));
    }

    #[test]
    fn an_error_without_a_code_goes_by_its_status() {
        let of = |status| service_error(&ErrorMetadata::builder().build(), status, Second(7));
        assert_eq!(of(503), ServiceError::Unavailable("status 503".to_owned()));
        assert_eq!(of(403), ServiceError::Denied("status 403".to_owned()));
        assert_eq!(of(429), ServiceError::Throttled("status 429".to_owned()));
        assert_eq!(of(408), ServiceError::Unavailable("status 408".to_owned()));
        assert_eq!(of(418), ServiceError::Invalid("status 418".to_owned()));
        assert_eq!(of(200), ServiceError::Malformed("status 200".to_owned()));
    }

    #[test]
    fn the_code_is_found_in_the_body_and_in_the_header() {
        let body = br#"{"__type":"com.amazonaws.dynamodb.v20120810#ExpiredIteratorException","Message":"old"}"#;
        let error = response_error(&Headers::new(), body);
        assert_eq!((error.code(), error.message()), (Some("ExpiredIteratorException"), Some("old")));
        let mut headers = Headers::new();
        headers.insert("x-amzn-errortype", "ThrottlingException:http://internal/");
        assert_eq!(response_error(&headers, b"").code(), Some("ThrottlingException"));
        assert_eq!(response_error(&Headers::new(), b"<html>").code(), None);
    }
}
