//! Places that hold no archive, cannot hold one, or do not answer.

use tailrace::manifest::entry::sha256;

use super::*;
use crate::support::s3_server::{BUCKET, Rules, S3Server, Wire};

fn commands() -> Vec<Vec<&'static str>> {
    let replay = vec!["replay", "--table", "orders", "--at", "latest", "--into", "file:out.jsonl"];
    let of_table = ["files", "capture", "base"].map(|verb| vec![verb, "--table", "orders"]);
    [vec!["list"], vec!["status"], vec!["verify"], replay].into_iter().chain(of_table).collect()
}

#[tokio::test]
async fn an_address_that_names_no_place_is_refused() {
    let shell = Shell::new();
    let places =
        ["s4://bucket/a", "s3:/bucket", "s3://", "s3://Bucket/a", "s3://bucket/a//b", "file://a", "file:///a/../b"];
    let verbs = commands().into_iter().chain([vec!["init"]]).cycle();
    for (place, command) in
        places.into_iter().zip(verbs).chain(places.into_iter().zip([vec!["init"]].into_iter().cycle()))
    {
        shell
            .refuses(&[&command[..], &["--archive", place]].concat(), Exit::Usage, &[place, "s3://BUCKET/PREFIX"])
            .await;
    }
    for command in commands().into_iter().chain([vec!["init"]]) {
        shell.refuses(&command, Exit::Usage, &["no archive is named", "TAILRACE_ARCHIVE"]).await;
    }
}

#[tokio::test]
async fn nothing_but_init_makes_an_archive() {
    let shell = Shell::new();
    std::fs::create_dir(shell.path("empty")).unwrap();
    std::fs::create_dir(shell.path("full")).unwrap();
    shell.write("full/data.csv", "1");
    for place in ["empty", "missing", "full", "full/data.csv"] {
        for command in commands() {
            let words = [place, "tailrace init"];
            shell.refuses(&[&command[..], &["--archive", place]].concat(), Exit::ArchiveNotFound, &words).await;
        }
    }
    let words = ["full", "data.csv", "empty folder"];
    shell.refuses(&["init", "--archive", "full"], Exit::DestinationNotEmpty, &words).await;
    let made = shell.run(&["init", "--archive", "missing/inner"]).await;
    made.is(0);
    assert!(made.out.contains("tailrace capture --archive missing/inner"), "{made}");
    shell.refuses(&["init", "--archive", "full/data.csv"], Exit::Failure, &["full/data.csv", "a file"]).await;
    shell.refuses(&["init", "--archive", "missing/inner"], Exit::DestinationNotEmpty, &["already"]).await;
    shell.refuses(&["init", "--archive", "x", "--lock-days", "3"], Exit::Usage, &["--lock-days", "cannot lock"]).await;
}

