//! What is waited out, and what ends the capture of a table.
//!
//! A store that does not answer, a full disk, an expired token: while we wait nothing is lost, for the stream keeps
//! its records for 24 hours and reading stands still when memory is full. To give up would leave the table unread.

use std::time::Duration;

use super::report::{Observer, Progress};
use crate::platform::clock::sleep;
use crate::platform::ids::Ids;
use crate::platform::retry::Backoff;
use crate::store::StoreError;

/// Between two tries: the first wait, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How long failures of one kind of call are borne.
#[derive(Clone)]
pub(super) struct Patience {
    observer: Observer,
    pause: Backoff,
    /// Waits for a person, too: a service does, `once` does not.
    service: bool,
}

impl Patience {
    /// None used up yet.
    #[must_use]
    pub(super) fn new(observer: Observer, ids: Ids, service: bool) -> Self {
        Self { observer, pause: Backoff::new(ids, PAUSE.0, PAUSE.1), service }
    }

    /// Waits before `what` is tried again.
    ///
    /// # Errors
    /// The same error, if waiting cannot help.
    pub(super) async fn bear(&mut self, what: &str, error: StoreError) -> Result<(), StoreError> {
        let operator = match &error {
            StoreError::Absent { .. }
            | StoreError::Taken { .. }
            | StoreError::Unknown { .. }
            | StoreError::Unavailable { .. } => false,
            StoreError::Denied { .. } | StoreError::Refused { .. } if self.service => true,
            _ => return Err(error),
        };
        self.wait(format!("{what}: {error}"), operator).await;
        Ok(())
    }

    /// Waits, and tells why; `operator`: only a person can mend it.
    pub(super) async fn wait(&mut self, why: String, operator: bool) {
        let delay = self.pause.step();
        (self.observer)(&Progress::Waiting { why, attempts: self.pause.attempts(), operator });
        sleep(delay).await;
    }

    /// Whether what only a person can mend is waited out.
    pub(super) const fn waits_for_people(&self) -> bool {
        self.service
    }

    /// The call went well.
    pub(super) const fn renew(&mut self) {
        self.pause.reset();
    }
}
