//! Items into a new `DynamoDB` table: made from the archived definition, loaded with `BatchWriteItem`.

mod load;
mod table;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::result::SdkError;

use super::{Item, Sink, SinkError};
use crate::change::KeySchema;
use crate::platform::ids::Ids;
use load::Loader;

/// What is needed to make the table.
#[derive(Debug)]
pub struct NewTable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its key.
    pub keys: &'a KeySchema,
    /// The archived definition, as `DescribeTable` gives it, for the billing mode and capacity.
    pub definition: Option<&'a serde_json::Value>,
    /// Write no more than this many capacity units a second.
    pub most_write_units: Option<u32>,
}

/// A new table being loaded.
#[derive(Debug)]
pub struct TableSink {
    loader: Loader,
}

impl TableSink {
    /// The same as [`TableSink::create`], reached with these settings.
    ///
    /// # Errors
    /// As [`TableSink::create`].
    pub async fn connect(config: &aws_config::SdkConfig, new: NewTable<'_>, ids: Ids) -> Result<Self, SinkError> {
        Self::create(Client::new(config), new, ids).await
    }

    /// Makes the table and waits until it can be written.
    ///
    /// # Errors
    /// [`SinkError::Exists`] if there is a table of this name, and the others as named.
    pub async fn create(client: Client, new: NewTable<'_>, ids: Ids) -> Result<Self, SinkError> {
        table::create(&client, &new).await?;
        table::active(&client, new.name, ids.clone()).await?;
        Ok(Self { loader: Loader::new(client, new.name.to_owned(), new.most_write_units, ids) })
    }
}

#[async_trait]
impl Sink for TableSink {
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        self.loader.put(items).await
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        // Every batch was acknowledged in `put`: nothing is held back.
        Ok(())
    }
}

/// Whether the same call may succeed later.
fn is_passing<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        _ => error.code().is_some_and(|code| {
            [
                "ProvisionedThroughputExceededException",
                "ThrottlingException",
                "RequestLimitExceeded",
                "InternalServerError",
                "ServiceUnavailable",
                "LimitExceededException",
                "ReplicatedWriteConflictException",
            ]
            .contains(&code)
        }),
    }
}

/// What the caller must do about a call that did not succeed.
fn failure<E, R>(table: &str, error: &SdkError<E, R>) -> SinkError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let place = format!("dynamodb:{table}");
    let reason = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => {
            // The outermost text of a connection error says nothing: give the chain.
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(inner) = source {
                text = format!("{text}: {inner}");
                source = inner.source();
            }
            text
        }
    };
    let credentials = [
        "AccessDeniedException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
    ];
    match error.code() {
        Some("ResourceInUseException") => SinkError::Exists { place },
        Some(code) if credentials.contains(&code) => SinkError::Denied { place, reason },
        _ => SinkError::Failed { place, reason },
    }
}
