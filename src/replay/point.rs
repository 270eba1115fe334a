//! The point asked for: how a time, an event or a position is written, and what each one includes.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp, civil};
use serde::Serialize;

use crate::change::{Second, Sequence, ShardId};
use crate::manifest::Manifest;

/// Epoch seconds beyond this are milliseconds by mistake (it is the year 5138).
const MOST_EPOCH_SECONDS: i64 = 100_000_000_000;

/// The point as the user asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Changes stamped before this second.
    Before(Second),
    /// Changes before this event (`eventID`) in its lineage, and all changes of earlier seconds.
    BeforeEvent(String),
    /// Changes stamped up to and including this second.
    At(Second),
    /// Changes up to and including the one with this sequence number in its lineage, and all changes of earlier seconds.
    AtSequence(Sequence),
    /// Everything committed.
    Latest,
}

/// Text that names no point: a usage error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// A date and time without an offset has two readings.
    #[error("{text:?} has no offset: write {utc} for UTC, or {local} for the time zone of this machine")]
    NoOffset {
        /// What was written.
        text: String,
        /// Read as UTC.
        utc: String,
        /// Read in the machine's time zone.
        local: String,
    },
    /// No form of time.
    #[error(
        "{0:?} is not a time: write RFC 3339 with an offset (2026-11-22T14:03:00Z), epoch seconds, `10m ago` or `-10m`"
    )]
    NotATime(String),
    /// Epoch milliseconds or finer.
    #[error("{text:?} is too large for epoch seconds: did you mean {seconds}?")]
    TooFine {
        /// What was written.
        text: String,
        /// Read as milliseconds, in seconds.
        seconds: i64,
    },
    /// A time after now, written as a distance.
    #[error("{0:?} lies in the future: write `{0} ago` or `-{0}`")]
    Future(String),
    /// No sequence number.
    #[error("{0:?} is not a sequence number of 1 to 40 digits")]
    NotASequence(String),
}

impl Asked {
    /// Reads the argument of `--before`: a time, or an event id. `now` resolves distances, `zone` explains refusals.
    ///
    /// # Errors
    /// [`PointError`] as its variants say.
    pub fn before(text: &str, now: Second, zone: &TimeZone) -> Result<Self, PointError> {
        match time(text, now, zone) {
            Ok(at) => Ok(Self::Before(at)),
            Err(PointError::NotATime(_)) if is_event_id(text) => Ok(Self::BeforeEvent(text.to_owned())),
            Err(error) => Err(error),
        }
    }

    /// Reads the argument of `--at`: a time, or `latest`.
    ///
    /// # Errors
    /// [`PointError`] as its variants say.
    pub fn at(text: &str, now: Second, zone: &TimeZone) -> Result<Self, PointError> {
        if text == "latest" { Ok(Self::Latest) } else { time(text, now, zone).map(Self::At) }
    }

    /// Reads the argument of `--at-sequence`.
    ///
    /// # Errors
    /// [`PointError::NotASequence`].
    pub fn at_sequence(text: &str) -> Result<Self, PointError> {
        Sequence::parse(text).map(Self::AtSequence).map_err(|_| PointError::NotASequence(text.to_owned()))
    }
}

/// Reads a TIME, floored to a second.
///
/// # Errors
/// [`PointError`] as its variants say.
pub fn time(text: &str, now: Second, zone: &TimeZone) -> Result<Second, PointError> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit())
        && let Ok(seconds) = text.parse::<i64>()
    {
        return epoch(text, seconds);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(floor(at));
    }
    if let Ok(at) = text.parse::<civil::DateTime>() {
        return Err(no_offset(text, at, zone));
    }
    distance(text, now)
}

fn epoch(text: &str, seconds: i64) -> Result<Second, PointError> {
    if seconds < MOST_EPOCH_SECONDS {
        return Ok(Second(seconds));
    }
    Err(PointError::TooFine { text: text.to_owned(), seconds: seconds / 1000 })
}