#[tokio::test]
async fn a_bucket_that_is_not_there_or_not_ours_is_refused() {
    let server = S3Server::start(Rules::default()).await;
    let shell = Shell::new().with_aws(&server.config);
    let place = format!("s3://{BUCKET}/keep");
    for command in commands().into_iter().chain([vec!["init"]]) {
        let missing = [&command[..], &["--archive", "s3://no-such-bucket/keep"]].concat();
        shell.refuses(&missing, Exit::Failure, &["no-such-bucket", "bucket"]).await;
    }
    server.fail((0..10_000).map(|n| (n, Wire::Before(403))));
    for command in commands().into_iter().chain([vec!["init"]]) {
        let denied = [&command[..], &["--archive", &place]].concat();
        shell.refuses(&denied, Exit::Credentials, &["HTTP 403", "s3:GetObject", place.as_str()]).await;
    }
    assert_eq!(server.bucket.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_store_that_ignores_conditions_gets_no_archive() {
    let server = S3Server::start(Rules { ignores_conditions: true, ..Rules::default() }).await;
    let shell = Shell::new().with_aws(&server.config);
    let place = format!("s3://{BUCKET}/keep");
    let words = ["If-None-Match", "conditional writes", place.as_str()];
    shell.refuses(&["init", "--archive", &place], Exit::Failure, &words).await;
    assert_eq!(server.bucket.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn without_credentials_or_region_the_missing_one_is_named() {
    let shell = Shell::new().with("AWS_REGION", "eu-west-1");
    let place = format!("s3://{BUCKET}/keep");
    let (credentials, region) = (["credentials", "AWS_ACCESS_KEY_ID"], ["region", "AWS_REGION"]);
    for command in commands().into_iter().chain([vec!["init"]]) {
        shell.refuses(&[&command[..], &["--archive", &place]].concat(), Exit::Credentials, &credentials).await;
    }
    let (shell, _world) = Shell::with_world(21).await;
    let shell = shell.with_keys();
    for command in [["capture", "--table", "orders"], ["base", "--table", "orders"]] {
        shell.refuses(&command, Exit::Credentials, &region).await;
    }
    let replay = ["replay", "--table", "orders", "--at", "latest", "--into", "dynamodb:copy"];
    shell.refuses(&replay, Exit::Credentials, &region).await;
}

#[tokio::test]
async fn an_endpoint_that_is_down_or_silent_is_named_in_bounded_time() {
    tokio::join!(down(), silent());
}

async fn down() {
    let (shell, _world) = Shell::with_world(22).await;
    let down = "http://127.0.0.1:1";
    let shell = shell.with_keys().with("AWS_REGION", "eu-west-1").with("AWS_ENDPOINT_URL", down);
    let capture = ["capture", "--table", "orders"];
    let replay = ["replay", "--table", "orders", "--at", "latest", "--into", "dynamodb:copy"];
    let list = ["list", "--archive", "s3://bucket/keep"];
    let [at_table, at_copy, at_bucket] =
        [down, "dynamodb:copy", "s3://bucket/keep"].map(|place| ["Connection refused", place]);
    tokio::join!(
        shell.refuses(&capture, Exit::Failure, &at_table),
        shell.refuses(&replay, Exit::Failure, &at_copy),
        shell.refuses(&list, Exit::Failure, &at_bucket),
    );
}

/// Nobody waits in the dark, and nobody has to wait for the end.
async fn silent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let (shell, _world) = Shell::with_world(23).await;
    let shell = shell.with_keys().with("AWS_REGION", "eu-west-1").with("AWS_ENDPOINT_URL", &silent);
    let at_table = format!("{silent} has not answered");
    let wait = async |arguments: &[&str], word: &str, signal: &str, code: i32| {
        let mut running = shell.start(arguments);
        running.until(word).await;
        running.signal(signal);
        running.end().await.is(code);
    };
    tokio::join!(
        wait(&["capture", "--table", "orders"], &at_table, "TERM", 0),
        wait(&["capture", "--table", "orders"], &at_table, "INT", Exit::Interrupted as i32),
        wait(&["base", "--table", "orders"], &at_table, "TERM", Exit::Terminated as i32),
        wait(&["list", "--archive", "s3://bucket/keep"], "s3://bucket/keep has not", "INT", Exit::Interrupted as i32),
    );
}

/// A file cannot grow beyond this many blocks: what a full disk is to a writer.
pub(super) fn on_a_full_disk(shell: &Shell, blocks: u32, arguments: &[&str]) -> Running {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let all = [&["-c", &script, env!("CARGO_BIN_EXE_tailrace")], arguments].concat();
    Running::start(shell.command("sh", &all))
}

#[tokio::test]
async fn a_full_disk_fails_the_command_and_leaves_nothing_half_written() {
    let shell = Shell::new();
    let full = on_a_full_disk(&shell, 0, &["init", "--archive", "new"]).end().await;
    full.is(Exit::Failure as i32);
    assert!(full.err.contains("File too large") && full.err.contains("next:"), "{full}");
    assert!(files(&shell.path("new")).values().all(Option::is_none), "{:?}", files(&shell.path("new")));

    let (shell, mut world) = Shell::with_world(24).await;
    for round in 0..4 {
        // No form of file can make these small.
        let keys: Vec<String> = (0..50).map(|n| sha256(&[round, n])).collect();
        let changes: Vec<_> = keys.iter().map(|key| (key.as_str(), Some("v"))).collect();
        world.change(&changes).await;
    }
    let before = files(shell.folder.path());
    for name in ["out.jsonl", "out.parquet", "out/"] {
        let into = format!("file:{name}");
        let replay = ["replay", "--table", "orders", "--at", "latest", "--into", &into];
        let full = on_a_full_disk(&shell, 4, &replay).end().await;
        full.is(Exit::Failure as i32);
        let said = format!("writing {} failed: File too large", name.trim_end_matches('/'));
        assert!(full.err.contains(&said), "{full}");
        assert_eq!(files(shell.folder.path()), before, "{full}");
        shell.run(&replay).await.is(0);
        let made = shell.path(name);
        if made.is_dir() { std::fs::remove_dir_all(made) } else { std::fs::remove_file(made) }.unwrap();
    }
}
