//! `diff`: the items that two replays give differently, no more and no fewer.

use super::seals::of_three_days;
use super::*;
use crate::support::world::CREATED;
use aws_sdk_dynamodb::types::StreamViewType;

type Items = BTreeMap<String, Value>;

async fn image(shell: &Shell, at: &str) -> Items {
    let _ = std::fs::remove_file(shell.path("out.jsonl"));
    shell.run(&["replay", "--table", "orders", "--at", at, "--into", "file:out.jsonl"]).await.is(0);
    let lines = std::fs::read_to_string(shell.path("out.jsonl")).unwrap();
    let item = |line: &str| serde_json::from_str::<Value>(line).unwrap()["Item"].clone();
    lines.lines().map(item).map(|item| (item["id"]["S"].as_str().unwrap().to_owned(), item)).collect()
}

/// The values before and after of every item that differs, out of two replays.
fn expected(before: &Items, after: &Items) -> BTreeMap<String, (String, [Value; 2])> {
    let keys = before.keys().chain(after.keys()).filter(|key| before.get(*key) != after.get(*key));
    let of = |key: &String| {
        let word = match (before.get(key), after.get(key)) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        let value = |items: &Items| items.get(key).map_or(Value::Null, |item| item["v"].clone());
        (key.clone(), (word.to_owned(), [value(before), value(after)]))
    };
    keys.map(of).collect()
}

async fn compared(shell: &Shell, from: &str, to: &str) {
    let (before, after) = (image(shell, from).await, image(shell, to).await);
    let expected = expected(&before, &after);
    let ended = shell.run(&["diff", "--table", "orders", "--from", from, "--to", to, "--json"]).await;
    let lines = ended.is(0).lines();
    let shown = lines.iter().filter(|line| line["type"] == "difference").map(|line| {
        let values = ["before", "after"].map(|when| line["changes"]["v"][when].clone());
        (line["pk"].as_str().unwrap().to_owned(), (line["change"].as_str().unwrap().to_owned(), values))
    });
    let shown: Vec<_> = shown.collect();
    assert_eq!(shown.iter().cloned().collect::<BTreeMap<_, _>>(), expected, "{ended}");
    assert_eq!(shown.len(), expected.len(), "an item is told twice\n{ended}");
    let summary = ended.summary();
    let count = |word: &str| expected.values().filter(|(change, _)| change == word).count();
    for word in ["added", "removed", "changed"] {
        assert_eq!(summary[word], count(word), "{ended}");
    }
    let same = before.iter().filter(|(key, item)| after.get(*key) == Some(item)).count();
    assert_eq!(summary["same"], same, "{ended}");
}

#[tokio::test]
async fn a_comparison_is_what_two_replays_differ_in_before_and_after_sealing() {
    let (shell, world) = of_three_days(81).await;
    let at = |day: i64, second: i64| CREATED.plus(day * 86_400 + second).to_string();
    let closed = world.manifest.closed_through.unwrap().to_string();
    let pairs = [(at(0, 40), at(1, 640)), (at(1, 640), at(2, 665)), (at(2, 665), at(1, 640)), (at(2, 620), closed)];
    for (from, to) in &pairs {
        compared(&shell, from, to).await;
    }
    shell.run(&["seal", "--table", "orders"]).await.is(0);
    for (from, to) in &pairs {
        compared(&shell, from, to).await;
    }
    let told = shell.run(&["diff", "--table", "orders", "--from", &pairs[1].0, "--to", &pairs[1].1]).await;
    assert!(told.is(0).out.contains("changed \"a0\"") && told.out.contains("~ \"v\": "), "{told}");
    let none = shell.run(&["diff", "--table", "orders", "--from", &pairs[1].0, "--to", &pairs[1].0]).await;
    assert!(none.is(0).out.contains("0 added, 0 removed, 0 changed"), "{none}");
}

