//! What is waited out, and what ends the work.
//!
//! A store that does not answer, a full disk, an expired token: while a capture waits nothing is lost, for the stream
//! keeps its records for 24 hours and reading stands still when memory is full. A snapshot that gave up would throw
//! hours of reading away.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::clock::sleep;
use super::ids::Ids;
use super::retry::Backoff;

/// Between two tries: the first wait, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What mends a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// Time: the same call may succeed later.
    Time,
    /// A person, while we wait (credentials, permissions, room on a disk).
    Person,
    /// Nothing.
    Nothing,
}

/// A failure that may be waited out.
pub trait Curable: fmt::Display {
    /// What mends it.
    fn cure(&self) -> Cure;
}

/// A call fails and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which, and why.
    pub why: String,
    /// Failures in a row.
    pub attempts: u32,
    /// Nothing but a person can mend it.
    pub operator: bool,
}

/// Told of every wait; must return at once.
pub type Tell = Arc<dyn Fn(Waiting) + Send + Sync>;

/// How long failures of one kind of call are borne.
#[derive(Clone)]
pub struct Patience {
    tell: Tell,
    pause: Backoff,
    /// Waits for a person, too: a service does, `once` does not.
    service: bool,
}

impl Patience {
    /// None used up yet.
    #[must_use]
    pub fn new(tell: Tell, ids: Ids, service: bool) -> Self {
        Self { tell, pause: Backoff::new(ids, PAUSE.0, PAUSE.1), service }
    }

    /// Waits before `what` is tried again.
    ///
    /// # Errors
    /// The same error, if waiting cannot help.
    pub async fn bear<E: Curable>(&mut self, what: &str, error: E) -> Result<(), E> {
        let operator = match error.cure() {
            Cure::Time => false,
            Cure::Person if self.service => true,
            Cure::Person | Cure::Nothing => return Err(error),
        };
        self.wait(format!("{what}: {error}"), operator).await;
        Ok(())
    }

    /// Waits, and tells why; `operator`: only a person can mend it.
    pub async fn wait(&mut self, why: String, operator: bool) {
        let delay = self.pause.step();
        (self.tell)(Waiting { why, attempts: self.pause.attempts(), operator });
        sleep(delay).await;
    }

    /// The call went well.
    pub const fn renew(&mut self) {
        self.pause.reset();
    }
}
