//! Which day of the archive a path belongs to: a fold stores segments by day, so that old ones stay unread, and a
//! long log does not write them again.

use std::collections::BTreeSet;

use super::action::Action;
use super::entry::Entry;
use super::state::{IntentKind, Manifest};

/// The day of paths that name none.
const OTHER: &str = "other";

/// `2026-11-22` of `raw/dt=2026-11-22/…` or `base/at=2026-11-22T000000Z/…`.
pub(super) fn day_of(path: &str) -> &str {
    let date = path.split('/').find_map(|part| part.strip_prefix("dt=").or_else(|| part.strip_prefix("at=")));
    date.and_then(|date| date.get(..10)).unwrap_or(OTHER)
}

impl Manifest {
    /// Notes that the day of `path` is no longer as its part says. The day must be in memory.
    pub(super) fn touch(&mut self, path: &str) {
        self.touch_day(day_of(path).to_owned());
    }

    /// The same for a day, which may have no paths.
    pub(super) fn touch_day(&mut self, day: String) {
        let day = self.days.entry(day).or_default();
        (day.stored, day.loaded) = (None, true);
    }

    /// Notes after a void that no day is as its part says; also days of which only retired paths are left.
    pub(super) fn touch_all(&mut self) {
        let left: BTreeSet<&str> = self.retired.iter().chain(&self.collected).map(|path| day_of(path)).collect();
        let left: Vec<String> =
            left.into_iter().chain(self.days.keys().map(String::as_str)).map(str::to_owned).collect();
        left.into_iter().for_each(|day| self.touch_day(day));
    }

    /// Days that must be loaded before `entry` can be judged.
    pub(super) fn unloaded_for(&self, entry: &Entry) -> Vec<String> {
        let everything = entry.actions.iter().any(|action| matches!(action, Action::Void(_)));
        let sealed_days = entry.actions.iter().filter_map(|action| match action {
            Action::SealStarted(started) => started.day.get(..10),
            Action::Seal(seal) => match &self.intents.get(&seal.intent)?.kind {
                IntentKind::Seal(started) => started.day.get(..10),
                IntentKind::Base(_) => None,
            },
            _ => None,
        });
        let paths = entry.actions.iter().flat_map(|action| self.paths_of(action));
        let needed: Vec<&str> = paths.map(day_of).chain(sealed_days).collect();
        self.unloaded(|day| everything || needed.contains(&day))
    }

    /// Days not in memory that `wanted` names.
    pub(super) fn unloaded(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.days.iter().filter(|(day, state)| !state.loaded && wanted(day)).map(|(day, _)| day.clone()).collect()
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
