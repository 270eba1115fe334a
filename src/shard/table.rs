//! What the service says of a table: which timeline it is, its key, its stream, and what a rebuild needs.

mod definition;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{KeyType as KeyRole, ScalarAttributeType, TableDescription};
use sha2::{Digest, Sha256};

use super::dynamodb::DynamoStream;
pub use super::dynamodb::StreamFacts;
use super::{SourceError, StreamStatus};
use crate::change::{KeyAttribute, KeySchema, KeyType, Second, TableIdentity};
use crate::platform::aws::ServiceError;
use crate::platform::clock;

/// How a table is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billing {
    /// Per request.
    OnDemand,
    /// By capacity units.
    Provisioned {
        /// Read units per second.
        read: i64,
        /// Write units per second.
        write: i64,
    },
}

/// A live table.
#[derive(Debug, Clone)]
pub struct TableFacts {
    /// Its timeline.
    pub identity: TableIdentity,
    /// Its ARN.
    pub arn: String,
    /// When it was created, floored.
    pub created: Second,
    /// Its key.
    pub keys: KeySchema,
    /// How it is paid for.
    pub billing: Billing,
    /// Its latest stream, while the service still knows it: also one that is turned off.
    pub stream: Option<StreamFacts>,
    /// Restored or imported from somewhere: it may hold items that no stream has shown.
    pub restored: bool,
    /// It has replicas in other regions.
    pub replicated: bool,
    /// About how many items it holds; up to six hours old.
    pub items: i64,
    /// About how many bytes it holds; up to six hours old.
    pub bytes: i64,
    /// What replay can bring back.
    pub definition: serde_json::Value,
}

/// Why a table cannot be captured, with what mends it.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// No such table.
    #[error("table {table} was not found in {region}; check its name, the region and the account of the credentials")]
    Missing {
        /// As asked for.
        table: String,
        /// Where it was looked for.
        region: String,
    },
    /// The stream is off.
    #[error("the stream of table {table} is off; turn it on:\n{fix}", fix = turn_on(table))]
    StreamOff {
        /// The table's name.
        table: String,
    },
    /// The stream does not carry new images.
    #[error("the stream of table {table} carries {view_type}, which cannot bring items back; a stream's view is fixed, so turn it off and on again:\n{fix}", fix = turn_over(table))]
    ViewType {
        /// The table's name.
        table: String,
        /// What it carries.
        view_type: String,
    },
    /// Credentials or permissions.
    #[error(
        "no permission to describe table {table}: {reason}; the role needs dynamodb:DescribeTable and dynamodb:DescribeStream"
    )]
    Denied {
        /// The table's name.
        table: String,
        /// What the service said.
        reason: String,
    },
    /// The service did not answer, or not as expected: try again.
    #[error("describing table {table} failed: {reason}")]
    Unavailable {
        /// The table's name.
        table: String,
        /// What the service said.
        reason: String,
    },
}

/// The lines that turn a table's stream on.
#[must_use]
pub fn turn_on(table: &str) -> String {
    format!(
        "  aws dynamodb update-table --table-name {table} --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES\n\
         or in Terraform, in its aws_dynamodb_table:\n  stream_enabled   = true\n  stream_view_type = \"NEW_AND_OLD_IMAGES\""
    )
}

fn turn_over(table: &str) -> String {
    format!(
        "  aws dynamodb update-table --table-name {table} --stream-specification StreamEnabled=false\n{}",
        turn_on(table)
    )
}

impl TableFacts {
    /// The stream, if it is on and carries new images.
    ///
    /// # Errors
    /// [`TableError::StreamOff`] or [`TableError::ViewType`], each with what mends it.
    pub fn live_stream(&self) -> Result<&StreamFacts, TableError> {
        let table = || self.identity.name.clone();
        let stream = self
            .stream
            .as_ref()
            .filter(|stream| matches!(stream.status, StreamStatus::Enabled | StreamStatus::Enabling))
            .ok_or_else(|| TableError::StreamOff { table: table() })?;
        match stream.view_type.as_str() {
            "NEW_AND_OLD_IMAGES" | "NEW_IMAGE" => Ok(stream),
            other => Err(TableError::ViewType { table: table(), view_type: other.to_owned() }),
        }
    }
}

/// Describes a table, named by its name or ARN.
///
/// # Errors
/// [`TableError::Missing`], [`TableError::Denied`] or [`TableError::Unavailable`]. A stream that is off is no error here.
pub async fn describe(config: &SdkConfig, name_or_arn: &str) -> Result<TableFacts, TableError> {
    let answer = Client::new(config).describe_table().table_name(name_or_arn).send().await;
    let answer = answer.map_err(|error| ServiceError::of(&error, clock::wall()).into());
    let table = answer.map_err(|error| table_error(config, name_or_arn, error))?.table;
    let strange = |what: &str| TableError::Unavailable {
        table: name_or_arn.to_owned(),
        reason: format!("the answer lacks {what}"),
    };
    let table = table.ok_or_else(|| strange("Table"))?;
    let stream = match table.latest_stream_arn() {
        Some(arn) => stream_facts(config, name_or_arn, arn).await?,
        None => None,
    };
    facts(&table, stream).map_err(strange)
}

/// Names of the region's tables, for a hint: the first page, and none where they may not be listed.
pub async fn names(config: &SdkConfig) -> Vec<String> {
    let listed = Client::new(config).list_tables().send().await;
    listed.ok().and_then(|answer| answer.table_names).unwrap_or_default()
}

