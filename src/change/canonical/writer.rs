//! Reads attribute values straight from JSON text and writes their canonical bytes; builds no tree.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::change::image::ImageError;
use crate::change::number;

/// A buffer of canonical bytes, with the first fault that was met.
#[derive(Debug)]
pub(in crate::change) struct Canon {
    bytes: Vec<u8>,
    fault: Option<ImageError>,
}

/// Enough for most attributes: images are many, and a buffer that grows is moved again and again.
const USUAL_BYTES: usize = 512;

impl Default for Canon {
    fn default() -> Self {
        Self { bytes: Vec::with_capacity(USUAL_BYTES), fault: None }
    }
}

/// How a scalar's text becomes bytes.
#[derive(Debug, Clone, Copy)]
enum Scalar {
    Text,
    Number,
    Binary,
}

impl Canon {
    /// What was written since the last [`clear`](Self::clear).
    pub(in crate::change) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(in crate::change) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(in crate::change) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Appends the value whose JSON is `json`.
    pub(in crate::change) fn read_value(&mut self, json: &str) -> Result<(), ImageError> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let outcome = self.value().deserialize(&mut reader).and_then(|()| reader.end());
        outcome.map_err(|error| self.fault(&error))
    }

    /// Appends length ‖ name, then the value whose JSON is `json`.
    pub(in crate::change) fn read_attribute(&mut self, name: &str, json: &str) -> Result<(), ImageError> {
        let named: Result<(), serde_json::Error> = self.sized(name.as_bytes());
        named.map_err(|error| self.fault(&error))?;
        self.read_value(json)
    }

    /// The fault behind a reader's error: ours if one of us raised it.
    pub(in crate::change) fn fault(&mut self, error: &serde_json::Error) -> ImageError {
        self.fault.take().unwrap_or_else(|| ImageError::not_json(error))
    }

    /// A seed that appends one value.
    pub(in crate::change) fn value(&mut self) -> ValueSeed<'_> {
        ValueSeed(self)
    }

    /// Notes a fault of ours, and makes the error that carries it past the JSON reader.
    pub(in crate::change) fn refuse<E: Error>(&mut self, fault: ImageError) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }

    /// Appends length ‖ bytes.
    pub(in crate::change) fn sized<E: Error>(&mut self, bytes: &[u8]) -> Result<(), E> {
        let Ok(length) = u32::try_from(bytes.len()) else { return Err(self.refuse(ImageError::Value("length"))) };
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn scalar<E: Error>(&mut self, kind: Scalar, text: &str) -> Result<(), E> {
        match kind {
            Scalar::Text => self.sized(text.as_bytes()),
            Scalar::Number => match number::canonical(text) {
                Some(number) => self.sized(number.as_bytes()),
                None => Err(self.refuse(ImageError::Value("number"))),
            },
            Scalar::Binary => {
                let at = self.reserve_count();
                let mut bytes = std::mem::take(&mut self.bytes);
                let decoded = STANDARD.decode_vec(text, &mut bytes);
                self.bytes = bytes;
                if decoded.is_err() {
                    return Err(self.refuse(ImageError::Value("binary")));
                }
                self.fill_count(at, self.bytes.len() - at - 4)
            }
        }
    }

    /// Leaves room for a count or length that is not known yet.
    fn reserve_count(&mut self) -> usize {
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.len() - 4
    }

    fn fill_count<E: Error>(&mut self, at: usize, count: usize) -> Result<(), E> {
        let Ok(count) = u32::try_from(count) else { return Err(self.refuse(ImageError::Value("count"))) };
        self.bytes[at..at + 4].copy_from_slice(&count.to_be_bytes());
        Ok(())
    }

    /// Puts the parts that were appended at `from` into order. Each part is (whole, what it is ordered by).
    fn sort(&mut self, from: usize, parts: &mut [Part], order: impl Fn(&[u8], &[u8]) -> Ordering) {
        let bytes = &self.bytes;
        let compare = |a: &Part, b: &Part| order(&bytes[a.by.clone()], &bytes[b.by.clone()]);
        if parts.is_sorted_by(|a, b| compare(a, b).is_le()) {
            return;
        }
        parts.sort_by(compare);
        let mut sorted = Vec::with_capacity(bytes.len() - from);
        parts.iter().for_each(|part| sorted.extend_from_slice(&bytes[part.whole.clone()]));
        self.bytes[from..].copy_from_slice(&sorted);
    }
}

/// One element of a set or member of a map.
struct Part {
    whole: Range<usize>,
    by: Range<usize>,
}

