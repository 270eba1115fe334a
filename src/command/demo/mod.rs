//! `tailrace demo`: the whole story on one machine, with nothing but this binary.
//!
//! A table is written to while it is archived; a bad deploy ruins a third of it; the second before is
//! replayed into a new table and compared, item by item, with what the writer knows; the archive is verified.

mod archiving;
mod embedded;
mod report;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::parser::ValueSource;

use super::Context;
use crate::failure::{Exit, Failure};
use crate::platform::clock;
use crate::platform::ids::Ids;
use archiving::Archiving;
use embedded::Embedded;
use report::{Disaster, Report};
use workload::{Truth, Workload};

/// The table that the replay makes.
const RESTORED: &str = "orders_restored";

/// Rounds of everyday business before the disaster, one a second.
const ROUNDS: usize = 6;

/// New orders in a round; half as many updates follow, and a tenth as many deletions.
const ORDERS: usize = 300;

/// Arguments.
#[derive(Debug, Args)]
pub struct Demo {
    /// The folder for the archive; it must not hold one yet [default: the first free ./tailrace-demo-N]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Leave the embedded DynamoDB up until Ctrl-C
    #[arg(long)]
    keep_running: bool,
}

pub(super) async fn run(context: &Context, args: &Demo) -> Result<(), Failure> {
    let verb = context.matches.subcommand();
    if verb.is_some_and(|(_, verb)| verb.value_source("archive") == Some(ValueSource::CommandLine)) {
        let what = "the demo makes an archive of its own, in a folder";
        return Err(Failure::new(Exit::Usage, what, "--archive", "leave it out, or name the folder with --folder"));
    }
    let dynamo = Embedded::start().await?;
    let told = context.stop.unless_stopped(Box::pin(tell(context, args, &dynamo))).await;
    told.ok_or_else(|| context.stop.stopped("the demo was stopped before its end", ""))??;
    if args.keep_running {
        context.out.note(&format!("The embedded DynamoDB stays up at {}; Ctrl-C ends it.", dynamo.url()));
        context.stop.drain.cancelled().await;
    }
    dynamo.stop().await;
    Ok(())
}

/// The story, from the first order to the proof.
async fn tell(context: &Context, args: &Demo, dynamo: &Embedded) -> Result<(), Failure> {
    let begun = clock::now();
    let say = |text: String| context.out.note(&text);
    let folder = args.folder.clone().unwrap_or_else(free_folder);
    let mut writer = Workload::create_table(dynamo.client(), Ids::random()).await?;
    say(format!(
        "An embedded DynamoDB runs at {}, with a table `{}` whose stream carries both images.",
        dynamo.url(),
        workload::TABLE
    ));

    let archiving = Archiving::begin(&folder, &dynamo.aws()).await?;
    say(format!("tailrace archives it into {} while a shop writes orders to it.", folder.display()));
    for _ in 0..ROUNDS {
        writer.business(ORDERS).await?;
        clock::sleep(Duration::from_millis(700)).await;
    }
    let truth = writer.truth();
    say(format!("{} changes later the shop holds {} orders.", writer.changes(), truth.len()));

    let disaster = strike(&mut writer).await?;
    say(disaster.to_string());

    archiving.wait_until_closed(disaster.at).await?;
    let before = disaster.at.plus(-1);
    say(format!("Replaying {} as of {before}, the second before, into `{RESTORED}`.", workload::TABLE));
    let replayed = archiving.replay_into(dynamo.client(), before, RESTORED).await?;
    let compared = compare(dynamo, &truth).await?;
    say(format!("All {compared} items are as the writer knows them to have been, attribute by attribute."));

    let archive = archiving.stop_and_verify().await?;
    say(format!(
        "The archive verifies: {} entries, {} segments, {} rows.",
        archive.entries, archive.segments, archive.rows
    ));
    let report =
        Report::new(&folder, &dynamo.url(), writer.changes(), replayed.items, &disaster, &archive, begun.elapsed());
    context.out.summary(&report);
    Ok(())
}

/// The disaster begins with a new second, so that everything before it is stamped before it.
async fn strike(writer: &mut Workload) -> Result<Disaster, Failure> {
    let last = clock::wall();
    while clock::wall() <= last.plus(1) {
        clock::sleep(Duration::from_millis(20)).await;
    }
    let at = clock::wall();
    let (overwritten, deleted) = writer.disaster().await?;
    Ok(Disaster { at, overwritten, deleted })
}

/// Every item of the restored table against the writer's own memory.
async fn compare(dynamo: &Embedded, truth: &Truth) -> Result<usize, Failure> {
    let found = workload::read_table(&dynamo.client(), RESTORED).await?;
    let different = workload::differences(truth, &found);
    match different.first() {
        None => Ok(found.len()),
        Some(first) => Err(Failure::new(
            Exit::VerificationFailed,
            format!("{} of {} items differ from the truth, the first is {first:?}", different.len(), truth.len()),
            RESTORED,
            "this is a bug in tailrace: please report it with the archive",
        )),
    }
}

fn free_folder() -> PathBuf {
    let mut folders = (1_u32..).map(|n| PathBuf::from(format!("tailrace-demo-{n}")));
    folders.find(|folder| !folder.exists()).unwrap_or_else(|| PathBuf::from("tailrace-demo"))
}
