//! `tailrace capture`: every table on its own, so that one bad table never stops the others.

mod crew;
mod daily;
mod first;
mod fleet;
mod keep;
mod report;
mod selection;

use std::sync::Arc;

use clap::Args;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::archive::{Archive, log_failure};
use super::live;
use crate::capture::{
    CaptureError, CaptureInput, CaptureOptions as RunOptions, CaptureSummary, Describe, Ended, Memory, Observer,
};
use crate::config::raw::{BaseOptions, CaptureOptions, ServiceOptions};
use crate::config::{BaseConfig, CaptureConfig, limits};
use crate::failure::{Exit, Failure};
use crate::manifest::action::UNSELECTED;
use crate::platform::aws;
use crate::service::{self, Board, Listening, Pinging};
use crate::shard::StreamSource;
use crate::shard::dynamodb::DynamoStream;
use crate::shard::table::{self, TableError, TableFacts, turn_on};
use crew::Crew;
use fleet::Fleet;
use keep::Keeper;
pub(super) use report::observer;
use report::{Captured, Summary};
use selection::Share;

/// An emulator that lists an ending sequence number on open shards too; it stands in its ARNs for the region.
const LISTS_ENDS: &str = "dynoxide";

/// Arguments.
#[derive(Debug, Args)]
pub struct Capture {
    #[command(flatten)]
    options: CaptureOptions,
    #[command(flatten)]
    service: ServiceOptions,
    /// Archive this share of the tables, one of N that are run with 1/N to N/N
    #[arg(long, value_name = "I/N", env = "TAILRACE_WORKER")]
    worker: Option<Share>,
    /// End as soon as everything up to now is archived
    #[arg(long, env = "TAILRACE_ONCE", value_parser = clap::builder::BoolishValueParser::new())]
    once: bool,
}

pub(super) async fn run(context: &Context, args: &Capture) -> Result<(), Failure> {
    let config = CaptureConfig::resolve(&args.options, &context.loaded.file)?;
    let fleet = Fleet::of(&config, args.worker)?;
    let opened = context.stop.unless_stopped(Box::pin(context.archive())).await;
    let Some(archive) = opened.transpose()? else { return Ok(()) };
    let board = Arc::new(Board::default());
    let _listening = listen(context, args, &board).await?;
    let _pinging = ping(context, args, &board)?;
    let budget = args.service.base_budget.or(context.loaded.file.service.base_budget);
    let keeper = Keeper {
        archive: &archive,
        config: &config,
        once: args.once,
        many: fleet.many(),
        memory: Memory::new(limits::MEMORY),
        sealing: Mutex::default(),
        snapshots: Semaphore::new(first::AT_ONCE),
        tried: Mutex::default(),
        base: BaseConfig::resolve(&BaseOptions::default(), &context.loaded.file.base),
        base_budget: budget.unwrap_or(limits::BASE_BUDGET),
        out: &context.out,
        board: &board,
    };
    let mut crew = Crew::new(&keeper, fleet, &context.stop);
    let running = crew.muster().await?;
    board.started();
    if (running > 0 || crew.failed.is_empty()) && !args.once {
        let tables = crew.tables();
        context.out.note(&format!("archiving {tables} into {}; Ctrl-C ends it", archive.location()));
    }
    crew.run().await;
    let (done, failed) = (crew.done, crew.failed);
    context.out.summary(&Summary::of(&done, failed.len()));
    // Whoever ends it in an orderly way has heard of streams that ended before.
    let ended = done.iter().find_map(over).filter(|_| !context.stop.drain.is_cancelled());
    outcome(done.len(), failed, &archive.location(), ended)
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
        let_go: CancellationToken::new(),
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

/// A stream that is off or gone ends its capture, and is an answer of its own. A table that is let go is not.
fn over(captured: &Captured) -> Option<Failure> {
    let reason = captured.coverage_ended.as_ref().filter(|reason| *reason != UNSELECTED)?;
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
