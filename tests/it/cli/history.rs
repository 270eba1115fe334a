//! `history`: every version of one item, the same before and after its days are sealed.

use super::seals::of_three_days;
use super::*;
use crate::support::world::CREATED;

/// What is said of the versions of one item: kind, the value before and after, and the whole item.
async fn versions(shell: &Shell, more: &[&str]) -> Vec<[String; 4]> {
    let asked = [&["history", "--table", "orders", "--json", "--pk"], more].concat();
    let ended = shell.run(&asked).await;
    let lines = ended.is(0).lines();
    let shown = lines.iter().filter(|line| line["type"] == "version").map(|line| {
        let value = |when: &str| line["changes"]["v"][when]["S"].as_str().unwrap_or("-").to_owned();
        let kind = line["kind"].as_str().unwrap().to_owned();
        [kind, value("before"), value("after"), line["item"]["n"]["N"].to_string()]
    });
    let shown: Vec<_> = shown.collect();
    assert_eq!(ended.summary()["versions"], shown.len(), "{ended}");
    shown
}

#[tokio::test]
async fn every_version_of_an_item_is_told_before_and_after_its_days_are_sealed() {
    let (shell, _world) = of_three_days(71).await;
    let (often, seldom) = (versions(&shell, &["a0"]).await, versions(&shell, &["c20"]).await);
    // Three rounds on each of three days; the last value before each change is the one after the change before it.
    assert_eq!(often.len(), 9);
    assert!(often.windows(2).all(|pair| pair[0][2] == pair[1][1]), "{often:?}");
    assert_eq!(often[0][0], "INSERT");
    let kinds: Vec<&str> = seldom.iter().map(|version| version[0].as_str()).collect();
    assert_eq!(kinds, ["INSERT", "MODIFY", "REMOVE", "INSERT", "MODIFY"], "{seldom:?}");
    let from = CREATED.plus(2 * 86_400).to_string();
    let to = CREATED.plus(3 * 86_400 - 1).to_string();
    let second_day = versions(&shell, &["a0", "--from", &from, "--to", &to]).await;
    assert_eq!(second_day, often[3..6]);
    shell.run(&["seal", "--table", "orders"]).await.is(0);
    assert_eq!(versions(&shell, &["a0"]).await, often);
    assert_eq!(versions(&shell, &["c20"]).await, seldom);
    assert_eq!(versions(&shell, &["a0", "--from", &from, "--to", &to]).await, second_day);
    let told = shell.run(&["history", "--table", "orders", "--pk", "a0"]).await;
    assert!(told.is(0).out.contains("~ \"v\": {\"S\":\"day 1 round 0\"} → {\"S\":\"day 1 round 3\"}"), "{told}");
}

#[tokio::test]
async fn who_asks_for_no_item_of_the_table_is_told_so_and_damage_is_no_answer() {
    let (shell, mut world) = of_three_days(72).await;
    assert!(versions(&shell, &["nobody"]).await.is_empty());
    let nobody = shell.run(&["history", "--table", "orders", "--pk", "nobody"]).await;
    assert!(nobody.is(0).out.contains("no change of this item"), "{nobody}");
    let asked = |more: &[&'static str]| [&["history", "--table", "orders", "--pk", "a0"], more].concat();
    shell.refuses(&asked(&["--sk", "1"]), Exit::Usage, &["no sort key", "--sk"]).await;
    shell.refuses(&asked(&["--from", "yesterday"]), Exit::Usage, &["--from"]).await;
    shell
        .refuses(
            &asked(&["--from", "2026-11-22T00:00:00Z", "--to", "2026-11-21T00:00:00Z"]),
            Exit::Usage,
            &["lies after"],
        )
        .await;
    shell.refuses(&["history", "--table", "order", "--pk", "a"], Exit::TableNotInArchive, &["orders"]).await;
    let (_, lost_from, _) = points::lose(&mut world).await;
    world.idle().await;
    let told = shell.run(&asked(&[])).await;
    assert!(told.is(0).out.contains("changes may be missing") && told.out.contains(&lost_from.to_string()), "{told}");
    for path in world.manifest.segments.keys().filter(|path| path.contains("2026-11-23")) {
        std::fs::write(shell.path("archive").join(world.log.path(path)), b"other bytes").unwrap();
    }
    shell.refuses(&asked(&[]), Exit::VerificationFailed, &["raw/dt=2026-11-23/", "tailrace verify"]).await;
}
