//! Bytes that are not what was committed, and formats of tomorrow: named, refused, never written over.

use serde_json::json;
use tailrace::manifest::entry::sha256;

use super::*;
use crate::support::world::CREATED;

/// The last entry of the only log, and its path.
pub(super) fn last_entry(shell: &Shell) -> (PathBuf, Vec<u8>) {
    let entries = files(&shell.path("archive"));
    let last = entries.into_iter().rfind(|(path, _)| path.extension().is_some_and(|ending| ending == "entry"));
    let (path, bytes) = last.unwrap();
    (path, bytes.unwrap())
}

/// Writes an entry as another build may have: chained and hashed as it must be.
pub(super) fn append(shell: &Shell, version: u64, actions: &Value) {
    let (path, before) = last_entry(shell);
    let mut line: Value = serde_json::from_slice(before.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let n = line["n"].as_u64().unwrap() + 1;
    line["v"] = version.into();
    line["n"] = n.into();
    line["commit_id"] = "0".repeat(32).into();
    line["prev_sha256"] = sha256(&before).into();
    line["writer"]["build"] = "tailrace/9.8.7".into();
    line["actions"] = actions.clone();
    let json = line.to_string();
    let bytes = format!("{json}\n{}\n", sha256(json.as_bytes()));
    std::fs::write(path.with_file_name(format!("{n:020}.entry")), bytes).unwrap();
}

fn readers() -> Vec<Vec<&'static str>> {
    let replay = vec!["replay", "--table", "orders", "--at", "latest", "--into", "file:out.jsonl"];
    vec![vec!["list"], vec!["status"], vec!["verify"], vec!["files", "--table", "orders"], replay]
}

#[tokio::test]
async fn an_archive_of_a_newer_format_is_refused_by_every_command() {
    let (shell, _world) = Shell::with_world(11).await;
    let text = std::fs::read_to_string(shell.path("archive/archive.json")).unwrap();
    // In every format it ends with its own hash.
    let (body, _) = text.rsplit_once(",\"sha256\"").unwrap();
    let body = body.replace("\"format\":1", "\"format\":2");
    let hash = sha256(body.as_bytes());
    shell.write("archive/archive.json", format!("{body},\"sha256\":\"{hash}\"}}\n"));
    let writers = [vec!["capture", "--table", "orders"], vec!["base", "--table", "orders"]];
    for command in readers().into_iter().chain(writers) {
        shell.refuses(&command, Exit::FormatNewer, &["format 2", "newer tailrace"]).await;
    }
    shell.refuses(&["init"], Exit::DestinationNotEmpty, &["archive"]).await;
}

#[tokio::test]
async fn an_entry_or_action_that_must_be_read_and_is_not_known_stops_every_reader() {
    let teleported = json!([{"action": "teleported", "need": "read"}]);
    for (seed, version, actions, word) in
        [(12, 2, json!([]), "version 2"), (13, 1, teleported, "the action teleported, written by tailrace/9.8.7")]
    {
        let (shell, _world) = Shell::with_world(seed).await;
        append(&shell, version, &actions);
        for command in readers() {
            shell.refuses(&command, Exit::FormatNewer, &[word, "newer tailrace"]).await;
        }
    }
}

#[tokio::test]
async fn an_action_that_only_writers_must_know_stops_no_reader() {
    let (shell, _world) = Shell::with_world(14).await;
    append(&shell, 1, &json!([{"action": "teleported", "need": "write"}]));
    for command in readers() {
        let ended = shell.run(&command).await;
        ended.is(0);
        assert_eq!(ended.err, "", "{ended}");
    }
}

