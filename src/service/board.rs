//! How each table of this process stands: told by the captures, read by whoever asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::capture::{Observer, Progress};
use crate::change::Second;
use crate::platform::clock::{Instant, now};

/// The longest that a table may be behind and count as healthy, in seconds: an idle one is looked at every quarter of
/// an hour.
const HEALTHY: i64 = 30 * 60;

/// What is known of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableState {
    /// Likely complete up to.
    pub closed_through: Option<Second>,
    /// Changes archived by this process.
    pub changes: u64,
    /// Entries committed by it.
    pub entries: u64,
    /// Pages of the stream that were read.
    pub pages: u64,
    /// Bytes of their segments.
    pub bytes: u64,
    /// Gaps committed by it.
    pub gaps: u64,
    /// Records that could not be decoded.
    pub undecoded: u64,
    /// Calls that failed and were made again.
    pub waits: u64,
    /// Alarms of any other kind.
    pub alarms: u64,
    /// Nothing but a person can mend what it waits for.
    pub needs_operator: bool,
    /// Its capture ended with a failure, and none has begun since.
    pub failed: bool,
}

/// Where the process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not every table has been looked at.
    Starting,
    /// Captures run.
    Running,
    /// It was told to stop, and writes what it holds.
    Draining,
}

/// All tables of this process.
#[derive(Debug)]
pub struct Board {
    begun: Instant,
    phase: AtomicU8,
    tables: Mutex<BTreeMap<String, TableState>>,
}

impl Default for Board {
    fn default() -> Self {
        Self { begun: now(), phase: AtomicU8::new(0), tables: Mutex::default() }
    }
}

impl Board {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, TableState>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, table: &str, change: impl FnOnce(&mut TableState)) {
        change(self.held().entry(table.to_owned()).or_default());
    }

    /// An observer that notes what it hears of `table`, and passes it on.
    #[must_use]
    pub fn watch(self: &Arc<Self>, table: &str, then: Observer) -> Observer {
        self.change(table, |state| state.failed = false);
        let (board, table) = (Arc::clone(self), table.to_owned());
        Arc::new(move |progress| {
            board.change(&table, |state| state.hear(progress));
            then(progress);
        })
    }

    /// A capture of `table` did not begin, or ended with a failure.
    pub fn failed(&self, table: &str) {
        self.change(table, |state| state.failed = true);
    }

    /// The table is not this process's any more.
    pub fn forget(&self, table: &str) {
        self.held().remove(table);
    }

    /// Every table has been looked at.
    pub fn started(&self) {
        self.phase.store(1, Ordering::SeqCst);
    }

    /// The process was told to stop.
    pub fn draining(&self) {
        self.phase.store(2, Ordering::SeqCst);
    }

    /// Where the process stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Starting,
            1 => Phase::Running,
            _ => Phase::Draining,
        }
    }

    /// Whether every table is captured, waits for nobody, and was archived up to half an hour ago or later.
    #[must_use]
    pub fn healthy(&self, now: Second) -> bool {
        let tables = self.held();
        self.phase() == Phase::Running && !tables.is_empty() && tables.values().all(|state| state.healthy(now))
    }

    /// Seconds since the process began.
    #[must_use]
    pub fn uptime(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }

    /// Every table, by name.
    #[must_use]
    pub fn tables(&self) -> BTreeMap<String, TableState> {
        self.held().clone()
    }
}

impl TableState {
    fn healthy(&self, now: Second) -> bool {
        let fresh = self.closed_through.is_some_and(|through| now.0 - through.0 <= HEALTHY);
        fresh && !self.failed && !self.needs_operator
    }

    fn hear(&mut self, progress: &Progress) {
        match progress {
            Progress::Committed { rows, bytes, pages, closed_through, .. } => {
                self.entries += 1;
                self.pages += pages;
                self.changes += rows;
                self.bytes += bytes;
                self.closed_through = closed_through.or(self.closed_through);
                self.needs_operator = false;
            }
            Progress::Gap { .. } => self.gaps += 1,
            Progress::Unknown { .. } => self.undecoded += 1,
            Progress::Waiting { operator, .. } => {
                self.waits += 1;
                self.needs_operator = *operator;
            }
            Progress::Ahead { .. } | Progress::Alarm { .. } => self.alarms += 1,
            Progress::EpochStarted { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_that_is_not_well_is_enough() {
        let board = Arc::new(Board::default());
        let now = Second(10_000);
        let (orders, payments) = (board.watch("orders", Arc::new(|_| {})), board.watch("payments", Arc::new(|_| {})));
        let commit = |observer: &Observer, at: i64| {
            observer(&Progress::Committed { n: 1, rows: 1, bytes: 1, pages: 1, closed_through: Some(Second(at)) });
        };
        board.started();
        assert!(!board.healthy(now), "nothing is known of them yet");
        commit(&orders, 9_000);
        commit(&payments, 9_900);
        assert!(board.healthy(now));
        assert!(!board.healthy(Second(9_000 + HEALTHY + 1)), "orders is too far behind");
        payments(&Progress::Waiting { why: "no".into(), attempts: 1, operator: true });
        assert!(!board.healthy(now), "payments waits for a person");
        commit(&payments, 9_901);
        board.failed("orders");
        assert!(!board.healthy(now), "orders is not captured");
        drop(board.watch("orders", Arc::new(|_| {})));
        assert!(board.healthy(now));
        board.draining();
        assert!(!board.healthy(now), "it ends");
    }

    #[test]
    fn what_the_captures_tell_is_kept_by_table_and_passed_on() {
        let board = Arc::new(Board::default());
        let heard = Arc::new(AtomicU8::new(0));
        let counted = Arc::clone(&heard);
        let observer = board.watch(
            "orders",
            Arc::new(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            }),
        );
        board.failed("payments");
        observer(&Progress::Waiting { why: "no".into(), attempts: 1, operator: true });
        assert!(board.tables()["orders"].needs_operator);
        let closed_through = Some(Second(7));
        observer(&Progress::Committed { n: 1, rows: 3, bytes: 50, pages: 7, closed_through });
        observer(&Progress::Committed { n: 2, rows: 1, bytes: 5, pages: 2, closed_through: None });
        let expected = TableState {
            closed_through,
            changes: 4,
            entries: 2,
            bytes: 55,
            pages: 9,
            waits: 1,
            ..TableState::default()
        };
        assert_eq!(board.tables()["orders"], expected);
        assert!(board.tables()["payments"].failed);
        drop(board.watch("payments", Arc::new(|_| {})));
        assert!(!board.tables()["payments"].failed, "another capture of it has begun");
        assert_eq!(heard.load(Ordering::SeqCst), 3);
    }
}
