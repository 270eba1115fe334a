//! Points in time, as options name them, and what is unknown between them.

use jiff::tz::TimeZone;

use crate::change::Second;
use crate::failure::{Exit, Failure};
use crate::manifest::{BaseKind, Manifest, Unknown, unknown};
use crate::platform::clock;
use crate::replay::Asked;
use crate::replay::point::{PointError, time};

/// Before all changes.
const FIRST: Second = Second(0);
/// Behind all changes: the last second that has a date.
const LAST: Second = Second(253_402_207_200);

/// What lies between `--from` and `--to`, both of it; all where they are not given.
pub(super) fn range(from: Option<&str>, to: Option<&str>) -> Result<(Second, Second), Failure> {
    let read =
        |option: &str, text: Option<&str>, otherwise: Second| text.map_or(Ok(otherwise), |text| second(option, text));
    let (from, to) = (read("--from", from, FIRST)?, read("--to", to, LAST)?);
    if from > to {
        let what = format!("{from} lies after {to}");
        return Err(Failure::new(Exit::Usage, what, "--from, --to", "give the earlier one with --from"));
    }
    Ok((from, to))
}

/// What is unknown of that time: changes in it may be missing.
pub(super) fn missing(manifest: &Manifest, (from, to): (Second, Second)) -> Vec<Unknown> {
    let first = manifest.epochs.values().next().map(|epoch| epoch.started.floor);
    // A stream that began with its table has no changes before it that could be missing.
    let from_birth = manifest.bases.iter().any(|base| base.base.kind == BaseKind::Empty);
    let before_all = |unknown: &&Unknown| from_birth && first.is_some_and(|first| unknown.to <= first);
    let all = unknown::all(manifest);
    unknown::meeting(&all, from.plus(-1), to).filter(|unknown| !before_all(unknown)).cloned().collect()
}

/// A second.
pub(super) fn second(option: &str, text: &str) -> Result<Second, Failure> {
    time(text, clock::wall(), &TimeZone::system()).map_err(|error| usage(option, &error))
}

/// The end of a second, or `latest`.
pub(super) fn asked_at(option: &str, text: &str) -> Result<Asked, Failure> {
    Asked::at(text, clock::wall(), &TimeZone::system()).map_err(|error| {
        let times = usage(option, &error);
        Failure { next: format!("{}, or {option} latest", times.next), ..times }
    })
}

fn usage(option: &str, error: &PointError) -> Failure {
    let next = format!("e.g. {option} 2026-11-22T14:03:00Z, or {option} '10m ago'");
    Failure::new(Exit::Usage, error.to_string(), option, next)
}
