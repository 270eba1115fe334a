//! What file, environment and flags may say, validated: flags over environment over file over defaults.

pub mod file;
pub mod limits;
pub mod raw;
pub mod show;
pub mod unit;

use std::time::Duration;

use file::ConfigError;
use raw::{BaseOptions, CaptureOptions, File, ReplayOptions, SourceOptions, StatusOptions};

/// How `capture` works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureConfig {
    /// Tables as written.
    pub tables: Vec<String>,
    /// Further tables, of the file alone: one or the other is there.
    pub sources: Vec<SourceOptions>,
    /// For how long a record may be on its way.
    pub settle: Duration,
    /// Greatest age of what is held in memory.
    pub flush_age: Duration,
    /// Greatest size of what is held in memory.
    pub flush_bytes: u64,
}

/// How `base` works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseConfig {
    /// How much later than its commit a record may become readable.
    pub slack: Duration,
    /// Read units per second.
    pub read_units: u32,
    /// Where an export goes; without one the table is scanned.
    pub export: Option<String>,
}

/// How `replay` works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayConfig {
    /// Write units per second.
    pub write_units: u32,
    /// Bytes that it may hold.
    pub memory: usize,
}

/// How `status` judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusConfig {
    /// Greatest allowed age of `closed_through`.
    pub fail_if_older: Option<Duration>,
}

impl CaptureConfig {
    /// Resolves and checks; `flags` already hold what the environment says.
    ///
    /// # Errors
    /// No table, or a value out of its bounds.
    pub fn resolve(flags: &CaptureOptions, whole: &File) -> Result<Self, ConfigError> {
        let file = &whole.capture;
        // Whoever names tables on the command line means these.
        let sources = if flags.tables.is_some() { vec![] } else { whole.sources.clone() };
        let tables = flags.tables.clone().or_else(|| file.tables.clone()).unwrap_or_default();
        let config = Self {
            tables,
            sources,
            settle: flags.settle.or(file.settle).map_or(limits::SETTLE, |length| length.0),
            flush_age: flags.flush_age.or(file.flush_age).map_or(limits::FLUSH_AGE, |length| length.0),
            flush_bytes: flags.flush_bytes.or(file.flush_bytes).map_or(limits::FLUSH_BYTES, |size| size.0),
        };
        config.check().map(|()| config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |what: String, option: &str, next: &str| {
            Err(ConfigError { what, place: option.to_owned(), next: next.to_owned() })
        };
        if let Some(n) = self.sources.iter().position(|source| source.include.is_empty()) {
            let what = format!("the {}. [[source]] includes no table", n + 1);
            return refuse(
                what,
                "source.include",
                "name tables, patterns or tags there, e.g. include = [\"orders-*\"]",
            );
        }
        if self.tables.is_empty() && self.sources.is_empty() {
            return refuse(
                "no table is named".to_owned(),
                "--table",
                "name the tables to archive, e.g. --table orders, or `table = [\"orders\"]` under [capture]",
            );
        }
        if self.flush_bytes == 0 || self.flush_bytes > limits::FLUSH_BYTES_MOST {
            let most = unit::Size(limits::FLUSH_BYTES_MOST);
            return refuse(
                format!("{} is out of bounds", unit::Size(self.flush_bytes)),
                "--flush-bytes",
                &format!("choose between 1B and {most}"),
            );
        }
        if self.flush_age.is_zero() || self.settle.as_secs() == 0 {
            return refuse("a length of time is zero".to_owned(), "--flush-age, --settle", "give at least 1s");
        }
        Ok(())
    }
}

impl BaseConfig {
    /// Resolves; `flags` already hold what the environment says.
    #[must_use]
    pub fn resolve(flags: &BaseOptions, file: &BaseOptions) -> Self {
        Self {
            slack: flags.slack.or(file.slack).map_or(limits::SLACK, |length| length.0),
            read_units: flags.read_units.or(file.read_units).unwrap_or(limits::READ_UNITS).max(1),
            export: flags.export.clone().or_else(|| file.export.clone()),
        }
    }
}

impl ReplayConfig {
    /// Resolves; `flags` already hold what the environment says.
    #[must_use]
    pub fn resolve(flags: &ReplayOptions, file: &ReplayOptions) -> Self {
        let memory = flags.memory.or(file.memory).map_or(limits::REPLAY_MEMORY, |size| size.0);
        Self {
            write_units: flags.write_units.or(file.write_units).unwrap_or(limits::WRITE_UNITS).max(1),
            memory: usize::try_from(memory.max(limits::REPLAY_MEMORY_LEAST)).unwrap_or(usize::MAX),
        }
    }
}

impl StatusConfig {
    /// Resolves; `flags` already hold what the environment says.
    #[must_use]
    pub fn resolve(flags: &StatusOptions, file: &StatusOptions) -> Self {
        Self { fail_if_older: flags.fail_if_older.or(file.fail_if_older).map(|length| length.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(toml: &str) -> CaptureOptions {
        toml::from_str(toml).unwrap()
    }

    fn file(toml: &str) -> File {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file = file("[capture]\ntable = [\"a\"]\nsettle = \"90s\"");
        let flags = options("settle = \"70s\"");
        let config = CaptureConfig::resolve(&flags, &file).unwrap();
        assert_eq!(config.settle.as_secs(), 70);
        assert_eq!(config.tables, ["a"]);
        assert_eq!(config.flush_bytes, limits::FLUSH_BYTES);
    }

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_option() {
        let (nothing, none) = (CaptureOptions::default(), File::default());
        assert_eq!(CaptureConfig::resolve(&nothing, &none).unwrap_err().place, "--table");
        let source = file("[[source]]\nregions = [\"eu-west-1\"]\n");
        assert_eq!(CaptureConfig::resolve(&nothing, &source).unwrap_err().place, "source.include");
        for (toml, place) in
            [("flush_bytes = \"1GiB\"", "--flush-bytes"), ("flush_age = \"0s\"", "--flush-age, --settle")]
        {
            let flags = options(&format!("table = [\"a\"]\n{toml}"));
            assert_eq!(CaptureConfig::resolve(&flags, &none).unwrap_err().place, place);
        }
    }
}
