//! `tailrace list`

use std::fmt;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::archive::whole;
use super::coverage::Coverage;
use super::table::TableName;
use crate::failure::Failure;

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
    for coverage in Coverage::of_all(&opened) {
        context.out.result("table", &coverage);
    }
    context.out.summary(&Summary { timelines: opened.len() });
    whole(&opened)
}

#[derive(Serialize)]
struct Summary {
    timelines: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timelines {
            0 => f.write_str("nothing is archived here yet: start `tailrace capture --table …`"),
            1 => f.write_str("1 table"),
            many => write!(f, "{many} timelines of tables"),
        }
    }
}
