//! What `replay` prints: the plan, and what became of it.

use std::fmt;

use serde::Serialize;

use crate::change::{Second, TableIdentity};
use crate::manifest::Unknown;
use crate::replay::{Cost, Plan, Point, Total};

/// The plan, for people and in short for machines, and what it takes to run it.
pub(super) struct Planned<'a>(pub &'a Plan, pub Cost);

impl fmt::Display for Planned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { requests, seconds } = self.1;
        writeln!(f, "{}expected   about {requests} requests and {seconds} s, or as long as the store takes", self.0)
    }
}

impl Serialize for Planned<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Short<'a> {
            point: &'a Point,
            way: String,
            snapshot: u64,
            snapshot_complete_at: Second,
            files: usize,
            rows: u64,
            bytes: u64,
            expected: Cost,
            covered_through: Second,
            is_final: bool,
            late: bool,
            unknown: &'a [Unknown],
            accepted_gaps: &'a [Unknown],
        }
        let plan = self.0;
        let short = Short {
            point: &plan.point,
            way: format!("{:?}", plan.way).to_lowercase(),
            snapshot: plan.base.n,
            snapshot_complete_at: plan.base.complete_at,
            files: plan.changes.len() + plan.base.segments.len(),
            rows: plan.rows,
            bytes: plan.bytes,
            expected: self.1,
            covered_through: plan.covered_through,
            is_final: plan.is_final,
            late: plan.late,
            unknown: &plan.unknown,
            accepted_gaps: &plan.accepted,
        };
        short.serialize(serializer)
    }
}

/// What a result says of itself that goes past gaps.
pub(super) fn note(table: &TableIdentity, plan: &Plan) -> Option<String> {
    let gaps: Vec<String> = plan.accepted.iter().map(ToString::to_string).collect();
    let gaps = (!gaps.is_empty()).then(|| gaps.join("; "))?;
    Some(format!("not exact: changes may be missing from {} as of {}: {gaps}", table.name, plan.point))
}

/// A replay that was written.
#[derive(Debug, Serialize)]
pub(super) struct Replayed {
    table: String,
    point: Point,
    into: String,
    items: u64,
    /// Order-free digest of the items: equal for equal answers.
    digest: String,
    /// Gaps that were gone past: changes in them may be missing.
    accepted_gaps: Vec<Unknown>,
}

impl Replayed {
    pub(super) fn of(
        table: &TableIdentity,
        point: &Point,
        accepted_gaps: Vec<Unknown>,
        total: &Total,
        into: &str,
    ) -> Self {
        Self {
            table: table.to_string(),
            point: point.clone(),
            into: into.to_owned(),
            items: total.items,
            digest: format!("{:032x}", total.digest),
            accepted_gaps,
        }
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} items of {} as of {} into {}", self.items, self.table, self.point, self.into)?;
        for gap in &self.accepted_gaps {
            writeln!(f, "NOT EXACT: changes may be missing, as you accepted: {gap}")?;
        }
        write!(f, "digest {}; exact for each item, not across items of one transaction", self.digest)
    }
}
