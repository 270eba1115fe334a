//! Random images for property tests: every type, odd names, numbers in every spelling, nesting.

use base64::Engine as _;
use proptest::prelude::*;

/// The JSON of a string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A number in some spelling that an emulator may send, within the service's range.
pub(crate) fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,37})",
        "[+-]?[0-9]{1,20}\\.[0-9]{1,18}",
        "[+-]?[0-9]{0,18}\\.?[0-9]{1,20}[eE][+-]?[0-9]{1,2}",
        Just("9.9999999999999999999999999999999999999E+125".to_owned()),
        Just("-1E-130".to_owned()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,12}", "\\PC{0,8}", Just("\0\n\"\\".to_owned()), Just("😀\u{ffee}".to_owned())]
}

fn binary() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<u8>(), 0..24)
        .prop_map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes))
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    let odd = ["Item", "a.b", "set", "drop", "S", "aws:rep:updatetime", "\"q\"", "é"].map(str::to_owned);
    prop_oneof![4 => "[a-z]{1,6}", 2 => proptest::sample::select(odd.to_vec()), 1 => Just("n".repeat(300))]
}

fn set_of(elements: impl Strategy<Value = String>, tag: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::btree_set(elements, 1..5).prop_map(move |set| {
        let parts: Vec<String> = set.iter().map(|element| quoted(element)).collect();
        format!("{{\"{tag}\":[{}]}}", parts.join(","))
    })
}

/// One attribute value's JSON.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        text().prop_map(|text| format!("{{\"S\":{}}}", quoted(&text))),
        number().prop_map(|number| format!("{{\"N\":\"{number}\"}}")),
        binary().prop_map(|binary| format!("{{\"B\":\"{binary}\"}}")),
        any::<bool>().prop_map(|truth| format!("{{\"BOOL\":{truth}}}")),
        Just("{\"NULL\":true}".to_owned()),
        Just("{ \"N\" : \"1.50\" }".to_owned()),
        set_of(text(), "SS"),
        set_of(number(), "NS"),
        set_of(binary(), "BS"),
    ];
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("{{\"L\":[{}]}}", list.join(","))),
            proptest::collection::btree_map(name(), inner, 0..4)
                .prop_map(|map| format!("{{\"M\":{}}}", object(map.iter().map(|(n, v)| (n.as_str(), v.as_str()))))),
        ]
    })
}

/// Attributes by name, in some order.
pub(crate) fn attributes() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::btree_map(name(), value(), 0..7)
        .prop_map(|map| map.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

/// The JSON object of these members.
pub(crate) fn object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let parts: Vec<String> = members.map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", parts.join(","))
}

/// The image of these attributes.
pub(crate) fn image(attributes: &[(String, String)]) -> String {
    object(attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}
