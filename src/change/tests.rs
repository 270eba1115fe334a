//! Images, canonical forms and keys: published vectors, properties, hostile input.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::image::{ImageError, apply, attributes, delta};
use super::{ItemKey, KeyAttribute, KeySchema, KeyType, KeyValue, Text, arbitrary, canonical, digest};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Value>,
}

fn cases(json: &str, least: usize) -> Vec<Value> {
    let Vectors { cases } = serde_json::from_str(json).unwrap();
    assert!(cases.len() >= least);
    cases
}

#[test]
fn numbers_are_those_of_the_vectors() {
    for case in cases(include_str!("../../schemas/vectors/number.json"), 30) {
        assert_eq!(canonical::number(case["text"].as_str().unwrap()).as_deref(), case["canonical"].as_str(), "{case}");
    }
}

#[test]
fn canonical_values_are_those_of_the_vectors() {
    for case in cases(include_str!("../../schemas/vectors/canonical.json"), 15) {
        let bytes = canonical::value(case["json"].as_str().unwrap()).unwrap();
        assert_eq!(hex::encode(bytes), case["bytes"].as_str().unwrap(), "{case}");
    }
}

#[test]
fn image_digests_are_those_of_the_vectors() {
    for case in cases(include_str!("../../schemas/vectors/image_digest.json"), 4) {
        let found = digest::image(case["json"].as_str().unwrap()).unwrap();
        assert_eq!(format!("{found:032x}"), case["digest"].as_str().unwrap(), "{case}");
    }
}

#[test]
fn key_hashes_are_those_of_the_vectors() {
    let value = |part: &Value| {
        let kind = serde_json::from_value(part["type"].clone()).unwrap();
        KeyValue { kind, text: Text::from(part["text"].as_str().unwrap()) }
    };
    for case in cases(include_str!("../../schemas/vectors/key_hash.json"), 8) {
        let sk = (!case["sk"].is_null()).then(|| value(&case["sk"]));
        let hash = ItemKey { pk: value(&case["pk"]), sk }.hash().unwrap();
        assert_eq!(hex::encode(hash.0), case["hash"].as_str().unwrap(), "{case}");
    }
}

