//! The one spelling of a number: `-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?`, −0 being 0. Pure text, never a float.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Digits before the point, and after it, that a canonical number may have. The service's own range needs
/// 126 and 167; the bound only keeps a hostile exponent from filling memory.
const MOST_DIGITS: i64 = 512;

/// The canonical form of `text`: sign, leading and trailing zeros, a bare point and an exponent are
/// accepted. `None` for anything else, and beyond 512 digits on either side of the point.
#[must_use]
pub(super) fn canonical(text: &str) -> Option<Cow<'_, str>> {
    if is_canonical(text) {
        return Some(Cow::Borrowed(text));
    }
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let exponent = exponent.map_or(Some(0), read_exponent)?;
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).ok()?.saturating_add(exponent);
    place_point(negative, &digits, point).map(Cow::Owned)
}

/// Whether `text` is canonical already, and within the bound.
fn is_canonical(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let digits =
        |part: &str| !part.is_empty() && part.len() <= MOST_DIGITS as usize && part.bytes().all(|b| b.is_ascii_digit());
    let whole_ok = digits(whole) && (whole == "0" || !whole.starts_with('0'));
    let fraction_ok = fraction.is_none_or(|part| digits(part) && !part.ends_with('0'));
    whole_ok && fraction_ok && text != "-0"
}

/// An exponent: an optional sign and at least one digit; beyond any useful size it is held at 10^12.
fn read_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.bytes().fold(0_i64, |sum, b| (sum * 10 + i64::from(b - b'0')).min(1_000_000_000_000));
    Some(sign * size)
}

/// Writes `digits` with the decimal point behind the first `point` of them (which may lie outside of them).
fn place_point(negative: bool, digits: &str, point: i64) -> Option<String> {
    let significant = digits.trim_start_matches('0');
    let point = point - i64::try_from(digits.len() - significant.len()).ok()?;
    let significant = significant.trim_end_matches('0');
    let count = i64::try_from(significant.len()).ok()?;
    if count == 0 {
        return Some("0".to_owned());
    }
    if point > MOST_DIGITS || count - point > MOST_DIGITS {
        return None;
    }
    let mut out = String::from(if negative { "-" } else { "" });
    let zeros = |n: i64| "0".repeat(usize::try_from(n).unwrap_or(0));
    match usize::try_from(point) {
        Ok(0) | Err(_) => {
            out.push_str("0.");
            out.push_str(&zeros(-point));
            out.push_str(significant);
        }
        Ok(at) if at < significant.len() => {
            out.push_str(&significant[..at]);
            out.push('.');
            out.push_str(&significant[at..]);
        }
        Ok(_) => {
            out.push_str(significant);
            out.push_str(&zeros(point - count));
        }
    }
    Some(out)
}

/// Orders two canonical numbers by value.
#[must_use]
pub(super) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    match (left.strip_prefix(b"-"), right.strip_prefix(b"-")) {
        (None, None) => compare_size(left, right),
        (Some(left), Some(right)) => compare_size(right, left),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
    }
}

/// Orders two canonical numbers without sign.
fn compare_size(left: &[u8], right: &[u8]) -> Ordering {
    let split = |text: &[u8]| text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let (left_whole, left_fraction) = left.split_at(split(left));
    let (right_whole, right_fraction) = right.split_at(split(right));
    // A fraction without trailing zeros orders as text.
    (left_whole.len().cmp(&right_whole.len()))
        .then_with(|| left_whole.cmp(right_whole))
        .then_with(|| left_fraction.cmp(right_fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_every_form_of_a_number_in_one_way() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("+0.00e7", "0"),
            ("0e999999999999999999999", "0"),
            ("007", "7"),
            ("+7", "7"),
            ("1.0", "1"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-.5E-1", "-0.05"),
            ("1e3", "1000"),
            ("1.25e1", "12.5"),
            ("1.25e+002", "125"),
            ("1.25e3", "1250"),
            ("100e-2", "1"),
            ("-120e-3", "-0.12"),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(canonical("1e125").unwrap().len(), 126);
        assert_eq!(canonical("1e-130").unwrap().len(), 132);
    }

    #[test]
    fn refuses_what_is_no_number_or_too_long() {
        for bad in [
            "",
            "-",
            "+",
            ".",
            "e1",
            "1e",
            "1e+",
            "1e1.5",
            "--1",
            "+-1",
            " 1",
            "1 ",
            "1_0",
            "0x1",
            "NaN",
            "Infinity",
            "1.2.3",
            "１",
            "1e999999",
            "-1e-999999",
            "1e513",
        ] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
        assert_eq!(canonical(&"1".repeat(600)), None);
    }

    #[test]
    fn orders_by_value() {
        let sorted = ["-100", "-20.5", "-20.25", "-0.001", "0", "0.001", "0.01", "1", "1.5", "2", "10", "10.01", "200"];
        for (i, left) in sorted.iter().enumerate() {
            for (j, right) in sorted.iter().enumerate() {
                assert_eq!(compare(left.as_bytes(), right.as_bytes()), i.cmp(&j), "{left} {right}");
            }
        }
    }
}
