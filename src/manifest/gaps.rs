//! Stretches of time of which nothing is known, as far as the log itself must judge them.

use crate::change::Second;

use super::action::BaseKind;
use super::state::{Epoch, GapId, Manifest};

impl GapId {
    /// Reads `n.k`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (n, k) = text.split_once('.')?;
        Some(Self { n: n.parse().ok()?, k: k.parse().ok()? })
    }
}

impl std::fmt::Display for GapId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.n, self.k)
    }
}

impl Manifest {
    /// Gaps, borders between epochs, and the time before the first, as `[from, to]`, that have a second in `(after, through]`.
    #[must_use]
    pub fn gaps_meeting(&self, after: Second, through: Second) -> Vec<(Second, Second)> {
        let gaps = self.gaps.iter().map(|gap| (gap.from_cut, gap.to_cut));
        gaps.chain(self.borders()).filter(|(from, to)| *from <= through && *to > after).collect()
    }

    /// Whether any of them does.
    pub(super) fn is_unknown_within(&self, after: Second, through: Second) -> bool {
        !self.gaps_meeting(after, through).is_empty()
    }

    /// The open epoch, of which there is at most one.
    #[must_use]
    pub fn open_epoch(&self) -> Option<(u32, &Epoch)> {
        self.epochs.iter().find(|(_, epoch)| epoch.border_from.is_none()).map(|(number, epoch)| (*number, epoch))
    }

    fn borders(&self) -> Vec<(Second, Second)> {
        let empty = self.bases.iter().any(|base| base.base.kind == BaseKind::Empty);
        let mut borders = Vec::new();
        let mut from = Some(Second(i64::MIN));
        for (number, epoch) in &self.epochs {
            if let Some(from) = from {
                let first = from == Second(i64::MIN);
                let known = epoch.started.floor.plus(i64::from(!(first && empty)));
                let cuts = self.shards.iter().filter(|(key, _)| key.epoch + 1 == *number).map(|(_, shard)| shard.cut);
                borders.push((from, cuts.max().map_or(known, |cut| cut.max(known))));
            }
            from = epoch.border_from;
        }
        borders.extend(from.filter(|from| *from != Second(i64::MIN)).map(|from| (from, Second(i64::MAX))));
        borders
    }
}
