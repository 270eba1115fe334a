//! What two images of one item differ in, as commands print it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::change::Text;
use crate::change::image::ImageError;
use crate::failure::{Exit, Failure};
use crate::replay::history::fields;

/// Of a longer value people see the beginning.
const SHOWN: usize = 120;

/// The attributes that differ, by name.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Changes<'a>(BTreeMap<String, Field<'a>>);

/// The values of one attribute.
#[derive(Debug, Serialize)]
struct Field<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a RawValue>,
}

impl<'a> Changes<'a> {
    pub(super) fn between(before: Option<&'a Text>, after: Option<&'a Text>) -> Result<Self, ImageError> {
        let changed = fields(before, after)?.into_iter().map(|(name, change)| {
            let (before, after) = (change.before.map(raw).transpose()?, change.after.map(raw).transpose()?);
            Ok((name, Field { before, after }))
        });
        changed.collect::<Result<_, ImageError>>().map(Self)
    }
}

/// JSON as it stands.
pub(super) fn raw(json: &str) -> Result<&RawValue, ImageError> {
    serde_json::from_str(json).map_err(|_| ImageError::Value("attribute"))
}

pub(super) fn unreadable(error: &ImageError, place: &str) -> Failure {
    let next = "run `tailrace verify` to see everything that is affected";
    Failure::new(Exit::VerificationFailed, format!("an image cannot be read: {error}"), place, next)
}

fn short(json: &RawValue) -> String {
    let text = json.get();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

impl fmt::Display for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, field) in &self.0 {
            let name = serde_json::to_string(name).map_err(|_| fmt::Error)?;
            match (field.before, field.after) {
                (Some(before), Some(after)) => write!(f, "\n  ~ {name}: {} → {}", short(before), short(after))?,
                (None, Some(after)) => write!(f, "\n  + {name}: {}", short(after))?,
                (Some(before), None) => write!(f, "\n  - {name}: {}", short(before))?,
                (None, None) => {}
            }
        }
        Ok(())
    }
}
