//! The difference that gives the old image back from the new one.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::image::{Attribute, ImageError, attributes, has_duplicates};

/// What turns `new` into `old`: `{"set":{…},"drop":[…]}`. `set` holds the attributes of `old` that `new`
/// lacks or holds with other bytes, `drop` the names that only `new` has.
///
/// # Errors
/// [`ImageError::NotJson`] and [`ImageError::Duplicate`], of either image.
pub fn delta(old: &str, new: &str) -> Result<String, ImageError> {
    let old = attributes(old)?;
    let new = attributes(new)?;
    let mut in_old = vec![false; new.len()];
    let mut finder = Finder::new(&new);
    let mut out = String::from("{\"set\":{");
    let mut comma = "";
    for (name, value) in &old {
        let found = finder.find(name);
        if let Some(at) = found {
            in_old[at] = true;
        }
        if found.is_none_or(|at| new[at].1.get() != value.get()) {
            out.push_str(comma);
            push_attribute(&mut out, name, value);
            comma = ",";
        }
    }
    out.push_str("},\"drop\":[");
    comma = "";
    for ((name, _), _) in new.iter().zip(&in_old).filter(|(_, in_old)| !**in_old) {
        out.push_str(comma);
        push_text(&mut out, name);
        comma = ",";
    }
    out.push_str("]}");
    Ok(out)
}

/// The old image: the attributes of `new` in their order, dropped ones left out and differing ones put in
/// place, then those that only the old image had, in the difference's order. Values keep their bytes.
///
/// # Errors
/// [`ImageError::Delta`] if `delta` is none, or drops what `new` does not have; others as of [`attributes`].
pub fn apply(new: &str, delta: &str) -> Result<String, ImageError> {
    let new_attributes = attributes(new)?;
    let Delta { set, drop } = serde_json::from_str(delta).map_err(|_| ImageError::Delta)?;
    let set = attributes(set.get())?;
    let mut kept: Vec<Option<&RawValue>> = new_attributes.iter().map(|(_, value)| Some(*value)).collect();
    let mut finder = Finder::new(&new_attributes);
    if has_duplicates(set.iter().map(|(name, _)| &**name).chain(drop.iter().map(|name| &**name))) {
        return Err(ImageError::Delta);
    }
    for name in &drop {
        kept[finder.find(name).ok_or(ImageError::Delta)?] = None;
    }
    let mut added = Vec::new();
    for (name, value) in &set {
        match finder.find(name) {
            Some(at) => kept[at] = Some(value),
            None => added.push((name, *value)),
        }
    }
    let mut out = String::with_capacity(new.len() + delta.len());
    out.push('{');
    let in_place = new_attributes.iter().zip(kept).filter_map(|((name, _), value)| Some((name, value?)));
    for (i, (name, value)) in in_place.chain(added).enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_attribute(&mut out, name, value);
    }
    out.push('}');
    Ok(out)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delta<'a> {
    #[serde(borrow)]
    set: &'a RawValue,
    #[serde(borrow)]
    drop: Vec<Cow<'a, str>>,
}

/// Finds attributes by name. Two images of one item mostly hold the same names in the same order, so the
/// place behind the last hit is tried first, and an index is built only when that fails.
pub(super) struct Finder<'i, 'a> {
    attributes: &'i [Attribute<'a>],
    next: usize,
    index: Option<HashMap<&'i str, usize>>,
}

impl<'i, 'a> Finder<'i, 'a> {
    pub(super) fn new(attributes: &'i [Attribute<'a>]) -> Self {
        Self { attributes, next: 0, index: None }
    }

    pub(super) fn find(&mut self, name: &str) -> Option<usize> {
        let is_next = self.attributes.get(self.next).is_some_and(|(found, _)| found == name);
        let at = if is_next { self.next } else { self.look_up(name)? };
        self.next = at + 1;
        Some(at)
    }

    fn look_up(&mut self, name: &str) -> Option<usize> {
        let attributes = self.attributes;
        let index = self
            .index
            .get_or_insert_with(|| attributes.iter().enumerate().map(|(at, (name, _))| (&**name, at)).collect());
        index.get(name).copied()
    }
}

fn push_attribute(out: &mut String, name: &str, value: &RawValue) {
    push_text(out, name);
    out.push(':');
    out.push_str(value.get());
}

/// Appends `text` as a JSON string.
fn push_text(out: &mut String, text: &str) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}
