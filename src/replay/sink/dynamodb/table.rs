//! The new table: made with the archived key and billing, then awaited.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType as Role, ProvisionedThroughput, ScalarAttributeType,
    TableStatus, Tag,
};

use super::{NewTable, failure, is_passing};
use crate::change::KeyType;
use crate::platform::clock;
use crate::platform::ids::Ids;
use crate::platform::retry::Backoff;
use crate::replay::sink::SinkError;

/// A table that is not ready after this time needs a person.
const READY_WITHIN: Duration = Duration::from_secs(900);

/// The tag of a table that is not exact.
const NOT_EXACT: &str = "tailrace:not-exact";
/// What a tag's value may have at most.
const TAG_CHARACTERS: usize = 256;

/// As much of it as a tag takes, in the characters that it takes.
fn tag_value(note: &str) -> String {
    let takes = |c: char| c.is_alphanumeric() || " +-=._:/@".contains(c);
    note.chars().map(|c| if takes(c) { c } else { ' ' }).take(TAG_CHARACTERS).collect()
}

/// Makes the table.
pub(super) async fn create(client: &Client, new: &NewTable<'_>) -> Result<(), SinkError> {
    let wrong =
        |error: &dyn std::fmt::Display| SinkError::Failed { place: new.name.to_owned(), reason: error.to_string() };
    let mut call = client.create_table().table_name(new.name);
    for (key, role) in new.keys.0.iter().zip([Role::Hash, Role::Range]) {
        let kind = match key.kind {
            KeyType::S => ScalarAttributeType::S,
            KeyType::N => ScalarAttributeType::N,
            KeyType::B => ScalarAttributeType::B,
        };
        let attribute = AttributeDefinition::builder().attribute_name(&key.name).attribute_type(kind).build();
        let element = KeySchemaElement::builder().attribute_name(&key.name).key_type(role).build();
        call =
            call.attribute_definitions(attribute.map_err(|e| wrong(&e))?).key_schema(element.map_err(|e| wrong(&e))?);
    }
    call = billing(call, new.definition).map_err(|e| wrong(&e))?;
    if let Some(note) = new.note {
        let tag = Tag::builder().key(NOT_EXACT).value(tag_value(note)).build().map_err(|e| wrong(&e))?;
        call = call.tags(tag);
    }
    call.send().await.map(|_| ()).map_err(|error| failure(new.name, &error))
}

/// Provisioned where the definition says capacity units, else on demand.
fn billing(
    call: CreateTableFluentBuilder,
    definition: Option<&serde_json::Value>,
) -> Result<CreateTableFluentBuilder, aws_sdk_dynamodb::error::BuildError> {
    let units = |name: &str| {
        let found = definition?.pointer(&format!("/ProvisionedThroughput/{name}"))?.as_i64()?;
        (found > 0).then_some(found)
    };
    let (Some(read), Some(write)) = (units("ReadCapacityUnits"), units("WriteCapacityUnits")) else {
        return Ok(call.billing_mode(BillingMode::PayPerRequest));
    };
    let throughput = ProvisionedThroughput::builder().read_capacity_units(read).write_capacity_units(write).build()?;
    Ok(call.billing_mode(BillingMode::Provisioned).provisioned_throughput(throughput))
}

/// Waits until the table is active.
pub(super) async fn active(client: &Client, name: &str, ids: Ids) -> Result<(), SinkError> {
    let begun = clock::now();
    let mut pause = Backoff::new(ids, Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match client.describe_table().table_name(name).send().await {
            Ok(answer) => {
                if answer.table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                    return Ok(());
                }
            }
            // Just made, a table may not be found yet on every node.
            Err(error)
                if is_passing(&error)
                    || error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {}
            Err(error) => return Err(failure(name, &error)),
        }
        if begun.elapsed() > READY_WITHIN {
            let reason = format!("the table was not ready after {} s", READY_WITHIN.as_secs());
            return Err(SinkError::Failed { place: format!("dynamodb:{name}"), reason });
        }
        clock::sleep(pause.step()).await;
    }
}
