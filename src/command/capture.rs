//! `tailrace capture`: every table on its own, so that one bad table never stops the others.

mod keep;
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
    CaptureError, CaptureInput, CaptureOptions as RunOptions, CaptureSummary, Describe, Ended, Memory, Observer,
};
use crate::config::raw::{CaptureOptions, ServiceOptions};
use crate::config::{CaptureConfig, limits};
use crate::failure::{Exit, Failure};
use crate::platform::aws;
use crate::service::{self, Board, Listening, Pinging};
use crate::shard::StreamSource;
use crate::shard::dynamodb::DynamoStream;
use crate::shard::table::{self, TableError, TableFacts, turn_on};
use keep::Keeper;
pub(super) use report::observer;
use report::{Captured, Summary};

/// An emulator that lists an ending sequence number on open shards too; it stands in its ARNs for the region.
const LISTS_ENDS: &str = "dynoxide";

/// Arguments.
#[derive(Debug, Args)]
pub struct Capture {
    #[command(flatten)]
    options: CaptureOptions,
    #[command(flatten)]
    service: ServiceOptions,
    /// End as soon as everything up to now is archived
    #[arg(long, env = "TAILRACE_ONCE", value_parser = clap::builder::BoolishValueParser::new())]
    once: bool,
}

pub(super) async fn run(context: &Context, args: &Capture) -> Result<(), Failure> {
    let config = CaptureConfig::resolve(&args.options, &context.loaded.file.capture)?;
    let names = config.tables.iter().map(|name| name.parse()).collect::<Result<Vec<TableName>, Failure>>()?;
    let opened = context.stop.unless_stopped(Box::pin(context.archive())).await;
    let Some(archive) = opened.transpose()? else { return Ok(()) };
    let memory = Memory::new(limits::MEMORY);
    let (stop, board) = (&context.stop.drain, Arc::new(Board::default()));
    let _listening = listen(context, args, &board).await?;
    let _pinging = ping(context, args, &board)?;
    let keeper =
        Keeper { archive: &archive, config: &config, once: args.once, memory, out: &context.out, board: &board, stop };
    let mut regions = Regions::default();
    let mut running = FuturesUnordered::new();
    let mut failed = Vec::new();
    for name in &names {
        let prepared = async {
            let aws = regions.of(name.region.as_deref()).await?;
            let prepared = keeper.prepare(&aws, name).await;
            Ok::<_, Failure>((aws, prepared))
        };
        match context.stop.unless_stopped(Box::pin(prepared)).await {
            Some(Ok((aws, prepared))) if prepared.is_ok() || keeper.tries_again() => {
                running.push(keeper.keep(aws, name.clone(), prepared));
            }
            Some(Ok((_, Err(failure))) | Err(failure)) => {
                board.failed(&name.to_string());
                failed.push(refuse(&context.out, &names, failure));
            }
            _ => break,
        }
    }
    board.started();
    if !running.is_empty() && !args.once {
        context.out.note(&format!("archiving {} into {}; Ctrl-C ends it", count(running.len()), archive.location()));
    }
    let mut done = Vec::new();
    while let Some(ended) = next(&mut running, stop, &board).await {
        match ended {
            Ok(captured) => {
                context.out.result("captured", &captured);
                if let Some(failure) = over(&captured).filter(|_| names.len() > 1) {
                    context.out.warn(&failure);
                }
                done.push(captured);
            }
            Err(failure) => failed.push(refuse(&context.out, &names, failure)),
        }
    }
    context.out.summary(&Summary::of(&done, failed.len()));
    // Whoever ends it in an orderly way has heard of streams that ended before.
    let ended = done.iter().find_map(over).filter(|_| !context.stop.drain.is_cancelled());
    outcome(done.len(), failed, &archive.location(), ended)
}

/// The next table that ends; from the moment of a stop on the board says so.
async fn next<T>(running: &mut FuturesUnordered<T>, stop: &CancellationToken, board: &Board) -> Option<T::Output>
where
    T: Future,
{
    tokio::select! {
        biased;
        ended = running.next() => return ended,
        () = stop.cancelled(), if !stop.is_cancelled() => {}
    }
    board.draining();
    running.next().await
}

/// Opens the pages for operators, where they are asked for.
async fn listen(context: &Context, args: &Capture, board: &Arc<Board>) -> Result<Option<Listening>, Failure> {
    let address = args.service.listen.as_ref().or(context.loaded.file.service.listen.as_ref());
    let Some(address) = address else { return Ok(None) };
    let listening = service::listen(address, Arc::clone(board)).await.map_err(|error| {
        let next = "name an address of this machine with a free port, e.g. --listen 127.0.0.1:9464";
        Failure::new(Exit::Usage, format!("nothing can listen at {address}: {error}"), "--listen", next)
    })?;
    context.out.note(&format!("metrics at http://{}/metrics", listening.address));
    Ok(Some(listening))
}

