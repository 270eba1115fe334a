//! What was read of one shard and is not committed yet.
//!
//! The log may move while rows wait here: [`Buffer::reconcile`] applies the rules of a lost race, and
//! [`Buffer::draft`] says, from the fold as it is, what the next entry would hold.

use std::collections::VecDeque;
use std::sync::Arc;

use super::heartbeat::Idle;
use super::memory::Held;
use super::stamp::{Stamper, Stamps};
use super::trim::{self, Loss};
use crate::change::{Change, Origin, Second, Sequence, Stamped};
use crate::manifest::{Shard, ShardClosed, ShardKey, Span};
use crate::platform::bugs::{Bug, planted};

/// How a shard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The null iterator was seen.
    Seen,
    /// It vanished before; the service's time of that answer.
    Lost(Second),
}

/// One thing that arrived.
#[derive(Debug)]
enum Item {
    /// What follows was read from the trim horizon: it may have missed something.
    Horizon { at: Second, cursor: Sequence },
    /// Rows of one page; never empty.
    Rows { at: Second, changes: VecDeque<Change>, held: Held },
}

/// A shard delivered a record that its lineage says was delivered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disorder {
    /// The record.
    pub(super) sequence: Sequence,
    /// What every record of this shard lies above.
    pub(super) above: Sequence,
}

/// What the log says about the rows at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// What is left follows the log.
    Kept,
    /// The log moved in a way that these rows cannot follow: they are gone, and reading begins again at its `through`.
    Reread,
    /// The shard is closed: there is nothing left to read.
    Closed,
}

/// The rows of one shard between its reader and the log.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Every record of the shard lies above: its start, and its parent's last.
    above: Sequence,
    /// What is buffered follows this without a hole.
    after: Sequence,
    /// The last record read.
    cursor: Sequence,
    /// Gaps in the log when the reading began.
    gaps: u32,
    items: VecDeque<Item>,
    end: Option<End>,
    idle: Option<Second>,
}

/// A page, as its reader hands it over.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Its changes.
    pub(super) changes: Vec<Change>,
    /// The service's time.
    pub(super) at: Second,
    /// The first page of a read from the trim horizon.
    pub(super) from_trim_horizon: bool,
    /// The first record delivered, whether or not it was emitted before.
    pub(super) first: Option<Sequence>,
    /// The shard's end.
    pub(super) null: bool,
    /// The shard has been empty for long enough.
    pub(super) idle: bool,
    /// The memory that the page holds.
    pub(super) held: Held,
}

/// What the next entry would hold of one shard.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// A gap, a span with rows, both in this order, or neither.
    pub(super) spans: Vec<Span>,
    /// The rows of the span.
    pub(super) rows: Vec<Stamped>,
    /// The shard's end, when nothing is left after the spans.
    pub(super) closed: Option<ShardClosed>,
    /// Rows lifted past their stamp.
    pub(super) lifted: u64,
    /// Rows stamped by the service more than a minute ahead.
    pub(super) ahead: u64,
    /// Bytes of the pages that the rows come from.
    pub(super) bytes: u64,
    /// Further rows could follow these, in an entry of their own.
    pub(super) more: bool,
}

impl Buffer {
    /// An empty buffer behind `shard`, whose parent was read through `parent`.
    #[must_use]
    pub(super) fn new(shard: &Shard, parent: Option<Sequence>) -> Self {
        let above = parent.map_or(shard.start.before(), |parent| parent.max(shard.start.before()));
        let (after, gaps) = (shard.through, shard.gaps);
        Self { above, after, cursor: after, gaps, items: VecDeque::new(), end: None, idle: None }
    }

    /// Takes a page in.
    ///
    /// # Errors
    /// A record at or below what the lineage delivered before.
    pub(super) fn push(&mut self, page: Arrived) -> Result<(), Disorder> {
        if let Some(bad) = page.changes.iter().find(|change| change.sequence <= self.above) {
            return Err(Disorder { sequence: bad.sequence, above: self.above });
        }
        let committed = self.after.max(self.cursor);
        // A page that begins with a record we have had has missed nothing.
        if page.from_trim_horizon && page.first.is_none_or(|first| first > committed) {
            // A second such read before any row repeats the first: the later one is judged.
            self.items.pop_back_if(|last| matches!(last, Item::Horizon { .. }));
            self.items.push_back(Item::Horizon { at: page.at, cursor: self.cursor });
        }
        self.cursor = page.changes.last().map_or(self.cursor, |last| last.sequence.max(self.cursor));
        let changes: VecDeque<Change> = page.changes.into_iter().filter(|change| change.sequence > committed).collect();
        if !changes.is_empty() {
            self.items.push_back(Item::Rows { at: page.at, changes, held: page.held });
        }
        self.idle = page.idle.then_some(page.at);
        if page.null {
            self.end = Some(End::Seen);
        }
        Ok(())
    }

