//! `schemas/` against the code: the worked examples of its page, and the members that the entry schema names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tailrace::change::TableIdentity;
use tailrace::manifest::Action;
use tailrace::manifest::entry::{Entry, EntryError, sha256};
use tailrace::manifest::{Log, Proposed};
use tailrace::platform::ids::Ids;
use tailrace::store::ObjectStore;
use tailrace::store::memory::MemoryStore;

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

/// An entry's bytes around one action.
fn entry_of(action: &Map<String, Value>) -> String {
    let line = json!({
        "v": 1, "n": 0, "commit_id": "c", "prev_sha256": null, "at": "2026-11-22T10:00:00Z",
        "writer": {"id": "w", "build": "tailrace/0.1.0"}, "fold": null, "actions": [action],
    });
    let line = line.to_string();
    format!("{line}\n{}\n", sha256(line.as_bytes()))
}

/// What the code makes of an action.
fn decode(action: &Map<String, Value>) -> Result<Entry, EntryError> {
    Entry::decode(0, entry_of(action).as_bytes())
}

/// The first action of an entry as the code writes it.
fn encode(entry: &Entry) -> Value {
    let bytes = entry.encode().unwrap();
    let line: Value = serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    line["actions"][0].clone()
}

/// Every action that the code knows has an arm here, so a new one cannot go without its example.
fn shown_as(action: &Action) -> &'static str {
    match action {
        Action::EpochStarted(_) => "epoch_started",
        Action::EpochClosed(_) => "epoch_closed",
        Action::ShardAwaited(_) => "shard_awaited",
        Action::ShardOpened(_) => "shard_opened",
        Action::ShardClosed(_) => "shard_closed",
        Action::ShardReleased(_) => "shard_released",
        Action::Segments(_) => "segments",
        Action::Heartbeat(_) => "heartbeat",
        Action::Definition(_) => "definition",
        Action::SealStarted(_) => "seal_started",
        Action::Seal(_) => "seal",
        Action::BaseStarted(_) => "base_started",
        Action::Base(_) => "base",
        Action::IntentAbandoned(_) => "intent_abandoned",
        Action::GapAcknowledged(_) => "gap_acknowledged",
        Action::Void(_) => "void",
        Action::Collect(_) => "collect",
        Action::CoverageEnded(_) => "coverage_ended",
        Action::Unknown { .. } => "unknown",
    }
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
        let entry = decode(&example).unwrap();
        assert_eq!(shown_as(&entry.actions[0]), name(&example));
        assert_eq!(encode(&entry), Value::Object(example));
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
        for member in example.keys().filter(|member| *member != "action") {
            let mut less = example.clone();
            less.remove(member);
            let optional = !required.contains(member.as_str());
            assert_eq!(decode(&less).is_ok(), optional, "{} without {member}", name(&example));
        }
        let mut more = example.clone();
        more.insert("surprise".to_owned(), Value::Null);
        assert!(decode(&more).is_err(), "{} takes a member that it does not know", name(&example));
    }
}

#[test]
fn the_page_shows_an_archive_json_that_the_code_reads() {
    let shown = blocks("json archive")[0];
    let archive = tailrace::store::archive::Archive::read(shown.as_bytes(), "the page").unwrap();
    let members = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).unwrap() };
    let (mut written, mut shown) = (members(&archive.bytes()), members(shown.as_bytes()));
    // The order of members is the writer's own, and so is the hash over it.
    assert!(written["sha256"].take().is_string() && shown["sha256"].take().is_string());
    assert_eq!(written, shown);
}

