//! `seal`: days that are over become sorted files; no answer changes, and later ones read less.

use std::collections::BTreeSet;

use tailrace::change::Second;
use tailrace::platform::ids::Ids;

use super::*;
use crate::support::streams_server::StreamsServer;
use crate::support::world::CREATED;

/// Three days of changes with a snapshot on the first and one on the last.
pub(super) async fn of_three_days(seed: u64) -> (Shell, World) {
    let (shell, mut world) = Shell::with_world(seed).await;
    for day in 1..=3 {
        world.now = CREATED.plus(day * 86_400 + 600);
        for round in 0..9 {
            let value = format!("day {day} round {round}");
            let (often, seldom) = (format!("a{}", round % 3), format!("c{}{}", day, round % 2));
            let removed = round % 5 == 4 && world.items.contains_key(&seldom);
            world.change(&[(&often, Some(&value)), (&seldom, (!removed).then_some(&*value))]).await;
        }
    }
    world.base().await;
    world.idle().await;
    (shell, world)
}

/// The image at some points of every day, as sorted lines.
async fn images(shell: &Shell, world: &World) -> Vec<BTreeSet<String>> {
    let closed = world.manifest.closed_through.unwrap();
    let mut images = Vec::new();
    for (day, second) in [(0, 40), (1, 605), (1, 640), (1, 86_000), (2, 620), (2, 665), (3, 600), (3, 650)] {
        let at = CREATED.plus(day * 86_400 + second).min(closed).to_string();
        let _ = std::fs::remove_file(shell.path("out.jsonl"));
        shell.run(&["replay", "--table", "orders", "--at", &at, "--into", "file:out.jsonl"]).await.is(0);
        images.push(std::fs::read_to_string(shell.path("out.jsonl")).unwrap().lines().map(str::to_owned).collect());
    }
    images
}

/// What a replay of the last day reads.
async fn rows_read(shell: &Shell) -> u64 {
    let at = CREATED.plus(3 * 86_400 + 650).to_string();
    let plan = shell.run(&["replay", "--table", "orders", "--at", &at, "--dry-run", "--json"]).await;
    let lines = plan.is(0).lines();
    lines.iter().find_map(|line| line["rows"].as_u64()).unwrap_or_else(|| panic!("no plan\n{plan}"))
}

#[tokio::test]
async fn sealing_changes_no_answer_and_later_ones_read_less() {
    let (shell, world) = of_three_days(61).await;
    let (before, read_before) = (images(&shell, &world).await, rows_read(&shell).await);
    assert!(before.iter().collect::<BTreeSet<_>>().len() > 6, "the points show different images");
    let sealed = shell.run(&["seal", "--table", "orders", "--json"]).await;
    let summary = sealed.is(0).summary();
    assert_eq!((&summary["days"], &summary["sealed_through"]), (&3.into(), &"2026-11-24".into()), "{sealed}");
    let days: Vec<Value> = sealed.lines().into_iter().filter(|line| line["type"] == "sealed").collect();
    assert_eq!((days.len(), &days[1]["changes"], &days[1]["items"]), (3, &18.into(), &5.into()), "{sealed}");
    assert!(days.iter().all(|day| day["left_out"].as_u64() > Some(0)), "{sealed}");
    shell.run(&["verify"]).await.is(0);
    let files = shell.run(&["files", "--table", "orders"]).await;
    assert!(files.is(0).out.contains("sealed/dt=2026-11-23/part=heads/bucket=000/"), "{files}");
    assert!(!files.out.contains("raw/dt=2026-11-23/"), "what is sealed is not named twice\n{files}");
    assert_eq!(images(&shell, &world).await, before);
    let read_after = rows_read(&shell).await;
    assert!(read_after < read_before, "{read_after} rows after sealing, {read_before} before");
    let again = shell.run(&["seal", "--table", "orders"]).await;
    assert!(again.is(0).out.contains("every day that is over is sealed, up to 2026-11-24"), "{again}");
}

#[tokio::test]
async fn a_sealer_that_is_killed_at_any_moment_leaves_days_that_the_next_one_seals() {
    let (shell, world) = of_three_days(66).await;
    let (before, draw, mut killed) = (images(&shell, &world).await, Ids::seeded(66), 0);
    for _ in 0..25 {
        let sealing = shell.start(&["seal", "--table", "orders"]);
        clock::sleep(Duration::from_millis(draw.below(80))).await;
        sealing.signal("KILL");
        killed += u32::from(sealing.end().await.code.is_none());
    }
    assert!(killed > 5, "{killed} were killed before their end");
    shell.run(&["seal", "--table", "orders"]).await.is(0);
    shell.run(&["verify"]).await.is(0);
    assert_eq!(images(&shell, &world).await, before);
    let again = shell.run(&["seal", "--table", "orders"]).await;
    assert!(again.is(0).out.contains("every day that is over is sealed, up to 2026-11-24"), "{again}");
}

