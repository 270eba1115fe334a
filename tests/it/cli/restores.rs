//! What a replay leaves behind when it refuses, fails or succeeds, and what it says of it.

use super::points::lose;
use super::*;

const REPLAY: [&str; 3] = ["replay", "--table", "orders"];

async fn tables(dynamo: &Dynamo) -> Vec<String> {
    dynamo.client.list_tables().send().await.unwrap().table_names.unwrap_or_default()
}

#[tokio::test]
async fn a_gap_behind_the_point_is_told_before_anything_is_made() {
    let (shell, mut world) = Shell::with_world(51).await;
    let dynamo = Dynamo::start().await;
    let shell = shell.with_aws(&dynamo.config);
    world.change(&[("c", Some("1"))]).await;
    world.now = world.now.plus(20);
    lose(&mut world).await;
    world.idle().await;
    world.change(&[("a", Some("3"))]).await;
    let at = world.now.plus(1).to_string();
    world.idle().await;
    world.now = world.now.plus(20);
    lose(&mut world).await;
    world.idle().await;
    // Whatever vanished in the second loss may have lived before it.
    world.change(&[("c", Some("2"))]).await;
    world.base().await;
    for more in [&["--into", "dynamodb:copy"][..], &["--into", "file:out.jsonl"], &["--dry-run"]] {
        shell.refuses(&[&REPLAY[..], &["--at", &at], more].concat(), Exit::Gap, &["gap"]).await;
    }
    assert_eq!(tables(&dynamo).await, [""; 0]);
}

#[tokio::test]
async fn a_load_that_fails_midway_says_what_it_leaves_and_how_to_go_on() {
    let (shell, world) = Shell::with_world(52).await;
    let dynamo = Dynamo::start().await;
    let shell = shell.with_aws(&dynamo.config);
    let raw = world.manifest.segments.keys().next().unwrap().to_string();
    let object = shell.path("archive").join(world.log.path(&raw));
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    let into = ["--at", "latest", "--into", "dynamodb:copy", "--json"];
    let ended = shell.run(&[&REPLAY[..], &into].concat()).await;
    ended.is(Exit::VerificationFailed as i32);
    let error = ended.error();
    let says = |part: &str, words: &str| assert!(error[part].as_str().unwrap().contains(words), "{ended}");
    says("what", "the new table copy stays behind, not whole: 0 items");
    says("next", "aws dynamodb delete-table --table-name copy");
    assert_eq!(tables(&dynamo).await, ["copy"]);
}

#[tokio::test]
async fn without_a_terminal_nothing_but_the_result_is_printed() {
    let (shell, _world) = Shell::with_world(53).await;
    let ended = shell.run(&[&REPLAY[..], &["--at", "latest", "--into", "file:out.jsonl"]].concat()).await;
    assert_eq!(ended.is(0).err, "");
    assert_eq!(std::fs::read_to_string(shell.path("out.jsonl")).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_replay_that_waits_says_when_the_log_is_blocked() {
    let (shell, _world) = Shell::with_world(54).await;
    let wait = ["--at", "2096-01-01T00:00:00Z", "--wait", "--into", "file:out.jsonl"];
    let mut running = shell.start(&[&REPLAY[..], &wait].concat());
    running.until("waiting until the archive covers the time").await;
    let (last, _) = damage::last_entry(&shell);
    let name = last.file_stem().unwrap().to_str().unwrap();
    let next = last.with_file_name(format!("{:020}.entry", name.parse::<u64>().unwrap() + 1));
    std::fs::write(next, "no entry").unwrap();
    let ended = running.end().await;
    ended.is(Exit::VerificationFailed as i32);
    assert!(ended.err.contains("has no effect"), "{ended}");
}
