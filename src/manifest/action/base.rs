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
    /// What the service was asked to export; always and only for an export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<ExportOrder>,
}

impl BaseStarted {
    /// The second that the archive must have passed at least before the base is complete; none for one of the archive's
    /// own. The last page of a scan, which the log does not know, is read later still.
    #[must_use]
    pub fn passed(&self) -> Option<Second> {
        let slack = i64::from(self.slack);
        match (self.kind, &self.export) {
            (BaseKind::Scan, _) => Some(self.started.plus(slack)),
            (_, export) => export.as_ref().map(|export| export.time.plus(slack.max(EXPORT_MARGIN))),
        }
    }
}

/// How far, in seconds, the fence of an export lies before its time, and its completion at least behind: the service may
/// be off by a minute there, and stamps are coarse.
pub const EXPORT_MARGIN: i64 = 300;

/// An export as the service is asked for it, fixed before it is: whoever goes on with the base asks for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportOrder {
    /// `ExportTime`: the table is exported as of this second.
    pub time: Second,
    /// `ClientToken`: asked twice, the service exports once.
    pub token: String,
    /// `S3Bucket`
    pub bucket: String,
    /// `S3Prefix`, for this export alone.
    pub prefix: String,
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
