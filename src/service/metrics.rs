//! The board in the text format of Prometheus. Labels hold a table's name and nothing else: no shard, no key, no secret.

use std::fmt::Write as _;

use super::board::{Board, TableState};
use crate::platform::clock;

/// A metric of every table.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&TableState) -> Option<f64>,
}

/// The value of a count; exact up to 2^53.
const fn count(value: u64) -> Option<f64> {
    Some(value as f64)
}

fn flag(value: bool) -> Option<f64> {
    Some(f64::from(u8::from(value)))
}

const METRICS: &[Metric] = &[
    Metric {
        name: "tailrace_capture_changes_total",
        kind: "counter",
        help: "Changes archived by this process.",
        value: |state| count(state.changes),
    },
    Metric {
        name: "tailrace_capture_commits_total",
        kind: "counter",
        help: "Entries committed to the log by this process.",
        value: |state| count(state.entries),
    },
    Metric {
        name: "tailrace_stream_reads_total",
        kind: "counter",
        help: "Pages of the stream read by this process: GetRecords calls that are billed, empty or not.",
        value: |state| count(state.pages),
    },
    Metric {
        name: "tailrace_segment_bytes_total",
        kind: "counter",
        help: "Bytes of segments written by this process.",
        value: |state| count(state.bytes),
    },
    Metric {
        name: "tailrace_gaps_total",
        kind: "counter",
        help: "Gaps committed by this process: changes may be lost.",
        value: |state| count(state.gaps),
    },
    Metric {
        name: "tailrace_undecoded_total",
        kind: "counter",
        help: "Records that could not be decoded; they are kept whole.",
        value: |state| count(state.undecoded),
    },
    Metric {
        name: "tailrace_waits_total",
        kind: "counter",
        help: "Calls that failed and were made again.",
        value: |state| count(state.waits),
    },
    Metric {
        name: "tailrace_alarms_total",
        kind: "counter",
        help: "Alarms besides gaps: see the log.",
        value: |state| count(state.alarms),
    },
    Metric {
        name: "tailrace_needs_operator",
        kind: "gauge",
        help: "1 while nothing but a person can mend what the table waits for.",
        value: |state| flag(state.needs_operator),
    },
    Metric {
        name: "tailrace_table_failed",
        kind: "gauge",
        help: "1 while no capture of the table runs because the last one failed.",
        value: |state| flag(state.failed),
    },
    Metric {
        name: "tailrace_closed_through_timestamp_seconds",
        kind: "gauge",
        help: "The archive is likely complete up to this second.",
        value: |state| Some(state.closed_through?.0 as f64),
    },
    Metric {
        name: "tailrace_unarchived_age_seconds",
        kind: "gauge",
        help: "Age of the oldest change that may not be archived; the service drops it at 86400.",
        value: |state| Some((clock::wall().0 - state.closed_through?.0).max(0) as f64),
    },
];

/// Everything, as text.
pub(super) fn text(board: &Board) -> String {
    let mut text = String::new();
    let head = |text: &mut String, name: &str, kind: &str, help: &str| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    };
    let tables = board.tables();
    for Metric { name, kind, help, value } in METRICS {
        head(&mut text, name, kind, help);
        for (table, state) in &tables {
            if let Some(value) = value(state) {
                let _ = writeln!(text, "{name}{{table=\"{}\"}} {value}", escaped(table));
            }
        }
    }
    head(&mut text, "tailrace_uptime_seconds", "gauge", "Seconds since the process began.");
    let _ = writeln!(text, "tailrace_uptime_seconds {}", board.uptime());
    if let Some(bytes) = resident() {
        head(&mut text, "process_resident_memory_bytes", "gauge", "Resident memory.");
        let _ = writeln!(text, "process_resident_memory_bytes {bytes}");
    }
    text
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Where the system tells it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Progress;
    use crate::change::Second;
    use std::sync::Arc;

    #[test]
    fn every_metric_is_told_of_every_table_with_its_help_and_its_kind() {
        let board = Arc::new(Board::default());
        let observer = board.watch("eu-west-1/or\"ders", Arc::new(|_| {}));
        let closed_through = Some(Second(1_795_305_600));
        observer(&Progress::Committed { n: 1, rows: 3, bytes: 50, pages: 7, closed_through });
        let text = text(&board);
        for Metric { name, kind, .. } in METRICS {
            assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{text}");
            assert!(text.contains(&format!("\n{name}{{table=\"eu-west-1/or\\\"ders\"}} ")), "{text}");
        }
        assert!(
            text.contains("tailrace_closed_through_timestamp_seconds{table=\"eu-west-1/or\\\"ders\"} 1795305600\n")
        );
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn the_rules_shipped_with_it_name_only_metrics_that_exist() {
        let rules = include_str!("../../deploy/prometheus-rules.yml");
        let named =
            rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("tailrace_"));
        let named: Vec<&str> = named.collect();
        assert!(named.len() >= 5, "{named:?}");
        for name in named {
            assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
        }
    }
}
