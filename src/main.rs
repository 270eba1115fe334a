//! Parses the command line, runs one command, and turns its failure into an exit code.

fn main() {}
