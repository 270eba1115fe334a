//! The checks. Each says what it saw, or what is wrong and how to mend it. None writes anything.

use aws_config::SdkConfig;

use super::super::Context;
use super::super::archive::Archive;
use super::super::coverage::Until;
use super::super::gaps;
use super::super::live::{self, Regions};
use super::super::table::TableName;
use super::{Found, failed};
use crate::base::export::TableExport as _;
use crate::base::scan::{DynamoTable, TableScan};
use crate::change::TableIdentity;
use crate::failure::{Exit, Failure};
use crate::platform::aws::ServiceError;
use crate::platform::clock;
use crate::shard::dynamodb::DynamoStream;
use crate::shard::table::TableFacts;
use crate::shard::{ReadFrom, SourceError, StreamSource as _};

/// Signed requests are refused when the clocks differ by five minutes.
const SKEW_MOST: i64 = 300;
/// A difference that a machine with a time service does not have.
const SKEW_WARNS: i64 = 10;
/// Behind by this, an hour of the service's day is gone.
const BEHIND_WARNS: i64 = 3600;

/// The archive is there, can be read, and its store has no rule against it.
pub(super) async fn archive(context: &Context) -> Result<Found<Archive>, Failure> {
    let archive = context.archive().await?;
    let place = archive.location();
    match archive.store.unfit().await {
        Ok(None) => Ok(Found::well(archive, format!("{place} can be read"))),
        Ok(Some(why)) => Ok(Found::but(archive, format!("{place} can be read"), why)),
        Err(error) => {
            let next = format!("the store's own rules could not be asked for: {error}");
            Ok(Found::but(archive, format!("{place} can be read"), next))
        }
    }
}

/// There are credentials and a region.
pub(super) async fn credentials(name: &TableName) -> Result<Found<SdkConfig>, Failure> {
    let aws = Regions::default().of(name.region.as_deref()).await?;
    let region = aws.region().map(ToString::to_string).unwrap_or_default();
    Ok(Found::well(aws, format!("found, for the region {region}")))
}

/// The table is there and may be described.
pub(super) async fn table(aws: &SdkConfig, name: &TableName) -> Result<Found<TableFacts>, Failure> {
    let facts = live::describe(aws, name).await?;
    let what = format!("{}: about {} items, {} bytes", facts.identity, facts.items, facts.bytes);
    Ok(Found::well(facts, what))
}

/// This machine's clock is the service's, nearly.
pub(super) async fn clock(aws: &SdkConfig, name: &TableName) -> Result<Found<()>, Failure> {
    let before = clock::wall();
    let told = TableScan::now(&DynamoTable::connect(aws, name.asked())).await;
    let next = "set this machine's clock (chrony, systemd-timesyncd): signed requests are refused at 5 minutes";
    let told = told.map_err(|error| service(&error, "asking for the service's time", "dynamodb:DescribeTable"))?;
    let skew = (told.0 - before.0).abs();
    let what = format!("{skew} s from the service's");
    match skew {
        SKEW_MOST.. => Err(failed(what, "this machine", next)),
        SKEW_WARNS.. => Ok(Found::but((), what, next)),
        _ => Ok(Found::well((), what)),
    }
}

/// The stream is on and carries images.
pub(super) fn view_type(facts: &TableFacts) -> Result<Found<()>, Failure> {
    let place = facts.identity.to_string();
    let stream = facts.live_stream().map_err(|error| live::failure(&error, &place))?;
    let what = format!("the stream is on and carries {}", stream.view_type);
    Ok(match stream.view_type.as_str() {
        "NEW_AND_OLD_IMAGES" => Found::well((), what),
        _ => {
            let next = "replays only go forward from a snapshot; NEW_AND_OLD_IMAGES lets them go back, too";
            Found::but((), what, next)
        }
    })
}

/// Shards may be listed, and one of them read.
pub(super) async fn stream(aws: &SdkConfig, facts: &TableFacts) -> Result<Found<()>, Failure> {
    let place = facts.identity.to_string();
    let stream = facts.live_stream().map_err(|error| live::failure(&error, &place))?;
    let source = DynamoStream::new(aws, &*stream.arn);
    let listing = source.list().await.map_err(|error| of_source(&error, "listing the shards", DESCRIBE))?;
    let open = listing.shards.iter().filter(|shard| shard.end.is_none()).count();
    if let Some(shard) = listing.shards.last() {
        let read = async { source.read(&source.iterator(&shard.id, ReadFrom::TrimHorizon).await?).await };
        read.await.map_err(|error| of_source(&error, "reading a shard", READ))?;
    }
    Ok(Found::well((), format!("{} shards, {open} of them open; one was read", listing.shards.len())))
}

/// How a snapshot of the table can be taken. A table without point-in-time recovery is no worse a table for it.
pub(super) async fn snapshots(aws: &SdkConfig, facts: &TableFacts) -> Found<()> {
    match DynamoTable::connect(aws, &*facts.identity.name).recoverable().await {
        Ok(true) => Found::well((), "by scan, or by export (`base --export`): point-in-time recovery is on"),
        Ok(false) => Found::well((), "by scan; by export once point-in-time recovery is on"),
        Err(ServiceError::Denied(_)) => Found::well((), "by scan; by export with dynamodb:DescribeContinuousBackups"),
        Err(error) => Found::well((), format!("by scan; whether by export is not known: {error}")),
    }
}

const DESCRIBE: &str = "dynamodb:DescribeStream";
const READ: &str = "dynamodb:GetShardIterator and dynamodb:GetRecords";

fn of_source(error: &SourceError, doing: &str, action: &str) -> Failure {
    match error {
        SourceError::Service(error) => service(error, doing, action),
        other => failed(format!("{doing} failed: {other}"), "the stream", "run it again"),
    }
}

fn service(error: &ServiceError, doing: &str, action: &str) -> Failure {
    let what = format!("{doing} failed: {error}");
    match error {
        ServiceError::Denied(_) => {
            Failure::new(Exit::Credentials, what, "the service", format!("sign in again, or grant {action}"))
        }
        _ => failed(what, "the service", "see that the endpoint answers, and run it again"),
    }
}

/// How the archive stands to the table: how far, with what gaps, and whether a replay has something to begin with.
pub(super) async fn archived(archive: &Archive, table: &TableIdentity) -> Result<Found<()>, Failure> {
    let known = archive.timelines(None).await?;
    if !known.contains(table) {
        let what = "nothing of this table is archived yet";
        return Ok(Found::but((), what, "start `tailrace capture`, then take a snapshot with `tailrace base`"));
    }
    let opened = archive.open(table.clone()).await?;
    if let Some(cut_short) = opened.cut_short() {
        return Err(cut_short);
    }
    let manifest = &opened.manifest;
    let behind = manifest.closed_through.map(|closed| clock::wall().0 - closed.0);
    let what = format!("likely complete up to {}, {} snapshots", Until(manifest.closed_through), manifest.bases.len());
    let open = gaps::open(manifest);
    Ok(match behind {
        _ if !open.is_empty() => {
            let next = format!("changes were lost: gap {}; see `tailrace gaps list`", open.join(", "));
            Found::but((), what, next)
        }
        Some(behind) if behind > BEHIND_WARNS => {
            Found::but((), what, "see that `tailrace capture` runs: the service keeps what is missing for 24 hours")
        }
        _ if manifest.bases.is_empty() => {
            Found::but((), what, "take a snapshot with `tailrace base`: a replay of the whole table begins with one")
        }
        _ => Found::well((), what),
    })
}
