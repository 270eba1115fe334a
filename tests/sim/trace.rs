//! What happened in a run: a digest of every event in its order, how often each fault occurred, and the lines on request.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tailrace::platform::clock::{Instant, now};

/// More than this in one run, and something goes round in circles.
const EVENTS: u64 = 200_000;

/// What every run notes.
#[derive(Debug)]
pub(crate) struct Trace {
    begun: Instant,
    /// Prints each event as it happens.
    aloud: bool,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    digest: u64,
    events: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl Trace {
    pub(crate) fn new(aloud: bool) -> Self {
        Self { begun: now(), aloud, noted: Mutex::default() }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One event; `what` is of a kind that is counted.
    pub(crate) fn note(&self, what: &'static str, detail: impl Display) {
        let at = self.begun.elapsed().as_millis();
        let line = format!("{at:>11} {what} {detail}");
        let mut noted = self.noted();
        *noted.counts.entry(what).or_default() += 1;
        noted.events += 1;
        assert!(noted.events < EVENTS, "the run does not come to an end");
        // FNV-1a: order counts, and one changed byte changes all that follows.
        noted.digest = line.bytes().fold(noted.digest ^ 0xcbf2_9ce4_8422_2325, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        if self.aloud {
            println!("{line}");
        }
    }

    pub(crate) fn digest(&self) -> (u64, u64) {
        let noted = self.noted();
        (noted.digest, noted.events)
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.noted().counts.clone()
    }
}
