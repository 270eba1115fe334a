//! `tailrace gaps repair`: a snapshot behind the gap, after saying what it mends, what it does not, and what it costs.

use std::fmt;
use std::io::IsTerminal as _;

use clap::Args;
use serde::Serialize;

use super::super::Context;
use super::super::base::{self, Snapshot};
use super::{named, one, served_again};
use crate::change::Second;
use crate::failure::{Exit, Failure};
use crate::manifest::{Gap, Manifest};

/// Arguments.
#[derive(Debug, Args)]
pub struct Repair {
    /// The gap's id, as `gaps list` prints it
    #[arg(value_name = "ID")]
    id: String,
    /// Print what would be done, and stop
    #[arg(long)]
    dry_run: bool,
    /// Go ahead: the snapshot reads the whole table, which is billed
    #[arg(long)]
    yes: bool,
    /// The snapshot.
    #[command(flatten)]
    base: Snapshot,
}

pub(super) async fn run(context: &Context, args: &Repair) -> Result<(), Failure> {
    let archive = context.archive().await?;
    let table = args.base.only_table(context)?;
    let timeline = one(&archive, &table).await?;
    let place = timeline.place(&archive);
    let gap = named(&timeline.manifest, std::slice::from_ref(&args.id), "ID", &place)?.remove(0);
    let plan = RepairPlan::of(&timeline.manifest, &gap);
    context.out.result("repair", &plan);
    if args.dry_run || plan.served_from.is_some() {
        return Ok(());
    }
    if !args.yes {
        let asked = std::io::stdin().is_terminal();
        let next = if asked { "run it again with --yes" } else { "run it again with --yes; --dry-run shows this plan" };
        let what = "the snapshot reads the whole table, which is billed, and nobody has said yes";
        return Err(Failure::new(Exit::NeedsConfirmation, what, place, next));
    }
    base::take(context, &args.base).await
}

/// What a repair will do: a value, made from the log alone.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct RepairPlan {
    gap: String,
    from: Second,
    to: Second,
    /// A snapshot that stands behind the gap already serves these times.
    served_from: Option<Second>,
}

impl RepairPlan {
    fn of(manifest: &Manifest, gap: &Gap) -> Self {
        let served_from = served_again(manifest, gap);
        Self { gap: gap.id.to_string(), from: gap.from_cut, to: gap.to_cut, served_from }
    }
}

impl fmt::Display for RepairPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gap, from, to, served_from } = self;
        if let Some(served_from) = served_from {
            return write!(f, "gap {gap} is repaired: a snapshot serves the times from {served_from} on");
        }
        writeln!(f, "gap {gap}, from {from} to {to}: a snapshot of the table is taken now")?;
        writeln!(f, "  exact again   times after the snapshot is complete, and times after the gap where old images")?;
        writeln!(f, "                were archived: what changed since is undone from the snapshot")?;
        write!(f, "  stays unknown the times of the gap itself: what happened in them nobody recorded")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{GapId, GapReason, ShardKey};

    #[test]
    fn a_gap_is_repaired_by_a_snapshot_begun_behind_it() {
        let gap = Gap {
            id: GapId { n: 7, k: 0 },
            shard: ShardKey { epoch: 1, id: crate::change::ShardId::new("s") },
            reason: Some(GapReason::PossiblyTrimmed),
            from_cut: Second(100),
            to_cut: Second(200),
            acknowledged: None,
        };
        let base = |fence: i64| crate::manifest::Base {
            n: 9,
            base: crate::manifest::BaseCommitted {
                intent: None,
                kind: crate::manifest::BaseKind::Scan,
                fence: Second(fence),
                complete_at: Second(fence + 900),
                name: None,
                checked: None,
                segments: vec![],
            },
        };
        let mut manifest = Manifest { bases: vec![base(199)], ..Manifest::default() };
        assert_eq!(RepairPlan::of(&manifest, &gap).served_from, None);
        manifest.bases.push(base(200));
        assert_eq!(RepairPlan::of(&manifest, &gap).served_from, Some(Second(1100)));
    }
}
