//! A capture beside the snapshot, in the same process: whichever fails ends both.

use std::pin::pin;

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::capture;
use crate::base::BaseError;
use crate::capture::{CaptureError, CaptureSummary};
use crate::failure::{Exit, Failure};
use crate::platform::tasks;

/// How the capture beside a snapshot ended.
pub(super) type CaptureEnd = Result<Result<CaptureSummary, CaptureError>, JoinError>;

/// Why there is no snapshot.
#[derive(Debug)]
pub(super) enum Short {
    /// It failed, or was stopped from outside.
    Base(BaseError),
    /// The capture ended before it.
    Capture(CaptureEnd),
}

/// Runs `work` beside a capture; whichever fails ends both, and so does `both`. Neither is dropped: what they began they
/// end in the log.
pub(super) async fn beside<T>(
    capture: impl Future<Output = Result<CaptureSummary, CaptureError>> + Send + 'static,
    work: impl Future<Output = Result<T, BaseError>>,
    both: &CancellationToken,
) -> Result<T, Short> {
    let mut capturing = tasks::spawn(capture);
    let mut work = pin!(work);
    let (done, ended, early) = tokio::select! {
        done = &mut work => {
            both.cancel();
            (done, capturing.await, false)
        }
        ended = &mut capturing => {
            let early = !both.is_cancelled();
            both.cancel();
            (work.await, ended, early)
        }
    };
    let value = match done {
        Ok(value) => value,
        Err(BaseError::Stopped) if early => return Err(Short::Capture(ended)),
        Err(error) => return Err(Short::Base(error)),
    };
    // The snapshot stands; what the capture still held is read again by the next one.
    match ended {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the capture beside the snapshot failed at its end"),
        Err(error) => tracing::warn!(%error, "the capture beside the snapshot died at its end"),
    }
    Ok(value)
}

pub(super) fn ended_early(ended: CaptureEnd, table: &str) -> Failure {
    match ended {
        Ok(Ok(_)) => {
            let what = "the capture beside the snapshot ended before the snapshot was complete";
            Failure::new(Exit::OutsideCoverage, what, table, "see that the table's stream is on, and run it again")
        }
        Ok(Err(error)) => capture::failure(&error, table),
        Err(error) => capture::failure(&CaptureError::Task(error.to_string()), table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Counts, Ended};
    use crate::command::signal::Stop;

    fn summary() -> CaptureSummary {
        CaptureSummary { ended: Ended::Stopped, counts: Counts::default(), closed_through: None, proven_through: None }
    }

    /// A snapshot that lasts until it is told to stop, and then still has something to say in the log.
    async fn until_stopped(stop: CancellationToken, said: &Stop) -> Result<(), BaseError> {
        stop.cancelled().await;
        tokio::task::yield_now().await;
        said.drain.cancel();
        Err(BaseError::Stopped)
    }

    #[tokio::test]
    async fn a_capture_that_ends_first_is_the_reason_and_the_snapshot_says_so_in_the_log() {
        let (both, said) = (CancellationToken::new(), Stop::default());
        let capture = async { Err(CaptureError::NoStream { table: "orders".into() }) };
        let short = beside(capture, until_stopped(both.clone(), &said), &both).await.unwrap_err();
        assert!(said.drain.is_cancelled(), "the snapshot was dropped in the middle");
        let Short::Capture(ended) = short else { panic!("{short:?}") };
        assert_eq!(ended_early(ended, "orders").exit, Exit::OutsideCoverage);
    }

    #[tokio::test]
    async fn a_signal_is_told_as_a_signal_whichever_ends_first() {
        for capture_is_faster in [true, false] {
            let (stop, said) = (Stop::default(), Stop::default());
            let both = stop.drain.child_token();
            let capture_stop = both.clone();
            let capture = async move {
                capture_stop.cancelled().await;
                for _ in 0..if capture_is_faster { 0 } else { 20 } {
                    tokio::task::yield_now().await;
                }
                Ok(summary())
            };
            let work = until_stopped(both.clone(), &said);
            let signal = async { stop.drain.cancel() };
            let (short, ()) = tokio::join!(beside(capture, work, &both), signal);
            assert!(said.drain.is_cancelled());
            let Err(Short::Base(error)) = short else { panic!("{short:?}") };
            let failure = super::super::not_taken(&error, "orders", "orders", &stop);
            assert_eq!(failure.exit, Exit::Terminated);
            assert!(failure.what.contains("stopped before"), "{failure}");
        }
    }

    #[tokio::test]
    async fn a_snapshot_that_stands_or_fails_ends_the_capture() {
        for fails in [false, true] {
            let both = CancellationToken::new();
            let capture_stop = both.clone();
            let capture = async move {
                capture_stop.cancelled().await;
                Ok(summary())
            };
            let work = async { if fails { Err(BaseError::Abandoned) } else { Ok(7) } };
            match beside(capture, work, &both).await {
                Ok(value) => assert_eq!((value, fails), (7, false)),
                Err(Short::Base(BaseError::Abandoned)) => assert!(fails),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}
