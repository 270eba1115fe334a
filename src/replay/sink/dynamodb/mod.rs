//! Items into a new `DynamoDB` table: made from the archived definition, loaded with `BatchWriteItem`.

mod load;
mod table;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::{Item, LeftBehind, Sink, SinkError};
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
    /// Why it will not be exact: its tag `tailrace:not-exact`.
    pub note: Option<&'a str>,
}

/// A new table being loaded.
#[derive(Debug)]
pub struct TableSink {
    client: Client,
    name: String,
    ids: Ids,
    loader: Loader,
    /// The service takes writes.
    active: bool,
}

impl TableSink {
    /// The same as [`TableSink::create`], reached with these settings.
    ///
    /// # Errors
    /// As [`TableSink::create`].
    pub async fn connect(config: &aws_config::SdkConfig, new: NewTable<'_>, ids: Ids) -> Result<Self, SinkError> {
        Self::create(Client::new(config), new, ids).await
    }

    /// Makes the table. From here on there is something to leave behind: the wait until it can be written belongs
    /// to the first [`Sink::put`].
    ///
    /// # Errors
    /// [`SinkError::Exists`] if there is a table of this name, and the others as named.
    pub async fn create(client: Client, new: NewTable<'_>, ids: Ids) -> Result<Self, SinkError> {
        table::create(&client, &new).await?;
        let name = new.name.to_owned();
        let loader = Loader::new(client.clone(), name.clone(), new.most_write_units, ids.clone());
        Ok(Self { client, name, ids, loader, active: false })
    }

    async fn active(&mut self) -> Result<(), SinkError> {
        if !self.active {
            table::active(&self.client, &self.name, self.ids.clone()).await?;
            self.active = true;
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for TableSink {
    async fn put(&mut self, items: Vec<Item>) -> Result<(), SinkError> {
        self.active().await?;
        self.loader.put(items).await
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        // Every batch was acknowledged in `put`: nothing is held back.
        self.active().await
    }

    /// A load is not taken up again: what a batch under way has written is not known, and a table that anybody may
    /// have touched since is not the image that was asked for.
    fn left_behind(&self) -> Option<LeftBehind> {
        let (name, written) = (&self.name, self.loader.written());
        Some(LeftBehind {
            what: format!("the new table {name} stays behind, not whole: {written} items or a few more are in it"),
            next: format!(
                "before that, remove it with `aws dynamodb delete-table --table-name {name}`, or name another new table"
            ),
        })
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