/// `10m ago`, `-10m`; a day has 24 hours.
fn distance(text: &str, now: Second) -> Result<Second, PointError> {
    let not = || PointError::NotATime(text.to_owned());
    let span: jiff::Span = text.parse().map_err(|_| not())?;
    let distance = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| not())?;
    if distance.is_positive() {
        return Err(PointError::Future(text.to_owned()));
    }
    let at = Timestamp::from_second(now.0).and_then(|now| now.checked_add(distance)).map_err(|_| not())?;
    Ok(floor(at))
}

fn floor(at: Timestamp) -> Second {
    let seconds = at.as_nanosecond().div_euclid(1_000_000_000);
    Second(i64::try_from(seconds).unwrap_or(at.as_second()))
}

fn no_offset(text: &str, at: civil::DateTime, zone: &TimeZone) -> PointError {
    let local = zone.to_ambiguous_zoned(at).compatible().map_or_else(
        |_| "its local time with an offset".to_owned(),
        |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    );
    PointError::NoOffset { text: text.to_owned(), utc: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), local }
}

/// The service's ids are 32 hex digits; others are UUIDs.
fn is_event_id(text: &str) -> bool {
    text.len() >= 16 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// A point, resolved: which changes count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Changes stamped up to and including this second count.
    pub through: Second,
    /// Of the second after it, the changes up to an edge count as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<Edge>,
    /// Everything committed was asked for: a later answer may hold more.
    pub latest: bool,
}

/// A cut by position inside the second after [`Point::through`]: one shard up to a sequence number, its
/// ancestors whole, other shards not at all. Stamps never fall along a lineage, so this is a prefix of every
/// item's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// The stream.
    pub epoch: u32,
    /// The shard.
    pub shard: ShardId,
    /// Its ancestors.
    #[serde(skip)]
    pub ancestors: Vec<ShardId>,
    /// Where it ends.
    pub sequence: Sequence,
    /// Whether the change at `sequence` counts: so it does where a sequence number was asked for.
    pub inclusive: bool,
}

impl Point {
    /// All changes stamped up to and including `through`.
    #[must_use]
    pub const fn at(through: Second) -> Self {
        Self { through, edge: None, latest: false }
    }

    /// The last second in which a change may count.
    #[must_use]
    pub const fn horizon(&self) -> Second {
        self.through.plus(if self.edge.is_some() { 1 } else { 0 })
    }

    /// Whether only a base before the point may serve it: a cut at a sequence number is for sources that stamp
    /// coarsely, and the archive's format defines it forward only.
    #[must_use]
    pub fn forward_only(&self) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.inclusive)
    }

    /// Whether a change counts.
    #[must_use]
    pub fn includes(&self, cut_at: Second, epoch: u32, shard: &ShardId, sequence: &Sequence) -> bool {
        if cut_at <= self.through {
            return true;
        }
        let Some(edge) = self.edge.as_ref().filter(|edge| cut_at <= self.horizon() && edge.epoch == epoch) else {
            return false;
        };
        let reached = *sequence < edge.sequence || (edge.inclusive && *sequence == edge.sequence);
        edge.ancestors.contains(shard) || (edge.shard == *shard && reached)
    }

    /// The point that `asked` means if the manifest alone can tell; `None` for an event or a position, which
    /// only the segments know.
    #[must_use]
    pub fn resolve(asked: &Asked, manifest: &Manifest) -> Option<Self> {
        match asked {
            Asked::Before(at) => Some(Self::at(at.plus(-1))),
            Asked::At(at) => Some(Self::at(*at)),
            Asked::Latest => Some(Self { latest: true, ..Self::at(last_second(manifest)) }),
            Asked::BeforeEvent(_) | Asked::AtSequence(_) => None,
        }
    }
}

