//! What a command prints: text for people, or JSON lines of which the last is the summary.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::platform::patience::{Tell, Waiting};

/// The printer of one command. Clones write to the same place.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    quiet: bool,
    summary: Arc<Mutex<Map<String, Value>>>,
}

impl Output {
    /// Text on stdout, or with `json` JSON lines; `quiet` leaves out what is neither result nor error.
    #[must_use]
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, summary: Arc::default() }
    }

    /// Prints one result: its text, or its JSON with `"type": kind` in front.
    pub fn result(&self, kind: &str, value: &(impl Serialize + Display)) {
        if self.json {
            print_line(&Value::Object(tagged(kind, value)).to_string());
        } else {
            print_line(value.to_string().trim_end_matches('\n'));
        }
    }

    /// Tells what is going on: text that `--quiet` leaves out, and that is no result.
    pub fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            print_line(text);
        }
    }

    /// A remark on stderr, for people only.
    pub fn aside(&self, text: &str) {
        if !self.json {
            eprint_line(text);
        }
    }

    /// Tells waits for something that fails, as [`Self::note`] does.
    #[must_use]
    pub fn waits(&self) -> Tell {
        let out = self.clone();
        Arc::new(move |Waiting { why, .. }| out.note(&format!("waiting: {why}")))
    }

    /// Tells about something that the user should know although the command goes on: text on stderr,
    /// with `--json` a line of type `warning`.
    pub fn warn(&self, failure: &Failure) {
        if self.json {
            print_line(&Value::Object(failure_members("warning", failure)).to_string());
        } else {
            eprint_line(&format!("warning: {failure}"));
        }
    }

    /// Sets what the last line says: its text now, its JSON when the command ends.
    pub fn summary(&self, value: &(impl Serialize + Display)) {
        let text = value.to_string();
        if !self.json && !text.is_empty() {
            print_line(text.trim_end_matches('\n'));
        }
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = tagged("summary", value);
    }

    /// Prints the end of the command: its failure if it failed, and with `--json` the summary.
    pub fn end(&self, command: &str, exit: u8, failure: Option<&Failure>) {
        if let Some(failure) = failure {
            if self.json {
                print_line(&Value::Object(failure_members("error", failure)).to_string());
            } else {
                eprint_line(&format!("error: {failure}"));
            }
        }
        if self.json {
            let mut members = std::mem::take(&mut *self.summary.lock().unwrap_or_else(PoisonError::into_inner));
            members.insert("type".to_owned(), json!("summary"));
            members.insert("command".to_owned(), json!(command));
            members.insert("exit".to_owned(), json!(exit));
            print_line(&Value::Object(members).to_string());
        }
    }

    /// A progress bar over `total` steps; hidden without a terminal, with `--json` and with `--quiet`.
    #[must_use]
    pub fn progress(&self, total: u64, what: &str) -> ProgressBar {
        let hidden = self.json || self.quiet || !std::io::stderr().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style).with_message(what.to_owned());
        if !hidden {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        bar
    }
}

fn tagged(kind: &str, value: &impl Serialize) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("type".to_owned(), json!(kind));
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => members.extend(object),
        Ok(other) => drop(members.insert("value".to_owned(), other)),
        Err(error) => drop(members.insert("unprintable".to_owned(), json!(error.to_string()))),
    }
    members
}

fn failure_members(kind: &str, failure: &Failure) -> Map<String, Value> {
    let members = json!({
        "type": kind,
        "code": failure.exit.word(),
        "exit": failure.exit as u8,
        "what": failure.what,
        "where": failure.place,
        "next": failure.next,
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A reader that has gone away (`tailrace list | head`) is no failure of the command.
fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn eprint_line(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