/// Tells somebody outside that all is well, where it is asked for.
fn ping(context: &Context, args: &Capture, board: &Arc<Board>) -> Result<Option<Pinging>, Failure> {
    let url = args.service.heartbeat_url.as_ref().or(context.loaded.file.service.heartbeat_url.as_ref());
    let pinging = url.map(|url| service::ping(url, Arc::clone(board))).transpose();
    pinging.map_err(|why| {
        let next = "give the whole address that the monitoring service shows, e.g. https://hc-ping.com/<uuid>";
        Failure::new(Exit::Usage, format!("no heartbeat can be sent: {why}"), "--heartbeat-url", next)
    })
}

/// So many tables, in words.
pub(super) fn count(tables: usize) -> String {
    if tables == 1 { "1 table".to_owned() } else { format!("{tables} tables") }
}

/// Where one table of several fails, the user hears of it at once: the others may go on for months.
fn refuse(out: &Output, names: &[TableName], failure: Failure) -> Failure {
    if names.len() > 1 {
        out.warn(&failure);
    }
    failure
}

/// How a capture goes about it, as configured.
pub(super) fn options(config: &CaptureConfig) -> RunOptions {
    let CaptureConfig { flush_bytes, flush_age, settle, .. } = *config;
    RunOptions { flush_bytes, flush_age, settle, ..RunOptions::default() }
}

/// What is quick enough for an emulator loses rows of AWS.
pub(super) fn check_settle(aws: &aws_config::SdkConfig, config: &CaptureConfig) -> Result<(), Failure> {
    if config.settle >= limits::SETTLE_LEAST || aws::endpoint_of(aws, "DynamoDB Streams").is_some() {
        return Ok(());
    }
    let what = "AWS's own streams need at least 60s to settle";
    Err(Failure::new(Exit::Usage, what, "--settle", "leave it out, or give 60s or more"))
}

/// The input of a capture of the table that `facts` describe, which shares its memory with no other; `asked` is what
/// the service is asked for.
pub(super) fn input(
    archive: &Archive,
    aws: &aws_config::SdkConfig,
    asked: &str,
    facts: TableFacts,
    mut options: RunOptions,
    observer: Observer,
) -> CaptureInput {
    let streams = aws.clone();
    options.ends_mean_nothing = facts.identity.region == LISTS_ENDS;
    CaptureInput {
        observer,
        describe: describe_again(aws, asked.to_owned()),
        facts,
        streams: Arc::new(move |arn: &str| Arc::new(DynamoStream::new(&streams, arn)) as Arc<dyn StreamSource>),
        store: Arc::clone(&archive.store),
        origin: archive.origin.clone(),
        ids: archive.ids.clone(),
        options,
        memory: Memory::new(limits::MEMORY),
    }
}

/// Asks for the table again.
fn describe_again(aws: &aws_config::SdkConfig, asked: String) -> Describe {
    let aws = aws.clone();
    Arc::new(move || {
        let (aws, asked) = (aws.clone(), asked.clone());
        Box::pin(async move { table::describe(&aws, &asked).await })
    })
}

fn outcome(done: usize, mut failed: Vec<Failure>, place: &str, ended: Option<Failure>) -> Result<(), Failure> {
    match (done, failed.len()) {
        (_, 0) => ended.map_or(Ok(()), Err),
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
    let were = if failed.len() == 1 { "was" } else { "were" };
    let what = format!("{} {were} not captured: {}", count(failed.len()), reasons.join("; "));
    Failure::new(exit, what, place, "mend each table as its warning says; the others are not affected")
}

/// A stream that is off or gone ends its capture, and is an answer of its own.
fn over(captured: &Captured) -> Option<Failure> {
    let reason = captured.coverage_ended.as_ref()?;
    let what = format!("the stream has ended ({reason}); what was readable is archived");
    let next = format!("ask for times before its end, or turn it on again:\n{}", turn_on(&captured.name));
    Some(Failure::new(Exit::OutsideCoverage, what, &captured.table, next))
}

pub(super) fn failure(error: &CaptureError, table: &str) -> Failure {
    let next = "mend the cause and start it again: it goes on from what was committed";
    let plain = |exit| {
        let text = error.to_string();
        let (what, next) = text.split_once("; ").unwrap_or((&text, next));
        Failure::new(exit, what, table, next)
    };
    match error {
        CaptureError::NoStream { table: name } => live::failure(&TableError::StreamOff { table: name.clone() }, table),
        CaptureError::ViewType { table: name, view_type } => {
            live::failure(&TableError::ViewType { table: name.clone(), view_type: view_type.clone() }, table)
        }
        CaptureError::Store(error) => error.failure(table),
        CaptureError::Log(error) => log_failure(error, table),
        _ => plain(Exit::Failure),
    }
}