#[tokio::test]
async fn a_side_that_has_no_answer_is_named() {
    let (shell, mut world) = of_three_days(82).await;
    let at = |day: i64, second: i64| CREATED.plus(day * 86_400 + second).to_string();
    let diff = |from: &str, to: &str| -> Vec<String> {
        ["diff", "--table", "orders", "--from", from, "--to", to].map(str::to_owned).to_vec()
    };
    let refused = async |from: &str, to: &str, exit: Exit, words: &[&str]| {
        let asked = diff(from, to);
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        shell.refuses(&asked, exit, words).await;
    };
    refused("2020-01-01T00:00:00Z", &at(1, 640), Exit::OutsideCoverage, &["before the archive's coverage"]).await;
    refused(&at(1, 640), "2100-01-01T00:00:00Z", Exit::OutsideCoverage, &["not covered yet"]).await;
    refused("yesterday", "latest", Exit::Usage, &["--from"]).await;
    refused(&at(1, 640), "tomorrow", Exit::Usage, &["--to", "latest", "live"]).await;
    let (n, from, _) = points::lose(&mut world).await;
    world.idle().await;
    refused(&at(1, 640), &from.to_string(), Exit::Gap, &[&format!("{n}.0")]).await;
    for path in world.manifest.segments.keys().filter(|path| path.contains("2026-11-23")) {
        std::fs::write(shell.path("archive").join(world.log.path(path)), b"other bytes").unwrap();
    }
    refused(&at(0, 40), &at(1, 640), Exit::VerificationFailed, &["2026-11-23", "tailrace verify"]).await;
}

/// As far as the archive is surely complete.
async fn covered(shell: &Shell) -> String {
    let listed = shell.run(&["list", "--json"]).await;
    listed.is(0).lines()[0]["closed_through"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_live_table_is_compared_by_the_items_that_changed_and_never_scanned() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    let shell = Shell::with_archive(&dynamo).await;
    let once = ["capture", "--once", "--settle", "1s", "--flush-age", "1s", "--table", "orders"];
    for key in ["a", "b", "d"] {
        live::put(&dynamo, "orders", key, "first").await;
    }
    clock::sleep(Duration::from_secs(2)).await;
    shell.run(&once).await.is(0);
    let before = covered(&shell).await;
    clock::sleep(Duration::from_secs(2)).await;
    live::put(&dynamo, "orders", "a", "second").await;
    live::put(&dynamo, "orders", "c", "made").await;
    live::delete(&dynamo, "orders", "b").await;
    clock::sleep(Duration::from_secs(2)).await;
    shell.run(&once).await.is(0);
    // What the archive does not know yet is seen in the items that it knows to have changed.
    live::put(&dynamo, "orders", "a", "third").await;
    live::delete(&dynamo, "orders", "c").await;
    let asked = ["diff", "--table", "orders", "--from", &before, "--to", "live", "--json"];
    let ended = shell.run(&asked).await;
    let lines = ended.is(0).lines();
    let shown: Vec<_> = lines.iter().filter(|line| line["type"] == "difference").collect();
    let of = |pk: &str| shown.iter().find(|line| line["pk"] == pk).unwrap();
    assert_eq!(shown.len(), 2, "{ended}");
    assert_eq!((&of("a")["change"], &of("a")["changes"]["v"]["after"]["S"]), (&"changed".into(), &"third".into()));
    assert_eq!(of("b")["change"], "removed", "{ended}");
    let summary = ended.summary();
    let counts = ["added", "removed", "changed", "same"].map(|count| summary[count].as_u64().unwrap());
    assert_eq!(counts, [0, 1, 1, 2], "{ended}");
    let text = shell.run(&asked[..7]).await;
    assert!(text.is(0).out.contains("the live table"), "{text}");
    dynamo.client.delete_table().table_name("orders").send().await.unwrap();
    shell.refuses(&asked[..7], Exit::Usage, &["orders"]).await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    shell.refuses(&asked[..7], Exit::Usage, &["made anew", "--to live"]).await;
}
