//! `tailrace config show|validate`

use std::fmt;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::Context;
use crate::config::file::DEFAULT_FILE;
use crate::config::raw::{BaseOptions, CaptureOptions, File, ReplayOptions, ServiceOptions, StatusOptions};
use crate::config::{CaptureConfig, show};
use crate::failure::{Exit, Failure};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print every setting with its value and where the value comes from
    Show(Box<Settings>),
    /// Check the configuration file and the environment
    Validate(Box<Settings>),
}

/// Every setting, so that `config show` sees what the commands would see.
#[derive(Debug, Args)]
pub struct Settings {
    #[command(flatten)]
    capture: CaptureOptions,
    #[command(flatten)]
    service: ServiceOptions,
    #[command(flatten)]
    base: BaseOptions,
    #[command(flatten)]
    replay: ReplayOptions,
    #[command(flatten)]
    status: StatusOptions,
}

pub(super) fn run(context: &Context, verb: &Config) -> Result<(), Failure> {
    match verb {
        Config::Show(settings) => show(context, settings),
        Config::Validate(settings) => validate(context, settings),
    }
}

fn show(context: &Context, settings: &Settings) -> Result<(), Failure> {
    let given = given(context, settings);
    let rows = show::rows(&given, &context.loaded, |name| origin(&context.matches, name))
        .map_err(|error| Failure::new(Exit::Failure, error.to_string(), "config show", ""))?;
    for row in &rows {
        context.out.result("setting", row);
    }
    Ok(())
}

fn validate(context: &Context, settings: &Settings) -> Result<(), Failure> {
    let given = given(context, settings);
    let file = &context.loaded.file;
    if given.capture.tables.is_some() || file.capture.tables.is_some() || !file.sources.is_empty() {
        CaptureConfig::resolve(&given.capture, file)
            .map_err(|error| Failure::new(Exit::Configuration, error.what, error.place, error.next))?;
    }
    let read = context.loaded.path.as_deref().map(|path| path.display().to_string());
    context.out.summary(&Valid { file: read });
    Ok(())
}

fn given(context: &Context, settings: &Settings) -> File {
    File {
        archive: context.global.archive.clone(),
        sources: vec![],
        capture: settings.capture.clone(),
        service: settings.service.clone(),
        base: settings.base.clone(),
        replay: settings.replay.clone(),
        status: settings.status.clone(),
    }
}

/// The flag or variable that gave the setting whose last part is `name`.
fn origin(matches: &ArgMatches, name: &str) -> String {
    let flag = format!("--{}", name.replace('_', "-"));
    let inner = matches.subcommand().and_then(|(_, verb)| verb.subcommand()).map_or(matches, |(_, leaf)| leaf);
    let id = if name == "table" { "tables" } else { name };
    match inner.try_contains_id(id).ok().and_then(|_| inner.value_source(id)) {
        Some(ValueSource::EnvVariable) => format!("TAILRACE_{}", name.to_uppercase()),
        _ => flag,
    }
}

impl fmt::Display for show::Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match &self.value {
            Value::Null => "(none)".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        write!(f, "{:24} {value:32} {}", self.key, self.origin)
    }
}

#[derive(Serialize)]
struct Valid {
    file: Option<String>,
}

impl fmt::Display for Valid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file} is valid"),
            None => write!(f, "there is no {DEFAULT_FILE} here; flags and environment are valid"),
        }
    }
}