    /// The reading was interrupted: the shard is not idle for now.
    pub(super) const fn disturb(&mut self) {
        self.idle = None;
    }

    /// The shard vanished.
    pub(super) fn lose(&mut self, at: Second) {
        self.idle = None;
        self.end = Some(if planted(Bug::NotFoundEndsShard) { End::Seen } else { End::Lost(at) });
    }

    /// Bytes of pages held.
    #[must_use]
    pub(super) fn bytes(&self) -> u64 {
        self.items.iter().map(Item::bytes).sum()
    }

    /// Whether an entry is wanted soon for more than rows: an end was seen, or a loss waits to be stated.
    #[must_use]
    pub(super) fn urgent(&self, shard: &Shard) -> bool {
        self.end.is_some()
            || matches!(self.items.front(), Some(Item::Horizon { at, .. }) if !trim::complete(shard.sure, *at))
    }

    /// Whether rows wait.
    #[must_use]
    pub(super) fn has_rows(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Rows { .. }))
    }

    /// What a heartbeat may rest on: nothing waits, and the run of empty pages is long enough.
    #[must_use]
    pub(super) fn idle(&self, shard: &Shard) -> Option<Idle> {
        let quiet = self.end.is_none() && !self.has_rows() && !self.urgent(shard);
        self.idle.filter(|_| quiet).map(|at| Idle { at, through: self.cursor })
    }

    /// Follows the log, whoever moved it: drops what is committed, or everything where the rows no longer fit.
    pub(super) fn reconcile(&mut self, shard: &Shard) -> Standing {
        if shard.closed_at.is_some() {
            self.items.clear();
            self.end = None;
            return Standing::Closed;
        }
        if shard.gaps != self.gaps && planted(Bug::RowsKeptAcrossGap) {
            self.items.retain(|item| matches!(item, Item::Rows { .. }));
            self.gaps = shard.gaps;
        }
        if shard.through < self.after || shard.gaps != self.gaps {
            self.items.clear();
            (self.end, self.idle) = (None, None);
            (self.after, self.cursor, self.gaps) = (shard.through, shard.through, shard.gaps);
            return Standing::Reread;
        }
        if !planted(Bug::RaceKeepsRows) {
            self.drop_through(shard.through);
        }
        self.after = shard.through;
        Standing::Kept
    }

    /// Our own entry is in the log: its gap is no reason to read again.
    pub(super) fn committed(&mut self, shard: &Shard) {
        self.gaps = shard.gaps;
        if let Some(Item::Horizon { .. }) = self.items.front()
            && !self.has_rows()
        {
            // The loss before an empty page is stated; a row that still comes follows it.
            self.items.pop_front();
        }
        self.reconcile(shard);
    }

    /// Drops rows at or below `through`, and a horizon mark whose first row was among them.
    fn drop_through(&mut self, through: Sequence) {
        let mut left = VecDeque::with_capacity(self.items.len());
        let mut items = std::mem::take(&mut self.items).into_iter().peekable();
        while let Some(item) = items.next() {
            match item {
                Item::Horizon { at, cursor } => {
                    let overtaken = match items.peek() {
                        Some(Item::Rows { changes, .. }) => {
                            changes.front().is_some_and(|first| first.sequence <= through)
                        }
                        _ => through > cursor,
                    };
                    if !overtaken {
                        left.push_back(Item::Horizon { at, cursor });
                    }
                }
                Item::Rows { at, mut changes, held } => {
                    while changes.front().is_some_and(|first| first.sequence <= through) {
                        changes.pop_front();
                    }
                    if !changes.is_empty() {
                        left.push_back(Item::Rows { at, changes, held });
                    }
                }
            }
        }
        self.items = left;
    }

    /// What the next entry would hold: at most one stretch of reading, for a loss between two must be judged
    /// by the fold that holds the first. No page is begun behind `limit` bytes of them.
    #[must_use]
    pub(super) fn draft(&self, key: &ShardKey, shard: &Shard, epoch_floor: Second, limit: u64) -> Draft {
        let mut draft = Draft::default();
        let mut stamper = Stamper { cut: shard.cut, floor: shard.floor, epoch_floor };
        let mut after = shard.through;
        let mut items = self.items.iter().peekable();
        if let Some(Item::Horizon { at, .. }) = items.peek() {
            items.next();
            let sure = if planted(Bug::TrimJudgedByFloor) { Some(shard.floor) } else { shard.sure };
            if !trim::complete(sure, *at) {
                let first = items.peek().and_then(|item| item.first());
                let loss = trim::possibly_trimmed(stamper, *at, first.map(|first| first.changed_at));
                let through = first.map_or(after, |first| first.sequence.before());
                draft.spans.push(gap(key, after, through, &loss));
                (stamper.cut, stamper.floor, after) = (loss.cut, loss.floor, through);
            }
        }
        let mut rows: Vec<&Item> = vec![];
        while let Some(page) = items.next_if(|item| draft.bytes < limit && matches!(item, Item::Rows { .. })) {
            draft.bytes += page.bytes();
            rows.push(page);
        }
        let left = items.peek().is_some();
        draft.more = matches!(items.peek(), Some(Item::Rows { .. }));
        let origin = Arc::new(Origin { epoch: key.epoch, shard_rank: shard.rank, shard: key.id.clone() });
        let after = draft.stamp(key, &origin, stamper, after, &rows);
        draft.end(key, self.end.filter(|_| !left), stamper, after);
        draft
    }
}

