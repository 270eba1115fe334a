//! The command line as its users meet it: the real binary as a child process, real servers in this one.
//!
//! Every refusal is asked for twice, by a person and by a machine: the exit code and the reasons must agree, and
//! the archive must hold afterwards what it held before.

mod arguments;
mod credentials;
mod damage;
mod diffs;
mod doctor;
mod exports;
mod far;
mod first;
mod fleet;
mod gaps;
mod golden;
mod history;
mod kills;
mod live;
mod outage;
mod places;
mod points;
mod policies;
mod restores;
mod seals;
mod service;
mod signals;
mod timeline;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use serde_json::Value;
use tailrace::failure::Exit;
use tailrace::platform::clock;
use tailrace::store::ObjectStore;
use tailrace::store::local::LocalStore;
use tempfile::TempDir;

use crate::support::dynamo::Dynamo;
use crate::support::world::World;

/// Whatever takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of its own, and the environment of the commands in it: nothing of the machine's settings gets through.
struct Shell {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        let plain = [("HOME", home.as_str()), ("AWS_EC2_METADATA_DISABLED", "true"), ("PATH", "/usr/bin:/bin")];
        let variables = plain.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { folder, variables }
    }

    /// With an archive in the folder `archive`, named by the environment, and a table that changed for a while.
    async fn with_world(seed: u64) -> (Self, World) {
        let shell = Self::new().with("TAILRACE_ARCHIVE", "archive");
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::create(shell.path("archive")).await.unwrap());
        let mut world = World::begin(store, seed).await;
        world.change(&[("a", Some("1")), ("b", Some("1"))]).await;
        world.change(&[("a", Some("2")), ("b", None)]).await;
        world.idle().await;
        (shell, world)
    }

    /// With an archive in the folder `archive`, and the settings of this database.
    async fn with_archive(dynamo: &Dynamo) -> Self {
        let shell = Self::new().with("TAILRACE_ARCHIVE", "archive").with_aws(&dynamo.config);
        shell.run(&["init"]).await.is(0);
        shell
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The environment that gives a child the endpoint, region and keys of a server in this process.
    fn with_aws(self, config: &SdkConfig) -> Self {
        self.with_keys()
            .with("AWS_ENDPOINT_URL", config.endpoint_url().unwrap())
            .with("AWS_REGION", config.region().unwrap().as_ref())
    }

    fn with_keys(self) -> Self {
        self.with("AWS_ACCESS_KEY_ID", "AKIDTEST").with("AWS_SECRET_ACCESS_KEY", "secret")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(env!("CARGO_BIN_EXE_tailrace"), arguments))
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear().envs(&self.variables);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end().await
    }

    /// Asks twice, in words and with `--json`; both must refuse with `exit`, say all of `words`, and leave everything
    /// in the folder as it was.
    async fn refuses(&self, arguments: &[&str], exit: Exit, words: &[&str]) {
        let before = files(self.folder.path());
        let with_json = [arguments, &["--json"]].concat();
        // Two that may both begin the same file would be in each other's way.
        let (told, coded) = if arguments.iter().any(|argument| argument.starts_with("file:")) {
            (self.run(arguments).await, self.run(&with_json).await)
        } else {
            tokio::join!(self.run(arguments), self.run(&with_json))
        };
        told.is(exit as i32);
        assert!(told.err.contains("error: ") && !told.err.contains("panicked"), "{told}");
        for word in words {
            assert!(told.err.contains(word), "{word:?} is not said\n{told}");
        }
        coded.is(exit as i32);
        let error = coded.error();
        assert_eq!(error["code"], exit.word(), "{coded}");
        let said = ["what", "where", "next"].map(|part| error[part].as_str().unwrap_or_default().to_owned());
        assert!(said.iter().all(|part| !part.is_empty()), "{coded}");
        // What stands in the words of a person may be laid out otherwise, but nothing is missing.
        for word in words {
            assert!(said.join(" ").contains(word), "{word:?} is not said\n{coded}");
        }
        assert_eq!(files(self.folder.path()), before, "something was written\n{told}");
    }
}

/// Every file below a folder, hidden ones too; folders by their names.
fn files(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            found.insert(path, None);
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            found.insert(path, Some(bytes));
        }
    }
    found
}

/// A command that came to its end.
struct Ended {
    arguments: String,
    code: Option<i32>,
    out: String,
    err: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { arguments, code, out, err } = self;
        write!(f, "{arguments}\nexit {code:?}\n--- stdout\n{out}\n--- stderr\n{err}")
    }
}

impl Ended {
    fn is(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}\n{self}"))).collect()
    }

    /// The last line, which is the summary.
    fn summary(&self) -> Value {
        let last = self.lines().pop().unwrap_or_else(|| panic!("no line\n{self}"));
        assert_eq!((&last["type"], &last["exit"]), (&"summary".into(), &self.code.into()), "{self}");
        last
    }

    /// The failure, which stands before the summary.
    fn error(&self) -> Value {
        self.summary();
        let mut lines = self.lines();
        let error = lines.swap_remove(lines.len() - 2);
        assert_eq!((&error["type"], &error["exit"]), (&"error".into(), &self.code.into()), "{self}");
        error
    }
}

/// A command under way; it dies with the test.
struct Running {
    arguments: String,
    child: Child,
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let arguments = format!("{command:?}");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (Arc::default(), Arc::default());
        let readers = vec![
            gather(child.stdout.take().unwrap(), Arc::clone(&out)),
            gather(child.stderr.take().unwrap(), Arc::clone(&err)),
        ];
        Self { arguments, child, out, err, readers }
    }

    fn told(&self) -> String {
        [&self.out, &self.err].map(|said| String::from_utf8(said.lock().unwrap().clone()).unwrap()).join("\n")
    }

    /// Waits until it has said this.
    async fn until(&mut self, word: &str) {
        let done = async {
            while !self.told().contains(word) {
                assert!(self.child.try_wait().unwrap().is_none(), "it ended without {word:?}: {}", self.told());
                clock::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = clock::within(PATIENCE, done).await.is_some();
        assert!(in_time, "it never said {word:?}: {}", self.told());
    }

    /// Sends a signal by its name.
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The most memory that it took so far.
    #[cfg(target_os = "linux")]
    fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    async fn end(mut self) -> Ended {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                clock::sleep(Duration::from_millis(5)).await;
            }
        };
        let status = clock::within(PATIENCE, ended).await;
        let status = status.unwrap_or_else(|| panic!("it hangs: {}\n{}", self.arguments, self.told()));
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let text = |said: &Mutex<Vec<u8>>| String::from_utf8(said.lock().unwrap().clone()).unwrap();
        let (out, err) = (text(&self.out), text(&self.err));
        Ended { arguments: self.arguments.clone(), code: status.code(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A command that ended is no longer there to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            into.lock().unwrap().extend_from_slice(&piece[..read]);
        }
    })
}
