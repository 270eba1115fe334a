//! `tailrace gaps list`: each gap with its id, its time, its cause, and how it stands.

use std::fmt;

use clap::Args;
use serde::Serialize;

use super::super::Context;
use super::super::archive::whole;
use super::super::table::TableName;
use super::served_again;
use crate::change::Second;
use crate::failure::Failure;
use crate::manifest::{Gap, Manifest, Unknown, unknown};

/// Arguments.
#[derive(Debug, Args)]
pub struct List {
    /// Only this table
    #[arg(long = "table", short = 't', value_name = "TABLE")]
    table: Option<String>,
}

pub(super) async fn run(context: &Context, args: &List) -> Result<(), Failure> {
    let name = args.table.as_deref().map(str::parse::<TableName>).transpose()?;
    let archive = context.archive().await?;
    let opened = archive.open_all(name.as_ref()).await?;
    let mut summary = Summary::default();
    for timeline in &opened {
        for stretch in unknown::all(&timeline.manifest) {
            let Some(listed) = Listed::of(&timeline.table.to_string(), &timeline.manifest, stretch) else { continue };
            summary.gaps += 1;
            summary.open += usize::from(listed.standing == Standing::Open);
            context.out.result("gap", &listed);
        }
    }
    context.out.summary(&summary);
    whole(&opened)
}

/// How a gap stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
enum Standing {
    /// Nobody has dealt with it.
    Open,
    /// A person said why it does not matter.
    Acknowledged {
        /// In these words.
        reason: String,
    },
    /// A snapshot was taken behind it.
    Repaired {
        /// Times from here on do not meet it.
        served_from: Second,
    },
}

impl Standing {
    fn of(manifest: &Manifest, gap: &Gap) -> Self {
        match (served_again(manifest, gap), &gap.acknowledged) {
            (Some(served_from), _) => Self::Repaired { served_from },
            (None, Some(reason)) => Self::Acknowledged { reason: reason.clone() },
            (None, None) => Self::Open,
        }
    }
}

#[derive(Debug, Serialize)]
struct Listed {
    table: String,
    /// For --accept-gap, explain, acknowledge and repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(flatten)]
    standing: Standing,
    unknown: Unknown,
}

impl Listed {
    /// The time before the first change is no loss.
    fn of(table: &str, manifest: &Manifest, unknown: Unknown) -> Option<Self> {
        if unknown.from == Second(i64::MIN) {
            return None;
        }
        let gap = unknown.gap().and_then(|id| manifest.gaps.iter().find(|gap| gap.id == id));
        let standing = match gap {
            Some(gap) => Standing::of(manifest, gap),
            // A restart has no id: a snapshot behind it is all that can be done.
            None => match manifest.bases.iter().find(|base| base.base.fence >= unknown.to) {
                Some(base) => Standing::Repaired { served_from: base.base.complete_at },
                None => Standing::Open,
            },
        };
        let id = gap.map(|gap| gap.id.to_string());
        Some(Self { table: table.to_owned(), id, standing, unknown })
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  {}", self.table, self.unknown)?;
        match &self.standing {
            Standing::Open => {
                let verb = if self.id.is_some() { "gaps repair" } else { "base" };
                write!(f, "  open: `tailrace {verb}` takes a snapshot behind it")
            }
            Standing::Acknowledged { reason } => write!(f, "  acknowledged: {reason}"),
            Standing::Repaired { served_from } => {
                write!(f, "  repaired: times from {served_from} on are served by a snapshot taken behind it")
            }
        }
    }
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    gaps: usize,
    open: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.gaps, self.open) {
            (0, _) => f.write_str("no gaps: nothing is known to be lost"),
            (gaps, open) => write!(f, "{gaps} gaps, {open} of them open"),
        }
    }
}
