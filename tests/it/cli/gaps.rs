//! `gaps`: what was lost is listed, counted, gone past, acknowledged and repaired, each by its id.

use super::points::lose;
use super::*;

/// Two items before the loss; one of them changes again behind it, and a third comes.
async fn with_gap(seed: u64) -> (Shell, World, String) {
    let (shell, mut world) = Shell::with_world(seed).await;
    world.change(&[("c", Some("1"))]).await;
    world.idle().await;
    let (n, ..) = lose(&mut world).await;
    world.change(&[("a", Some("9")), ("d", Some("1"))]).await;
    world.idle().await;
    (shell, world, format!("{n}.0"))
}

#[tokio::test]
async fn a_gap_is_listed_counted_and_gone_past_only_by_its_id() {
    let (shell, world, id) = with_gap(31).await;
    let listed = shell.run(&["gaps", "list", "--json"]).await;
    let gaps: Vec<Value> = listed.is(0).lines().into_iter().filter(|line| line["type"] == "gap").collect();
    assert_eq!((gaps.len(), &gaps[0]["id"], &gaps[0]["standing"]), (1, &id.clone().into(), &"open".into()), "{listed}");
    assert_eq!(listed.summary()["open"], 1, "{listed}");
    let explained = shell.run(&["gaps", "explain", &id, "--table", "orders", "--json"]).await;
    let counts = explained.is(0).summary();
    // a and d changed behind the gap, c before it; b is gone.
    assert_eq!((&counts["items"], &counts["exact"]), (&3.into(), &2.into()), "{explained}");
    assert_eq!((&counts["may_be_wrong"], &counts["meets"]), (&1.into(), &true.into()), "{explained}");
    let into = ["--into", "file:out.jsonl"];
    let replay = [&["replay", "--table", "orders", "--at", "latest"], &into[..]].concat();
    let words = ["gap", &id, "--accept-gap", "gaps explain"];
    shell.refuses(&replay, Exit::Gap, &words).await;
    let accepted = shell.run(&[&replay[..], &["--accept-gap", &id, "--json"]].concat()).await;
    let summary = accepted.is(0).summary();
    assert_eq!((&summary["items"], &summary["accepted_gaps"][0]["id"]), (&3.into(), &id.clone().into()), "{accepted}");
    let note = std::fs::read_to_string(shell.path("out.jsonl.not-exact.txt")).unwrap();
    assert!(note.starts_with("not exact: changes may be missing from orders") && note.contains(&id), "{note}");
    let dynamo = Dynamo::start().await;
    let shell = shell.with_aws(&dynamo.config);
    let table = ["replay", "--table", "orders", "--at", "latest", "--into", "dynamodb:restored", "--accept-gap", &id];
    shell.run(&table).await.is(0);
    let described = dynamo.client.describe_table().table_name("restored").send().await.unwrap().table.unwrap();
    let tags = dynamo.client.list_tags_of_resource().resource_arn(described.table_arn.unwrap()).send().await.unwrap();
    let tag = tags.tags().iter().find(|tag| tag.key() == "tailrace:not-exact").expect("the table says it of itself");
    assert!(tag.value().contains(&id), "{tag:?}");
    let before = world.manifest.gaps[0].from_cut.plus(-1).to_string();
    let exact = shell.run(&["replay", "--table", "orders", "--at", &before, "--accept-gap", &id, "--dry-run"]).await;
    assert!(!exact.is(0).out.contains("accepted"), "a time before the gap needs nobody's leave\n{exact}");
}

#[tokio::test]
async fn an_acknowledged_gap_alarms_no_more_and_stays_in_the_way() {
    let (shell, _world, id) = with_gap(32).await;
    let alarm = shell.run(&["status"]).await;
    assert!(alarm.is(0).out.contains("ALARM") && alarm.out.contains(&id), "{alarm}");
    let acknowledge = ["gaps", "acknowledge", &id, "--table", "orders", "--reason", "the import was made again"];
    let done = shell.run(&acknowledge).await;
    assert!(done.is(0).out.contains("acknowledged"), "{done}");
    let calm = shell.run(&["status"]).await;
    assert!(!calm.is(0).out.contains("ALARM"), "{calm}");
    let listed = shell.run(&["gaps", "list"]).await;
    assert!(listed.is(0).out.contains("acknowledged: the import was made again"), "{listed}");
    let replay = ["replay", "--table", "orders", "--at", "latest", "--into", "file:out.jsonl"];
    shell.refuses(&replay, Exit::Gap, &[&id]).await;
    shell.run(&["verify"]).await.is(0);
}

#[tokio::test]
async fn a_repair_says_what_it_does_and_wants_a_yes() {
    let (shell, mut world, id) = with_gap(33).await;
    let shell = shell.with_keys();
    let repair = ["gaps", "repair", &id, "--table", "orders"];
    let planned = shell.run(&[&repair[..], &["--dry-run"]].concat()).await;
    assert!(planned.is(0).out.contains("a snapshot of the table is taken") && planned.out.contains("stays unknown"));
    shell.refuses(&repair, Exit::NeedsConfirmation, &["billed", "--yes"]).await;
    // An image out of the archive mends no gap.
    let past = [&repair[..], &["--yes", "--at", "2026-11-22T00:00:10Z"]].concat();
    shell.refuses(&past, Exit::Usage, &["--at"]).await;
    world.base().await;
    world.idle().await;
    let again = shell.run(&[&repair[..], &["--json"]].concat()).await;
    let plan = again.is(0).lines().into_iter().find(|line| line["type"] == "repair").unwrap();
    assert!(plan["served_from"].is_string(), "{again}");
    let latest = ["replay", "--table", "orders", "--at", "latest", "--into", "file:out.jsonl", "--json"];
    let replayed = shell.run(&latest).await;
    assert_eq!(replayed.is(0).summary()["accepted_gaps"], serde_json::json!([]), "{replayed}");
    let status = shell.run(&["status"]).await;
    assert!(!status.is(0).out.contains("ALARM"), "{status}");
}

#[tokio::test]
async fn a_wrong_id_time_reason_or_table_is_told_with_what_is_right() {
    let (shell, _world, id) = with_gap(34).await;
    let near = format!("{id}1");
    let refusals: [(&[&str], &[&str]); 6] = [
        (&["gaps", "explain", &near, "--table", "orders"], &[&near, "did you mean", &id]),
        (&["gaps", "explain", "nonsense", "--table", "orders"], &["nonsense", "gaps list"]),
        (&["gaps", "explain", &id, "--table", "orders", "--at", "yesterday-ish"], &["--at", "10m ago"]),
        (&["gaps", "acknowledge", "9.9", "--table", "orders", "--reason", "x"], &["9.9", "gaps list"]),
        (&["gaps", "acknowledge", &id, "--table", "orders", "--reason", " "], &["--reason", "auditor"]),
        (
            &["replay", "--table", "orders", "--at", "latest", "--accept-gap", "0", "--dry-run"],
            &["--accept-gap", "\"0\""],
        ),
    ];
    for (arguments, words) in refusals {
        shell.refuses(arguments, Exit::Usage, words).await;
    }
    shell.refuses(&["gaps", "explain", &id, "--table", "ordes"], Exit::TableNotInArchive, &["ordes"]).await;
}
