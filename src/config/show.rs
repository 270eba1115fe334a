//! Every setting with its value and where the value comes from.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::file::Loaded;
use super::limits;
use super::raw::File;

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Shown {
    /// Dotted name, as in the file.
    pub key: String,
    /// The value in force; null where there is none.
    pub value: Value,
    /// `--settle`, `TAILRACE_SETTLE`, `tailrace.toml:4` or `default`.
    pub origin: String,
}

/// Lists every setting. `given` holds what flags and environment say, in the form of a file;
/// `origin_of` names the one that said it (by the setting's last part).
///
/// # Errors
/// A value that cannot be written as JSON.
pub fn rows(
    given: &File,
    loaded: &Loaded,
    origin_of: impl Fn(&str) -> String,
) -> Result<Vec<Shown>, serde_json::Error> {
    let given = flatten(given)?;
    let file = flatten(&loaded.file)?;
    let defaults = flatten(&limits::defaults())?;
    // A list of sections, `[[source]]`, is shown where there is one.
    let keys: BTreeSet<&String> = given.keys().chain(file.keys()).collect();
    let mut keys: Vec<&String> = keys.into_iter().collect();
    keys.sort_by_key(|key| (key.contains('.'), *key));
    let show = |key: &String| match (given.get(key), file.get(key)) {
        (Some(value), _) if !value.is_null() => {
            Shown { key: key.clone(), value: value.clone(), origin: origin_of(key.rsplit('.').next().unwrap_or(key)) }
        }
        (_, Some(value)) if !value.is_null() => {
            Shown { key: key.clone(), value: value.clone(), origin: place(loaded, key) }
        }
        _ => Shown {
            key: key.clone(),
            value: defaults.get(key).cloned().unwrap_or(Value::Null),
            origin: "default".to_owned(),
        },
    };
    Ok(keys.into_iter().map(show).collect())
}

fn place(loaded: &Loaded, key: &str) -> String {
    let path = loaded.path.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    loaded.lines.get(key).map_or(path.clone(), |line| format!("{path}:{line}"))
}

fn flatten(file: &File) -> Result<Map<String, Value>, serde_json::Error> {
    let mut flat = Map::new();
    let Value::Object(top) = serde_json::to_value(file)? else { return Ok(flat) };
    for (key, value) in top {
        match value {
            Value::Object(section) => {
                flat.extend(section.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => {
                flat.insert(key, value);
            }
        }
    }
    Ok(flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_shown_with_the_one_that_said_it() {
        let mut given = File::default();
        given.capture.settle = Some("70s".parse().unwrap());
        let mut loaded = Loaded { path: Some("t.toml".into()), ..Loaded::default() };
        loaded.file.capture.settle = Some("90s".parse().unwrap());
        loaded.file.capture.flush_age = Some("30s".parse().unwrap());
        loaded.lines.insert("capture.flush_age".to_owned(), 7);
        loaded.file.sources = vec![crate::config::raw::SourceOptions::default()];
        loaded.lines.insert("source".to_owned(), 9);
        let rows = rows(&given, &loaded, |name| format!("--{name}")).unwrap();
        let find = |key: &str| rows.iter().find(|row| row.key == key).unwrap();
        assert_eq!(
            (find("capture.settle").value.as_str(), find("capture.settle").origin.as_str()),
            (Some("70s"), "--settle")
        );
        assert_eq!(find("capture.flush_age").origin, "t.toml:7");
        assert_eq!(find("source").origin, "t.toml:9");
        assert_eq!((find("base.slack").value.as_str(), find("base.slack").origin.as_str()), (Some("15m"), "default"));
        assert!(find("archive").value.is_null());
    }
}
