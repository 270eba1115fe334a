//! Some items of a live table, read strongly consistent by their keys; they come through as the service sent them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemError, BatchGetItemOutput};
use aws_sdk_dynamodb::types::KeysAndAttributes;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::scan::DynamoTable;
use crate::change::Text;
use crate::platform::aws::answer::{PassThrough, Seen, ServiceTime, Stand};
use crate::platform::aws::{ServiceError, attribute};

/// The service takes so many keys at once.
pub const MOST_KEYS: usize = 100;

/// The typed answer, which items do without.
const BATCH: Stand = Stand {
    output: || Output::erase(BatchGetItemOutput::builder().build()),
    error: |meta| Error::erase(BatchGetItemError::generic(meta)),
};

/// What one call gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Images of the items that are there, byte for byte, in any order.
    pub items: Vec<Text>,
    /// Keys, as JSON, that the service did not come to: ask again.
    pub left: Vec<Text>,
}

impl DynamoTable {
    /// The items with these keys, which are JSON objects of the key's attributes: at most [`MOST_KEYS`].
    ///
    /// # Errors
    /// As named by the variants.
    pub async fn items(&self, keys: &[Text]) -> Result<Batch, ServiceError> {
        let wrong = |error: &dyn std::fmt::Display| ServiceError::Malformed(format!("items by key: {error}"));
        let keys: Result<Vec<_>, _> = keys.iter().map(|key| attribute::item(key.as_str())).collect();
        let asked = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys.map_err(|e| wrong(&e))?));
        let seen = Seen::default();
        self.client
            .batch_get_item()
            .request_items(&self.table, asked.build().map_err(|e| wrong(&e))?)
            .customize()
            .interceptor(ServiceTime(seen.clone()))
            .interceptor(PassThrough(seen.clone(), BATCH))
            .send()
            .await
            .map_err(|error| ServiceError::of(&error, seen.at()))?;
        let body = seen.body().await.ok_or_else(|| wrong(&"no body"))?;
        read(&body).map_err(|e| wrong(&e))
    }
}

/// Reads a `BatchGetItem` response in place.
fn read(body: &Bytes) -> Result<Batch, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        #[serde(borrow)]
        responses: BTreeMap<String, Vec<&'a RawValue>>,
        #[serde(borrow, default)]
        unprocessed_keys: BTreeMap<String, Left<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Left<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let read: Body<'_> = serde_json::from_slice(body)?;
    let text = |value: &RawValue| Text::slice_of(body, value.get());
    Ok(Batch {
        items: read.responses.into_values().flatten().map(text).collect(),
        left: read.unprocessed_keys.into_values().flat_map(|left| left.keys).map(text).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_bytes_and_what_was_not_read_is_told() {
        let body = br#"{"Responses":{"t":[{"k": {"N":"1.0"} }]},"UnprocessedKeys":{"t":{"Keys":[{"k":{"N":"2"}}],"ConsistentRead":true}}}"#;
        let batch = read(&Bytes::from_static(body)).unwrap();
        assert_eq!(batch.items, [Text::from(r#"{"k": {"N":"1.0"} }"#)]);
        assert_eq!(batch.left, [Text::from(r#"{"k":{"N":"2"}}"#)]);
        assert!(read(&Bytes::from_static(b"{}")).is_err(), "a body without responses says nothing");
    }
}