/// Names of all tables of the region.
///
/// # Errors
/// [`TableError::Denied`] or [`TableError::Unavailable`]: half a listing is none.
pub async fn list(config: &SdkConfig) -> Result<Vec<String>, TableError> {
    let mut pages = Client::new(config).list_tables().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(name) = pages.next().await {
        names.push(name.map_err(|error| refused(config, "*", ServiceError::of(&error, clock::wall())))?);
    }
    Ok(names)
}

/// A table's tags; none of one that is gone meanwhile.
///
/// # Errors
/// [`TableError::Denied`] or [`TableError::Unavailable`].
pub async fn tags(config: &SdkConfig, name: &str) -> Result<BTreeMap<String, String>, TableError> {
    let client = Client::new(config);
    let mut tags = BTreeMap::new();
    let refuse = |error: ServiceError| match error {
        ServiceError::NotFound { .. } => Ok(BTreeMap::new()),
        error => Err(refused(config, name, error)),
    };
    let table = match client.describe_table().table_name(name).send().await {
        Ok(answer) => answer.table,
        Err(error) => return refuse(ServiceError::of(&error, clock::wall())),
    };
    let arn = table.and_then(|table| table.table_arn).unwrap_or_default();
    let mut next = None;
    loop {
        let page = match client.list_tags_of_resource().resource_arn(&arn).set_next_token(next).send().await {
            Ok(page) => page,
            Err(error) => return refuse(ServiceError::of(&error, clock::wall())),
        };
        tags.extend(page.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)));
        next = page.next_token;
        if next.is_none() {
            return Ok(tags);
        }
    }
}

fn refused(config: &SdkConfig, table: &str, error: ServiceError) -> TableError {
    table_error(config, table, SourceError::Service(error))
}

/// The stream's facts, if the service still knows it.
async fn stream_facts(config: &SdkConfig, table: &str, arn: &str) -> Result<Option<StreamFacts>, TableError> {
    match DynamoStream::new(config, arn).facts().await {
        Ok(stream) => Ok(Some(stream)),
        Err(SourceError::Service(ServiceError::NotFound { .. })) => Ok(None),
        Err(error) => Err(table_error(config, table, error)),
    }
}

fn table_error(config: &SdkConfig, table: &str, error: SourceError) -> TableError {
    let table = table.to_owned();
    match error {
        SourceError::Service(ServiceError::NotFound { .. }) => {
            let region = config.region().map_or("no region", |region| region.as_ref()).to_owned();
            TableError::Missing { table, region }
        }
        SourceError::Service(ServiceError::Denied(reason)) => TableError::Denied { table, reason },
        error => TableError::Unavailable { table, reason: error.to_string() },
    }
}

/// The facts in a description; what is missing where one is not complete.
fn facts(table: &TableDescription, stream: Option<StreamFacts>) -> Result<TableFacts, &'static str> {
    let arn = table.table_arn().ok_or("TableArn")?;
    let name = table.table_name().ok_or("TableName")?;
    let created = table.creation_date_time().ok_or("CreationDateTime")?;
    let mut parts = arn.splitn(6, ':').skip(3);
    let region = parts.next().ok_or("a region in TableArn")?.to_owned();
    let account = parts.next().ok_or("an account in TableArn")?.to_owned();
    let table_id = match table.table_id() {
        Some(id) => id.to_owned(),
        None => local_id(arn, created.as_nanos().div_euclid(1_000)),
    };
    Ok(TableFacts {
        identity: TableIdentity { account, region, name: name.to_owned(), table_id },
        arn: arn.to_owned(),
        created: Second(created.secs()),
        keys: keys(table)?,
        billing: billing(table),
        stream,
        restored: table.restore_summary().is_some(),
        replicated: !table.replicas().is_empty(),
        items: table.item_count().unwrap_or_default(),
        bytes: table.table_size_bytes().unwrap_or_default(),
        definition: definition::definition(table),
    })
}

/// The identity of a table whose service gives none: its ARN and its creation in microseconds.
fn local_id(arn: &str, created_micros: i128) -> String {
    let hash = Sha256::new().chain_update(arn).chain_update(created_micros.to_string()).finalize();
    format!("local-{}", hex::encode(&hash[..8]))
}

fn keys(table: &TableDescription) -> Result<KeySchema, &'static str> {
    let attribute = |role: &KeyRole| {
        let element = table.key_schema().iter().find(|element| element.key_type() == role)?;
        let name = element.attribute_name();
        let defined = table.attribute_definitions().iter().find(|defined| defined.attribute_name() == name)?;
        let kind = match defined.attribute_type() {
            ScalarAttributeType::S => KeyType::S,
            ScalarAttributeType::N => KeyType::N,
            ScalarAttributeType::B => KeyType::B,
            _ => return None,
        };
        Some(KeyAttribute { name: name.to_owned(), kind })
    };
    let partition = attribute(&KeyRole::Hash).ok_or("a typed partition key")?;
    let sorted = table.key_schema().iter().any(|element| element.key_type() == &KeyRole::Range);
    let sort = attribute(&KeyRole::Range);
    if sorted && sort.is_none() {
        return Err("the type of the sort key");
    }
    Ok(KeySchema(std::iter::once(partition).chain(sort).collect()))
}

fn billing(table: &TableDescription) -> Billing {
    let units = table.provisioned_throughput();
    let read = units.and_then(|units| units.read_capacity_units()).unwrap_or_default();
    let write = units.and_then(|units| units.write_capacity_units()).unwrap_or_default();
    // The summary may be absent for a table that was provisioned all along.
    if definition::on_demand(table) { Billing::OnDemand } else { Billing::Provisioned { read, write } }
}

#[cfg(test)]
mod tests;
