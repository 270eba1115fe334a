//! A table's definition as plain JSON, with the names that `CreateTable` uses.

use aws_sdk_dynamodb::types::{
    BillingMode, KeySchemaElement, Projection, ProvisionedThroughputDescription, TableDescription,
};
use serde_json::{Value, json};

/// Whether the table is paid per request.
pub(super) fn on_demand(table: &TableDescription) -> bool {
    table.billing_mode_summary().and_then(|summary| summary.billing_mode()) == Some(&BillingMode::PayPerRequest)
}

/// Key, attributes, billing and indexes.
pub(super) fn definition(table: &TableDescription) -> Value {
    let attributes: Vec<_> = table
        .attribute_definitions()
        .iter()
        .map(|defined| {
            json!({"AttributeName": defined.attribute_name(), "AttributeType": defined.attribute_type().as_str()})
        })
        .collect();
    let global: Vec<_> = table
        .global_secondary_indexes()
        .iter()
        .map(|of| {
            let mut index = index(of.index_name(), of.key_schema(), of.projection());
            index["ProvisionedThroughput"] = of.provisioned_throughput().and_then(units).into();
            index
        })
        .collect();
    let local: Vec<_> = table
        .local_secondary_indexes()
        .iter()
        .map(|of| index(of.index_name(), of.key_schema(), of.projection()))
        .collect();
    json!({
        "TableName": table.table_name(),
        "KeySchema": key_schema(table.key_schema()),
        "AttributeDefinitions": attributes,
        "BillingMode": if on_demand(table) { "PAY_PER_REQUEST" } else { "PROVISIONED" },
        "ProvisionedThroughput": table.provisioned_throughput().and_then(units),
        "GlobalSecondaryIndexes": global,
        "LocalSecondaryIndexes": local,
    })
}

fn index(name: Option<&str>, keys: &[KeySchemaElement], projected: Option<&Projection>) -> Value {
    json!({"IndexName": name, "KeySchema": key_schema(keys), "Projection": projected.map(projection)})
}

fn key_schema(elements: &[KeySchemaElement]) -> Value {
    elements
        .iter()
        .map(|element| json!({"AttributeName": element.attribute_name(), "KeyType": element.key_type().as_str()}))
        .collect()
}

fn projection(projection: &Projection) -> Value {
    json!({
        "ProjectionType": projection.projection_type().map(|kind| kind.as_str()),
        "NonKeyAttributes": projection.non_key_attributes(),
    })
}

/// Provisioned units; on demand the service says 0 and 0, which `CreateTable` would refuse.
fn units(units: &ProvisionedThroughputDescription) -> Option<Value> {
    let (read, write) = (units.read_capacity_units()?, units.write_capacity_units()?);
    (read > 0 || write > 0).then(|| json!({"ReadCapacityUnits": read, "WriteCapacityUnits": write}))
}