#[test]
fn what_is_no_image_is_refused_and_never_quoted() {
    use ImageError::{Duplicate, UnknownType, Value};
    let nested_twice = r#"{"a":{"M":{"x":{"S":""},"y":{"S":"b"},"\u0078":{"S":""}}}}"#;
    for (json, expected) in [
        (r#"{"a":{"S":"x"},"\u0061":{"S":"y"}}"#, Duplicate),
        (nested_twice, Duplicate),
        (r#"{"a":{"XS":["secret"]}}"#, UnknownType("XS".to_owned())),
        (r#"{"a":{"N":"1x"}}"#, Value("number")),
        (r#"{"a":{"NS":["1e999999"]}}"#, Value("number")),
        (r#"{"a":{"B":"secret!"}}"#, Value("binary")),
        (r#"{"a":{"NULL":false}}"#, Value("null")),
        (r#"{"a":{}}"#, Value("value")),
        (r#"{"a":{"S":"x","N":"1"}}"#, Value("value")),
    ] {
        assert_eq!(digest::image(json).unwrap_err(), expected, "{json}");
        assert_eq!(digest::images(json, json).unwrap_err(), expected, "{json}");
    }
    for json in
        ["", "[]", "{", r#"{"a":"secret"}"#, r#"{"a":{"N":7}}"#, r#"{"a":{"S":"x"}} x"#, r#"{"a":{"S":"\ud800"}}"#]
    {
        let error = digest::image(json).unwrap_err();
        assert!(matches!(error, ImageError::NotJson { .. }), "{json}: {error:?}");
        assert!(!error.to_string().contains("secret"));
    }
}

/// An image whose one attribute is `levels` maps deep.
fn nested(levels: usize) -> String {
    format!("{{\"a\":{}{{\"N\":\"1\"}}{}}}", r#"{"M":{"m":"#.repeat(levels), "}}".repeat(levels))
}

#[test]
fn thirty_two_levels_are_read_and_a_hostile_depth_is_refused() {
    assert!(digest::image(&nested(32)).is_ok());
    let lists = format!("{{\"a\":{}{}}}", r#"{"L":["#.repeat(32), "]}".repeat(32));
    assert!(digest::image(&lists).is_ok());
    let hostile = nested(200_000);
    assert!(matches!(digest::image(&hostile), Err(ImageError::NotJson { .. })));
    // The walk looks into no value, so the record can still be taken apart.
    assert_eq!(attributes(&hostile).unwrap().len(), 1);
    // What one of the two takes when it captures, the other has to take when it replays.
    for levels in 55..70 {
        let (alone, both) = (digest::image(&nested(levels)), digest::images(&nested(levels), &nested(levels)));
        assert_eq!(alone.clone().map(|digest| (digest, digest)), both, "{levels} levels");
    }
    assert!(digest::image(&nested(55)).is_ok() && digest::image(&nested(69)).is_err());
}

#[test]
fn the_longest_names_pass() {
    let name = "ü".repeat(32_767) + "x";
    assert_eq!(name.len(), 65_535);
    let new = format!("{{\"{name}\":{{\"S\":\"\"}},\"b\":{{\"B\":\"\"}}}}");
    let old = format!("{{\"{name}\":{{\"S\":\"x\"}}}}");
    assert_eq!(apply(&new, &delta(&old, &new).unwrap()).unwrap(), old);
    assert_ne!(digest::image(&old).unwrap(), digest::image(&new).unwrap());
}

#[test]
fn a_difference_is_exactly_what_the_format_says() {
    let old = r#"{"pk":{"S":"a"},"n":{"N":"1"},"gone":{"NULL":true}}"#;
    let new = r#"{"pk":{"S":"a"},"n":{"N":"2"},"set":{"S":"x"}}"#;
    assert_eq!(delta(old, new).unwrap(), r#"{"set":{"n":{"N":"1"},"gone":{"NULL":true}},"drop":["set"]}"#);
    assert_eq!(delta(old, old).unwrap(), r#"{"set":{},"drop":[]}"#);
    for bad in [
        "{}",
        "[]",
        r#"{"set":{}}"#,
        r#"{"set":{},"drop":["absent"]}"#,
        r#"{"set":{},"drop":["n","n"]}"#,
        r#"{"set":{"n":{"N":"1"}},"drop":["n"]}"#,
        r#"{"set":{},"drop":[],"more":1}"#,
    ] {
        assert_eq!(apply(new, bad).unwrap_err(), ImageError::Delta, "{bad}");
    }
}

#[test]
fn keys_are_typed_unescaped_and_canonical() {
    let attribute = |name: &str, kind| KeyAttribute { name: name.to_owned(), kind };
    let schema = KeySchema(vec![attribute("p", KeyType::S), attribute("n", KeyType::N)]);
    let key = ItemKey::from_keys_json(&schema, r#"{"n":{"N":"1.50E1"},"\u0070":{"S":"\u00e9\""}}"#).unwrap();
    assert_eq!((key.pk.text.as_str(), key.sk.as_ref().unwrap().text.as_str()), ("é\"", "15"));
    let image = r#"{"x":{"L":[]},"p":{"S":"é\""},"n":{"N":"15"}}"#;
    assert_eq!(ItemKey::from_image(&schema, image).unwrap(), key);
    assert_eq!(ItemKey::from_keys_json(&schema, image).unwrap_err(), ImageError::Key);
    for bad in [r#"{"p":{"S":"a"}}"#, r#"{"p":{"S":"a"},"n":{"S":"1"}}"#, r#"{"p":{"S":7},"n":{"N":"1"}}"#] {
        assert_eq!(ItemKey::from_image(&schema, bad).unwrap_err(), ImageError::Key, "{bad}");
    }
    let binary = KeySchema(vec![attribute("b", KeyType::B)]);
    assert_eq!(ItemKey::from_image(&binary, r#"{"b":{"B":"AAEC/w=="}}"#).unwrap().pk.text.as_str(), "AAEC/w==");
    assert_eq!(ItemKey::from_image(&binary, r#"{"b":{"B":"!"}}"#).unwrap_err(), ImageError::Value("binary"));
}

/// A number written out with the point moved by text alone: zeros on both sides, then trimmed.
fn oracle(negative: bool, digits: &str, shift: i32) -> String {
    let zeros = "0".repeat(200);
    let padded = format!("{zeros}{digits}{zeros}");
    let point = usize::try_from(200 + i32::try_from(digits.len()).unwrap() + shift).unwrap();
    let whole = padded[..point].trim_start_matches('0');
    let fraction = padded[point..].trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let plain = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    if negative && plain != "0" { format!("-{plain}") } else { plain }
}

proptest! {
    #[test]
    fn every_spelling_of_a_number_is_one_text(
        negative: bool, digits in "[0-9]{1,38}", point in 0_usize..39, exponent in -130_i32..125, lead in 0_usize..4,
    ) {
        let point = point.min(digits.len());
        let sign = if negative { "-" } else { "+" };
        let text = format!("{sign}{}{}.{}e{exponent}", "0".repeat(lead), &digits[..point], &digits[point..]);
        let shift = exponent - i32::try_from(digits.len() - point).unwrap();
        let expected = oracle(negative, &digits, shift);
        let found = canonical::number(&text).unwrap();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(canonical::number(&found).unwrap(), expected);
    }

    #[test]
    fn any_text_is_a_number_or_refused(text in "[-+.eE0-9]{0,12}") {
        if let Some(found) = canonical::number(&text) {
            prop_assert_eq!(canonical::number(&found), Some(found.clone()));
            prop_assert!(found.len() <= 1_026);
        }
    }

    #[test]
    fn a_difference_gives_the_old_image_back(
        old in arbitrary::attributes(), new in arbitrary::attributes(), keep in proptest::collection::vec(any::<bool>(), 7),
    ) {
        // Some attributes are carried over unchanged, as in a real change.
        let mut new = new;
        for ((name, value), _) in old.iter().zip(keep).filter(|(_, keep)| *keep) {
            new.retain(|(other, _)| other != name);
            new.push((name.clone(), value.clone()));
        }
        let (old_json, new_json) = (arbitrary::image(&old), arbitrary::image(&new));
        let alone = (digest::image(&new_json).unwrap(), digest::image(&old_json).unwrap());
        prop_assert_eq!(digest::images(&new_json, &old_json).unwrap(), alone);
        let applied = apply(&new_json, &delta(&old_json, &new_json).unwrap()).unwrap();
        let mut found: Vec<_> =
            attributes(&applied).unwrap().into_iter().map(|(n, v)| (n.into_owned(), v.get().to_owned())).collect();
        found.sort();
        let mut expected = old.clone();
        expected.sort();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(digest::image(&applied).unwrap(), digest::image(&old_json).unwrap());
    }

    #[test]
    fn a_digest_knows_no_order_and_no_spelling(
        attributes in arbitrary::attributes(), seed: u64, negative: bool, digits in "[1-9][0-9]{0,20}", set in proptest::collection::btree_set("[a-z]{0,3}", 1..6),
    ) {
        let sign = if negative { "-" } else { "" };
        let mut one = attributes;
        one.retain(|(name, _)| name != "~n" && name != "~s");
        let mut two = one.clone();
        let list = |set: &mut dyn Iterator<Item = &String>| set.map(|e| arbitrary::quoted(e)).collect::<Vec<_>>().join(",");
        one.push(("~n".to_owned(), format!("{{\"L\":[{{\"N\":\"{sign}{digits}\"}}]}}")));
        one.push(("~s".to_owned(), format!("{{\"SS\":[{}]}}", list(&mut set.iter()))));
        two.push(("~n".to_owned(), format!("{{ \"L\": [{{\"N\":\"{sign}0{digits}.0E0\"}}]}}")));
        two.push(("~s".to_owned(), format!("{{\"SS\":[{}]}}", list(&mut set.iter().rev()))));
        let turn = usize::try_from(seed % two.len() as u64).unwrap();
        two.rotate_left(turn);
        let whole = digest::image(&arbitrary::image(&one)).unwrap();
        prop_assert_eq!(whole, digest::image(&arbitrary::image(&two)).unwrap());
        one.pop();
        prop_assert_ne!(whole, digest::image(&arbitrary::image(&one)).unwrap());
    }
}
