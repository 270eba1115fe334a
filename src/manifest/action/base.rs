//! What an entry says of bases.

use serde::{Deserialize, Serialize};

use crate::change::Second;
use crate::segment::SegmentMeta;

/// How a base came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BaseKind {
    /// The table was empty when its stream began.
    Empty,
    /// A strongly consistent scan.
    Scan,
    /// `ExportTableToPointInTime`.
    Export,
    /// The archive's own image.
    Archive,
}

/// `base_started`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseStarted {
    /// How.
    pub kind: BaseKind,
    /// Supersedes every change with `cut_at ≤ fence`.
    pub fence: Second,
    /// The service's time when it began; names the folder.
    pub started: Second,
    /// Seconds for which a record may be readable later than its commit.
    pub slack: u32,
    /// Buckets: 2^bits.
    pub bits: u8,
    /// Greatest size of an output, counted from its rows.
    pub limit: u64,
}

/// `base`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseCommitted {
    /// The entry of its `base_started`; absent for the empty base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<u64>,
    /// How.
    pub kind: BaseKind,
    /// Supersedes every change with `cut_at ≤ fence`.
    pub fence: Second,
    /// The first time at which the base may serve a forward replay.
    pub complete_at: Second,
    /// A name given by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For the empty base: what was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<EmptyCheck>,
    /// The outputs.
    pub segments: Vec<SegmentMeta>,
}

/// Why the empty base is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyCheck {
    /// The table's creation, floored.
    pub table_created: Second,
    /// The stream's creation, floored.
    pub stream_created: Second,
    /// The service's time of the check.
    pub at: Second,
    /// `DescribeTable` shows no `RestoreSummary`.
    pub not_restored: bool,
    /// `DescribeTable` shows no replicas.
    pub no_replicas: bool,
}
