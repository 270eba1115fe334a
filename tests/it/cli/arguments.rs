//! What is typed: help, misspellings, completions, the configuration, and who wins.

use super::*;

const VERBS: [&str; 17] = [
    "demo",
    "init",
    "capture",
    "base",
    "seal",
    "replay",
    "list",
    "status",
    "gaps",
    "doctor",
    "verify",
    "history",
    "timeline",
    "diff",
    "files",
    "config",
    "completions",
];

#[tokio::test]
async fn every_command_has_help_that_names_its_options() {
    let shell = Shell::new();
    let all = shell.run(&["--help"]).await;
    all.is(0);
    for verb in VERBS {
        assert!(all.out.contains(&format!("\n  {verb} ")), "{verb}: {all}");
        let help = shell.run(&[verb, "--help"]).await;
        help.is(0);
        assert!(help.out.contains(&format!("Usage: tailrace {verb}")), "{help}");
        assert!(help.out.contains("Options of every command:"), "{help}");
        assert_eq!(help.err, "", "{help}");
    }
    for verb in ["show", "validate"] {
        shell.run(&["config", verb, "--help"]).await.is(0);
    }
    shell.run(&["restore", "--help"]).await.is(0);
    assert!(shell.run(&["--version"]).await.is(0).out.starts_with("tailrace "));
    shell.run(&[]).await.is(Exit::Usage as i32);
}

#[tokio::test]
async fn a_misspelt_word_is_refused_with_the_nearest_that_is_known() {
    let (shell, _world) = Shell::with_world(31).await;
    for (typed, words) in [
        ("lst", &["lst", "list"][..]),
        ("demo --archive here", &["--archive", "--folder"]),
        ("demo --keep-runing", &["--keep-runing", "--keep-running"]),
        ("init --lock-day 3", &["--lock-day", "--lock-days"]),
        ("init --lock-days 0", &["--lock-days", "1.."]),
        ("init --lock-days 3 --lock-mode governence", &["governence", "governance"]),
        ("capture --tabel orders", &["--tabel", "--table"]),
        ("capture --table orders --flush-ag 1s", &["--flush-ag", "--flush-age"]),
        ("capture --table orders --settle 2", &["--settle", "90s"]),
        ("capture --table orders --flush-bytes 10GB", &["--flush-bytes", "32MiB"]),
        ("capture --table orders --flush-bytes 1GiB", &["--flush-bytes", "96MiB"]),
        ("capture --table orders --flush-age 0s", &["--flush-age", "1s"]),
        ("capture --table orders --onec", &["--onec", "--once"]),
        ("capture --table or/de/r/s", &["or/de/r/s", "account/region/orders"]),
        ("capture", &["--table", "--table orders"]),
        ("base --table orders --slac 1m", &["--slac", "--slack"]),
        ("base --table orders --table others", &["--table", "one table at a time"]),
        ("base --table orders --read-units 0", &["--read-units", "1.."]),
        ("replay --table orders --befor 1m", &["--befor", "--before"]),
        ("replay --table orders --at latest --dryrun", &["--dryrun", "--dry-run"]),
        ("replay --table orders --at latest --into file:a.jsonl --write-unit 1", &["--write-unit", "--write-units"]),
        ("list --tables orders", &["--tables", "--table"]),
        ("status --fail-if-older 10", &["--fail-if-older", "90s"]),
        ("verify --levl log", &["--levl", "--level"]),
        ("verify --level lg", &["lg", "log"]),
        ("timeline --table orders --evry 1m", &["--evry", "--every"]),
        ("timeline --table orders --every fast", &["fast", "90s"]),
        ("files --tabel orders", &["--tabel", "--table"]),
        ("files", &["--table <TABLE>"]),
        ("config sho", &["sho", "show"]),
        ("completions bsh", &["bsh", "bash"]),
        ("list --archve x", &["--archve", "--archive"]),
    ] {
        let arguments: Vec<&str> = typed.split(' ').collect();
        shell.refuses(&arguments, Exit::Usage, words).await;
    }
}

#[tokio::test]
async fn a_table_that_is_not_archived_is_refused_with_the_nearest_that_is() {
    let (shell, _world) = Shell::with_world(32).await;
    for verb in ["list", "status", "verify", "files"] {
        shell.refuses(&[verb, "--table", "ordres"], Exit::TableNotInArchive, &["ordres", "did you mean orders?"]).await;
    }
    let replay = ["replay", "--table", "us-east-1/orders", "--at", "latest", "--into", "file:out.jsonl"];
    shell.refuses(&replay, Exit::TableNotInArchive, &["us-east-1/orders", "eu-west-1/orders@0a1b2c"]).await;
    let behind = ["status", "--fail-if-older", "1h"];
    shell.refuses(&behind, Exit::BehindLimit, &["orders@0a1b2c", "1h ago"]).await;
}

#[tokio::test]
async fn a_wrong_value_of_the_environment_is_told_with_its_variable() {
    let (shell, _world) = Shell::with_world(33).await;
    let shell = shell.with("TAILRACE_SETTLE", "soon");
    let told = shell.run(&["capture", "--table", "orders"]).await;
    told.is(Exit::Usage as i32);
    assert!(told.err.contains("TAILRACE_SETTLE"), "{told}");
    let coded = shell.run(&["capture", "--table", "orders", "--json"]).await;
    assert_eq!(coded.error()["where"], "TAILRACE_SETTLE", "{coded}");
    assert_eq!(coded.summary()["command"], "capture");
    let flag = shell.run(&["capture", "--table", "orders", "--settle", "soon"]).await;
    assert!(!flag.err.contains("TAILRACE_SETTLE"), "{flag}");
    let off = shell.with("TAILRACE_JSON", "0").run(&["capture", "--table", "orders"]).await;
    assert_eq!(off.out, "", "{off}");
}

