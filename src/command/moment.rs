//! A point in time, as an option names it.

use jiff::tz::TimeZone;

use crate::change::Second;
use crate::failure::{Exit, Failure};
use crate::platform::clock;
use crate::replay::Asked;
use crate::replay::point::{PointError, time};

/// A second.
pub(super) fn second(option: &str, text: &str) -> Result<Second, Failure> {
    time(text, clock::wall(), &TimeZone::system()).map_err(|error| usage(option, &error))
}

/// The end of a second, or `latest`.
pub(super) fn asked_at(option: &str, text: &str) -> Result<Asked, Failure> {
    Asked::at(text, clock::wall(), &TimeZone::system()).map_err(|error| usage(option, &error))
}

fn usage(option: &str, error: &PointError) -> Failure {
    let next = format!("e.g. {option} 2026-11-22T14:03:00Z, or {option} '10m ago'");
    Failure::new(Exit::Usage, error.to_string(), option, next)
}
