//! Why a replay stopped, by what its caller must do.

use super::plan::Refusal;
use super::sink::SinkError;
use crate::failure::{Exit, Failure};
use crate::manifest::{LogError, ReadError};
use crate::store::StoreError;

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The manifest alone shows that there is no answer.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No archived change has this event id or sequence number.
    #[error("no archived change has the {what} {value}")]
    NoSuchChange {
        /// `event id` or `sequence number`.
        what: &'static str,
        /// As asked for.
        value: String,
    },
    /// A cut by a sequence number that several shards hold.
    #[error("sequence number {value} is no exact point: {reason}")]
    NotExact {
        /// As asked for.
        value: String,
        /// Why.
        reason: &'static str,
    },
    /// A segment could not be read. If it is missing, the log may have replaced it since it was read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A missing one, after the log was read again: it is lost.
    #[error("{path} is lost: the log names it and it is not there")]
    Lost {
        /// Relative to the table's folder.
        path: String,
    },
    /// The archive changed while the latest state was read, so that what was written is no state at all.
    #[error("the archive changed while its latest state was read")]
    Overtaken,
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The destination did not take the items.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

const TAKE_A_BASE: &str = "take a snapshot of the table now with `tailrace base`: later times are then served from it";

impl ReplayError {
    /// What a command says of it; `place` names the archive and table.
    #[must_use]
    pub fn to_failure(&self, place: &str) -> Failure {
        let (exit, next) = match self {
            Self::Refused(refusal) => refused(refusal),
            Self::NoSuchChange { .. } => (
                Exit::OutsideCoverage,
                "check it with `tailrace files` and the SQL that it prints, or name a time instead".to_owned(),
            ),
            Self::NotExact { .. } => (Exit::Usage, "name a time or an event id instead".to_owned()),
            Self::Lost { .. } | Self::Read(ReadError::Missing { .. } | ReadError::Damaged { .. }) => {
                (Exit::VerificationFailed, "run `tailrace verify` to see everything that is affected".to_owned())
            }
            Self::Read(ReadError::Newer { .. }) => (Exit::FormatNewer, "use a newer tailrace".to_owned()),
            Self::Overtaken => (Exit::Failure, "run it again, or name a time".to_owned()),
            Self::Read(ReadError::Store(StoreError::Denied { .. }))
            | Self::Log(LogError::Store(StoreError::Denied { .. })) => {
                (Exit::Credentials, "check the credentials and permissions".to_owned())
            }
            Self::Log(LogError::FormatNewer { .. }) => (Exit::FormatNewer, "use a newer tailrace".to_owned()),
            Self::Log(LogError::Hole { .. } | LogError::Forked { .. }) => {
                (Exit::VerificationFailed, "run `tailrace verify` to see everything that is affected".to_owned())
            }
            Self::Read(ReadError::Store(_)) | Self::Log(_) => {
                (Exit::Failure, "run it again when the archive can be read".to_owned())
            }
            Self::Sink(error) => sink(error),
        };
        Failure::new(exit, self.to_string(), place, next)
    }
}

fn refused(refusal: &Refusal) -> (Exit, String) {
    match refusal {
        Refusal::NothingArchived => (Exit::OutsideCoverage, "start `tailrace capture` for this table".to_owned()),
        Refusal::BeforeCoverage { begins, .. } => (Exit::OutsideCoverage, format!("choose a time from {begins} on")),
        Refusal::NotCovered { covered: Some(covered), over: Some(_), .. } => {
            (Exit::OutsideCoverage, format!("choose a time up to {covered}"))
        }
        Refusal::NotCovered { covered: Some(covered), .. } => {
            (Exit::OutsideCoverage, format!("choose a time up to {covered}, or wait for it with --wait"))
        }
        Refusal::NotCovered { covered: None, .. } => (Exit::OutsideCoverage, "let `tailrace capture` run".to_owned()),
        Refusal::Gap { unknown, .. } => {
            let before = unknown.from.plus(-1);
            let past = unknown.gap().map(|id| {
                format!(
                    "; or see what it hides with `tailrace gaps explain {id}`, and go past it with --accept-gap {id}"
                )
            });
            let past = past.unwrap_or_default();
            (
                Exit::Gap,
                format!("choose a time up to {before}, or one that a snapshot taken after the gap serves{past}"),
            )
        }
        Refusal::NoBase { first_base: Some(first), .. } => {
            (Exit::OutsideCoverage, format!("choose a time from {first} on"))
        }
        Refusal::NoBase { first_base: None, .. } => (Exit::OutsideCoverage, TAKE_A_BASE.to_owned()),
    }
}

fn sink(error: &SinkError) -> (Exit, String) {
    match error {
        SinkError::Exists { .. } => (Exit::DestinationNotEmpty, "name a destination that does not exist".to_owned()),
        SinkError::Busy { .. } => {
            (Exit::DestinationNotEmpty, "wait for the other replay, or name another file".to_owned())
        }
        SinkError::Denied { .. } => (Exit::Credentials, "check the credentials and permissions".to_owned()),
        SinkError::Stuck { .. } => (
            Exit::Failure,
            "raise the table's write capacity (or its maximum throughput), or lower --write-units".to_owned(),
        ),
        SinkError::Failed { .. } => (Exit::Failure, "mend the cause and run it again".to_owned()),
    }
}
