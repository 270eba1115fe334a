//! `tailrace gaps explain`: what a gap leaves exact at a time, counted item by item.

use std::fmt;

use clap::Args;
use serde::Serialize;

use super::super::{Context, moment};
use super::{named, one};
use crate::change::Second;
use crate::failure::Failure;
use crate::manifest::{Unknown, unknown};
use crate::replay::{self, Explained, Options, Point, ReplayError};

/// Arguments.
#[derive(Debug, Args)]
pub struct Explain {
    /// The gap's id, as `gaps list` prints it
    #[arg(value_name = "ID")]
    id: String,
    /// The table
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE")]
    table: String,
    /// The time to judge [default: the latest that is likely complete]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
}

pub(super) async fn run(context: &Context, args: &Explain) -> Result<(), Failure> {
    let at = args.at.as_deref().map(|text| moment::second("--at", text)).transpose()?;
    let archive = context.archive().await?;
    let mut timeline = one(&archive, &args.table).await?;
    let place = timeline.place(&archive);
    timeline.load_all(&place).await?;
    let manifest = &timeline.manifest;
    let gap = named(manifest, std::slice::from_ref(&args.id), "ID", &place)?.remove(0);
    let at = at.or(manifest.closed_through).unwrap_or(gap.to_cut);
    // Every gap is gone past: how much any of them hides is the question.
    let accepted = manifest.gaps.iter().map(|gap| gap.id).collect();
    let failed = |error: ReplayError| error.to_failure(&place);
    let plan = replay::plan(manifest, Point::at(at), &Options { accepted, ..Options::default() });
    let plan = plan.map_err(|refusal| failed(refusal.into()))?;
    let segments = timeline.segments(&archive);
    let counted = context.stop.unless_stopped(Box::pin(replay::explain(&plan, &segments))).await;
    let stopped = || context.stop.stopped("stopped before everything was counted", &args.table);
    let counts = counted.ok_or_else(stopped)?.map_err(failed)?;
    let of_this = unknown::all(manifest).into_iter().find(|unknown| unknown.gap() == Some(gap.id));
    let meets = plan.accepted.iter().any(|unknown| unknown.gap() == Some(gap.id));
    context.out.summary(&Answer { table: timeline.table.to_string(), at, gap: of_this, meets, counts });
    Ok(())
}

#[derive(Debug, Serialize)]
struct Answer {
    table: String,
    at: Second,
    gap: Option<Unknown>,
    /// Whether the answer at this time goes past the gap at all.
    meets: bool,
    #[serde(flatten)]
    counts: Explained,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, at, gap, meets, counts: Explained { items, exact, may_be_wrong } } = self;
        if let Some(gap) = gap {
            writeln!(f, "{table}: {gap}")?;
        }
        if !meets {
            writeln!(f, "at {at} the answer does not depend on it")?;
        }
        writeln!(f, "at {at}: {items} items; {exact} exact, {may_be_wrong} may be wrong")?;
        write!(
            f,
            "exact: a change archived since tells the item; may be wrong: a lost change may have come last\n\
             not counted: items that only lost changes made, and items absent now that a lost change made anew"
        )
    }
}
