//! Reads `tailrace.toml`: every key known, every fault with its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::raw::File;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "tailrace.toml";

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ConfigError {
    /// What is wrong.
    pub what: String,
    /// The file with its line, or the option.
    pub place: String,
    /// What to do.
    pub next: String,
}

/// A file that was read, with the line of every key (`capture.settle` → 4).
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Where it lies; none where there is no file.
    pub path: Option<PathBuf>,
    /// What it says.
    pub file: File,
    /// Keys by dotted name.
    pub lines: BTreeMap<String, usize>,
}

/// Reads the file at `named`, or `tailrace.toml` of the working folder if there is one.
///
/// # Errors
/// A file that is named and absent, cannot be read, is not TOML, or says something unknown.
pub fn load(named: Option<&Path>) -> Result<Loaded, ConfigError> {
    let path = named.unwrap_or_else(|| Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(Loaded::default()),
        Err(error) => Err(ConfigError {
            what: format!("the configuration file cannot be read: {error}"),
            place: path.display().to_string(),
            next: "name a file that exists with --config, or leave the option out".to_owned(),
        }),
    }
}

fn parse(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
    let file = toml::from_str::<File>(text).map_err(|error| refuse(path, text, &error))?;
    Ok(Loaded { path: Some(path.to_owned()), file, lines: key_lines(text) })
}

fn refuse(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    let message = error.message().trim();
    let next = match unknown_key(message) {
        Some((key, known)) => match nearest(key, &known) {
            Some(near) => format!("did you mean `{near}`? known here: {}", known.join(", ")),
            None => format!("known here: {}", known.join(", ")),
        },
        None => "correct this line; `tailrace config show` prints every key with its value".to_owned(),
    };
    ConfigError { what: message.replace('\n', ": "), place: format!("{}:{line}", path.display()), next }
}

/// Takes the key and its alternatives out of serde's refusal of an unknown field.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, alternatives) = rest.split_once('`')?;
    Some((key, alternatives.split('`').skip(1).step_by(2).collect()))
}

/// The name among `known` that `written` was probably meant to be.
#[must_use]
pub fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let close = |name: &&&str| strsim::damerau_levenshtein(written, name) <= 1 + name.len() / 4;
    known.iter().filter(close).min_by_key(|name| strsim::damerau_levenshtein(written, name)).copied()
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn key_lines(text: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    if let Ok(table) = toml::de::DeTable::parse(text) {
        collect_lines(text, "", table.get_ref(), &mut lines);
    }
    lines
}

fn collect_lines(text: &str, prefix: &str, table: &toml::de::DeTable<'_>, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        if let toml::de::DeValue::Table(inner) = value.get_ref() {
            collect_lines(text, &format!("{name}."), inner, lines);
        }
        lines.insert(name, line_of(text, key.span().start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_line() {
        let text = "archive = \"a\"\n\n[capture]\ntable = [\"orders\"]\nsettle = \"90s\"\n";
        let loaded = parse(Path::new("t.toml"), text).unwrap();
        assert_eq!(loaded.lines["archive"], 1);
        assert_eq!(loaded.lines["capture.settle"], 5);
        assert_eq!(loaded.file.capture.settle.unwrap().0.as_secs(), 90);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
        let error = parse(Path::new("t.toml"), "[capture]\n\nsetle = \"90s\"\n").unwrap_err();
        assert_eq!(error.place, "t.toml:3");
        assert!(error.what.contains("setle"), "{error:?}");
        assert!(error.next.contains("did you mean `settle`?"), "{error:?}");
        let far = parse(Path::new("t.toml"), "zzzzzz = 1\n").unwrap_err();
        assert!(!far.next.contains("did you mean"), "{far:?}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line() {
        let error = parse(Path::new("t.toml"), "archive = \"a\"\n[capture]\nsettle = \"soon\"\n").unwrap_err();
        assert_eq!(error.place, "t.toml:3");
        assert!(error.what.contains("soon"), "{error:?}");
        assert_eq!(parse(Path::new("t.toml"), "archive = [\n").unwrap_err().place.split(':').next(), Some("t.toml"));
    }
}
