//! `schemas/` against the code: the worked examples of its page, and the members that the entry schema names.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tailrace::manifest::Action;

const PAGE: &str = include_str!("../../schemas/README.md");
const ENTRY_SCHEMA: &str = include_str!("../../schemas/entry.v1.schema.json");

/// The bodies of the page's fenced blocks that open with this word.
fn blocks(word: &str) -> Vec<&'static str> {
    let fence = format!("```{word}\n");
    PAGE.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Every example action of the page, in order.
fn examples() -> Vec<Map<String, Value>> {
    let lines = blocks("json action").into_iter().flat_map(str::lines);
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))).collect()
}

fn name(action: &Map<String, Value>) -> &str {
    action["action"].as_str().unwrap()
}

fn read<T: DeserializeOwned>(members: &Value) -> T {
    serde_json::from_value(members.clone()).unwrap_or_else(|error| panic!("{error} in {members}"))
}

/// The action that `name` and `members` say.
fn decode(name: &str, members: &Value) -> Action {
    match name {
        "epoch_started" => Action::EpochStarted(read(members)),
        "epoch_closed" => Action::EpochClosed(read(members)),
        "shard_awaited" => Action::ShardAwaited(read(members)),
        "shard_opened" => Action::ShardOpened(read(members)),
        "shard_closed" => Action::ShardClosed(read(members)),
        "shard_released" => Action::ShardReleased(read(members)),
        "segments" => Action::Segments(read(members)),
        "heartbeat" => Action::Heartbeat(read(members)),
        "definition" => Action::Definition(read(members)),
        "seal_started" => Action::SealStarted(read(members)),
        "seal" => Action::Seal(read(members)),
        "base_started" => Action::BaseStarted(read(members)),
        "base" => Action::Base(read(members)),
        "intent_abandoned" => Action::IntentAbandoned(read(members)),
        "gap_acknowledged" => Action::GapAcknowledged(read(members)),
        "void" => Action::Void(read(members)),
        "collect" => Action::Collect(read(members)),
        "coverage_ended" => Action::CoverageEnded(read(members)),
        other => panic!("the page shows {other}, which the code does not know"),
    }
}

/// Its name and members again. The match has an arm for every variant, so a new one cannot be forgotten here.
fn encode(action: &Action) -> (&'static str, Value) {
    fn json(members: impl Serialize) -> Value {
        serde_json::to_value(members).unwrap()
    }
    match action {
        Action::EpochStarted(members) => ("epoch_started", json(members)),
        Action::EpochClosed(members) => ("epoch_closed", json(members)),
        Action::ShardAwaited(members) => ("shard_awaited", json(members)),
        Action::ShardOpened(members) => ("shard_opened", json(members)),
        Action::ShardClosed(members) => ("shard_closed", json(members)),
        Action::ShardReleased(members) => ("shard_released", json(members)),
        Action::Segments(members) => ("segments", json(members)),
        Action::Heartbeat(members) => ("heartbeat", json(members)),
        Action::Definition(members) => ("definition", json(members)),
        Action::SealStarted(members) => ("seal_started", json(members)),
        Action::Seal(members) => ("seal", json(members)),
        Action::BaseStarted(members) => ("base_started", json(members)),
        Action::Base(members) => ("base", json(members)),
        Action::IntentAbandoned(members) => ("intent_abandoned", json(members)),
        Action::GapAcknowledged(members) => ("gap_acknowledged", json(members)),
        Action::Void(members) => ("void", json(members)),
        Action::Collect(members) => ("collect", json(members)),
        Action::CoverageEnded(members) => ("coverage_ended", json(members)),
        Action::Unknown { name, .. } => panic!("{name} came out as unknown"),
    }
}

/// An example without what every action has.
fn members(action: &Map<String, Value>) -> Value {
    let mut members = action.clone();
    members.remove("action");
    members.remove("need");
    Value::Object(members)
}

/// What the entry schema says of each action.
fn schema_actions() -> BTreeMap<String, Value> {
    let schema: Value = serde_json::from_str(ENTRY_SCHEMA).unwrap();
    let defs = schema["$defs"].as_object().unwrap();
    let actions = defs.iter().filter_map(|(key, def)| Some((key.strip_prefix("action_")?.to_owned(), def.clone())));
    actions.filter(|(name, _)| name != "unknown").collect()
}

#[test]
fn every_example_of_the_page_reads_and_writes_back_the_same() {
    for example in examples() {
        let action = decode(name(&example), &members(&example));
        assert_eq!(encode(&action), (name(&example), members(&example)));
    }
}

#[test]
fn every_action_of_the_schema_has_an_example_and_every_example_its_schema() {
    let shown: BTreeSet<String> = examples().iter().map(|example| name(example).to_owned()).collect();
    let known: BTreeSet<String> = schema_actions().into_keys().collect();
    assert_eq!(shown, known);
}

