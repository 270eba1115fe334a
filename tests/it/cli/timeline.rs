//! `timeline`: every change is counted once, and a burst is told with the commands that show and undo it.

use super::*;
use crate::support::world::CREATED;
use tailrace::change::Second;

/// Two hours of a few changes a minute, and in the second one 60 deletes within half a minute.
async fn with_burst(seed: u64) -> (Shell, World, Second) {
    let (shell, mut world) = Shell::with_world(seed).await;
    let names: Vec<String> = (0..60).map(|n| format!("order#2026-{n:02}")).collect();
    let made: Vec<(&str, Option<&str>)> = names.iter().map(|name| (name.as_str(), Some("made"))).collect();
    for some in made.chunks(5) {
        world.change(some).await;
        world.now = world.now.plus(50);
    }
    let begin = CREATED.plus(3_600);
    for minute in 0..120 {
        world.now = begin.plus(minute * 60);
        world.change(&[("a", Some(&minute.to_string())), ("b", Some("same"))]).await;
        if minute % 10 == 0 {
            world.change(&[("b", None)]).await;
        }
    }
    world.now = begin.plus(120 * 60);
    let burst = world.now.plus(10);
    for some in names.chunks(20) {
        world.change(&some.iter().map(|name| (name.as_str(), None)).collect::<Vec<_>>()).await;
    }
    world.now = world.now.plus(600);
    world.change(&[("a", Some("after")), ("c", Some("new"))]).await;
    world.idle().await;
    (shell, world, burst)
}

#[tokio::test]
async fn a_burst_is_told_with_its_keys_and_the_command_that_undoes_it_works() {
    let (shell, world, burst) = with_burst(91).await;
    let ended = shell.run(&["timeline", "--table", "orders", "--json"]).await;
    let lines = ended.is(0).lines();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).cloned().collect::<Vec<_>>();
    let changes: u64 = of("stretch").iter().map(|line| line["changes"].as_u64().unwrap()).sum();
    let rows: u64 = world.manifest.segments.values().map(|meta| meta.rows).sum();
    assert_eq!((changes, &ended.summary()["changes"]), (rows, &rows.into()), "{ended}");
    let bursts = of("burst");
    assert_eq!(bursts.len(), 1, "{ended}");
    let told = &bursts[0];
    assert_eq!((&told["of"], &told["removes"], &told["items"]), (&"deletes".into(), &60.into(), &60.into()), "{ended}");
    assert_eq!(told["from"], burst.to_string(), "{ended}");
    assert_eq!(told["to"], burst.plus(20).to_string(), "{ended}");
    assert_eq!(told["keys"]["begin"], "order#2026-", "{ended}");
    let undo: Vec<&str> = told["undo"].as_str().unwrap().split(' ').skip(1).collect();
    let undo: Vec<&str> =
        undo.into_iter().map(|word| if word.starts_with("dynamodb:") { "file:out.jsonl" } else { word }).collect();
    shell.run(&undo).await.is(0);
    let restored = std::fs::read_to_string(shell.path("out.jsonl")).unwrap();
    assert_eq!(restored.matches("order#2026-").count(), 60);
    let see: Vec<&str> = told["see"].as_str().unwrap().split(' ').skip(1).collect();
    assert!(shell.run(&see).await.is(0).out.contains("60 removed"));
    let text = shell.run(&["timeline", "--table", "orders"]).await;
    for words in ["burst of deletes", "begin with \"order#2026-\"", "undo it: tailrace replay", "█", "1 burst"] {
        assert!(text.out.contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn a_timeline_is_the_same_after_sealing_and_covers_what_is_asked_for() {
    let (shell, mut world, burst) = with_burst(92).await;
    let every = ["timeline", "--table", "orders", "--every", "1m", "--json"];
    let before = shell.run(&every).await.is(0).lines();
    world.now = CREATED.plus(2 * 86_400);
    world.idle().await;
    shell.run(&["seal", "--table", "orders"]).await.is(0);
    assert_eq!(shell.run(&every).await.is(0).lines(), before);
    let (from, to) = (burst.plus(10).to_string(), burst.plus(10).to_string());
    let one = shell.run(&["timeline", "--table", "orders", "--from", &from, "--to", &to, "--json"]).await;
    assert_eq!(one.is(0).summary()["changes"], 20, "{one}");
    let after = burst.plus(86_400).to_string();
    let none = shell.run(&["timeline", "--table", "orders", "--from", &after]).await;
    assert!(none.is(0).out.contains("no change is archived in that time"), "{none}");
    let timeline = |more: &[&'static str]| [&["timeline", "--table", "orders"], more].concat();
    shell.refuses(&timeline(&["--every", "90s"]), Exit::Usage, &["--every", "minutes"]).await;
    shell.refuses(&timeline(&["--from", "noon"]), Exit::Usage, &["--from", "noon"]).await;
    let backward = ["--from", "2026-11-22T02:00:00Z", "--to", "2026-11-22T01:00:00Z"];
    shell.refuses(&timeline(&backward), Exit::Usage, &["lies after"]).await;
    points::lose(&mut world).await;
    world.idle().await;
    let told = shell.run(&timeline(&[])).await;
    assert!(told.is(0).out.contains("changes may be missing: gap"), "{told}");
}
