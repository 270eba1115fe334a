//! `tailrace completions SHELL`

use clap::{Args, CommandFactory};

use super::Cli;
use crate::failure::Failure;

/// Arguments.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Completions) -> Result<(), Failure> {
    clap_complete::generate(args.shell, &mut Cli::command(), "tailrace", &mut std::io::stdout());
    Ok(())
}
