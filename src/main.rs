//! Parses the command line, runs one command, and turns its failure into an exit code.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use tailrace::command::output::Output;
use tailrace::command::signal::Stop;
use tailrace::command::{self, Cli, refusal};
use tailrace::failure::{Exit, Failure};
use tailrace::platform::telemetry;

fn main() -> ExitCode {
    let parsed =
        Cli::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches).map(|cli| (cli, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return ExitCode::from(refusal::tell(&error)),
    };
    telemetry::start(filter(&cli), cli.global.json);
    let out = Output::new(cli.global.json, cli.global.quiet);
    let (name, stop) = (cli.verb.name(), Stop::default());
    let outcome = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let drains = cli.verb.drains();
            let outcome = runtime.block_on(async {
                tokio::select! {
                    biased;
                    outcome = command::run(cli, matches, out.clone(), stop.clone()) => outcome,
                    failure = stop.forced(drains) => Err(failure),
                }
            });
            // What was forced to stop may still compute: nobody waits for that.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::new(Exit::Failure, format!("no runtime: {error}"), "", "free memory or threads")),
    };
    let exit = match &outcome {
        Err(failure) => failure.exit as u8,
        Ok(()) if stop.interrupted() => Exit::Interrupted as u8,
        Ok(()) => 0,
    };
    out.end(name, exit, outcome.err().as_ref());
    ExitCode::from(exit)
}

fn filter(cli: &Cli) -> &'static str {
    match (cli.global.quiet, cli.global.verbose) {
        (true, _) => "error",
        // The SDK warns of every place where it found no credentials; what none of them has, the failure says.
        (_, 0) => "warn,aws_config=error,dynoxide=error",
        (_, 1) => "warn,tailrace=info",
        (_, 2) => "info,tailrace=debug",
        _ => "debug,tailrace=trace",
    }
}
