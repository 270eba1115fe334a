//! `replay`: points that have no answer, destinations that are taken or misspelt.

use tailrace::change::Second;
use tailrace::manifest::action::{GapReason, GapSpan};
use tailrace::manifest::{Action, Manifest, SegmentsAdded, Span};

use super::*;
use crate::support::world::CREATED;

const REPLAY: [&str; 3] = ["replay", "--table", "orders"];

async fn refused(shell: &Shell, more: &[&str], exit: Exit, words: &[&str]) {
    shell.refuses(&[&REPLAY, more].concat(), exit, words).await;
}

#[tokio::test]
async fn a_point_outside_coverage_is_refused_with_the_times_that_have_an_answer() {
    let (shell, world) = Shell::with_world(1).await;
    let into = ["--into", "file:out.jsonl"];
    let closed = world.manifest.closed_through.unwrap();
    let (begins, ends) = (CREATED.plus(-1).to_string(), closed.to_string());
    for (point, word) in [("2020-01-01T00:00:00Z", &begins), ("2096-01-01T00:00:00Z", &ends)] {
        for form in ["--at", "--before"] {
            refused(&shell, &[&[form, point], &into[..]].concat(), Exit::OutsideCoverage, &[word, "choose a time"])
                .await;
        }
    }
    let proven = ["--proven", "--at", &ends];
    refused(&shell, &[&proven, &into[..]].concat(), Exit::OutsideCoverage, &["confirmed up to"]).await;
    for (point, word) in
        [("--before", "0123456789abcdef0123456789abcdef"), ("--at-sequence", "77777777777777777777777")]
    {
        refused(&shell, &[&[point, word], &into[..]].concat(), Exit::OutsideCoverage, &[word]).await;
    }
}

/// A loss that was noticed now: changes since the floor of the log's first shard may be missing.
pub(super) fn loss(manifest: &Manifest) -> Action {
    let (key, open) = manifest.shards.first_key_value().unwrap();
    let from_cut = open.floor.plus(1);
    let to_cut = manifest.at.unwrap().max(from_cut);
    let gap = Span {
        epoch: key.epoch,
        shard: key.id.clone(),
        after: open.through,
        through: open.through,
        rows: 0,
        cut: to_cut,
        floor: Some(to_cut.plus(-1)),
        late: Vec::new(),
        unknown: Vec::new(),
        gap: Some(GapSpan { reason: GapReason::PossiblyTrimmed, from_cut, to_cut }),
    };
    Action::Segments(SegmentsAdded { segments: Vec::new(), spans: vec![gap] })
}

/// Commits a loss. Gives its entry, and its seconds.
pub(super) async fn lose(world: &mut World) -> (u64, Second, Second) {
    let action = loss(&world.manifest);
    let n = world.commit(vec![action]).await;
    let gap = world.manifest.gaps.last().unwrap();
    (n, gap.from_cut, gap.to_cut)
}

#[tokio::test]
async fn a_point_in_a_gap_is_refused_with_the_gap() {
    let (shell, mut world) = Shell::with_world(2).await;
    let (n, from_cut, to_cut) = lose(&mut world).await;
    world.idle().await;
    let id = format!("gap {n}.0");
    for (form, point) in [("--at", to_cut), ("--before", to_cut.plus(1))] {
        let words = [id.as_str(), &from_cut.plus(-1).to_string()];
        refused(&shell, &[form, &point.to_string(), "--into", "file:out.jsonl"], Exit::Gap, &words).await;
    }
    let listed = shell.run(&["list"]).await;
    assert!(listed.is(0).out.contains(&id), "{listed}");
    // Before the gap nothing is in doubt.
    let sure = from_cut.plus(-1).to_string();
    shell.run(&[&REPLAY[..], &["--at", &sure, "--into", "file:out.jsonl"]].concat()).await.is(0);
}

