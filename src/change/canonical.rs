//! The canonical bytes of an attribute value: equal values give equal bytes, however they are spelled.
//!
//! A value is its type tag in ASCII, followed by its content. Every length and count is a u32, big-endian.
//!
//! | value | bytes |
//! |---|---|
//! | `{"S":text}` | `S` ‖ length ‖ UTF-8 of the text after JSON unescaping |
//! | `{"N":text}` | `N` ‖ length ‖ canonical number, ASCII: `-?(0\|[1-9][0-9]*)(\.[0-9]*[1-9])?`, −0 = `0` |
//! | `{"B":base64}` | `B` ‖ length ‖ the decoded bytes |
//! | `{"BOOL":b}` | `BOOL` ‖ length ‖ `true` or `false` |
//! | `{"NULL":true}` | `NULL` ‖ length ‖ `true` |
//! | `{"SS":[…]}` | `SS` ‖ count ‖ (length ‖ UTF-8) of each element, sorted by bytes |
//! | `{"NS":[…]}` | `NS` ‖ count ‖ (length ‖ canonical number) of each element, sorted by value |
//! | `{"BS":[…]}` | `BS` ‖ count ‖ (length ‖ decoded bytes) of each element, sorted by decoded bytes |
//! | `{"L":[…]}` | `L` ‖ count ‖ each value, in the list's order |
//! | `{"M":{…}}` | `M` ‖ count ‖ (length ‖ UTF-8 of the name ‖ value) of each member, sorted by the name's bytes |
//!
//! So `{"N":"1.0"}` is `4e 00000001 31`, and `{"SS":["b","a"]}` is `5353 00000002 00000001 61 00000001 62`.
//! Lengths stay far below 2^30, so no tag followed by a length reads as another tag. Elements that a set
//! holds twice are kept twice. An attribute, as the image digest hashes it, is length ‖ name ‖ value.

mod writer;

use std::borrow::Cow;

pub(super) use writer::{Canon, Name};

/// The canonical form of a number as the service or an emulator may spell it; `None` if it is no number,
/// or has more than 512 digits on one side of the point.
#[must_use]
pub fn number(text: &str) -> Option<String> {
    super::number::canonical(text).map(Cow::into_owned)
}

/// The canonical bytes of one attribute value, given as its JSON (`{"S":"x"}`).
///
/// # Errors
/// JSON that is no attribute value: see [`ImageError`](super::image::ImageError).
pub fn value(json: &str) -> Result<Vec<u8>, super::image::ImageError> {
    let mut canon = Canon::default();
    canon.read_value(json)?;
    Ok(canon.into_bytes())
}
