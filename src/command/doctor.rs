//! `tailrace doctor`: everything that capture and replay of a table need, looked at one after another.

mod checks;

use std::fmt;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::table::TableName;
use crate::failure::{Exit, Failure};

/// Arguments.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The table: NAME, REGION/NAME, ACCOUNT/REGION/NAME or an ARN
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE")]
    table: String,
}

pub(super) async fn run(context: &Context, args: &Doctor) -> Result<(), Failure> {
    let name: TableName = args.table.parse()?;
    let mut report = Report { context, failed: vec![], summary: Summary::default() };
    let archive = report.note("archive", checks::archive(context).await);
    let aws = report.note("credentials", checks::credentials(&name).await);
    if let Some(aws) = aws {
        let facts = report.note("table", checks::table(&aws, &name).await);
        report.note("clock", checks::clock(&aws, &name).await);
        if let Some(facts) = &facts {
            report.note("view type", checks::view_type(facts));
            report.note("stream", checks::stream(&aws, facts).await);
            report.note("snapshots", Ok(checks::snapshots(&aws, facts).await));
            if let Some(archive) = &archive {
                report.note("archived", checks::archived(archive, &facts.identity).await);
            }
        }
    }
    report.end(&args.table)
}

/// What a check found.
pub(super) struct Found<T> {
    /// What later checks go on with.
    value: T,
    /// What is well, or what is not quite.
    what: String,
    /// What to do about it; none where all is well.
    next: Option<String>,
}

impl<T> Found<T> {
    fn well(value: T, what: impl Into<String>) -> Self {
        Self { value, what: what.into(), next: None }
    }

    fn but(value: T, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { value, what: what.into(), next: Some(next.into()) }
    }
}

struct Report<'a> {
    context: &'a Context,
    failed: Vec<Failure>,
    summary: Summary,
}

impl Report<'_> {
    /// Prints what a check found, and gives what the next ones need.
    fn note<T>(&mut self, name: &'static str, found: Result<Found<T>, Failure>) -> Option<T> {
        let (state, what, next, value) = match found {
            Ok(Found { value, what, next: None }) => ("ok", what, None, Some(value)),
            Ok(Found { value, what, next }) => ("warning", what, next, Some(value)),
            Err(failure) => {
                let told =
                    ("failed", format!("{} ({})", failure.what, failure.place), Some(failure.next.clone()), None);
                self.failed.push(failure);
                told
            }
        };
        self.summary.checks += 1;
        self.summary.warnings += usize::from(state == "warning");
        self.summary.failed += usize::from(state == "failed");
        self.context.out.result("check", &Line { name, state, what, next });
        value
    }

    fn end(self, table: &str) -> Result<(), Failure> {
        self.context.out.summary(&self.summary);
        let Some(first) = self.failed.into_iter().next() else { return Ok(()) };
        let what =
            format!("{} of {} checks failed, the first: {}", self.summary.failed, self.summary.checks, first.what);
        Err(Failure::new(first.exit, what, table, first.next))
    }
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    state: &'static str,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8} {:12} {}", self.state, self.name, self.what)?;
        self.next
            .as_ref()
            .map_or(Ok(()), |next| write!(f, "\n{:21} {}", "", next.replace('\n', "\n                      ")))
    }
}

#[derive(Default, Serialize)]
struct Summary {
    checks: usize,
    warnings: usize,
    failed: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.warnings, self.failed) {
            (0, 0) => write!(f, "all {} checks are well", self.checks),
            (warnings, failed) => write!(f, "{} checks, {warnings} with a warning, {failed} failed", self.checks),
        }
    }
}

/// A failure of a check that has no failure of its own.
fn failed(what: impl Into<String>, place: impl Into<String>, next: &str) -> Failure {
    Failure::new(Exit::Failure, what, place, next)
}
