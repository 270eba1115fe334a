//! `tailrace verify`

use std::fmt;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Context;
use super::archive::log_failure;
use super::table::TableName;
use crate::failure::{Exit, Failure};
use crate::verify::{self, Counts, Finding, Level, VerifyError};

/// Arguments.
#[derive(Debug, Args)]
pub struct Verify {
    /// Only this table
    #[arg(long = "table", short = 't', value_name = "TABLE")]
    table: Option<String>,
    /// How deep to look; only `full` reads every object
    #[arg(long, value_name = "LEVEL", env = "TAILRACE_LEVEL", default_value = "full")]
    level: Depth,
}

/// How deep to look.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Depth {
    /// The log and what opening it needs, by some hundreds of requests also for a million entries: a pack stands for
    /// its 10,000 entries where they chain to the last of them, so a byte that flips in the object of one of those
    /// entries, or in a fold far behind the tail, is not seen
    Log,
    /// Every entry, fold, pack and segment, down to the rows
    Full,
}

pub(super) async fn run(context: &Context, args: &Verify) -> Result<(), Failure> {
    let name = args.table.as_deref().map(str::parse::<TableName>).transpose()?;
    let archive = context.archive().await?;
    let level = match args.level {
        Depth::Log => Level::Log,
        Depth::Full => Level::Full,
    };
    let mut total = Counts::default();
    let mut first = None;
    for table in archive.timelines(name.as_ref()).await? {
        let bar = context.out.progress(0, &table.name);
        let told = |finding: &Finding| {
            context.out.result("finding", finding);
            if first.is_none() && finding.state.is_damage() {
                first = Some(finding.clone());
            }
        };
        let counts = verify::table(&archive.store, &table, level, told, |entries, of| {
            bar.set_length(of);
            bar.set_position(entries);
        })
        .await
        .map_err(|error| failure(&error, &archive.location()))?;
        bar.finish_and_clear();
        context.out.result("verified", &Verified { table: table.to_string(), counts });
        total.add(&counts);
    }
    if name.is_none() {
        let told = |finding: &Finding| context.out.result("finding", finding);
        let strays = verify::root(&archive.store, told).await;
        total.add(&strays.map_err(|error| failure(&error, &archive.location()))?);
    }
    context.out.summary(&Summary(total));
    first.map_or(Ok(()), |finding| Err(damaged(&finding, &total)))
}

fn damaged(first: &Finding, total: &Counts) -> Failure {
    let what = match total.damaged() {
        1 => format!("1 object is damaged: {}", first.reason),
        many => format!("{many} objects are damaged; the first: {}", first.reason),
    };
    let next =
        "restore the objects from a copy or from the bucket's versions; replays that need them refuse until then";
    Failure::new(Exit::VerificationFailed, what, &first.object, next)
}

fn failure(error: &VerifyError, place: &str) -> Failure {
    match error {
        VerifyError::Store(error) => error.failure(place),
        VerifyError::Log(error) => log_failure(error, place),
    }
}

#[derive(Serialize)]
struct Verified {
    table: String,
    #[serde(flatten)]
    counts: Counts,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.counts)
    }
}

#[derive(Serialize)]
struct Summary(Counts);

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sound = if self.0.is_sound() { "the archive is sound" } else { "the archive is damaged" };
        write!(f, "{sound}")
    }
}
