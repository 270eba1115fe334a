//! The rules of the house, executed: sizes, banned names, and which folder may use which.
#![expect(clippy::unwrap_used, reason = "a rule that cannot be checked fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;

/// Which of our modules each may use outside its tests, lowest first: a module uses only what stands above it, and
/// names nothing that it does not use. `failure` is the vocabulary in which any module may say why it gives up.
/// `command` and `main` join everything.
const ARROWS: &[(&str, &[&str])] = &[
    ("change", &[]),
    ("failure", &[]),
    ("config", &[]),
    ("platform", &["change", "failure"]),
    ("store", &["change", "failure", "platform"]),
    ("shard", &["change", "platform"]),
    ("segment", &["change"]),
    ("manifest", &["change", "platform", "segment", "store"]),
    ("capture", &["change", "manifest", "platform", "segment", "shard", "store"]),
    ("spill", &["change", "segment"]),
    ("seal", &["change", "manifest", "platform", "segment", "spill", "store"]),
    ("replay", &["change", "failure", "manifest", "platform", "segment", "store"]),
    ("base", &["change", "manifest", "platform", "replay", "segment", "spill", "store"]),
    ("verify", &["change", "manifest", "platform", "segment", "store"]),
    ("service", &["capture", "change", "platform"]),
];

/// The files that may name each crate that talks to the outside.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("aws_sdk_dynamodbstreams", &["shard/dynamodb"]),
    (
        "aws_sdk_dynamodb",
        &[
            "platform/aws/attribute",
            "shard/table",
            "base/items",
            "base/scan",
            "base/export/service",
            "replay/sink/dynamodb",
            "command/demo",
        ],
    ),
    ("aws_sdk_s3", &["store/s3"]),
    ("aws_smithy_http_client", &["platform/web"]),
    (
        "aws_smithy_runtime_api",
        &[
            "platform/aws",
            "platform/web",
            "shard/dynamodb",
            "base/items",
            "base/scan",
            "replay/sink/dynamodb",
            "store/s3",
        ],
    ),
    ("SharedResponseDeserializer", &["platform/aws/answer"]),
    ("object_store", &["store/local", "store/memory"]),
    ("dynoxide", &["command/demo"]),
    ("tempfile", &["spill/mod.rs"]),
    ("hyper", &["service/http"]),
    ("clap", &["command/", "config/raw.rs", "main.rs"]),
    ("indicatif", &["command/output.rs"]),
];

/// What reads or writes anything outside the process; `change` and `segment` do none of it.
const IO: &[&str] = &["std::fs", "std::net", "std::env", "std::process", "tokio::", "async fn", "crate::store"];

struct Source {
    /// Relative to the crate.
    path: String,
    text: String,
    /// Comments, strings and characters blanked; the same lines as `text`.
    code: String,
    /// Lines of `code` before its test module.
    plain: usize,
}

impl Source {
    fn plain_code(&self) -> String {
        self.code.lines().take(self.plain).collect::<Vec<_>>().join("\n")
    }

    /// `capture` of `src/capture/stamp.rs`.
    fn module(&self) -> &str {
        let rest = self.path.strip_prefix("src/").unwrap_or_default();
        rest.split(['/', '.']).next().unwrap_or_default()
    }

    fn is_test(&self) -> bool {
        !self.path.starts_with("src/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == ".git" {
            continue;
        }
        if path.is_dir() {
            if !["target", ".git", "node_modules", "__pycache__", ".venv"].contains(&name.as_str()) {
                files(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        files(&root().join(folder), &mut found);
    }
    found.sort();
    let rust = found.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read: Vec<Source> = rust
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = blanked(&text);
            let tests = code.lines().collect::<Vec<_>>();
            let plain = tests
                .windows(2)
                .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].contains("mod tests"))
                .unwrap_or(tests.len());
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            Source { path, text, code, plain }
        })
        .collect();
    assert!(read.len() > 40, "the walk found only {} files", read.len());
    read
}

/// `text` with comments, strings and character literals turned into blanks, line by line the same.
fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end > at {
            out.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            let next = text[at..].chars().next().unwrap();
            out.push(next);
            at += next.len_utf8();
        }
    }
    out
}

