//! What each stage costs, beside a peer or a floor measured in the same run: the ratios are what counts.
//!
//! `cargo bench` runs all; `cargo bench -- encode` only what has this in its name. The ways of one table take turns,
//! round after round, so that a busy minute hits them alike, and the median of each is printed.
//!
//! `cargo bench -- archive FOLDER [changes=N] [keys=N] [days=N] [skewed]` measures nothing: it makes the archive that
//! `replay_peers.py` replays beside other engines.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on fails")]

mod archive;
mod commit;
mod decode;
mod encode;
mod fold;
mod pipeline;
mod replay;
mod seal;
mod support;

use tokio::runtime::{Builder, Runtime};

/// One table of ways, or a few.
type Bench = fn(&Runtime);

const BENCHES: [(&str, Bench); 7] = [
    ("decode", decode::run),
    ("encode", encode::run),
    ("pipeline", pipeline::run),
    ("fold", fold::run),
    ("commit", commit::run),
    ("seal", seal::run),
    ("replay", replay::run),
];

fn main() {
    // Cargo itself passes `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let [word, rest @ ..] = wanted.as_slice()
        && word == "archive"
    {
        return archive::make(rest);
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (_, run) in BENCHES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| word == name)) {
        run(&runtime);
    }
}
