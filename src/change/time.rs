//! Whole seconds, which cut the archive, and microseconds, which the service may deliver.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds since 1970 UTC. Written as RFC 3339 with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Second(pub i64);

/// Microseconds since 1970 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Micros(pub i64);

/// Seconds in a day.
const DAY: i64 = 86_400;

impl Second {
    /// `self` moved by `seconds`.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// The UTC day that holds this second, as `2026-11-22`.
    #[must_use]
    pub fn day(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// The first second of its UTC day.
    #[must_use]
    pub const fn day_start(self) -> Self {
        Self(self.0.div_euclid(DAY) * DAY)
    }

    /// In microseconds.
    #[must_use]
    pub const fn micros(self) -> Micros {
        Micros(self.0.saturating_mul(1_000_000))
    }

    /// Reads RFC 3339 in UTC, as this archive writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        (at.subsec_nanosecond() == 0).then(|| Self(at.as_second()))
    }
}

impl Micros {
    /// The second that holds this instant (floored).
    #[must_use]
    pub const fn second(self) -> Second {
        Second(self.0.div_euclid(1_000_000))
    }
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "@{}", self.0),
        }
    }
}
impl fmt::Debug for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Second {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Second {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        // One spelling only: what is stored is compared byte for byte by others.
        let stored = text.len() == "2026-11-22T00:00:00Z".len() && text.ends_with('Z');
        Self::parse(&text)
            .filter(|_| stored)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a whole second in RFC 3339")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_reads_back_as_written() {
        let at = Second(1_795_305_600);
        assert_eq!(at.to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(Second::parse("2026-11-22T00:00:00Z"), Some(at));
        assert_eq!(at.plus(-1).day(), "2026-11-21");
        assert_eq!(at.plus(5).day_start(), at);
        assert_eq!(Micros(-1).second(), Second(-1));
        assert_eq!(Second::parse("2026-11-22T00:00:00.5Z"), None);
    }
}
