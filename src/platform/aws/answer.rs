//! What we take from a response beside the SDK: the service's time, and a page's bytes.
//!
//! The SDK turns records into trees of typed values, which costs sixteen times what reading them in place costs, and
//! loses their bytes. So a deserializer of our own is put in place of the generated one. It must be a deserializer
//! and not an interceptor that takes the body away: only then does the SDK read the body itself, under its own
//! time limits, and retry when it is cut.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeDeserializationInterceptorContextRef, Error, Output,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::{DateTime, Format};
use aws_smithy_types::error::ErrorMetadata;
use bytes::Bytes;

use super::error::response_error;
use crate::change::Second;
use crate::platform::clock;

/// What was seen of the latest response of one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
struct Slot {
    at: Option<Second>,
    body: Option<SdkBody>,
}

impl Seen {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service's time of the latest response. The machine's own where there was none: no answer came, or an
    /// emulator (DynamoDB Local) sends no `Date`.
    pub(crate) fn at(&self) -> Second {
        self.slot().at.unwrap_or_else(clock::wall)
    }

    /// The bytes of the latest successful response: those that the SDK holds, not a copy.
    pub(crate) async fn body(&self) -> Option<Bytes> {
        let body = self.slot().body.take()?;
        ByteStream::new(body).collect().await.ok().map(|bytes| bytes.into_bytes())
    }
}

/// Notes the `Date` of every response, errors too.
#[derive(Debug)]
pub(crate) struct ServiceTime(pub(crate) Seen);

#[dyn_dispatch_hint]
impl Intercept for ServiceTime {
    fn name(&self) -> &'static str {
        "ServiceTime"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        self.0.slot().at =
            date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok()).map(|at| Second(at.secs()));
        Ok(())
    }
}

/// Puts [`KeepBody`] in place of the generated deserializer, for this and every later attempt of the call.
#[derive(Debug)]
pub(crate) struct PassThrough(pub(crate) Seen, pub(crate) Stand);

/// What stands in for an operation's typed answer: the SDK expects these very types back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stand {
    /// An empty output.
    pub(crate) output: fn() -> Output,
    /// An error with nothing but its metadata.
    pub(crate) error: fn(ErrorMetadata) -> Error,
}

#[dyn_dispatch_hint]
impl Intercept for PassThrough {
    fn name(&self) -> &'static str {
        "PassThrough"
    }

    fn modify_before_deserialization(
        &self,
        _: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(SharedResponseDeserializer::new(KeepBody(self.0.clone(), self.1)));
        Ok(())
    }
}

/// Keeps a successful body as it is, and reads errors itself: it sees the responses of all attempts.
#[derive(Debug)]
struct KeepBody(Seen, Stand);

impl DeserializeResponse for KeepBody {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        let bytes = response.body().bytes().unwrap_or_default();
        if !response.status().is_success() {
            return Err(OrchestratorError::operation((self.1.error)(response_error(response.headers(), bytes))));
        }
        // A response error is retried by the SDK, like a body that was cut.
        if !sum_agrees(response.headers().get("x-amz-crc32"), bytes) {
            return Err(OrchestratorError::response("the body does not have the checksum x-amz-crc32".into()));
        }
        self.0.slot().body = response.body().try_clone();
        Ok((self.1.output)())
    }
}

/// Whether the body has the CRC-32 that the service says, if it says one.
fn sum_agrees(header: Option<&str>, body: &[u8]) -> bool {
    header.and_then(|sum| sum.parse::<u32>().ok()).is_none_or(|sum| sum == crc32fast::hash(body))
}
