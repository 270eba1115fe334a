//! Lengths of time, sizes and sums as people write them: `90s`, `32MiB`, `$1`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time of whole milliseconds, written `90s`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length(pub Duration);

/// A number of bytes, written `1000`, `64KiB`, `32MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// A sum of whole cents, written `$1`, `0.50`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dollars(pub u64);

/// What was written is none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{written:?} is not {wanted}")]
pub struct UnitError {
    written: String,
    wanted: &'static str,
}

/// Units of size, the greatest first.
const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl FromStr for Length {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let refuse = || UnitError { written: text.to_owned(), wanted: "a length of time such as 90s, 15m or 2h" };
        let read: jiff::SignedDuration = text.trim().parse().map_err(|_| refuse())?;
        Duration::try_from(read).map(Self).map_err(|_| refuse())
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds, self.0.subsec_millis()) {
            (0, millis) if millis > 0 => write!(f, "{millis}ms"),
            (_, millis) if millis > 0 => write!(f, "{seconds}s {millis}ms"),
            (0, _) => f.write_str("0s"),
            _ if seconds.is_multiple_of(3600) => write!(f, "{}h", seconds / 3600),
            _ if seconds.is_multiple_of(60) => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{seconds}s"),
        }
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let trimmed = text.trim();
        let (digits, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| trimmed.strip_suffix(unit).map(|digits| (digits, *shift)))
            .unwrap_or((trimmed, 0));
        let read = digits.trim_end().parse::<u64>().ok();
        read.and_then(|count| count.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| UnitError { written: text.to_owned(), wanted: "a size such as 1000, 64KiB or 32MiB" })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, shift) =
            UNITS.iter().find(|(_, shift)| self.0 > 0 && self.0.is_multiple_of(1 << shift)).unwrap_or(&UNITS[3]);
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

impl FromStr for Dollars {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let written = text.trim();
        let written = written.strip_prefix('$').unwrap_or(written);
        let (dollars, cents) = written.split_once('.').unwrap_or((written, "00"));
        let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok())?;
        let cents = number(cents).filter(|_| cents.len() == 2);
        let read = number(dollars).and_then(|dollars| dollars.checked_mul(100)?.checked_add(cents?));
        read.map(Self).ok_or_else(|| UnitError { written: text.to_owned(), wanted: "a sum such as $1 or 0.50" })
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// In a file a unit stands as people write it.
macro_rules! as_written {
    ($($unit:ty),+) => {$(
        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
as_written!(Length, Size, Dollars);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_read_back_as_written() {
        for text in ["90s", "15m", "2h", "250ms", "1s 250ms", "0s"] {
            assert_eq!(text.parse::<Length>().unwrap().to_string(), text);
        }
        for text in ["1000B", "64KiB", "32MiB", "3GiB", "0B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for (text, shown) in [("$1", "$1.00"), ("0.50", "$0.50"), ("$12.34", "$12.34"), ("0", "$0.00")] {
            assert_eq!(text.parse::<Dollars>().unwrap().to_string(), shown);
        }
        assert_eq!("1000".parse::<Size>().unwrap(), Size(1000));
        assert_eq!("1h 30m".parse::<Length>().unwrap().0.as_secs(), 5400);
    }

    #[test]
    fn what_is_neither_is_refused_by_name() {
        for text in ["", "90", "-5s", "soon"] {
            assert!(text.parse::<Length>().unwrap_err().to_string().contains(text), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "$", "-1", "1.5", "1.005", "$1 ", "one", "+1", "99999999999999999999"] {
            let read = text.parse::<Dollars>();
            assert_eq!(read.is_ok(), text == "$1 ", "{text}: {read:?}");
        }
    }
}