impl Item {
    const fn bytes(&self) -> u64 {
        match self {
            Self::Rows { held, .. } => held.bytes(),
            Self::Horizon { .. } => 0,
        }
    }

    fn first(&self) -> Option<&Change> {
        match self {
            Self::Rows { changes, .. } => changes.front(),
            Self::Horizon { .. } => None,
        }
    }
}

impl Draft {
    /// Whether there is nothing to commit.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.closed.is_none()
    }

    /// Stamps the rows and adds their span; gives the last sequence.
    fn stamp(
        &mut self,
        key: &ShardKey,
        origin: &Arc<Origin>,
        mut stamper: Stamper,
        after: Sequence,
        pages: &[&Item],
    ) -> Sequence {
        let mut stamps = Stamps::default();
        for item in pages {
            let Item::Rows { at, changes, .. } = item else { continue };
            for change in changes {
                stamper.stamp(change, *at, &mut stamps);
                let (origin, change) = (Arc::clone(origin), change.clone());
                self.rows.push(Stamped { origin, cut_at: stamper.cut, change });
            }
        }
        let Some(last) = self.rows.last().map(|row| row.change.sequence) else { return after };
        (self.lifted, self.ahead) = (stamps.lifted, stamps.ahead);
        self.spans.push(Span {
            epoch: key.epoch,
            shard: key.id.clone(),
            after,
            through: last,
            rows: u64::try_from(self.rows.len()).unwrap_or(u64::MAX),
            cut: stamper.cut,
            floor: None,
            late: stamps.late,
            unknown: stamps.unknown,
            gap: None,
        });
        last
    }

    /// Adds the shard's end. A loss at the end stands in an entry of its own, behind the rows before it.
    fn end(&mut self, key: &ShardKey, end: Option<End>, stamper: Stamper, through: Sequence) {
        match end {
            Some(End::Lost(_)) if !self.spans.is_empty() => return,
            Some(End::Lost(at)) => self.spans.push(gap(key, through, through, &trim::not_found(stamper, at))),
            Some(End::Seen) => {}
            None => return,
        }
        self.closed = Some(ShardClosed { epoch: key.epoch, shard: key.id.clone(), through });
    }
}

fn gap(key: &ShardKey, after: Sequence, through: Sequence, loss: &Loss) -> Span {
    Span {
        epoch: key.epoch,
        shard: key.id.clone(),
        after,
        through,
        rows: 0,
        cut: loss.cut,
        floor: Some(loss.floor),
        late: vec![loss.late()],
        unknown: vec![],
        gap: Some(loss.gap),
    }
}

#[cfg(test)]
mod tests;
