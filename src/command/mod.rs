//! One verb per file: tables of contents, no logic.

mod archive;
mod base;
mod capture;
mod completions;
mod config;
mod cost;
mod coverage;
#[cfg(feature = "embedded")]
mod demo;
mod diff;
mod doctor;
mod fields;
mod files;
mod gaps;
mod history;
mod init;
mod list;
mod live;
mod moment;
pub mod output;
pub mod refusal;
mod replay;
mod seal;
pub mod signal;
mod status;
pub mod table;
mod timeline;
mod verify;

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgMatches, Args, Parser, Subcommand};

use crate::config::file::{self, ConfigError, Loaded};
use crate::failure::{Exit, Failure};
use output::Output;
use signal::Stop;

/// Streaming change-capture archiver for `DynamoDB`.
#[derive(Debug, Parser)]
#[command(name = "tailrace", version, about, max_term_width = 110, disable_help_subcommand = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The heading of the options of every command.
const EVERY: &str = "Options of every command";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The archive: `s3://bucket/prefix`, `file:///path`, or a path
    #[arg(long, short = 'a', global = true, value_name = "URL", env = "TAILRACE_ARCHIVE", help_heading = EVERY)]
    pub archive: Option<String>,
    /// Print JSON lines; the last one has the type summary
    #[arg(long, global = true, env = "TAILRACE_JSON", help_heading = EVERY, value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Print results and errors only
    #[arg(long, short = 'q', global = true, env = "TAILRACE_QUIET", help_heading = EVERY, value_parser = BoolishValueParser::new())]
    pub quiet: bool,
    /// Log more to stderr: -v what is done, -vv every step
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count, env = "TAILRACE_VERBOSE", help_heading = EVERY)]
    pub verbose: u8,
    /// The configuration file [default: tailrace.toml of the working folder, if there is one]
    #[arg(long, global = true, value_name = "PATH", env = "TAILRACE_CONFIG", help_heading = EVERY)]
    pub config: Option<PathBuf>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show the whole story on this machine: archive, disaster, replay, proof
    #[cfg(feature = "embedded")]
    Demo(demo::Demo),
    /// Make an archive; nothing else ever makes one
    Init(init::Init),
    /// Archive every change of tables, until stopped
    Capture(capture::Capture),
    /// Take a snapshot of a table, which replays begin from
    Base(base::Base),
    /// Sort the days that are over into files from which replays read less
    Seal(seal::Seal),
    /// Rebuild a table as it was, into a file or a new table
    #[command(visible_alias = "restore")]
    Replay(replay::Replay),
    /// Print the tables, what times they can be restored to, their gaps and snapshots
    List(list::List),
    /// Print how far each table is archived, from the archive alone
    Status(status::Status),
    /// What was lost: print it, count what it hides, say that it does not matter, or repair it
    #[command(subcommand)]
    Gaps(gaps::Gaps),
    /// Check everything that capture and replay of a table need, and say what to mend
    Doctor(doctor::Doctor),
    /// Check every object of the archive, and that they agree
    Verify(verify::Verify),
    /// Print every version of one item, and what each change did to it
    History(history::History),
    /// Print what changed when, and the bursts, each with the commands that show and undo it
    Timeline(timeline::Timeline),
    /// Print what differs between the table at one time and at another
    Diff(diff::Diff),
    /// Print the committed files of a table, and SQL that reads them
    Files(files::Files),
    /// Print the configuration in force, or check it
    #[command(subcommand)]
    Config(config::Config),
    /// Print a script that completes tailrace's command line in a shell
    Completions(completions::Completions),
}

impl Verb {
    /// Its name, for the summary.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "embedded")]
            Self::Demo(_) => "demo",
            Self::Init(_) => "init",
            Self::Capture(_) => "capture",
            Self::Base(_) => "base",
            Self::Seal(_) => "seal",
            Self::Replay(_) => "replay",
            Self::List(_) => "list",
            Self::Status(_) => "status",
            Self::Gaps(_) => "gaps",
            Self::Doctor(_) => "doctor",
            Self::Verify(_) => "verify",
            Self::History(_) => "history",
            Self::Timeline(_) => "timeline",
            Self::Diff(_) => "diff",
            Self::Files(_) => "files",
            Self::Config(_) => "config",
            Self::Completions(_) => "completions",
        }
    }

    /// Whether the first signal only asks it to end: it writes what it holds, or says what it leaves behind.
    #[must_use]
    pub const fn drains(&self) -> bool {
        match self {
            #[cfg(feature = "embedded")]
            Self::Demo(_) => true,
            Self::Capture(_) | Self::Base(_) | Self::Seal(_) | Self::Replay(_) | Self::Gaps(gaps::Gaps::Repair(_)) => {
                true
            }
            _ => false,
        }
    }
}

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    /// Options of every command.
    pub global: Global,
    /// The configuration file.
    pub loaded: Loaded,
    /// Where results go.
    pub out: Output,
    /// What the outside asked for.
    pub stop: Stop,
    /// The parsed command line, for the origin of values.
    pub matches: ArgMatches,
}

/// Runs the command that `cli` names.
///
/// # Errors
/// Whatever stopped it, told to a person.
pub async fn run(cli: Cli, matches: ArgMatches, out: Output, stop: Stop) -> Result<(), Failure> {
    let loaded = file::load(cli.global.config.as_deref())?;
    let context = Context { global: cli.global, loaded, out, stop, matches };
    match cli.verb {
        #[cfg(feature = "embedded")]
        Verb::Demo(args) => demo::run(&context, &args).await,
        Verb::Init(args) => init::run(&context, &args).await,
        Verb::Capture(args) => capture::run(&context, &args).await,
        Verb::Base(args) => base::run(&context, &args).await,
        Verb::Seal(args) => seal::run(&context, &args).await,
        Verb::Replay(args) => replay::run(&context, &args).await,
        Verb::List(args) => list::run(&context, &args).await,
        Verb::Status(args) => status::run(&context, &args).await,
        Verb::Gaps(args) => gaps::run(&context, &args).await,
        Verb::Doctor(args) => doctor::run(&context, &args).await,
        Verb::Verify(args) => verify::run(&context, &args).await,
        Verb::History(args) => history::run(&context, &args).await,
        Verb::Timeline(args) => timeline::run(&context, &args).await,
        Verb::Diff(args) => diff::run(&context, &args).await,
        Verb::Files(args) => files::run(&context, &args).await,
        Verb::Config(args) => config::run(&context, &args),
        Verb::Completions(args) => completions::run(&context, &args),
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        // A fault on the command line and one in a file end alike: the place says which it was.
        let exit = if error.place.starts_with("--") { Exit::Usage } else { Exit::Configuration };
        Self::new(exit, error.what, error.place, error.next)
    }
}
