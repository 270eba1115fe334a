//! Signals: a command that holds unwritten work drains first, any other stops at once; a second signal never waits.

use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::limits;
use crate::failure::{Exit, Failure};
use crate::platform::clock;

/// What the outside asked for.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Cancelled by the first signal: read no more, write what is held, return.
    pub drain: CancellationToken,
    first: Arc<OnceLock<Exit>>,
}

impl Stop {
    /// Whether the first signal was an interrupt (Ctrl-C): then even an orderly end is reported as one.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.first.get() == Some(&Exit::Interrupted)
    }

    /// Does what may be given up at any time: the first signal ends it, and `None` says so.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.drain.run_until_cancelled(work).await
    }

    /// What a command says that was stopped before it had anything to write.
    #[must_use]
    pub fn stopped(&self, what: &str, place: &str) -> Failure {
        Failure::new(self.first.get().copied().unwrap_or(Exit::Terminated), what, place, "run it again")
    }

    /// Waits for the signal that ends the process without the command's consent: the first one, or, where the
    /// command `drains`, the second one or the end of the time for draining.
    pub async fn forced(&self, drains: bool) -> Failure {
        let mut signals = Signals::listen();
        let first = signals.next().await;
        let _ = self.first.set(first);
        self.drain.cancel();
        if !drains {
            return Failure::new(first, "the command was stopped before its end", "", "run it again");
        }
        let again = "start it again: it goes on from what was committed";
        match clock::within(limits::DRAIN, signals.next()).await {
            Some(second) => Failure::new(second, "a second signal came before everything was written", "", again),
            None => Failure::new(first, "what was read could not be written in time", "", again),
        }
    }
}

struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Signals {
    /// Where the system refuses a handler, its own default action stays in force.
    fn listen() -> Self {
        Self { interrupt: signal(SignalKind::interrupt()).ok(), terminate: signal(SignalKind::terminate()).ok() }
    }

    async fn next(&mut self) -> Exit {
        tokio::select! {
            () = received(self.interrupt.as_mut()) => Exit::Interrupted,
            () = received(self.terminate.as_mut()) => Exit::Terminated,
        }
    }
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