/// The end of the comment or literal that begins at `at`; `at` itself where none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let until = |needle: &[u8], from: usize| {
        rest[from..]
            .windows(needle.len())
            .position(|w| w == needle)
            .map_or(bytes.len(), |p| at + from + p + needle.len())
    };
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => until(b"*/", 2),
        [b'r', b'"' | b'#', ..] | [b'b', b'r', b'"' | b'#', ..] if !in_word => raw_string_end(bytes, at),
        [b'"', ..] => quoted_end(bytes, at, b'"'),
        [b'\'', b'\\', ..] => quoted_end(bytes, at, b'\''),
        [b'\'', _, b'\'', ..] => at + 3,
        _ => at,
    }
}

fn raw_string_end(bytes: &[u8], at: usize) -> usize {
    let open = at + bytes[at..].iter().position(|b| *b == b'r').unwrap() + 1;
    let hashes = bytes[open..].iter().take_while(|b| **b == b'#').count();
    if bytes.get(open + hashes) != Some(&b'"') {
        return at; // a raw identifier
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let from = open + hashes + 1;
    bytes[from..].windows(close.len()).position(|w| w == close).map_or(bytes.len(), |p| from + p + close.len())
}

fn quoted_end(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != quote {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (end + 1).min(bytes.len())
}

/// Whether `word` stands in `code` as a path's beginning (not as the tail of a longer name).
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let part = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let before = at > 0 && part(code.as_bytes()[at - 1]);
        let after = code.as_bytes().get(at + word.len()).is_some_and(|b| part(*b));
        !before && (!after || word.ends_with([':', ' ']))
    })
}

/// Our modules that `code` uses: `crate::x::…` and `use crate::{x, y::z}`.
fn uses(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(found.insert(word(rest))),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (offset, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            start = false;
                            found.insert(word(&group[offset..]));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

/// Name and length in lines of every function in `code`.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && !code.as_bytes()[at - 1].is_ascii_whitespace() && code.as_bytes()[at - 1] != b'(' {
            continue;
        }
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue;
        }
        let mut depth = 0i32;
        let mut nested = 0i32;
        for (offset, c) in code[at..].char_indices() {
            match c {
                '(' | '[' => nested += 1,
                ')' | ']' => nested -= 1,
                ';' if depth == 0 && nested == 0 => break,
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        found.push((name, code[at..=at + offset].lines().count()));
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    found
}

fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn files_are_small() {
    let sources = sources();
    let broken: Vec<String> = sources
        .iter()
        .filter(|source| !source.is_test() && source.plain > FILE_LINES)
        .map(|source| format!("{}: {} lines", source.path, source.plain))
        .collect();
    report("a file has at most 400 lines outside its tests", &broken);
    let beside: Vec<String> = sources
        .iter()
        .filter(|source| !source.is_test() && source.code.lines().count() - source.plain > 300)
        .map(|source| format!("{}: {} lines of tests", source.path, source.code.lines().count() - source.plain))
        .collect();
    report("tests of more than 300 lines move to a file of their own", &beside);
}

#[test]
fn functions_are_small() {
    let mut seen = 0;
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (name, lines) in functions(&source.plain_code()) {
            seen += 1;
            if lines > FUNCTION_LINES {
                broken.push(format!("{}: {name} has {lines} lines", source.path));
            }
        }
    }
    assert!(seen > 100, "only {seen} functions were found");
    report("a function has at most 70 lines", &broken);
}

#[test]
fn every_file_says_what_it_is() {
    let broken: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.trim_start().starts_with("//! "))
        .map(|source| source.path.clone())
        .collect();
    report("a file begins with its module doc", &broken);
}

#[test]
fn nothing_is_left_unfinished() {
    let banned = ["todo!", "unimplemented!", "dbg!", "#[allow(", "#![allow("];
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.code.lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                broken.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    report("no unfinished code and no silenced lints", &broken);
}

#[test]
fn no_machine_is_named() {
    let banned = [["/wo", "rk/"].concat(), ["/ho", "me/"].concat(), ["/ro", "ot/"].concat(), ["/Us", "ers/"].concat()];
    let mut found = Vec::new();
    files(root(), &mut found);
    let mut broken = Vec::new();
    for path in &found {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for word in banned.iter().filter(|word| text.contains(word.as_str())) {
            broken.push(format!("{}: {word}", path.strip_prefix(root()).unwrap().display()));
        }
    }
    report("no path of one machine stands in the project", &broken);
}

