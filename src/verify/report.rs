//! What a verification found.

use std::fmt;

use serde::Serialize;

use crate::change::Second;

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The log names it and it is not there.
    Lost,
    /// Its bytes are not those that were committed.
    Altered,
    /// Its bytes are those that were committed, and they contradict the log or themselves.
    Contradiction,
    /// A delete marker lies over it: somebody tried to remove it.
    Hidden,
    /// It was derived from the log and is gone. The log says the same without it, only slower: no damage.
    Missing,
    /// It is there and nothing names it: the rest of an interrupted write. No damage.
    Orphan,
}

impl State {
    /// Whether an archive with such an object is damaged.
    #[must_use]
    pub const fn is_damage(self) -> bool {
        match self {
            Self::Lost | Self::Altered | Self::Contradiction | Self::Hidden => true,
            Self::Missing | Self::Orphan => false,
        }
    }
}

/// One object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub state: State,
    /// The object, relative to the archive's root.
    pub object: String,
    /// What differs.
    pub reason: String,
    /// For an orphan: when it was written, by the store's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Second>,
}

/// What was checked, and how much of it was found as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Entries whose hash, chain and predicates hold, or which a valid void makes void.
    pub entries: u64,
    /// Folds that equal the state of the log.
    pub folds: u64,
    /// Packs that equal their entries.
    pub packs: u64,
    /// Segments that were found whole.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Objects that the log names and that are not there.
    pub lost: u64,
    /// Objects whose bytes are others.
    pub altered: u64,
    /// Objects that contradict the log or themselves.
    pub contradictions: u64,
    /// Objects under a delete marker.
    pub hidden: u64,
    /// Folds, their parts and packs that are gone: no damage.
    pub missing: u64,
    /// Objects that nothing names.
    pub orphans: u64,
}

impl Counts {
    /// Counts a finding.
    pub const fn found(&mut self, state: State) {
        match state {
            State::Lost => self.lost += 1,
            State::Altered => self.altered += 1,
            State::Contradiction => self.contradictions += 1,
            State::Hidden => self.hidden += 1,
            State::Missing => self.missing += 1,
            State::Orphan => self.orphans += 1,
        }
    }

    /// Whether nothing is damaged.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.damaged() == 0
    }

    /// Objects that are damaged.
    #[must_use]
    pub const fn damaged(&self) -> u64 {
        self.lost + self.altered + self.contradictions + self.hidden
    }

    /// Adds another table's.
    pub const fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.folds += other.folds;
        self.packs += other.packs;
        self.segments += other.segments;
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.altered += other.altered;
        self.contradictions += other.contradictions;
        self.hidden += other.hidden;
        self.missing += other.missing;
        self.orphans += other.orphans;
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "LOST",
            Self::Altered => "ALTERED",
            Self::Contradiction => "CONTRADICTION",
            Self::Hidden => "HIDDEN",
            Self::Missing => "MISSING",
            Self::Orphan => "ORPHAN",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:13} {}: {}", self.state.to_string(), self.object, self.reason)?;
        self.written.map_or(Ok(()), |written| write!(f, " (written {written})"))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, folds, packs, segments, rows, bytes, .. } = self;
        write!(f, "{entries} entries, {folds} folds, {packs} packs, {segments} segments, {rows} rows ({bytes} bytes)")?;
        if self.orphans > 0 {
            write!(f, ", {} left over by interrupted writes", self.orphans)?;
        }
        if self.missing > 0 {
            write!(f, ", {} derived objects missing (the log says the same)", self.missing)?;
        }
        if self.is_sound() {
            return f.write_str(": all found as committed");
        }
        let Self { lost, altered, contradictions, hidden, .. } = self;
        write!(f, ": {lost} lost, {altered} altered, {contradictions} contradictions, {hidden} hidden")
    }
}
