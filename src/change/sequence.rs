//! Sequence numbers: up to 40 decimal digits, compared and stepped as integers.
//!
//! 10^40 does not fit in 128 bits, so the digits themselves are kept.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits of a padded sequence number.
const DIGITS: usize = 40;

/// A sequence number. Order and equality are those of the integer; printing gives it as delivered.
#[derive(Clone, Copy)]
pub struct Sequence {
    padded: [u8; DIGITS],
    delivered_len: u8,
}

/// Text that is no sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a sequence number of 1 to 40 digits")]
pub struct SequenceError(pub String);

impl Sequence {
    /// Reads a sequence number as the service or the log writes it.
    ///
    /// # Errors
    /// Text that is empty, longer than 40 digits, or not digits.
    pub fn parse(text: &str) -> Result<Self, SequenceError> {
        let len = u8::try_from(text.len()).map_err(|_| SequenceError(text.to_owned()))?;
        if len == 0 || text.len() > DIGITS || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(SequenceError(text.to_owned()));
        }
        let mut padded = [b'0'; DIGITS];
        padded[DIGITS - text.len()..].copy_from_slice(text.as_bytes());
        Ok(Self { padded, delivered_len: len })
    }

    /// Reads the 40 digits that a segment stores.
    #[must_use]
    pub fn of_digits(digits: &[u8]) -> Option<Self> {
        let padded: [u8; DIGITS] = digits.try_into().ok()?;
        padded.iter().all(u8::is_ascii_digit).then_some(Self { padded, delivered_len: DIGITS as u8 })
    }

    /// The digits that a segment stores.
    #[must_use]
    pub const fn digits(&self) -> &[u8; DIGITS] {
        &self.padded
    }

    /// The same as text.
    #[must_use]
    pub fn padded(&self) -> &str {
        std::str::from_utf8(&self.padded).unwrap_or_default()
    }

    /// As delivered, leading zeros included.
    #[must_use]
    pub fn as_delivered(&self) -> &str {
        &self.padded()[DIGITS - usize::from(self.delivered_len)..]
    }

    /// The integer before this one, in the same width; 0 stays 0.
    #[must_use]
    pub fn before(&self) -> Self {
        let mut digits = self.padded;
        for digit in digits.iter_mut().rev() {
            if *digit > b'0' {
                *digit -= 1;
                return Self { padded: digits, delivered_len: self.delivered_len };
            }
            *digit = b'9';
        }
        *self
    }
}

impl PartialEq for Sequence {
    fn eq(&self, other: &Self) -> bool {
        self.padded == other.padded
    }
}
impl Eq for Sequence {}
impl Hash for Sequence {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.padded.hash(state);
    }
}
impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.padded.cmp(&other.padded)
    }
}
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_delivered())
    }
}
impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_delivered())
    }
}
impl Serialize for Sequence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_delivered())
    }
}
impl<'de> Deserialize<'de> for Sequence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_as_an_integer_and_prints_as_delivered() {
        let short = Sequence::parse("000000000000000000009").unwrap();
        let long = Sequence::parse("10").unwrap();
        assert!(short < long);
        assert_eq!(short.to_string(), "000000000000000000009");
        assert_eq!(long.before(), Sequence::parse("9").unwrap());
        assert_eq!(long.before().to_string(), "09");
        let top = Sequence::parse(&"9".repeat(40)).unwrap();
        assert!(top > short);
        assert_eq!(Sequence::parse("0").unwrap().before().to_string(), "0");
    }

    #[test]
    fn refuses_what_is_no_number() {
        for bad in ["", "12x", "-1", &"1".repeat(41)] {
            assert!(Sequence::parse(bad).is_err(), "{bad}");
        }
    }
}
