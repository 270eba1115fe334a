//! `tailrace completions SHELL`

use std::fmt;

use clap::{Args, CommandFactory};
use serde::Serialize;

use super::{Cli, Context};
use crate::failure::{Exit, Failure};

/// Arguments.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

pub(super) fn run(context: &Context, args: &Completions) -> Result<(), Failure> {
    // Into memory first: the generator panics where a reader has gone away.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tailrace", &mut script);
    let script = String::from_utf8(script)
        .map_err(|error| Failure::new(Exit::Failure, error.to_string(), "completions", "report this"))?;
    context.out.result("script", &Script { shell: args.shell.to_string(), script });
    Ok(())
}

#[derive(Serialize)]
struct Script {
    shell: String,
    script: String,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.script)
    }
}
