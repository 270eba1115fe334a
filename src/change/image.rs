//! Images: the JSON objects of attributes that the service sends, read in place.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::canonical::Name;
pub use super::delta::{apply, delta};

/// Why a text is no image. The record that holds it is kept whole, as `UNKNOWN`. Carries no item data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// No JSON, JSON of another shape, or nested too deep.
    #[error("an image cannot be read as JSON of attributes, at its line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// A type tag that this version does not know.
    #[error("an image holds a value of the unknown type {0:?}; a newer tailrace may know it")]
    UnknownType(String),
    /// One name stands twice.
    #[error("an image names one attribute twice")]
    Duplicate,
    /// A value that its type does not allow.
    #[error("an image holds an invalid {0}")]
    Value(&'static str),
    /// A key attribute is absent, or of another type than the key schema says.
    #[error("the key attributes are not those of the table's key schema")]
    Key,
    /// A difference that does not fit the image it is applied to, or is none.
    #[error("a stored difference between two images does not fit the newer one")]
    Delta,
    /// Images that this kind of change cannot have.
    #[error("a change lacks an image that its kind needs, or has one that it cannot have")]
    Shape,
}

impl ImageError {
    /// The reader's own words may quote the text, so only the place is kept.
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson { line: error.line(), column: error.column() }
    }

    /// A tag is no item data, but a hostile one may be long.
    pub(super) fn unknown_type(tag: &str) -> Self {
        Self::UnknownType(tag.chars().take(16).collect())
    }
}

/// One attribute: its name, unescaped, and the bytes of its value.
pub type Attribute<'a> = (Cow<'a, str>, &'a RawValue);

/// The attributes of an image, borrowed, in the order they stand in. Values are not looked into.
///
/// # Errors
/// [`ImageError::NotJson`] and [`ImageError::Duplicate`].
pub fn attributes(json: &str) -> Result<Vec<Attribute<'_>>, ImageError> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = reader.deserialize_map(Walk).and_then(|found| reader.end().map(|()| found));
    let found = found.map_err(|error| ImageError::not_json(&error))?;
    if has_duplicates(found.iter().map(|(name, _)| &**name)) {
        return Err(ImageError::Duplicate);
    }
    Ok(found)
}

/// So many names are compared each with each: faster than sorting, and nothing is allocated.
const FEW: usize = 24;

/// Whether a name stands twice.
pub(super) fn has_duplicates<'a>(names: impl Iterator<Item = &'a str> + Clone) -> bool {
    if names.clone().nth(FEW).is_none() {
        return names.clone().enumerate().any(|(at, name)| names.clone().take(at).any(|before| before == name));
    }
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Vec<Attribute<'de>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::with_capacity(16);
        while let Some(name) = map.next_key_seed(Name)? {
            found.push((name, map.next_value()?));
        }
        Ok(found)
    }
}