#[test]
fn the_schema_names_exactly_the_members_that_the_code_takes() {
    let actions = schema_actions();
    for example in examples() {
        let def = &actions[name(&example)];
        let required: BTreeSet<&str> = def["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for member in example.keys() {
            assert!(def["properties"].get(member).is_some(), "{}: the schema lacks {member}", name(&example));
        }
        for member in &required {
            assert!(example.contains_key(*member), "{}: the example lacks {member}", name(&example));
        }
        assert_eq!(def["properties"]["need"]["const"], example["need"], "{}", name(&example));
        let whole = members(&example);
        let takes = |value: &Value| std::panic::catch_unwind(|| decode(name(&example), value)).is_ok();
        for member in whole.as_object().unwrap().keys() {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(member);
            let optional = !required.contains(member.as_str());
            assert_eq!(takes(&less), optional, "{} without {member}", name(&example));
        }
        let mut more = whole.clone();
        more.as_object_mut().unwrap().insert("surprise".to_owned(), Value::Null);
        assert!(!takes(&more), "{} takes a member that it does not know", name(&example));
    }
}

#[test]
fn the_page_shows_an_archive_json_that_the_code_reads() {
    let shown: Value = serde_json::from_str(blocks("json archive")[0]).unwrap();
    let archive: tailrace::store::archive::Archive = serde_json::from_value(shown.clone()).unwrap();
    assert_eq!(serde_json::to_value(archive).unwrap(), shown);
}

#[test]
fn the_two_entries_of_the_page_hash_and_chain() {
    let hash = |bytes: &str| hex::encode(Sha256::digest(bytes.as_bytes()));
    let first = blocks("entry 0")[0];
    let second = blocks("entry 1")[0];
    for (n, entry) in [first, second].into_iter().enumerate() {
        let lines: Vec<&str> = entry.split('\n').collect();
        assert_eq!(lines.len(), 3, "two lines, each with its LF");
        assert_eq!(lines[1], hash(lines[0]));
        let fields: Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(fields["n"], n);
        let previous = if n == 0 { Value::Null } else { Value::String(hash(first)) };
        assert_eq!(fields["prev_sha256"], previous);
        for action in fields["actions"].as_array().unwrap() {
            let action = action.as_object().unwrap();
            decode(name(action), &members(action));
        }
    }
}

/// The dotted names and sample values of every key that the configuration's schema knows.
fn config_keys(schema: &Value, prefix: &str, found: &mut BTreeMap<String, toml::Value>) {
    for (key, def) in schema["properties"].as_object().unwrap() {
        let path = format!("{prefix}{key}");
        let sample = match (def["type"].as_str().unwrap(), def["description"].as_str().unwrap_or_default()) {
            ("object", _) => {
                config_keys(def, &format!("{path}."), found);
                continue;
            }
            ("integer", _) => toml::Value::Integer(7),
            ("array", _) => toml::Value::Array(vec!["orders".into()]),
            (_, text) if text.starts_with("a length") => "90s".into(),
            (_, text) if text.starts_with("a size") => "32MiB".into(),
            _ => "archive".into(),
        };
        found.insert(path, sample);
    }
}

/// Sets the value at a dotted name.
fn put(table: &mut toml::Table, path: &str, value: toml::Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| toml::Table::new().into());
            put(inner.as_table_mut().unwrap(), rest, value);
        }
    }
}

#[test]
fn the_configuration_schema_names_exactly_the_keys_that_the_code_takes() {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/config.v1.schema.json")).unwrap();
    let mut keys = BTreeMap::new();
    config_keys(&schema, "", &mut keys);
    let mut whole = toml::Table::new();
    for (path, value) in keys {
        put(&mut whole, &path, value);
    }
    let file: tailrace::config::raw::File = toml::from_str(&toml::to_string(&whole).unwrap()).unwrap();
    assert_eq!(toml::Table::try_from(&file).unwrap(), whole, "what the code knows, and nothing else");
    for section in ["".to_owned()].iter().chain(whole.keys().filter(|key| whole[key.as_str()].is_table())) {
        let shown = if section.is_empty() { &whole } else { whole[section.as_str()].as_table().unwrap() };
        let shown: BTreeSet<&str> = shown.keys().map(String::as_str).collect();
        assert_eq!(known_keys(section).iter().map(String::as_str).collect::<BTreeSet<_>>(), shown, "[{section}]");
    }
}

/// The keys of a section that the code knows, out of its refusal of one that it does not.
fn known_keys(section: &str) -> BTreeSet<String> {
    let head = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
    let refusal = toml::from_str::<tailrace::config::raw::File>(&format!("{head}surprise = 1\n")).unwrap_err();
    let (_, known) = refusal.message().split_once("expected").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