#[test]
fn arrows_point_one_way() {
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/") && !source.is_test()) {
        let module = source.module();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else { continue };
        for used in uses(&source.plain_code()).into_iter().filter(|used| used != module) {
            if !allowed.contains(&used.as_str()) {
                broken.push(format!("{} uses crate::{used}", source.path));
            }
            seen.insert((module.to_owned(), used));
        }
    }
    report("a module uses only what its row in ARROWS names", &broken);
    for (at, (module, allowed)) in ARROWS.iter().enumerate() {
        for used in *allowed {
            if !ARROWS[..at].iter().any(|(name, _)| name == used) {
                broken.push(format!("{module} uses {used}, which does not stand above it"));
            }
            if !seen.contains(&((*module).to_owned(), (*used).to_owned())) {
                broken.push(format!("{module} does not use {used}"));
            }
        }
    }
    report("ARROWS is in order, and true", &broken);
}

#[test]
fn every_module_has_its_row() {
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain(["command", "main", "lib"]).collect();
    let broken: Vec<String> = sources()
        .iter()
        .filter(|source| source.path.starts_with("src/") && !known.contains(source.module()))
        .map(|source| source.path.clone())
        .collect();
    report("every module has a row in ARROWS", &broken);
}

#[test]
fn change_and_segment_do_no_io() {
    let mut broken = Vec::new();
    for source in
        sources().iter().filter(|source| ["change", "segment"].contains(&source.module()) && !source.is_test())
    {
        let code = source.plain_code();
        broken.extend(IO.iter().filter(|word| names(&code, word)).map(|word| format!("{}: {word}", source.path)));
    }
    report("change and segment do no I/O", &broken);
}

#[test]
fn only_capture_joins_shard_segment_and_manifest() {
    let sources = sources();
    let joins = |module: &str| {
        let used: BTreeSet<String> = sources
            .iter()
            .filter(|source| source.module() == module && !source.is_test())
            .flat_map(|source| uses(&source.plain_code()))
            .collect();
        ["shard", "segment", "manifest"].iter().all(|name| used.contains(*name))
    };
    let joined: Vec<String> =
        ARROWS.iter().map(|(name, _)| (*name).to_owned()).filter(|name| name != "capture" && joins(name)).collect();
    report("only capture knows shard, segment and manifest at once", &joined);
}

#[test]
fn outside_crates_stop_at_their_files() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/") && !source.is_test()) {
        let code = source.plain_code();
        let inside = source.path.trim_start_matches("src/");
        for (name, allowed) in OUTSIDE {
            if names(&code, name) && !allowed.iter().any(|prefix| inside.starts_with(prefix)) {
                broken.push(format!("{} names {name}", source.path));
            }
        }
    }
    report("a crate that talks to the outside is named only in its files", &broken);
}

#[test]
fn every_exit_code_has_a_test() {
    let sources = sources();
    let failure = sources.iter().find(|source| source.path == "src/failure.rs").unwrap();
    let body = failure.code.split("pub enum Exit {").nth(1).unwrap().split('}').next().unwrap();
    let variants: Vec<&str> = body.split(',').filter_map(|line| line.split('=').next()).map(str::trim).collect();
    let variants: Vec<&str> = variants.into_iter().filter(|name| !name.is_empty()).collect();
    assert!(variants.len() >= 15, "{variants:?}");
    let tested: String = sources
        .iter()
        .filter(|source| source.path.starts_with("tests/it/cli"))
        .map(|source| source.code.as_str())
        .collect();
    let broken: Vec<String> = variants
        .iter()
        .filter(|name| !names(&tested, &format!("Exit::{name}")))
        .map(|name| (*name).to_owned())
        .collect();
    report("every exit code is provoked by a test that runs the binary", &broken);
}

/// The rows of the fault catalogue that must be shown.
const ROWS: &[std::ops::RangeInclusive<u32>] = &[1..=16, 20..=32, 38..=43, 48..=48];

/// The tests of the catalogue: functions with a row's number in their name, under an attribute that makes them tests.
fn row_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in &sources() {
        let lines: Vec<&str> = source.code.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let numbered = |rest: &&str| rest.bytes().take(2).all(|byte| byte.is_ascii_digit());
            let Some((_, rest)) = line.split_once("fn row_").filter(|(_, rest)| numbered(rest)) else { continue };
            let name = format!("row_{}", rest.split('(').next().unwrap_or_default());
            let attributes = lines[..at].iter().rev().take_while(|line| line.trim_start().starts_with("#["));
            assert!(attributes.into_iter().any(|line| line.contains("test")), "{}: {name} is no test", source.path);
            found.insert(name);
        }
    }
    found
}