/// Leaves an archive with every tier in the folder that `TAILRACE_KEEP` names.
#[tokio::test]
#[ignore = "for readers that are not of this crate, see .ci/run"]
async fn campaign_archive_of_every_tier() {
    let (shell, world) = of_three_days(67).await;
    shell.run(&["seal", "--table", "orders"]).await.is(0);
    for (day, second) in [(1, 640), (3, 620)] {
        let at = CREATED.plus(day * 86_400 + second).min(world.manifest.closed_through.unwrap()).to_string();
        shell.run(&["base", "--table", "orders", "--at", &at]).await.is(0);
    }
    let to = std::env::var("TAILRACE_KEEP").unwrap();
    let copied = Command::new("cp").arg("-r").arg(shell.path("archive")).arg(to).status().unwrap();
    assert!(copied.success());
}

#[tokio::test]
async fn a_snapshot_of_a_past_time_comes_out_of_the_archive_and_changes_no_answer() {
    let (shell, mut world) = of_three_days(65).await;
    let before = images(&shell, &world).await;
    let time = CREATED.plus(2 * 86_400 + 640).to_string();
    let base = ["base", "--table", "orders", "--at", &time, "--json"];
    let taken = shell.run(&base).await;
    let snapshot = &taken.is(0).summary()["snapshot"];
    assert_eq!((&snapshot["kind"], &snapshot["complete_at"]), (&"archive".into(), &time.clone().into()), "{taken}");
    let replayed = ["replay", "--table", "orders", "--at", &time, "--into", "file:at.jsonl", "--json"];
    let replayed = shell.run(&replayed).await;
    assert_eq!(replayed.is(0).summary()["items"], snapshot["items"], "{replayed}");
    shell.run(&["seal", "--table", "orders"]).await.is(0);
    shell.run(&["base", "--table", "orders", "--at", &CREATED.plus(86_400 + 660).to_string()]).await.is(0);
    shell.run(&["verify"]).await.is(0);
    assert_eq!(images(&shell, &world).await, before);
    let plan = shell.run(&["replay", "--table", "orders", "--at", &time, "--dry-run"]).await;
    assert!(plan.is(0).out.contains(&format!("complete at {time}")), "{plan}");
    let closed = world.manifest.closed_through.unwrap();
    let late = closed.plus(60).to_string();
    shell.refuses(&["base", "--table", "orders", "--at", &late], Exit::OutsideCoverage, &[&closed.to_string()]).await;
    shell.refuses(&["base", "--table", "orders", "--at", "yesterday"], Exit::Usage, &["--at"]).await;
    shell.refuses(&["base", "--table", "orders", "--at", &time, "--slack", "1m"], Exit::Usage, &["--slack"]).await;
    world.log.refresh(&mut world.manifest).await.unwrap();
    let (n, from, _) = points::lose(&mut world).await;
    world.idle().await;
    let words = [&format!("{n}.0")[..]];
    shell.refuses(&["base", "--table", "orders", "--at", &from.to_string()], Exit::Gap, &words).await;
}

/// Text of which a compressor makes little.
fn noise(ids: &Ids, letters: u64) -> String {
    (0..letters / 16).map(|_| format!("{:016x}", ids.bits())).collect()
}