/// The last second that a committed change of an open stream carries; with none open, the end of coverage.
fn last_second(manifest: &Manifest) -> Second {
    let open = |epoch: u32| manifest.epochs.get(&epoch).is_some_and(|epoch| epoch.border_from.is_none());
    let cuts = manifest.shards.iter().filter(|(key, _)| open(key.epoch)).map(|(_, shard)| shard.cut);
    cuts.chain(manifest.closed_through).max().unwrap_or_default()
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.edge {
            None => write!(f, "{} (inclusive)", self.through)?,
            Some(edge) => {
                let word = if edge.inclusive { "through" } else { "before" };
                write!(f, "{} and, in {}, {word} sequence {}", self.through, self.horizon(), edge.sequence)?;
            }
        }
        if self.latest { f.write_str(", the latest committed change") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Second = Second(1_795_305_600); // 2026-11-22T00:00:00Z

    fn read(text: &str) -> Result<Second, PointError> {
        time(text, NOW, &TimeZone::fixed(jiff::tz::offset(2)))
    }

    #[test]
    fn reads_every_form_of_time() {
        for (text, seconds) in [
            ("2026-11-22T00:00:00Z", 0),
            ("2026-11-22T01:00:00+01:00", 0),
            ("2026-11-22 01:00:00.999+01:00", 0),
            ("1795305600", 0),
            ("10m ago", -600),
            ("-10m", -600),
            ("-1h30m", -5400),
            ("2d ago", -172_800),
            ("-1500ms", -2),
            ("-0s", 0),
        ] {
            assert_eq!(read(text), Ok(NOW.plus(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_two_readings_or_none() {
        let Err(PointError::NoOffset { utc, local, .. }) = read("2026-11-22T14:03:00") else { panic!() };
        assert_eq!((utc.as_str(), local.as_str()), ("2026-11-22T14:03:00Z", "2026-11-22T14:03:00+02:00"));
        assert!(matches!(read("2026-11-22"), Err(PointError::NoOffset { .. })));
        assert!(matches!(read("yesterday"), Err(PointError::NotATime(_))));
        assert!(matches!(read(""), Err(PointError::NotATime(_))));
        assert!(matches!(read("1mo ago"), Err(PointError::NotATime(_))));
        assert_eq!(read("10m"), Err(PointError::Future("10m".into())));
        let Err(PointError::TooFine { seconds, .. }) = read("1795305600123") else { panic!() };
        assert_eq!(seconds, NOW.0);
    }

    #[test]
    fn before_takes_a_time_or_an_event_id_and_at_takes_latest() {
        let zone = TimeZone::UTC;
        let id = "c4ca4238a0b923820dcc509a6f75849b";
        assert_eq!(Asked::before(id, NOW, &zone), Ok(Asked::BeforeEvent(id.into())));
        assert_eq!(Asked::before(&"1".repeat(32), NOW, &zone), Ok(Asked::BeforeEvent("1".repeat(32))));
        assert_eq!(Asked::before("-1s", NOW, &zone), Ok(Asked::Before(NOW.plus(-1))));
        assert_eq!(Asked::at("latest", NOW, &zone), Ok(Asked::Latest));
        assert!(Asked::before("latest", NOW, &zone).is_err());
        assert!(Asked::at(id, NOW, &zone).is_err());
        let manifest = Manifest::default();
        assert_eq!(Point::resolve(&Asked::Before(NOW), &manifest), Some(Point::at(NOW.plus(-1))));
        assert_eq!(Point::resolve(&Asked::At(NOW), &manifest), Some(Point::at(NOW)));
        assert_eq!(Asked::at_sequence("x"), Err(PointError::NotASequence("x".into())));
    }

    #[test]
    fn an_edge_takes_ancestors_whole_and_its_shard_to_the_sequence() {
        let seq = |n: u32| Sequence::parse(&n.to_string()).unwrap();
        let (parent, shard, other) = (ShardId::new("p"), ShardId::new("s"), ShardId::new("o"));
        let mut point = Point::at(Second(9));
        let edge = Edge {
            epoch: 1,
            shard: shard.clone(),
            ancestors: vec![parent.clone()],
            sequence: seq(50),
            inclusive: false,
        };
        point.edge = Some(edge);
        assert!(point.includes(Second(9), 1, &other, &seq(99)));
        assert!(point.includes(Second(10), 1, &parent, &seq(99)));
        assert!(point.includes(Second(10), 1, &shard, &seq(49)));
        assert!(!point.includes(Second(10), 1, &shard, &seq(50)));
        assert!(!point.includes(Second(10), 1, &other, &seq(1)));
        assert!(!point.includes(Second(10), 2, &shard, &seq(1)));
        assert!(!point.includes(Second(11), 1, &shard, &seq(1)));
        point.edge.as_mut().unwrap().inclusive = true;
        assert!(point.includes(Second(10), 1, &shard, &seq(50)));
    }
}
