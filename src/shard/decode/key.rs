//! `Keys` of a record: exactly the table's key attributes, each of its type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::change::{ItemKey, KeyAttribute, KeySchema, KeyType, KeyValue, Text};

/// The value of one key attribute.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
enum Value<'a> {
    S(#[serde(borrow)] Cow<'a, str>),
    N(#[serde(borrow)] Cow<'a, str>),
    B(#[serde(borrow)] Cow<'a, str>),
}

/// The key that `keys` states; `None` when it is not one of this table.
pub(super) fn read(page: &Bytes, schema: &KeySchema, keys: &RawValue) -> Option<ItemKey> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Members<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, Value<'a>>);
    let Members(mut members) = serde_json::from_str(keys.get()).ok()?;
    let mut take = |attribute: &KeyAttribute| {
        let value = members.remove(attribute.name.as_str())?;
        typed(page, attribute.kind, value)
    };
    let (pk, sk) = match schema.0.as_slice() {
        [pk] => (take(pk)?, None),
        [pk, sk] => (take(pk)?, Some(take(sk)?)),
        _ => return None,
    };
    members.is_empty().then_some(ItemKey { pk, sk })
}

/// A value in the form that segments store, if it is of this type.
fn typed(page: &Bytes, kind: KeyType, value: Value<'_>) -> Option<KeyValue> {
    let text = match (kind, value) {
        (KeyType::S, Value::S(content)) => shared(page, content),
        (KeyType::N, Value::N(number)) => shared(page, number),
        (KeyType::B, Value::B(content)) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(content.as_bytes()).ok()?;
            shared(page, content)
        }
        _ => return None,
    };
    Some(KeyValue { kind, text })
}

/// A slice of the page where nothing was escaped.
fn shared(page: &Bytes, content: Cow<'_, str>) -> Text {
    match content {
        Cow::Borrowed(part) => Text::slice_of(page, part),
        Cow::Owned(text) => Text::from(text),
    }
}
