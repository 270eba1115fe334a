//! `tailrace diff`: what differs between the table at one time and at another, or now.

mod live;

use std::fmt;

use clap::Args;
use futures::future;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Context;
use super::archive::{Archive, Opened};
use super::fields::{Changes, unreadable};
use super::gaps::{named, one};
use super::moment::asked_at;
use super::table::TableName;
use crate::change::image::ImageError;
use crate::failure::Failure;
use crate::manifest::Unknown;
use crate::replay::{self, Asked, Bounds, Difference, Differences, Options, Plan, Point};
use live::Live;

/// The word for the table itself.
const LIVE: &str = "live";
/// Differences that wait to be told.
const WAITING: usize = 200;
/// What each of the two images may hold, in bytes.
const MEMORY: usize = 192 << 20;

/// Arguments.
#[derive(Debug, Args)]
pub struct Diff {
    /// The table
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE")]
    table: String,
    /// The table at the end of this second
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    /// Against the table at the end of this second, `latest`, or `live`: the table itself, of which the items are read
    /// that changed since, as far as the archive knows
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: String,
    /// Go past this gap (see `tailrace gaps`): changes in it may be missing from either side. May be given several times
    #[arg(long = "accept-gap", value_name = "ID")]
    accept_gap: Vec<String>,
}

pub(super) async fn run(context: &Context, args: &Diff) -> Result<(), Failure> {
    let name: TableName = args.table.parse()?;
    let (from, to) = (asked_at("--from", &args.from)?, args.to()?);
    let archive = context.archive().await?;
    let mut timeline = one(&archive, &args.table).await?;
    let place = timeline.place(&archive);
    timeline.load_all(&place).await?;
    let live = if args.is_live() { Some(Live::of(&timeline, &name).await?) } else { None };
    let before = plan(&archive, &mut timeline, args, &from, &place).await?;
    let after = plan(&archive, &mut timeline, args, &to, &place).await?;
    let is_final = |plan: &Plan| plan.is_final && !plan.point.latest;
    timeline.serves(is_final(&before) && (is_final(&after) || live.is_some()), &context.out)?;
    let mut done = Done::of(&timeline.table.to_string(), &before, &after, live.is_some());
    let (segments, bounds, (send, differences)) =
        (timeline.segments(&archive), Bounds::of(MEMORY), mpsc::channel(WAITING));
    let (log, manifest) = (&timeline.log, &timeline.manifest);
    let comparing = Box::pin(replay::diff(log, manifest, &segments, (before, after), bounds, send));
    let telling = tell(context, live.as_ref(), differences, &place);
    let compared = context.stop.unless_stopped(future::join(comparing, telling)).await;
    let stopped = || context.stop.stopped("stopped before everything was compared", &args.table);
    let (counts, told) = compared.ok_or_else(stopped)?;
    // Who cannot tell what differs stops the comparison.
    let told = told?;
    let counts = counts.map_err(|error| error.to_failure(&place))?;
    done.counts = told.map_or(counts, |told| Differences { same: told.same + counts.same, ..told });
    context.out.summary(&done);
    Ok(())
}

/// Prints differences as they come, those from the live items where there are any; their counts then.
async fn tell(
    context: &Context,
    live: Option<&Live>,
    mut differences: mpsc::Receiver<Difference>,
    place: &str,
) -> Result<Option<Differences>, Failure> {
    let print = |difference: &Difference| {
        context.out.result("difference", &Shown::of(difference).map_err(|error| unreadable(&error, place))?);
        Ok(())
    };
    if let Some(live) = live {
        return live.compare(differences, print).await.map(Some);
    }
    while let Some(difference) = differences.recv().await {
        print(&difference)?;
    }
    Ok(None)
}

impl Diff {
    fn is_live(&self) -> bool {
        self.to == LIVE
    }

    /// The later time. What the archive holds last tells which items may differ from the live ones.
    fn to(&self) -> Result<Asked, Failure> {
        if self.is_live() {
            return Ok(Asked::Latest);
        }
        asked_at("--to", &self.to)
            .map_err(|failure| Failure { next: format!("{}, or --to {LIVE}", failure.next), ..failure })
    }
}

async fn plan(
    archive: &Archive,
    timeline: &mut Opened,
    args: &Diff,
    asked: &Asked,
    place: &str,
) -> Result<Plan, Failure> {
    let accepted = named(&timeline.manifest, &args.accept_gap, "--accept-gap", place)?;
    let options = Options { accepted: accepted.into_iter().map(|gap| gap.id).collect(), ..Options::default() };
    let segments = timeline.segments(archive);
    let planned = replay::planned(asked, &timeline.log, &mut timeline.manifest, &segments, &options).await;
    planned.map_err(|error| error.to_failure(place))
}

/// An item that differs, as it is printed.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    change: &'static str,
    pk: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sk: Option<&'a str>,
    changes: Changes<'a>,
}

impl<'a> Shown<'a> {
    fn of(difference: &'a Difference) -> Result<Self, ImageError> {
        let (before, after) = (difference.before.as_ref(), difference.after.as_ref());
        let change = match (before, after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        let (pk, sk) = (difference.pk.as_str(), difference.sk.as_ref().map(|sk| sk.as_str()));
        Ok(Self { change, pk, sk, changes: Changes::between(before, after)? })
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.change, self.pk)?;
        self.sk.map_or(Ok(()), |sk| write!(f, " {sk:?}"))?;
        self.changes.fmt(f)
    }
}

#[derive(Debug, Serialize)]
struct Done {
    table: String,
    from: Point,
    to: Point,
    /// Compared with the table itself, of which the items were read that differ up to `to`.
    live: bool,
    #[serde(flatten)]
    counts: Differences,
    /// What was gone past on either side.
    accepted_gaps: Vec<Unknown>,
}

impl Done {
    fn of(table: &str, before: &Plan, after: &Plan, live: bool) -> Self {
        let mut accepted_gaps = before.accepted.clone();
        accepted_gaps.extend(after.accepted.iter().filter(|gap| !before.accepted.contains(gap)).cloned());
        let (from, to) = (before.point.clone(), after.point.clone());
        Self { table: table.to_owned(), from, to, live, counts: Differences::default(), accepted_gaps }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Differences { added, removed, changed, same } = self.counts;
        let to = if self.live {
            format!("the live table (changes archived up to {})", self.to)
        } else {
            self.to.to_string()
        };
        write!(f, "from {} to {to}: {added} added, {removed} removed, {changed} changed, {same} the same", self.from)?;
        self.accepted_gaps.iter().try_for_each(|gap| write!(f, "\nnot exact: it goes past {gap}"))
    }
}
