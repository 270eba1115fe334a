//! `tailrace capture`: every table on its own, so that one bad table never stops the others.

mod report;

use std::sync::Arc;

use clap::Args;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::archive::{Archive, log_failure};
use super::live::{self, Regions};
use super::output::Output;
use super::table::TableName;
use crate::capture::{
    Capture as Run, CaptureError, CaptureInput, CaptureOptions as RunOptions, CaptureSummary, Describe, Ended, Observer,
};
use crate::config::raw::CaptureOptions;
use crate::config::{CaptureConfig, limits};
use crate::failure::{Exit, Failure};
use crate::platform::{aws, tasks};
use crate::shard::StreamSource;
use crate::shard::dynamodb::DynamoStream;
use crate::shard::table::{self, TableFacts};
pub(super) use report::observer;
use report::{Captured, Summary};

/// An emulator that lists an ending sequence number on open shards too; it stands in its ARNs for the region.
const LISTS_ENDS: &str = "dynoxide";

/// Arguments.
#[derive(Debug, Args)]
pub struct Capture {
    #[command(flatten)]
    options: CaptureOptions,
    /// End as soon as everything up to now is archived
    #[arg(long, env = "TAILRACE_ONCE", value_parser = clap::builder::BoolishValueParser::new())]
    once: bool,
}

pub(super) async fn run(context: &Context, args: &Capture) -> Result<(), Failure> {
    let config = CaptureConfig::resolve(&args.options, &context.loaded.file.capture)?;
    let names = config.tables.iter().map(|name| name.parse()).collect::<Result<Vec<TableName>, Failure>>()?;
    let archive = context.archive().await?;
    let mut regions = Regions::default();
    let mut running = FuturesUnordered::new();
    let mut failed = Vec::new();
    for name in &names {
        match prepare(&mut regions, &archive, name, &config, args.once, &context.out).await {
            Ok(input) => running.push(one(name.to_string(), input, context.stop.drain.clone())),
            Err(failure) => failed.push(refuse(&context.out, &names, failure)),
        }
    }
    let mut done = Vec::new();
    while let Some(ended) = running.next().await {
        match ended {
            Ok(captured) => {
                context.out.result("captured", &captured);
                done.push(captured);
            }
            Err(failure) => failed.push(refuse(&context.out, &names, failure)),
        }
    }
    context.out.summary(&Summary::of(&done, failed.len()));
    outcome(&done, failed, &archive.location(), args.once)
}

/// Where one table of several fails, the user hears of it at once: the others may go on for months.
fn refuse(out: &Output, names: &[TableName], failure: Failure) -> Failure {
    if names.len() > 1 {
        out.warn(&failure);
    }
    failure
}

/// Everything that one capture needs; what is wrong with a table shows here.
async fn prepare(
    regions: &mut Regions,
    archive: &Archive,
    name: &TableName,
    config: &CaptureConfig,
    once: bool,
    out: &Output,
) -> Result<CaptureInput, Failure> {
    let aws = regions.of(name.region.as_deref()).await?;
    let facts = live::describe(&aws, name).await?;
    if config.settle < limits::SETTLE_LEAST && aws::endpoint_of(&aws, "DynamoDB Streams").is_none() {
        let what = "AWS's own streams need at least 60s to settle";
        return Err(Failure::new(Exit::Usage, what, "--settle", "leave it out, or give 60s or more"));
    }
    let observer = observer(out.clone(), facts.identity.clone());
    Ok(input(archive, &aws, facts, RunOptions { once, ..options(config) }, observer))
}

/// How a capture goes about it, as configured.
pub(super) fn options(config: &CaptureConfig) -> RunOptions {
    let CaptureConfig { flush_bytes, flush_age, settle, .. } = *config;
    RunOptions { flush_bytes, flush_age, settle, ..RunOptions::default() }
}

/// The input of a capture of the table that `facts` describe.
pub(super) fn input(
    archive: &Archive,
    aws: &aws_config::SdkConfig,
    facts: TableFacts,
    mut options: RunOptions,
    observer: Observer,
) -> CaptureInput {
    let streams = aws.clone();
    options.ends_mean_nothing = facts.identity.region == LISTS_ENDS;
    CaptureInput {
        observer,
        describe: describe_again(aws, facts.arn.clone()),
        facts,
        streams: Arc::new(move |arn: &str| Arc::new(DynamoStream::new(&streams, arn)) as Arc<dyn StreamSource>),
        store: Arc::clone(&archive.store),
        origin: archive.origin.clone(),
        ids: archive.ids.clone(),
        options,
    }
}

/// Asks for the table by its ARN: a name could mean another account's by then.
fn describe_again(aws: &aws_config::SdkConfig, arn: String) -> Describe {
    let aws = aws.clone();
    Arc::new(move || {
        let (aws, arn) = (aws.clone(), arn.clone());
        Box::pin(async move { table::describe(&aws, &arn).await })
    })
}

/// Runs on a task of its own: what one table computes does not hold up another.
async fn one(table: String, input: CaptureInput, stop: CancellationToken) -> Result<Captured, Failure> {
    let ended = tasks::spawn(async move { Run::new(input).run(stop).await }).await;
    match ended {
        Ok(Ok(summary)) => Ok(Captured::of(table, &summary)),
        Ok(Err(error)) => Err(failure(&error, &table)),
        Err(error) => Err(failure(&CaptureError::Task(error.to_string()), &table)),
    }
}

fn outcome(done: &[Captured], mut failed: Vec<Failure>, place: &str, once: bool) -> Result<(), Failure> {
    match (done.len(), failed.len()) {
        (_, 0) => ended(done, once),
        (0, 1) => Err(failed.remove(0)),
        (0, _) if failed.iter().all(|failure| failure.exit == failed[0].exit) => {
            Err(joined(failed[0].exit, &failed, place))
        }
        (0, _) => Err(joined(Exit::Failure, &failed, place)),
        _ => Err(joined(Exit::Partial, &failed, place)),
    }
}

fn joined(exit: Exit, failed: &[Failure], place: &str) -> Failure {
    let reasons: Vec<String> = failed.iter().map(|failure| format!("{}: {}", failure.place, failure.what)).collect();
    let what = format!("{} tables were not captured: {}", failed.len(), reasons.join("; "));
    Failure::new(exit, what, place, "mend each table as its warning says; the others are not affected")
}

/// With `--once` a stream that is off or gone is an answer of its own.
fn ended(done: &[Captured], once: bool) -> Result<(), Failure> {
    let Some(off) = done.iter().find(|captured| once && captured.coverage_ended.is_some()) else { return Ok(()) };
    let reason = off.coverage_ended.as_deref().unwrap_or_default();
    let what = format!("the stream has ended ({reason}); what was readable is archived");
    Err(Failure::new(
        Exit::OutsideCoverage,
        what,
        &off.table,
        "turn the stream on again, or ask for times before its end",
    ))
}

pub(super) fn failure(error: &CaptureError, table: &str) -> Failure {
    let next = "mend the cause and start it again: it goes on from what was committed";
    let plain = |exit| {
        let text = error.to_string();
        let (what, next) = text.split_once("; ").unwrap_or((&text, next));
        Failure::new(exit, what, table, next)
    };
    match error {
        CaptureError::NoStream { table: name } => {
            live::failure(&table::TableError::StreamOff { table: name.clone() }, table)
        }
        CaptureError::ViewType { .. } => plain(Exit::Configuration),
        CaptureError::Store(error) => error.failure(table),
        CaptureError::Log(error) => log_failure(error, table),
        _ => plain(Exit::Failure),
    }
}
