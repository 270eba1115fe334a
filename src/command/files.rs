//! `tailrace files`: the committed objects of a table, and SQL that reads them.

use std::fmt;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::archive::whole;
use super::table::{TableName, ambiguous};
use crate::change::Second;
use crate::failure::{Exit, Failure};
use crate::manifest::Manifest;
use crate::segment::{SegmentMeta, Tier};

/// Arguments.
#[derive(Debug, Args)]
pub struct Files {
    /// The table
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE")]
    table: String,
}

pub(super) async fn run(context: &Context, args: &Files) -> Result<(), Failure> {
    let name: TableName = args.table.parse()?;
    let archive = context.archive().await?;
    let mut timelines = archive.timelines(Some(&name)).await?;
    let table = match (timelines.pop(), timelines.len()) {
        (Some(table), 0) => table,
        (last, _) => {
            let all: Vec<String> = timelines.iter().chain(last.as_ref()).map(ToString::to_string).collect();
            return Err(ambiguous(&name, &all));
        }
    };
    let mut opened = archive.open(table).await?;
    opened.load_all(&archive.location()).await?;
    let root = format!("{}/{}", archive.location().trim_end_matches('/'), opened.table.folder());
    let files = committed(&opened.manifest, &root);
    if files.is_empty() {
        let next = "start `tailrace capture`, or wait for its first flush";
        return Err(Failure::new(Exit::OutsideCoverage, "no file is committed yet", root, next));
    }
    for file in &files {
        context.out.result("file", file);
    }
    context.out.summary(&Sql::over(&files));
    whole(&[opened])
}

/// A committed object.
#[derive(Debug, Serialize)]
struct File {
    path: String,
    tier: Tier,
    rows: u64,
    bytes: u64,
    sha256: String,
    min_cut_at: Option<Second>,
    max_cut_at: Option<Second>,
}

fn committed(manifest: &Manifest, root: &str) -> Vec<File> {
    let bases = manifest.bases.iter().flat_map(|base| &base.base.segments);
    let file = |meta: &SegmentMeta| File {
        path: format!("{root}/{}", meta.path),
        tier: meta.tier,
        rows: meta.rows,
        bytes: meta.bytes,
        sha256: meta.sha256.clone(),
        min_cut_at: meta.min_cut_at,
        max_cut_at: meta.max_cut_at,
    };
    manifest.segments.values().map(|meta| &**meta).chain(bases).map(file).collect()
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Statements for `DuckDB`.
#[derive(Debug, Serialize)]
struct Sql {
    files: usize,
    rows: u64,
    bytes: u64,
    /// Every change exactly once, each item's in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    sql_changes: Option<String>,
    /// The items of the newest snapshot of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    sql_snapshots: Option<String>,
}

impl Sql {
    fn over(files: &[File]) -> Self {
        let of = |base: bool| files.iter().filter(move |file| (file.tier == Tier::Base) == base);
        Self {
            files: files.len(),
            rows: files.iter().map(|file| file.rows).sum(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            sql_changes: select(of(false), " ORDER BY key_hash, pk, sk, epoch, shard_rank, sequence"),
            sql_snapshots: select(of(true), ""),
        }
    }
}

fn select<'a>(files: impl Iterator<Item = &'a File>, order: &str) -> Option<String> {
    let paths: Vec<String> = files.map(|file| format!("'{}'", file.path.replace('\'', "''"))).collect();
    let list = paths.join(", ");
    (!paths.is_empty()).then(|| format!("SELECT * FROM read_parquet([{list}], hive_partitioning = false){order};"))
}

impl fmt::Display for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sql) = &self.sql_changes {
            writeln!(f, "\n-- every committed change, each item's in order (DuckDB)\n{sql}")?;
        }
        if let Some(sql) = &self.sql_snapshots {
            writeln!(f, "\n-- the items of the snapshots of the table\n{sql}")?;
        }
        Ok(())
    }
}
