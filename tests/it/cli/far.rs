//! A store that is far away: the same commands on the same archive, on this machine's disk and through S3 with 20 ms added
//! to every request.

use std::time::Instant;

use super::*;
use crate::support::s3_server::{BUCKET, Rules, S3Server};

/// What every request takes longer.
const LATENCY: Duration = Duration::from_millis(20);

/// Runs of the same command, of which the median counts.
const ROUNDS: usize = 3;

/// Seconds of the median run.
async fn timed(shell: &Shell, arguments: &[&str]) -> f64 {
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        let _ = std::fs::remove_file(shell.path("out.parquet"));
        let begun = Instant::now();
        shell.run(arguments).await.is(0);
        seconds.push(begun.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}

/// `TAILRACE_HISTORY` is an archive of a table `orders`, `TAILRACE_ASK` the commands, apart by commas.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign, by hand: it wants a large archive"]
async fn campaign_far_store() {
    let history = PathBuf::from(std::env::var("TAILRACE_HISTORY").unwrap());
    let server = S3Server::start(Rules { latency: LATENCY, ..Rules::default() }).await;
    for (path, bytes) in files(&history) {
        let name = path.strip_prefix(&history).unwrap().display().to_string();
        bytes.into_iter().for_each(|bytes| server.bucket.place(&format!("keep/{name}"), bytes.into()));
    }
    let near = Shell::new().with("TAILRACE_ARCHIVE", history.to_str().unwrap());
    let far = Shell::new().with_aws(&server.config).with("TAILRACE_ARCHIVE", &format!("s3://{BUCKET}/keep"));
    for command in std::env::var("TAILRACE_ASK").unwrap().split(',') {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let here = timed(&near, &arguments).await;
        let (asked, sent) = (server.asked(), server.bucket.sent());
        let there = timed(&far, &arguments).await;
        let requests = (server.asked() - asked) / ROUNDS as u64;
        let mib = ((server.bucket.sent() - sent) / ROUNDS as u64) >> 20;
        println!("campaign: {command}: {here:.2} s here, {there:.2} s there, {requests} requests, {mib} MiB");
    }
}