/// A member's name, borrowed where it holds no escapes.
pub(in crate::change) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}
impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// `{"TAG":content}`
pub(in crate::change) struct ValueSeed<'c>(&'c mut Canon);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}
impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(tag) = map.next_key_seed(Name)? else { return Err(self.0.refuse(ImageError::Value("value"))) };
        self.0.bytes.extend_from_slice(tag.as_bytes());
        let canon = &mut *self.0;
        match &*tag {
            "S" => map.next_value_seed(ScalarSeed(canon, Scalar::Text))?,
            "N" => map.next_value_seed(ScalarSeed(canon, Scalar::Number))?,
            "B" => map.next_value_seed(ScalarSeed(canon, Scalar::Binary))?,
            "BOOL" => {
                let truth = map.next_value::<bool>()?;
                canon.sized(if truth { b"true" } else { b"false" })?;
            }
            "NULL" if map.next_value::<bool>()? => canon.sized(b"true")?,
            "NULL" => return Err(canon.refuse(ImageError::Value("null"))),
            "SS" => map.next_value_seed(SetSeed(canon, Scalar::Text))?,
            "NS" => map.next_value_seed(SetSeed(canon, Scalar::Number))?,
            "BS" => map.next_value_seed(SetSeed(canon, Scalar::Binary))?,
            "L" => map.next_value_seed(ListSeed(canon))?,
            "M" => map.next_value_seed(MapSeed(canon))?,
            unknown => return Err(canon.refuse(ImageError::unknown_type(unknown))),
        }
        match map.next_key_seed(Name)? {
            None => Ok(()),
            Some(_) => Err(self.0.refuse(ImageError::Value("value"))),
        }
    }
}

/// A string that stands for a scalar.
struct ScalarSeed<'c>(&'c mut Canon, Scalar);

impl<'de> DeserializeSeed<'de> for ScalarSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_str(self)
    }
}
impl Visitor<'_> for ScalarSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.scalar(self.1, text)
    }
}

/// `["a","b"]`
struct SetSeed<'c>(&'c mut Canon, Scalar);

impl<'de> DeserializeSeed<'de> for SetSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}
impl<'de> Visitor<'de> for SetSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self(canon, kind) = self;
        let count = canon.reserve_count();
        let from = canon.bytes.len();
        let mut parts = Vec::new();
        loop {
            let start = canon.bytes.len();
            if elements.next_element_seed(ScalarSeed(canon, kind))?.is_none() {
                break;
            }
            let end = canon.bytes.len();
            parts.push(Part { whole: start..end, by: start + 4..end });
        }
        match kind {
            Scalar::Number => canon.sort(from, &mut parts, number::compare),
            Scalar::Text | Scalar::Binary => canon.sort(from, &mut parts, Ord::cmp),
        }
        canon.fill_count(count, parts.len())
    }
}

/// `[{"S":"a"}, …]`
struct ListSeed<'c>(&'c mut Canon);

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}
impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let at = self.0.reserve_count();
        let mut count = 0;
        while elements.next_element_seed(self.0.value())?.is_some() {
            count += 1;
        }
        self.0.fill_count(at, count)
    }
}

/// `{"name":{"S":"a"}, …}`
struct MapSeed<'c>(&'c mut Canon);

impl<'de> DeserializeSeed<'de> for MapSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}
impl<'de> Visitor<'de> for MapSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self(canon) = self;
        let at = canon.reserve_count();
        let from = canon.bytes.len();
        let mut parts = Vec::new();
        while let Some(name) = members.next_key_seed(Name)? {
            let start = canon.bytes.len();
            canon.sized(name.as_bytes())?;
            let by = start + 4..canon.bytes.len();
            members.next_value_seed(canon.value())?;
            parts.push(Part { whole: start..canon.bytes.len(), by });
        }
        canon.sort(from, &mut parts, Ord::cmp);
        canon.refuse_duplicates(from, &parts)?;
        canon.fill_count(at, parts.len())
    }
}

impl Canon {
    /// Refuses two members of one name; `parts` were sorted, so they stand side by side.
    fn refuse_duplicates<E: Error>(&mut self, from: usize, parts: &[Part]) -> Result<(), E> {
        let mut start = from;
        let mut last: Option<&[u8]> = None;
        for part in parts {
            // Sorting moved the bytes but not the ranges: lengths still hold, places follow from them.
            let name = &self.bytes[start + 4..start + 4 + part.by.len()];
            if last == Some(name) {
                return Err(self.refuse(ImageError::Duplicate));
            }
            last = Some(name);
            start += part.whole.len();
        }
        Ok(())
    }
}
