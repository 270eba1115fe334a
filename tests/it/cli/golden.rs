//! Archives of every format that was ever written, frozen: they are read as they were then, for ever.
//!
//! A new one is a folder `archive` under `tests/golden/v1/NAME` and its line in [`FROZEN`]; the answers are written once, by
//! `TAILRACE_FREEZE=1 cargo test --test it golden`, after `tests/peers/agree.py` has agreed with them. Nothing that is frozen
//! is ever changed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;
use tailrace::change::Second;
use tailrace::manifest::entry::sha256;

use super::*;

/// Each with the hash of its files.
const FROZEN: [(&str, &str); 3] = [
    // A stream restart, a gap, snapshots by scan, export and from the archive, sealed days.
    ("two-streams", "c8de093d2d2e3f58eada3c30726e9674d8a1c55ad74a391f0fdb3942cb4b8e07"),
    // Sealed days, snapshots by scan, and a gap.
    ("one-gap", "7d7b85101b48d2eeb2c64504af31b062b1954750042ad8b3e8cf683eea1658a0"),
    // Sealed days and snapshots where nothing was lost.
    ("three-days", "aee778bc0849f836dac4b528cf9b0c224a1232270e8c6551e6c8e92f37befbc0"),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

/// The hash of all paths and bytes.
fn hash(archive: &Path) -> String {
    let mut all = String::new();
    for (path, bytes) in files(archive) {
        let Some(bytes) = bytes else { continue };
        let path = path.strip_prefix(archive).unwrap().display().to_string();
        writeln!(all, "{} {path}", sha256(&bytes)).unwrap();
    }
    sha256(all.as_bytes())
}

/// Points that are asked for: the borders of everything that the log tells, and some between.
async fn points(shell: &Shell) -> Vec<Second> {
    let listed = shell.run(&["list", "--json"]).await;
    let mut borders = BTreeSet::new();
    seconds(&listed.is(0).lines()[0], &mut borders);
    let (first, last) = (*borders.first().unwrap(), *borders.last().unwrap());
    let between = (0..16).map(|part| first.plus((last.0 - first.0) * part / 16));
    let around = borders.iter().flat_map(|at| [at.plus(-1), *at, at.plus(1)]);
    let all: BTreeSet<Second> = around.chain(between).collect();
    all.into_iter().collect()
}

/// Every second that is told anywhere.
fn seconds(value: &Value, found: &mut BTreeSet<Second>) {
    match value {
        Value::String(text) => found.extend(Second::parse(text)),
        Value::Array(values) => values.iter().for_each(|value| seconds(value, found)),
        Value::Object(members) => members.values().for_each(|value| seconds(value, found)),
        _ => {}
    }
}

/// What a replay at this second says.
async fn answer(shell: &Shell, at: Second) -> Value {
    let (at, into) = (at.to_string(), format!("file:{}.jsonl", at.0));
    let ended = shell.run(&["replay", "--table", "orders", "--at", &at, "--into", &into, "--json"]).await;
    let summary = ended.summary();
    match summary["exit"].as_u64() {
        Some(0) => {
            let (plan, lines) = (ended.lines()[0].clone(), std::fs::read(shell.path(&into[5..])).unwrap());
            let mut items: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            items.sort_unstable();
            json!({
                "at": at, "items": summary["items"], "digest": summary["digest"], "late": plan["late"],
                "way": plan["way"], "bytes": sha256(&items.concat()),
            })
        }
        exit => json!({ "at": at, "exit": exit }),
    }
}

#[tokio::test]
async fn every_frozen_archive_is_read_as_it_was_when_it_was_frozen() {
    let mut wrong = String::new();
    for (name, expected) in FROZEN {
        let folder = folder(name);
        let found = hash(&folder.join("archive"));
        if found != expected {
            writeln!(wrong, "{name} is {found}: nothing that is frozen may change").unwrap();
        }
        let shell = Shell::new().with("TAILRACE_ARCHIVE", folder.join("archive").to_str().unwrap());
        shell.run(&["verify"]).await.is(0);
        let answers = folder.join("answers.jsonl");
        if std::env::var_os("TAILRACE_FREEZE").is_some() && !answers.exists() {
            let mut lines = String::new();
            for at in points(&shell).await {
                writeln!(lines, "{}", answer(&shell, at).await).unwrap();
            }
            std::fs::write(&answers, lines).unwrap();
        }
        let frozen: Vec<Value> = std::fs::read_to_string(&answers)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(frozen.len() > 20, "{name}");
        for told in &frozen {
            let now = answer(&shell, Second::parse(told["at"].as_str().unwrap()).unwrap()).await;
            if now != *told {
                writeln!(wrong, "{name}: {told} was the answer, and now it is {now}").unwrap();
            }
        }
        let answered = frozen.iter().filter(|told| told["items"].as_u64() > Some(0)).count();
        assert!(0 < answered && answered < frozen.len(), "{name} answers {answered} of {}", frozen.len());
    }
    assert_eq!(wrong, "");
}