#[tokio::test]
async fn what_is_no_single_point_is_refused_with_what_to_write() {
    let (shell, _world) = Shell::with_world(3).await;
    let shell = shell.with("TZ", "UTC");
    let into = ["--into", "file:out.jsonl"];
    for (point, words) in [
        (&["--before", "2026-11-22T14:03:00"][..], &["2026-11-22T14:03:00Z", "--before"][..]),
        (&["--at", "2026-11-22"], &["has no offset", "2026-11-22T00:00:00Z"]),
        (&["--at", "yesterday"], &["yesterday", "10m ago", "--at"]),
        (&["--before", "10m"], &["10m ago"]),
        (&["--at", "1795305600123"], &["did you mean 1795305600"]),
        (&["--at-sequence", "last"], &["last", "--at-sequence"]),
        (&["--at", "latest", "--before", "1m ago"], &["more than one point", "--before, --at"]),
        (&[], &["--before <TIME>", "--at <TIME>"]),
    ] {
        refused(&shell, &[point, &into[..]].concat(), Exit::Usage, words).await;
    }
}

#[tokio::test]
async fn a_point_on_the_command_line_goes_before_one_of_the_environment() {
    let (shell, world) = Shell::with_world(4).await;
    let shell = shell.with("TAILRACE_AT", "2020-01-01T00:00:00Z").with("TAILRACE_DRY_RUN", "true");
    let closed = world.manifest.closed_through.unwrap().to_string();
    let ended = shell.run(&[&REPLAY[..], &["--before", &closed, "--json"]].concat()).await;
    ended.is(0);
    let through = world.manifest.closed_through.unwrap().plus(-1).to_string();
    assert_eq!(ended.lines()[0]["point"]["through"], through, "{ended}");
    shell.run(&REPLAY).await.is(Exit::OutsideCoverage as i32);
}

#[tokio::test]
async fn a_destination_that_exists_is_left_as_it_is() {
    let (shell, _world) = Shell::with_world(5).await;
    shell.write("taken.jsonl", "mine");
    shell.write("taken.parquet", "");
    std::fs::create_dir(shell.path("folder.jsonl")).unwrap();
    shell.write("folder.jsonl/mine", "");
    std::os::unix::fs::symlink("nowhere", shell.path("link.jsonl.zst")).unwrap();
    for name in ["taken.jsonl", "taken.parquet", "folder.jsonl", "link.jsonl.zst", "folder.jsonl/", "taken.jsonl/"] {
        let into = format!("file:{name}");
        let words = [name.trim_end_matches('/'), "exists already"];
        refused(&shell, &["--at", "latest", "--into", &into], Exit::DestinationNotEmpty, &words).await;
    }
    let dynamo = Dynamo::start().await;
    dynamo.create_table("taken", None).await;
    let shell = shell.with_aws(&dynamo.config);
    let words = ["dynamodb:taken", "exists already"];
    refused(&shell, &["--at", "latest", "--into", "dynamodb:taken"], Exit::DestinationNotEmpty, &words).await;
    let table = dynamo.client.describe_table().table_name("taken").send().await.unwrap().table.unwrap();
    assert_eq!(table.item_count, Some(0));
}

#[tokio::test]
async fn a_destination_that_cannot_be_is_refused_with_the_nearest_that_can() {
    let (shell, _world) = Shell::with_world(6).await;
    for (into, words) in [
        ("out.jsonl", &["did you mean file:out.jsonl?"][..]),
        ("fil:out.jsonl", &["did you mean file:?"]),
        ("dynamo:orders2", &["did you mean dynamodb:?"]),
        ("s3://bucket/out.jsonl", &["\"s3\"", "dynamodb:NEW_TABLE"]),
        ("file:out.jsnl", &["did you mean .jsonl?"]),
        ("file:out.jsonl.zstd", &["did you mean .jsonl.zst?"]),
        ("file:out.parqet", &["did you mean .parquet?"]),
        ("file:out.csv", &["out.csv", ".jsonl, .jsonl.zst or .parquet"]),
        ("file:folder", &["folder", "/ for a folder"]),
        ("dynamodb:a b", &["3 to 255 letters"]),
        ("", &["file:PATH"]),
    ] {
        let words = [words, &["--into"]].concat();
        refused(&shell, &["--at", "latest", "--into", into], Exit::Usage, &words).await;
    }
    let missing = ["--at", "latest", "--into", "file:no/such/out.jsonl"];
    refused(&shell, &missing, Exit::Failure, &["the folder no/such does not exist"]).await;
    refused(&shell, &["--at", "latest"], Exit::Usage, &["--into <DESTINATION>"]).await;
}