#[tokio::test]
async fn damaged_bytes_are_refused_by_whoever_reads_them_and_found_by_verify() {
    let (shell, world) = Shell::with_world(15).await;
    let (log, bytes) = last_entry(&shell);
    let segment = world.manifest.segments.values().next().unwrap().path.clone();
    let file = shell.path("archive").join(world.table.folder()).join(&segment);
    let whole = std::fs::read(&file).unwrap();
    let mut bent = whole.clone();
    bent[whole.len() / 2] ^= 1;
    std::fs::write(&file, &bent).unwrap();
    let replay = readers().pop().unwrap();
    let words = [segment.as_str(), "tailrace verify"];
    shell.refuses(&replay, Exit::VerificationFailed, &words).await;
    shell.refuses(&["verify"], Exit::VerificationFailed, &[segment.as_str(), "1 object is damaged"]).await;
    shell.run(&["verify", "--level", "log"]).await.is(0);

    std::fs::remove_file(&file).unwrap();
    shell.refuses(&replay, Exit::VerificationFailed, &[segment.as_str(), "not there"]).await;
    shell.refuses(&["verify"], Exit::VerificationFailed, &[segment.as_str()]).await;

    std::fs::write(&file, &whole).unwrap();
    let mut bent = bytes.clone();
    bent[bytes.len() / 2] ^= 1;
    std::fs::write(&log, bent).unwrap();
    shell.refuses(&["verify", "--level", "log"], Exit::VerificationFailed, &[".entry", "damaged"]).await;
    // Readers serve what stands before it, and fail for what they cannot know.
    let ended = shell.run(&["list"]).await;
    assert!(ended.is(Exit::VerificationFailed as i32).err.contains("has no effect"), "{ended}");
    assert!(ended.out.contains("restorable"), "{ended}");
    let listed = shell.run(&["list", "--json"]).await;
    assert_eq!(listed.lines()[0]["type"], "table", "{listed}");
    assert_eq!(listed.error()["code"], "verification_failed", "{listed}");
}

/// Whatever is final stays so behind an entry without effect; whatever is not, nobody knows.
#[tokio::test]
async fn what_an_entry_without_effect_may_have_changed_is_not_told_as_if_it_were_known() {
    let (shell, world) = seals::of_three_days(17).await;
    let closed = world.manifest.closed_through.unwrap().to_string();
    let (log, mut bytes) = last_entry(&shell);
    let (half, next) = (bytes.len() / 2, log.with_file_name(format!("{:020}.entry", number(&log) + 1)));
    bytes[half] ^= 1;
    std::fs::write(next, bytes).unwrap();
    let history = |to: &[&'static str]| [&["history", "--table", "orders", "--pk", "a0"], to].concat();
    let closed: &'static str = closed.leak();
    let first: &'static str = CREATED.plus(40).to_string().leak();
    let diff = |to: &'static str| vec!["diff", "--table", "orders", "--from", first, "--to", to];
    let replay = |at: &'static str| vec!["replay", "--table", "orders", "--at", at, "--into", "file:out.jsonl"];
    let timeline = |to: &[&'static str]| [&["timeline", "--table", "orders"], to].concat();
    for known in [history(&["--to", closed]), timeline(&["--to", closed]), diff(closed), replay(closed)] {
        let ended = shell.run(&known).await;
        assert!(ended.is(0).err.contains("has no effect"), "{known:?}: {ended}");
    }
    for unknown in [history(&[]), timeline(&[]), diff("latest"), replay("latest")] {
        shell.refuses(&unknown, Exit::VerificationFailed, &["has no effect", "tailrace verify"]).await;
    }
    let told = shell.run(&history(&["--json"])).await;
    assert!(told.lines().iter().filter(|line| line["type"] == "version").count() == 9, "{told}");
}

fn number(entry: &Path) -> u64 {
    entry.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_damaged_birth_certificate_is_no_archive_to_work_with() {
    let (shell, _world) = Shell::with_world(16).await;
    shell.write("archive/archive.json", "{\"format\":1,");
    for command in readers() {
        shell.refuses(&command, Exit::VerificationFailed, &["archive.json", "restore"]).await;
    }
}