fn rows_of(name: &str) -> impl Iterator<Item = u32> {
    name.split("row_").skip(1).filter_map(|rest| rest.get(..2)?.parse().ok())
}

#[test]
fn every_row_of_the_fault_catalogue_names_the_tests_that_show_it() {
    let page = std::fs::read_to_string(root().join("tests/faults.md")).unwrap();
    let mut told = BTreeSet::new();
    for line in page.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok()) else {
            continue;
        };
        let names = line.split('`').skip(1).step_by(2).filter(|name| name.starts_with("row_"));
        told.extend(names.map(|name| (row, name.to_owned())));
    }
    let tests = row_tests();
    let shown: BTreeSet<(u32, String)> =
        tests.iter().flat_map(|name| rows_of(name).map(move |row| (row, name.clone()))).collect();
    let broken: Vec<String> =
        told.symmetric_difference(&shown).map(|(row, name)| format!("row {row}: {name}")).collect();
    report("the page names the tests of each row, and no others", &broken);
    let rows: BTreeSet<u32> = shown.into_iter().map(|(row, _)| row).collect();
    let wanted: BTreeSet<u32> = ROWS.iter().cloned().flatten().collect();
    assert_eq!(rows, wanted, "each row of the catalogue is shown, and no other is claimed");
}

#[test]
fn row_15_an_object_is_put_in_one_request() {
    let code = sources().into_iter().filter(|source| source.path.starts_with("src/"));
    let broken: Vec<String> = code
        .filter(|source| names(&source.code, "create_multipart_upload") || names(&source.code, "put_multipart"))
        .map(|source| source.path)
        .collect();
    report("nothing is uploaded in parts", &broken);
}

/// Who may ask what the machine takes the time to be: for messages, ages and how long to keep an object; with an answer
/// of the service that lacks its own time. Never for the log.
const WALL: &[&str] =
    &["command/", "service/", "platform/clock", "platform/aws/answer.rs", "shard/table.rs", "replay/sink/", "store/"];

#[test]
fn row_21_no_time_that_is_archived_is_this_machines() {
    let broken: Vec<String> = sources()
        .into_iter()
        .filter(|source| source.path.starts_with("src/") && !source.is_test() && names(&source.plain_code(), "wall"))
        .map(|source| source.path)
        .filter(|path| !WALL.iter().any(|allowed| path.trim_start_matches("src/").starts_with(allowed)))
        .collect();
    report("the machine's clock is for messages", &broken);
}

#[test]
fn files_named_in_the_readme_exist() {
    let Ok(readme) = std::fs::read_to_string(root().join("README.md")) else { return };
    let named = readme
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.ends_with(".rs") && name.contains('/') && !name.contains([' ', '*', '{', '\n']));
    let named: Vec<&str> = named.collect();
    assert!(named.len() >= 8, "the README's walk names only {named:?}");
    let missing = |name: &&&str| !root().join(name).exists() && !root().join("src").join(name).exists();
    let broken: Vec<String> = named.iter().filter(missing).map(|name| (*name).to_owned()).collect();
    report("a file named in the README exists", &broken);
}

#[test]
fn the_rules_see_what_they_should() {
    let code = blanked(
        "// crate::shard\nuse crate::{store::{self, Keep}, change::Second};\nlet a = \"crate::base\"; let b = 'x';",
    );
    assert_eq!(uses(&code), BTreeSet::from(["change".to_owned(), "store".to_owned()]));
    assert_eq!(functions("fn a(x: [u8; 4]) -> u8 {\n  1\n}\nfn b();\n"), [("a".to_owned(), 3)]);
    assert!(names("use aws_sdk_dynamodb::Client", "aws_sdk_dynamodb"));
    assert!(!names("use aws_sdk_dynamodbstreams::Client", "aws_sdk_dynamodb"));
    assert_eq!(
        blanked("r#\"a\"b\"# 'l: '\\'' \"\\\"\" b"),
        format!("{}'l: {}{}b", " ".repeat(9), " ".repeat(5), " ".repeat(5))
    );
}
