//! `tailrace gaps`: what was lost, what it hides, and what can be done about it.

mod acknowledge;
mod explain;
mod list;
mod repair;

use clap::Subcommand;

use super::Context;
use super::archive::{Archive, Opened};
use super::table::{TableName, ambiguous};
use crate::change::Second;
use crate::config::file::nearest;
use crate::failure::{Exit, Failure};
use crate::manifest::{Gap, GapId, Manifest};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Gaps {
    /// Print the gaps of every table, or of one, and how each stands
    List(list::List),
    /// Count the items that a gap leaves exact at a time, and those that it may have changed
    Explain(explain::Explain),
    /// Say in the log, for ever, why a gap does not matter: its alarm ends, the gap stays
    Acknowledge(acknowledge::Acknowledge),
    /// Take a snapshot of the table, from which all later times are served again
    Repair(Box<repair::Repair>),
}

pub(super) async fn run(context: &Context, verb: &Gaps) -> Result<(), Failure> {
    match verb {
        Gaps::List(args) => list::run(context, args).await,
        Gaps::Explain(args) => explain::run(context, args).await,
        Gaps::Acknowledge(args) => acknowledge::run(context, args).await,
        Gaps::Repair(args) => repair::run(context, args).await,
    }
}

/// The first second from which on replays need not go past the gap: where a snapshot begun behind it serves.
fn served_again(manifest: &Manifest, gap: &Gap) -> Option<Second> {
    let behind = manifest.bases.iter().filter(|base| base.base.fence >= gap.to_cut);
    behind.map(|base| base.base.complete_at).min()
}

/// The ids of gaps that nobody has acknowledged or repaired.
pub(super) fn open(manifest: &Manifest) -> Vec<String> {
    let open = |gap: &&Gap| gap.acknowledged.is_none() && served_again(manifest, gap).is_none();
    manifest.gaps.iter().filter(open).map(|gap| gap.id.to_string()).collect()
}

/// The gaps with these ids, in the order in which they were named by `option`.
pub(super) fn named(manifest: &Manifest, ids: &[String], option: &str, place: &str) -> Result<Vec<Gap>, Failure> {
    let find = |text: &String| {
        let id = GapId::parse(text);
        let found = manifest.gaps.iter().find(|gap| Some(gap.id) == id);
        found.cloned().ok_or_else(|| unknown(manifest, text, option, place))
    };
    ids.iter().map(find).collect()
}

fn unknown(manifest: &Manifest, text: &str, option: &str, place: &str) -> Failure {
    let ids: Vec<String> = manifest.gaps.iter().map(|gap| gap.id.to_string()).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let next = match (nearest(text, &all), all.len()) {
        (_, 0) => "this table has no gap with an id; `tailrace gaps list` prints those of all tables".to_owned(),
        (Some(near), _) => format!("did you mean {near}? `tailrace gaps list` prints the ids"),
        _ => "`tailrace gaps list` prints the ids".to_owned(),
    };
    Failure::new(Exit::Usage, format!("{option}: no gap has the id {text:?}"), place, next)
}

/// The one timeline that `table` means.
pub(super) async fn one(archive: &Archive, table: &str) -> Result<Opened, Failure> {
    let name: TableName = table.parse()?;
    let mut opened = archive.open_all(Some(&name)).await?;
    if opened.len() > 1 {
        let all: Vec<String> = opened.iter().map(|one| one.table.to_string()).collect();
        return Err(ambiguous(&name, &all));
    }
    opened.pop().ok_or_else(|| ambiguous(&name, &[]))
}