#[test]
fn the_two_entries_of_the_page_read_hash_and_chain() {
    let (first, second) = (blocks("entry 0")[0], blocks("entry 1")[0]);
    let opening = Entry::decode(0, first.as_bytes()).unwrap();
    assert_eq!(opening.prev_sha256, None);
    assert_eq!(opening.encode().unwrap(), first, "byte for byte");
    let next = Entry::decode(1, second.as_bytes()).unwrap();
    assert_eq!(next.prev_sha256, Some(sha256(first.as_bytes())));
    assert_eq!(next.encode().unwrap(), second, "byte for byte");
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
            ("array", _) if def["items"]["type"] == "object" => {
                let (mut inner, mut one) = (BTreeMap::new(), toml::Table::new());
                config_keys(&def["items"], "", &mut inner);
                inner.into_iter().for_each(|(path, value)| put(&mut one, &path, value));
                toml::Value::Array(vec![one.into()])
            }
            ("integer", _) => toml::Value::Integer(7),
            ("array", _) => toml::Value::Array(vec!["orders".into()]),
            (_, text) if text.starts_with("a length") => "90s".into(),
            (_, text) if text.starts_with("a size") => "32MiB".into(),
            (_, text) if text.starts_with("a sum") => "$0.50".into(),
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
    let inside = |key: &str| match &whole[key] {
        toml::Value::Table(inner) => Some((format!("[{key}]\n"), inner)),
        toml::Value::Array(all) => Some((format!("[[{key}]]\n"), all[0].as_table()?)),
        _ => None,
    };
    let sections = whole.keys().filter_map(|key| inside(key));
    for (head, shown) in std::iter::once((String::new(), &whole)).chain(sections) {
        let shown: BTreeSet<&str> = shown.keys().map(String::as_str).collect();
        assert_eq!(known_keys(&head).iter().map(String::as_str).collect::<BTreeSet<_>>(), shown, "{head}");
    }
}

/// The keys of a section that the code knows, out of its refusal of one that it does not.
fn known_keys(head: &str) -> BTreeSet<String> {
    let refusal = toml::from_str::<tailrace::config::raw::File>(&format!("{head}surprise = 1\n")).unwrap_err();
    let (_, known) = refusal.message().split_once("expected").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The members of an object as the fold's schema names them.
fn fold_members(def: &str) -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/fold.v1.schema.json")).unwrap();
    schema["$defs"][def]["properties"].as_object().unwrap().keys().cloned().collect()
}

fn members_of(stored: &[u8]) -> BTreeSet<String> {
    let value: Map<String, Value> = serde_json::from_slice(&zstd::decode_all(stored).unwrap()).unwrap();
    value.keys().cloned().collect()
}

#[tokio::test]
async fn the_entries_of_the_page_fold_into_what_the_fold_schema_names() {
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    let table = TableIdentity {
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        name: "orders".to_owned(),
        table_id: "one".to_owned(),
    };
    let (log, mut manifest) = Log::open(Arc::clone(&store), &table, Ids::seeded(1)).await.unwrap();
    for (n, block) in ["entry 0", "entry 1"].into_iter().enumerate() {
        let entry = Entry::decode(n as u64, blocks(block)[0].as_bytes()).unwrap();
        let proposed = log.propose(&mut manifest, entry.at, entry.actions).await.unwrap();
        assert!(matches!(proposed, Proposed::Committed { .. }), "{proposed:?}");
    }
    assert_eq!((manifest.rows, manifest.segments.len(), manifest.bases.len()), (3, 1, 1));
    let mut idle = manifest.clone();
    let definition = examples().into_iter().find(|example| name(example) == "definition").unwrap();
    let definition = decode(&definition).unwrap().actions;
    let mut folds = Vec::new();
    for _ in 0..100 {
        let at = idle.at.unwrap();
        log.propose(&mut idle, at, definition.clone()).await.unwrap();
        folds = store.list(&log.path("fold/"), None, None).await.unwrap();
        if !folds.is_empty() {
            break;
        }
    }
    let mut kinds = BTreeSet::new();
    for fold in folds {
        let kind = if fold.path.contains("day=") { "part" } else { "root" };
        let stored = store.get(&fold.path, None).await.unwrap();
        assert_eq!(members_of(&stored.bytes), fold_members(kind), "{}", fold.path);
        kinds.insert(kind);
    }
    assert_eq!(kinds, BTreeSet::from(["part", "root"]));
}
