//! The figures at the end of the demo, and the commands to try next.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::archiving::Held;
use super::workload::TABLE;
use crate::change::Second;

/// What the bad deploy did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disaster {
    /// The first second of it.
    pub(super) at: Second,
    pub(super) overwritten: u64,
    pub(super) deleted: u64,
}

impl fmt::Display for Disaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "At {} a bad deploy overwrites {} orders with rubbish and deletes {}.",
            self.at, self.overwritten, self.deleted
        )
    }
}

/// The figures.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    archive: String,
    endpoint: String,
    changes: u64,
    entries: u64,
    segments: u64,
    image_bytes: u64,
    segment_bytes: u64,
    disaster_at: Second,
    ruined: u64,
    items_restored: u64,
    seconds: String,
}

impl Report {
    pub(super) fn new(
        folder: &Path,
        endpoint: &str,
        changes: u64,
        restored: u64,
        disaster: &Disaster,
        held: &Held,
        took: Duration,
    ) -> Self {
        Self {
            archive: folder.display().to_string(),
            endpoint: endpoint.to_owned(),
            changes,
            entries: held.entries,
            segments: held.segments,
            image_bytes: held.delivered,
            segment_bytes: held.stored,
            disaster_at: disaster.at,
            ruined: disaster.overwritten + disaster.deleted,
            items_restored: restored,
            seconds: format!("{:.1}", took.as_secs_f64()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { archive, disaster_at, .. } = self;
        let ratio = self.image_bytes as f64 / self.segment_bytes.max(1) as f64;
        writeln!(f)?;
        writeln!(f, "  changes written      {:>10}", self.changes)?;
        writeln!(f, "  segments, entries    {:>10}, {}", self.segments, self.entries)?;
        writeln!(f, "  images as delivered  {:>10} bytes", self.image_bytes)?;
        writeln!(
            f,
            "  segments on disk     {:>10} bytes ({ratio:.1} times smaller, keys and digests included)",
            self.segment_bytes
        )?;
        writeln!(f, "  items ruined         {:>10}", self.ruined)?;
        writeln!(f, "  items restored       {:>10}", self.items_restored)?;
        writeln!(f, "  seconds in all       {:>10}", self.seconds)?;
        writeln!(f)?;
        writeln!(f, "The archive stays in {archive}. Try next:")?;
        writeln!(f, "  tailrace list   --archive {archive}")?;
        writeln!(f, "  tailrace verify --archive {archive}")?;
        writeln!(
            f,
            "  tailrace replay --archive {archive} --table {TABLE} --before {disaster_at} --into file:before.jsonl"
        )?;
        writeln!(f, "  tailrace replay --archive {archive} --table {TABLE} --at latest --into file:after.jsonl")?;
        write!(f, "  tailrace files  --archive {archive} --table {TABLE}")
    }
}
