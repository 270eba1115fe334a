//! Items into a new `DynamoDB` table: made from the archived definition, loaded with `BatchWriteItem`.

mod load;
mod table;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::{Item, Sink, SinkError};
use crate::change::KeySchema;
use crate::platform::aws::ServiceError;
use crate::platform::clock;
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

/// What the caller must do about a call that did not succeed, and will not.
fn failure<E>(table: &str, error: &SdkError<E, HttpResponse>) -> SinkError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let place = format!("dynamodb:{table}");
    if error.code() == Some("ResourceInUseException") {
        return SinkError::Exists { place };
    }
    match ServiceError::of(error, clock::wall()) {
        ServiceError::Denied(reason) => SinkError::Denied { place, reason },
        error => SinkError::Failed { place, reason: error.to_string() },
    }
}

/// Whether the same call may succeed later.
fn is_passing<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    ServiceError::of(error, clock::wall()).is_passing()
}
