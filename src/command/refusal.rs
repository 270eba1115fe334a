//! A wrong command line: told as clap tells it, or, with `--json`, like every other failure.

use clap::builder::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, CommandFactory};

use super::Cli;
use super::output::Output;
use crate::failure::{Exit, Failure};

/// Prints what the parser says, and gives the exit code: help and version are results.
#[must_use]
pub fn tell(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        // A closed stdout is the reader's choice.
        let _ = error.print();
        return 0;
    }
    let variable = variable_of(error);
    if wants_json() {
        let (command, failure) = (command_name(), failure(error, variable.as_deref(), &command_name()));
        Output::new(true, false).end(&command, Exit::Usage as u8, Some(&failure));
    } else {
        let _ = error.print();
        if let Some(variable) = variable {
            Output::new(false, false).aside(&format!("The value comes from the environment variable {variable}."));
        }
    }
    Exit::Usage as u8
}

fn failure(error: &clap::Error, variable: Option<&str>, command: &str) -> Failure {
    let text = error.render().to_string();
    let help = format!("see `{} --help`", ["tailrace", command].join(" ").trim_end());
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(Exit::Usage, "no command is named", "command line", help);
    }
    // The first paragraph says what is wrong; tips and usage follow.
    let paragraph = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    let what = paragraph.collect::<Vec<_>>().join(" ");
    let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: ")).map(str::to_owned);
    let next = tips.chain([help]).collect::<Vec<_>>().join("; ");
    Failure::new(Exit::Usage, what.trim_start_matches("error: "), variable.unwrap_or("command line"), next)
}

/// The variable that a refused value comes from, where its option stands nowhere on the command line.
fn variable_of(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = shown.split_whitespace().next()?.trim_end_matches("...");
    let long = flag.strip_prefix("--")?;
    let command = Cli::command();
    let leaves = command.get_subcommands().flat_map(|verb| verb.get_subcommands().chain([verb])).chain([&command]);
    let found =
        leaves.flat_map(Command::get_arguments).find(|arg| arg.get_long() == Some(long) && arg.get_env().is_some());
    let (arg, variable) = found.and_then(|arg| Some((arg, arg.get_env()?.to_str()?.to_owned())))?;
    let written = std::env::args().any(|given| is(arg, flag, &given));
    (!written && std::env::var_os(&variable).is_some()).then_some(variable)
}

fn is(arg: &Arg, flag: &str, given: &str) -> bool {
    let short = arg.get_short().is_some_and(|short| given.starts_with(&format!("-{short}")));
    short || given == flag || given.starts_with(&format!("{flag}="))
}

/// The first word of the command line that is a command.
fn command_name() -> String {
    let command = Cli::command();
    let known = |word: &String| command.find_subcommand(word).map(|found| found.get_name().to_owned());
    std::env::args().skip(1).find_map(|word| known(&word)).unwrap_or_default()
}

fn wants_json() -> bool {
    let off = ["", "0", "n", "no", "f", "false", "off"];
    let variable = std::env::var("TAILRACE_JSON").is_ok_and(|value| !off.contains(&value.to_lowercase().as_str()));
    variable || std::env::args().any(|arg| arg == "--json")
}
