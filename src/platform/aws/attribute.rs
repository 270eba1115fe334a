//! The service's JSON into the SDK's values: numbers stay text, nothing is rounded.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// An image as the SDK takes it.
pub(crate) fn item(image: &str) -> Result<HashMap<String, AttributeValue>, serde_json::Error> {
    let values: HashMap<String, Value> = serde_json::from_str(image)?;
    Ok(values.into_iter().map(|(name, value)| (name, value.0)).collect())
}

struct Value(AttributeValue);
struct Binary(Blob);

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(|bytes| Self(Blob::new(bytes))).map_err(Error::custom)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tagged;
        impl<'de> Visitor<'de> for Tagged {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of one type tag and its value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let tag: String = map.next_key()?.ok_or_else(|| A::Error::custom("a value without a type tag"))?;
                let value = tagged(&tag, &mut map)?;
                match map.next_key::<String>()? {
                    None => Ok(Value(value)),
                    Some(_) => Err(A::Error::custom("a value with two type tags")),
                }
            }
        }
        deserializer.deserialize_map(Tagged)
    }
}

fn tagged<'de, A: MapAccess<'de>>(tag: &str, map: &mut A) -> Result<AttributeValue, A::Error> {
    let blobs = |values: Vec<Binary>| values.into_iter().map(|binary| binary.0).collect();
    Ok(match tag {
        "S" => AttributeValue::S(map.next_value()?),
        "N" => AttributeValue::N(map.next_value()?),
        "B" => AttributeValue::B(map.next_value::<Binary>()?.0),
        "BOOL" => AttributeValue::Bool(map.next_value()?),
        "NULL" => AttributeValue::Null(map.next_value()?),
        "SS" => AttributeValue::Ss(map.next_value()?),
        "NS" => AttributeValue::Ns(map.next_value()?),
        "BS" => AttributeValue::Bs(blobs(map.next_value()?)),
        "L" => AttributeValue::L(map.next_value::<Vec<Value>>()?.into_iter().map(|value| value.0).collect()),
        "M" => {
            let values: HashMap<String, Value> = map.next_value()?;
            AttributeValue::M(values.into_iter().map(|(name, value)| (name, value.0)).collect())
        }
        other => return Err(A::Error::custom(format!("unknown type tag {other:?}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_keeps_its_value() {
        let image = r#"{"s":{"S":"a\u0000é"},"n":{"N":"12345678901234567890123456789012345678.5"},"b":{"B":"AP8="},
            "t":{"BOOL":true},"z":{"NULL":true},"ss":{"SS":["x",""]},"ns":{"NS":["1E+2","-0"]},"bs":{"BS":["AA==",""]},
            "l":{"L":[{"N":"1"},{"L":[]},{"M":{}}]},"m":{"M":{"S":{"S":"tag"},"N":{"N":"0.10"}}}}"#;
        let values = item(image).unwrap();
        assert_eq!(values["s"], AttributeValue::S("a\0é".into()));
        assert_eq!(values["n"], AttributeValue::N("12345678901234567890123456789012345678.5".into()));
        assert_eq!(values["b"], AttributeValue::B(Blob::new([0, 255])));
        assert_eq!(values["t"], AttributeValue::Bool(true));
        assert_eq!(values["z"], AttributeValue::Null(true));
        assert_eq!(values["ss"], AttributeValue::Ss(vec!["x".into(), String::new()]));
        assert_eq!(values["ns"], AttributeValue::Ns(vec!["1E+2".into(), "-0".into()]));
        assert_eq!(values["bs"], AttributeValue::Bs(vec![Blob::new([0]), Blob::new([])]));
        let AttributeValue::L(list) = &values["l"] else { panic!() };
        assert_eq!(list[1], AttributeValue::L(Vec::new()));
        let AttributeValue::M(map) = &values["m"] else { panic!() };
        assert_eq!(map["N"], AttributeValue::N("0.10".into()));
    }

    #[test]
    fn refuses_what_is_no_value() {
        for bad in [r#"{"a":{}}"#, r#"{"a":{"S":"x","N":"1"}}"#, r#"{"a":{"X":"x"}}"#, r#"{"a":{"B":"?"}}"#, "[]"] {
            assert!(item(bad).is_err(), "{bad}");
        }
    }
}
