//! `ApproximateCreationDateTime`: a JSON number of seconds, whole, fractional or with an exponent.
//! It is read from its digits, because a binary fraction would move microseconds.

use crate::change::Micros;

/// Digits of a microsecond behind the point.
const PLACES: i32 = 6;

/// The microseconds that a JSON number of seconds names, floored; `None` when it is no number or out of range.
pub(super) fn micros(text: &str) -> Option<Micros> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // How many of the digits stand before the last microsecond.
    let kept = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(PLACES)?;
    let mut value: i64 = 0;
    for digit in digits().take(usize::try_from(kept).unwrap_or(0)) {
        value = value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
    }
    let missing = kept.saturating_sub(i32::try_from(whole.len() + fraction.len()).ok()?);
    for _ in 0..missing.max(0) {
        if value == 0 {
            break;
        }
        value = value.checked_mul(10)?;
    }
    let inexact = digits().skip(usize::try_from(kept).unwrap_or(0)).any(|digit| digit != b'0');
    Some(Micros(if negative { -value - i64::from(inexact) } else { value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_a_json_number_to_the_microsecond() {
        for (text, expected) in [
            ("1795305600", 1_795_305_600_000_000),
            ("1795305600.123456", 1_795_305_600_123_456),
            ("1795305600.1234569", 1_795_305_600_123_456),
            ("1795305600.5", 1_795_305_600_500_000),
            ("1.7953056E9", 1_795_305_600_000_000),
            ("1.795305600123E+9", 1_795_305_600_123_000),
            ("17953056005e-1", 1_795_305_600_500_000),
            ("0", 0),
            ("0e999999", 0),
            ("1e-7", 0),
            ("-1.5", -1_500_000),
            ("-0.0000001", -1),
        ] {
            assert_eq!(micros(text), Some(Micros(expected)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_number_or_too_large() {
        for text in
            ["", "-", ".", "null", "\"1\"", "1e", "1e99999999999", "1e300", "99999999999999999999", "1.2.3", "true"]
        {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
