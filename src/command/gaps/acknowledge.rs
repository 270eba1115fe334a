//! `tailrace gaps acknowledge`: a person's word, in the log for ever, that a gap does not matter.

use std::fmt;

use clap::Args;
use serde::Serialize;

use super::super::Context;
use super::super::archive::log_failure;
use super::{named, one};
use crate::failure::{Exit, Failure};
use crate::manifest::action::GapAcknowledged;
use crate::manifest::{Action, Gap, Proposed};

/// Other writers may be faster so many times in a row.
const TRIES: u32 = 20;

/// Arguments.
#[derive(Debug, Args)]
pub struct Acknowledge {
    /// The gaps' ids, as `gaps list` prints them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// The table
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE")]
    table: String,
    /// Why they do not matter, for whoever reads the archive later
    #[arg(long, value_name = "WORDS")]
    reason: String,
}

pub(super) async fn run(context: &Context, args: &Acknowledge) -> Result<(), Failure> {
    if args.reason.trim().is_empty() {
        let next = "say why the gap does not matter: an auditor reads it one day";
        return Err(Failure::new(Exit::Usage, "the reason is empty", "--reason", next));
    }
    let archive = context.archive().await?;
    let mut timeline = one(&archive, &args.table).await?;
    let place = timeline.place(&archive);
    let gaps = named(&timeline.manifest, &args.ids, "ID", &place)?;
    let acknowledged =
        |gap: &Gap| Action::GapAcknowledged(GapAcknowledged { gap: gap.id.to_string(), reason: args.reason.clone() });
    let actions: Vec<Action> = gaps.iter().map(acknowledged).collect();
    for _ in 0..TRIES {
        // No time is asked of a service here: the log's own last one stands for it.
        let at = timeline.manifest.at.unwrap_or_default();
        let proposed = timeline.log.propose(&mut timeline.manifest, at, actions.clone()).await;
        match proposed.map_err(|error| log_failure(&error, &place))? {
            Proposed::Committed { n } => {
                let ids = gaps.iter().map(|gap| gap.id.to_string()).collect();
                context.out.summary(&Done { table: timeline.table.to_string(), entry: n, acknowledged: ids });
                return Ok(());
            }
            Proposed::Lost => {}
            Proposed::Refused(violation) => {
                let next = "report this: what was archived is not affected";
                return Err(Failure::new(Exit::Failure, violation.to_string(), place, next));
            }
        }
    }
    Err(Failure::new(Exit::Failure, "other writers were faster every time", place, "run the same command again"))
}

#[derive(Debug, Serialize)]
struct Done {
    table: String,
    entry: u64,
    acknowledged: Vec<String>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: acknowledged {}, in entry {}", self.table, self.acknowledged.join(", "), self.entry)?;
        write!(f, "replays still stop at it: a snapshot (`tailrace gaps repair`) or --accept-gap goes past it")
    }
}
