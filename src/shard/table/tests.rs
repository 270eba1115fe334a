//! What is read out of a table description.

use aws_sdk_dynamodb::primitives::DateTime;
use aws_sdk_dynamodb::types::{AttributeDefinition, KeySchemaElement};

use super::*;

fn table(arn: &str, attributes: &[(&str, ScalarAttributeType)]) -> TableDescription {
    let element = |name: &str, role| KeySchemaElement::builder().attribute_name(name).key_type(role).build().unwrap();
    let defined = attributes.iter().map(|(name, kind)| {
        AttributeDefinition::builder().attribute_name(*name).attribute_type(kind.clone()).build().unwrap()
    });
    TableDescription::builder()
        .table_arn(arn)
        .table_name("orders")
        .creation_date_time(DateTime::from_secs_and_nanos(1_795_305_600, 250_000_000))
        // The sort key first: the schema's order is by role, not by place.
        .key_schema(element("at", KeyRole::Range))
        .key_schema(element("id", KeyRole::Hash))
        .set_attribute_definitions(Some(defined.collect()))
        .build()
}

const ARN: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders";
const TYPES: [(&str, ScalarAttributeType); 2] = [("id", ScalarAttributeType::B), ("at", ScalarAttributeType::N)];

#[test]
fn a_table_without_an_id_is_named_by_its_arn_and_creation() {
    let facts = facts(&table(ARN, &TYPES), None).unwrap();
    // printf %s "${ARN}1795305600250000" | sha256sum
    assert_eq!(facts.identity.table_id, "local-46537126a5eaf764");
    assert_eq!(facts.identity.folder(), format!("tables/123456789012/eu-west-1/orders/{}", facts.identity.table_id));
    assert_eq!(facts.created, Second(1_795_305_600));
    let keys: Vec<_> = facts.keys.0.iter().map(|key| (key.name.as_str(), key.kind)).collect();
    assert_eq!(keys, [("id", KeyType::B), ("at", KeyType::N)]);
    assert_eq!(facts.billing, Billing::Provisioned { read: 0, write: 0 });
}

#[test]
fn an_incomplete_description_is_refused_with_what_it_lacks() {
    assert_eq!(facts(&table("orders", &TYPES), None).unwrap_err(), "a region in TableArn");
    assert_eq!(facts(&table(ARN, &TYPES[1..]), None).unwrap_err(), "a typed partition key");
    assert_eq!(facts(&table(ARN, &TYPES[..1]), None).unwrap_err(), "the type of the sort key");
}

#[test]
fn only_an_enabled_stream_with_new_images_is_live() {
    let stream = |view: &str, status| StreamFacts {
        arn: format!("{ARN}/stream/x"),
        view_type: view.to_owned(),
        created: crate::change::Micros(0),
        status,
    };
    let with = |view, status| facts(&table(ARN, &TYPES), Some(stream(view, status))).unwrap();
    assert!(with("NEW_IMAGE", StreamStatus::Enabling).live_stream().is_ok());
    let off = with("NEW_IMAGE", StreamStatus::Disabled);
    assert!(matches!(off.live_stream(), Err(TableError::StreamOff { .. })));
    assert!(matches!(with("KEYS_ONLY", StreamStatus::Enabled).live_stream(), Err(TableError::ViewType { .. })));
}