#[tokio::test]
async fn once_days_outweigh_the_snapshot_before_them_sealing_writes_another() {
    let (shell, mut world) = Shell::with_world(68).await;
    let noisy = Ids::seeded(68);
    let value = noise(&noisy, 380_000);
    for day in 1..=2 {
        world.now = CREATED.plus(day * 86_400 + 600);
        for item in 0..50 {
            let (key, value) = (format!("k{item}"), format!("{}{value}", noise(&noisy, 300_000)));
            world.change(&[(&key, Some(&value))]).await;
        }
    }
    world.now = CREATED.plus(3 * 86_400 + 600);
    world.change(&[("k0", None)]).await;
    world.idle().await;
    let seal = ["seal", "--table", "orders", "--json"];
    let sealed = shell.run(&seal).await;
    let snapshots: Vec<Value> = sealed.is(0).lines().into_iter().filter(|line| line["type"] == "snapshot").collect();
    assert_eq!(sealed.summary()["snapshots"].as_u64(), Some(snapshots.len() as u64), "{sealed}");
    // Each of both days outweighs what was before it: the first an empty one, the second the first day.
    let ends = [1, 2].map(|day| format!("{}T23:59:59Z", CREATED.plus(day * 86_400).day()));
    let times: Vec<&str> = snapshots.iter().filter_map(|line| line["complete_at"].as_str()).collect();
    assert_eq!(times, ends, "{sealed}");
    assert!(snapshots.iter().all(|line| line["kind"] == "archive" && line["items"].as_u64() >= Some(50)), "{sealed}");
    let [_, end] = ends;
    let plan = shell.run(&["replay", "--table", "orders", "--at", "latest", "--dry-run"]).await;
    assert!(plan.is(0).out.contains(&format!("complete at {end}")), "{plan}");
    shell.run(&["replay", "--table", "orders", "--at", "latest", "--into", "file:now.jsonl"]).await.is(0);
    let lines = std::fs::read_to_string(shell.path("now.jsonl")).unwrap().lines().count();
    assert_eq!(lines, world.items.len());
    shell.run(&["verify"]).await.is(0);
    let again = shell.run(&seal).await;
    assert_eq!(again.is(0).summary()["snapshots"], 0, "nothing came since\n{again}");
}

#[tokio::test]
async fn a_day_that_is_not_over_waits_and_what_keeps_a_day_from_being_sealed_is_named() {
    let (shell, _world) = Shell::with_world(62).await;
    let waits = shell.run(&["seal", "--table", "orders"]).await;
    assert!(waits.is(0).out.contains("no day is over yet"), "{waits}");
    shell.refuses(&["seal", "--table", "order"], Exit::TableNotInArchive, &["orders"]).await;
    let (shell, world) = of_three_days(63).await;
    let nowhere = shell.run(&["seal", "--table", "orders", "--scratch", "nowhere/at/all"]).await;
    assert!(nowhere.is(0).out.contains("3 days sealed"), "days this small never touch the disk\n{nowhere}");
    drop(world);
    let (shell, world) = of_three_days(64).await;
    let path = world.manifest.segments.keys().find(|path| path.contains("2026-11-23")).unwrap();
    std::fs::write(shell.path("archive").join(world.log.path(path)), b"other bytes").unwrap();
    let damaged = shell.run(&["seal", "--table", "orders"]).await;
    let said = damaged.is(Exit::VerificationFailed as i32);
    assert!([&**path, "tailrace verify", "not touched"].iter().all(|word| said.err.contains(word)), "{said}");
    assert!(
        said.out.contains("2026-11-22: ") && !said.out.contains("2026-11-23: "),
        "the day before it is sealed\n{said}"
    );
    shell.run(&["status"]).await.is(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_seals_a_day_by_itself_once_it_is_over() {
    let streams = StreamsServer::start().await;
    let shard = streams.open(None);
    let midnight = (streams.now() / 86_400 + 1) * 86_400;
    streams.advance(midnight - 15 - streams.now());
    let shell = Shell::new().with_aws(&streams.config()).with("TAILRACE_ARCHIVE", "archive");
    shell.run(&["init"]).await.is(0);
    let mut capture = shell.start(&["capture", "--table", "orders", "--settle", "2s", "--flush-age", "1s"]);
    capture.until("archiving begins").await;
    for (kind, key) in [("INSERT", "a"), ("INSERT", "b"), ("MODIFY", "a")] {
        streams.push(&shard, kind, key);
    }
    let passing = async {
        loop {
            streams.advance(1);
            clock::sleep(Duration::from_millis(400)).await;
        }
    };
    tokio::select! {
        () = capture.until("3 changes of 2 items") => {}
        () = passing => {}
    }
    capture.signal("TERM");
    let ended = capture.end().await;
    let day = Second(midnight - 1).day();
    assert!(ended.is(0).out.contains(&format!("sealed {day}: 3 changes of 2 items")), "{ended}");
    let listed = shell.run(&["files", "--table", "orders"]).await;
    assert!(listed.is(0).out.contains(&format!("sealed/dt={day}/part=heads/bucket=000/")), "{listed}");
    shell.run(&["verify"]).await.is(0);
}
