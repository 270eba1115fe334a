//! What a command says when it cannot go on: what happened, where, what to do next, and the exit code.
//!
//! Modules have error types of their own, shaped by what their callers must do; a command turns
//! them into a [`Failure`] exactly once, at the place where it gives up.

use std::fmt;

/// Exit codes, the same for every command. Unknown non-zero codes mean failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command failed for a reason that has no code of its own.
    Failure = 1,
    /// The command line was wrong.
    Usage = 2,
    /// Some of the work was done, some was not.
    Partial = 3,
    /// There is no archive at this place.
    ArchiveNotFound = 10,
    /// The time asked for lies outside what the archive covers.
    OutsideCoverage = 11,
    /// A gap inside the coverage makes the answer unknown.
    Gap = 12,
    /// Stored bytes are not what was committed.
    VerificationFailed = 13,
    /// The destination exists and is not empty.
    DestinationNotEmpty = 14,
    /// It costs money or cannot be undone, and nobody said yes.
    NeedsConfirmation = 16,
    /// The archive was written by a newer tailrace.
    FormatNewer = 17,
    /// The archive does not hold this table.
    TableNotInArchive = 18,
    /// Missing credentials or a missing permission.
    Credentials = 20,
    /// The archive is further behind than allowed.
    BehindLimit = 21,
    /// The configuration is wrong.
    Configuration = 78,
    /// Interrupted (Ctrl-C).
    Interrupted = 130,
    /// Terminated (SIGTERM).
    Terminated = 143,
}

impl Exit {
    /// The word that `--json` prints as `code`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::Partial => "partial",
            Self::ArchiveNotFound => "archive_not_found",
            Self::OutsideCoverage => "outside_coverage",
            Self::Gap => "gap",
            Self::VerificationFailed => "verification_failed",
            Self::DestinationNotEmpty => "destination_not_empty",
            Self::NeedsConfirmation => "needs_confirmation",
            Self::FormatNewer => "format_newer",
            Self::TableNotInArchive => "table_not_in_archive",
            Self::Credentials => "credentials",
            Self::BehindLimit => "behind_limit",
            Self::Configuration => "configuration",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }
}

/// Why a command stopped, told to a person: lower case, no full stop, each part on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The process's exit code.
    pub exit: Exit,
    /// What happened.
    pub what: String,
    /// Where: the archive, object, table or argument.
    pub place: String,
    /// What to do next.
    pub next: String,
}

impl Failure {
    /// A failure with all that a user needs to act on it.
    pub fn new(exit: Exit, what: impl Into<String>, place: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit, what: what.into(), place: place.into(), next: next.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.place.is_empty() {
            write!(f, "\n  where: {}", self.place)?;
        }
        if !self.next.is_empty() {
            write!(f, "\n  next:  {}", self.next)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