#[tokio::test]
async fn flags_go_before_the_environment_and_that_before_the_file() {
    let shell = Shell::new().with("TAILRACE_FLUSH_AGE", "20s").with("TAILRACE_SETTLE", "70s");
    shell.write("tailrace.toml", "archive = \"a\"\n[capture]\nsettle = \"90s\"\nflush_bytes = \"1MiB\"\n");
    let ended = shell.run(&["config", "show", "--json", "--settle", "80s"]).await;
    ended.is(0);
    let lines = ended.lines();
    let shown = |key: &str| {
        let line = lines.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("{key}: {ended}"));
        (line["value"].as_str().unwrap_or_default().to_owned(), line["origin"].as_str().unwrap().to_owned())
    };
    let is = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(shown("capture.settle"), is("80s", "--settle"));
    assert_eq!(shown("capture.flush_age"), is("20s", "TAILRACE_FLUSH_AGE"));
    assert_eq!(shown("capture.flush_bytes"), is("1MiB", "tailrace.toml:4"));
    assert_eq!(shown("archive"), is("a", "tailrace.toml:1"));
    assert_eq!(shown("base.slack"), is("15m", "default"));
    // The commands see what is shown: the archive of the file, unless another is named.
    shell.refuses(&["list"], Exit::ArchiveNotFound, &["archive at a"]).await;
    let shell = shell.with("TAILRACE_ARCHIVE", "b");
    shell.refuses(&["list"], Exit::ArchiveNotFound, &["archive at b"]).await;
    shell.refuses(&["list", "--archive", "c"], Exit::ArchiveNotFound, &["archive at c"]).await;
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_its_line() {
    let shell = Shell::new();
    let valid = shell.run(&["config", "validate"]).await;
    assert!(valid.is(0).out.contains("no tailrace.toml"), "{valid}");
    for (text, words) in [
        ("[capture]\nsetle = \"90s\"\n", &["tailrace.toml:2", "setle", "did you mean `settle`?"][..]),
        ("archiv = \"a\"\n", &["tailrace.toml:1", "did you mean `archive`?"]),
        ("[capture]\nsettle = \"soon\"\n", &["tailrace.toml:2", "soon"]),
        ("[capture\n", &["tailrace.toml:1"]),
    ] {
        shell.write("tailrace.toml", text);
        for command in [&["config", "validate"][..], &["config", "show"], &["list"], &["capture", "--table", "orders"]]
        {
            shell.refuses(command, Exit::Configuration, words).await;
        }
    }
    shell.write("tailrace.toml", "[capture]\ntable = [\"orders\"]\nflush_bytes = \"1GiB\"\n");
    shell.refuses(&["config", "validate"], Exit::Configuration, &["1GiB", "96MiB"]).await;
    shell.write("tailrace.toml", "[capture]\ntable = [\"orders\"]\n");
    let valid = shell.run(&["config", "validate"]).await;
    assert!(valid.is(0).out.contains("tailrace.toml is valid"), "{valid}");
    shell.refuses(&["list", "--config", "none.toml"], Exit::Configuration, &["none.toml", "--config"]).await;
}

#[tokio::test]
async fn completions_are_printed_for_every_shell() {
    let shell = Shell::new();
    for name in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = shell.run(&["completions", name]).await;
        assert!(script.is(0).out.contains("flush-age"), "{script}");
    }
}

#[tokio::test]
async fn with_json_the_last_line_of_every_command_is_its_summary() {
    let (shell, _world) = Shell::with_world(34).await;
    for typed in [
        "init --archive new",
        "list",
        "status",
        "verify",
        "verify --level log",
        "files --table orders",
        "config show",
        "config validate",
        "completions bash",
        "replay --table orders --at latest --dry-run",
        "replay --table orders --at latest --into file:out.jsonl",
        "replay --table orders --at latest --into file:out.jsonl.zst",
        "restore --table orders --at latest --into file:out.parquet",
    ] {
        let arguments: Vec<&str> = typed.split(' ').chain(["--json"]).collect();
        let ended = shell.run(&arguments).await;
        ended.is(0);
        let verb = typed.split(' ').next().unwrap().replace("restore", "replay");
        assert_eq!(ended.summary()["command"], verb, "{ended}");
        assert_eq!(ended.err, "", "{ended}");
        let typed = ended.lines().iter().all(|line| line["type"].is_string());
        assert!(typed, "a line without a type\n{ended}");
    }
    let item = std::fs::read_to_string(shell.path("out.jsonl")).unwrap();
    assert_eq!(item, "{\"Item\":{\"id\":{\"S\":\"a\"},\"v\":{\"S\":\"2\"},\"n\":{\"N\":\"103\"}}}\n");
    assert_eq!(zstd::decode_all(&std::fs::read(shell.path("out.jsonl.zst")).unwrap()[..]).unwrap(), item.as_bytes());
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let (shell, _world) = Shell::with_world(35).await;
    for typed in ["--help", "completions bash", "completions zsh", "list", "list --json", "files --table orders", "lst"]
    {
        let arguments: Vec<&str> = typed.split(' ').collect();
        let mut command = shell.command(env!("CARGO_BIN_EXE_tailrace"), &arguments);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let code = child.wait().unwrap().code();
        let expected = if typed == "lst" { Exit::Usage as i32 } else { 0 };
        assert_eq!(code, Some(expected), "{typed}: {err}");
        assert!(!err.contains("panicked"), "{typed}: {err}");
    }
}
