//! Which month of the archive a path belongs to: a fold stores segments by month, so that old ones stay unread.

use super::action::Action;
use super::entry::Entry;
use super::state::Manifest;

/// The month of paths that name none.
const OTHER: &str = "other";

/// `2026-11` of `raw/dt=2026-11-22/…` or `base/at=2026-11-01T000000Z/…`.
pub(super) fn month_of(path: &str) -> &str {
    let date = path.split('/').find_map(|part| part.strip_prefix("dt=").or_else(|| part.strip_prefix("at=")));
    date.and_then(|date| date.get(..7)).unwrap_or(OTHER)
}

impl Manifest {
    /// Notes that the month of `path` is no longer as its part says.
    pub(super) fn touch(&mut self, path: &str) {
        let month = self.months.entry(month_of(path).to_owned()).or_default();
        (month.stored, month.loaded) = (None, true);
    }

    /// Months that must be loaded before `entry` can be judged.
    pub(super) fn unloaded_for(&self, entry: &Entry) -> Vec<String> {
        let everything = entry.actions.iter().any(|action| matches!(action, Action::Void(_)));
        let sealed_days = entry.actions.iter().filter_map(|action| match action {
            Action::SealStarted(started) => started.day.get(..7),
            _ => None,
        });
        let paths = entry.actions.iter().flat_map(|action| self.paths_of(action));
        let needed: Vec<&str> = paths.map(month_of).chain(sealed_days).collect();
        self.unloaded(|month| everything || needed.contains(&month))
    }

    /// Months not in memory that `wanted` names.
    pub(super) fn unloaded(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.months
            .iter()
            .filter(|(month, state)| !state.loaded && wanted(month))
            .map(|(month, _)| month.clone())
            .collect()
    }

    fn paths_of<'m>(&'m self, action: &'m Action) -> Vec<&'m str> {
        let named: Vec<&String> = match action {
            Action::Segments(added) => added.segments.iter().map(|meta| &meta.path).collect(),
            Action::Seal(seal) => seal.segments.iter().map(|meta| &meta.path).collect(),
            Action::Base(base) => base.segments.iter().map(|meta| &meta.path).collect(),
            Action::SealStarted(started) => started.inputs.iter().collect(),
            Action::Collect(collect) => collect.paths.iter().collect(),
            _ => Vec::new(),
        };
        named.into_iter().map(String::as_str).collect()
    }
}
