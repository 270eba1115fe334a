//! One object of a stored archive is damaged, and the real commands are run on it: `verify` names it, and whoever
//! reads it refuses it, or, where it is derived, gives the very same answer without it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tailrace::change::Second;
use tailrace::replay::{Asked, Options, Point, plan};
use tailrace::store::local::LocalStore;

use super::*;

const NOT_FOUND: i32 = 10;
const VERIFICATION_FAILED: i32 = 13;

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// One bit of one byte.
    Flip {
        at: usize,
        bit: u32,
    },
    /// Its last bytes are gone.
    Cut {
        to: usize,
    },
    /// One byte more.
    Longer(u8),
    Removed,
}

impl Damage {
    fn flip(ids: &Ids, length: usize) -> Self {
        let at = usize::try_from(ids.below(length as u64)).unwrap();
        Self::Flip { at, bit: u32::try_from(ids.below(8)).unwrap() }
    }

    fn cut(ids: &Ids, length: usize) -> Self {
        let to = if ids.below(2) == 0 { length - 1 } else { usize::try_from(ids.below(length as u64)).unwrap() };
        Self::Cut { to }
    }

    fn of(self, whole: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = whole.to_vec();
        match self {
            Self::Flip { at, bit } => bytes[at] ^= 1 << bit,
            Self::Cut { to } => bytes.truncate(to),
            Self::Longer(byte) => bytes.push(byte),
            Self::Removed => return None,
        }
        Some(bytes)
    }
}

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Archive,
    Entry,
    Root,
    Part,
    Pack,
    Raw,
    Base,
}

impl Kind {
    const ALL: [Self; 7] = [Self::Archive, Self::Entry, Self::Root, Self::Part, Self::Pack, Self::Raw, Self::Base];

    fn of(path: &str) -> Self {
        match path {
            "archive.json" => Self::Archive,
            path if path.contains("/log/") => Self::Entry,
            path if path.contains("/fold/day=") => Self::Part,
            path if path.contains("/fold/") => Self::Root,
            path if path.contains("/pack/") => Self::Pack,
            path if path.contains("/raw/") => Self::Raw,
            _ => Self::Base,
        }
    }

    const fn is_derived(self) -> bool {
        matches!(self, Self::Root | Self::Part | Self::Pack)
    }
}

/// What one command said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    exit: i32,
    /// Its JSON lines, less what is no part of its answer.
    lines: Vec<Value>,
    /// What it wrote.
    file: Option<Vec<u8>>,
}

impl Said {
    fn text(&self) -> String {
        self.lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// The commands that read an archive, by their arguments.
fn readers(points: &[Second]) -> Vec<Vec<String>> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut all = vec![words("list"), words("status"), words("files --table orders")];
    all.extend(points.iter().map(|at| words(&format!("replay --table orders --at {at}"))));
    all.push(words("replay --table orders --at latest"));
    all
}

/// An archive in a folder, and what everything says of it while it is whole.
struct Stored {
    folder: tempfile::TempDir,
    whole: BTreeMap<String, Vec<u8>>,
    readers: Vec<Vec<String>>,
    said: Vec<Said>,
    /// Segments that each reader reads.
    planned: Vec<BTreeSet<String>>,
    /// Entries from here on are read by every command.
    tail: u64,
}

impl Stored {
    /// The archive of `world`; `points` are replayed.
    async fn of(world: &World, points: &[Second]) -> Self {
        let asked: Vec<Asked> = points.iter().map(|at| Asked::At(*at)).chain([Asked::Latest]).collect();
        let of_log = std::iter::repeat_n(BTreeSet::new(), 3);
        let planned = of_log.chain(asked.iter().map(|asked| planned(world, asked))).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut whole = BTreeMap::new();
        let local = LocalStore::create(folder.path().join("archive")).await.unwrap();
        for object in world.store.list("", None, None).await.unwrap() {
            let bytes = world.store.get(&object.path, None).await.unwrap().bytes;
            local.put_new(&object.path, bytes.clone(), Keep::Full).await.unwrap();
            whole.insert(object.path, bytes.to_vec());
        }
        let tail = world.manifest.fold.as_ref().map_or(0, |fold| fold.n + 1);
        let readers = readers(points);
        let mut stored = Self { folder, whole, readers, said: vec![], planned, tail };
        for reader in stored.readers.clone() {
            let said = stored.run(&reader);
            assert_eq!(said.exit, 0, "{reader:?}: {}", said.text());
            stored.said.push(said);
        }
        assert_eq!(stored.run(&["verify".to_owned()]).exit, 0);
        stored
    }

    fn path(&self, object: &str) -> PathBuf {
        self.folder.path().join("archive").join(object)
    }

    fn run(&self, arguments: &[String]) -> Said {
        run(&self.folder.path().join("archive"), &self.folder.path().join("out.jsonl"), arguments)
    }

    fn of_kind(&self, kind: Kind) -> Vec<&String> {
        self.whole.keys().filter(|path| Kind::of(path) == kind).collect()
    }

    /// Damages one object, runs every command, and mends it.
    fn try_out(&self, object: &str, damage: Damage, tally: &mut Tally) {
        let (kind, whole, place) = (Kind::of(object), &self.whole[object], self.path(object));
        let case = format!("{object}, {damage:?}");
        match damage.of(whole) {
            Some(bytes) => std::fs::write(&place, bytes).unwrap(),
            None => std::fs::remove_file(&place).unwrap(),
        }
        self.verified(object, damage, &case);
        for (n, reader) in self.readers.iter().enumerate() {
            let said = self.run(reader);
            let same = said == self.said[n];
            let refused =
                if kind == Kind::Archive && damage == Damage::Removed { NOT_FOUND } else { VERIFICATION_FAILED };
            assert!(same || said.exit == refused, "{case}: {reader:?} exits {}: {}", said.exit, said.text());
            assert!(same || said.file.is_none(), "{case}: {reader:?} refuses and leaves a file");
            assert!(same || names(&said, object), "{case}: {reader:?} does not name it: {}", said.text());
            assert!(same || !kind.is_derived(), "{case}: {reader:?} needs what is derived: {}", said.text());
            assert!(!same || !self.must_refuse(object, reader, n), "{case}: {reader:?} did not notice");
            tally.note(kind, &reader[0], same);
        }
        std::fs::write(&place, whole).unwrap();
    }

    /// Whether this command cannot do without the object.
    fn must_refuse(&self, object: &str, reader: &[String], n: usize) -> bool {
        match Kind::of(object) {
            Kind::Archive => true,
            // What is final is served from the entries before it.
            Kind::Entry if number(object) >= self.tail => {
                reader[0] != "replay" || reader.contains(&"latest".to_owned())
            }
            Kind::Raw | Kind::Base => self.planned[n].contains(object),
            _ => false,
        }
    }

    fn verified(&self, object: &str, damage: Damage, case: &str) {
        let said = self.run(&["verify".to_owned()]);
        // The entries say the same without it.
        if Kind::of(object).is_derived() && damage == Damage::Removed {
            return assert_eq!(said.exit, 0, "{case}: {}", said.text());
        }
        let refused =
            if (object, damage) == ("archive.json", Damage::Removed) { NOT_FOUND } else { VERIFICATION_FAILED };
        assert_eq!(said.exit, refused, "{case}: {}", said.text());
        let of_it = |line: &&Value| line["type"] == "finding" && line["object"] == object && line["state"] != "orphan";
        let found = said.lines.iter().any(|line| of_it(&line));
        assert!(found || (object == "archive.json" && names(&said, object)), "{case}: {}", said.text());
    }
}

fn run(archive: &Path, out: &Path, arguments: &[String]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailrace"));
    command.args(arguments).args(["--json", "--archive"]).arg(archive).env_clear();
    if arguments[0] == "replay" {
        command.arg("--into").arg(format!("file:{}", out.display()));
    }
    let done = command.output().unwrap();
    let file = std::fs::read(out).ok();
    if file.is_some() {
        std::fs::remove_file(out).unwrap();
    }
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{arguments:?} said {line}"));
        // Of the clock, or of the log's length: no part of a replay's answer.
        for member in ["behind_seconds", "seconds_left", "covered_through"] {
            line.as_object_mut().unwrap().remove(member);
        }
        line
    };
    let lines: Vec<Value> = String::from_utf8(done.stdout).unwrap().lines().map(line).collect();
    // A replay that goes on before an entry without effect says so; its answer is the same.
    let lines = lines.into_iter().filter(|line| line["type"] != "warning").collect();
    Said { exit: done.status.code().expect("no signal"), lines, file }
}

/// The segments that a replay of this point reads.
fn planned(world: &World, asked: &Asked) -> BTreeSet<String> {
    let point = Point::resolve(asked, &world.manifest).unwrap();
    let plan = plan(&world.manifest, point, &Options::default()).unwrap();
    plan.changes.iter().chain(&plan.base.segments).map(|meta| world.log.path(&meta.path)).collect()
}

fn number(entry: &str) -> u64 {
    entry.rsplit('/').next().and_then(|name| name.strip_suffix(".entry")).unwrap().parse().unwrap()
}

/// Whether the failure says which object it is.
fn names(said: &Said, object: &str) -> bool {
    let text = said.text();
    match Kind::of(object) {
        Kind::Archive => text.contains("archive.json") || said.exit == NOT_FOUND,
        Kind::Entry => text.contains(&format!("entry {} ", number(object))),
        _ => text.contains(object.rsplit('/').next().unwrap()),
    }
}

/// How often each command gave the same answer, and how often it refused, by kind of object.
#[derive(Debug, Default)]
struct Tally(BTreeMap<Kind, BTreeMap<String, (u64, u64)>>);

impl Tally {
    fn note(&mut self, kind: Kind, command: &str, same: bool) {
        let (served, refused) = self.0.entry(kind).or_default().entry(command.to_owned()).or_default();
        *(if same { served } else { refused }) += 1;
    }

    fn add(&mut self, other: Self) {
        for (kind, of_kind) in other.0 {
            for (command, (served, refused)) in of_kind {
                let (all_served, all_refused) = self.0.entry(kind).or_default().entry(command).or_default();
                *all_served += served;
                *all_refused += refused;
            }
        }
    }
}

/// A small archive with every kind of object but a pack.
async fn small(seed: u64) -> Stored {
    let world = world(seed).await;
    let closed = world.manifest.closed_through.unwrap();
    let complete = world.manifest.bases.last().unwrap().base.complete_at;
    Stored::of(&world, &[complete.plus(-60), complete.plus(60), closed]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_refuses_a_damaged_object_or_does_without_it() {
    let stored = small(8).await;
    let ids = Ids::seeded(8);
    let mut tally = Tally::default();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Pack) {
        let objects = stored.of_kind(kind);
        let any = &objects[usize::try_from(ids.below(objects.len() as u64)).unwrap()];
        // Of parts, whose names are hashes, all: one of them is the newest fold's.
        let some = if kind == Kind::Part { objects.clone() } else { vec![objects[objects.len() - 1], any] };
        for (n, object) in some.into_iter().enumerate() {
            let length = stored.whole[object].len();
            let other = if n == 0 { Damage::Longer(b'\n') } else { Damage::cut(&ids, length) };
            stored.try_out(object, Damage::flip(&ids, length), &mut tally);
            stored.try_out(object, other, &mut tally);
        }
    }
    assert_eq!(tally.0.len(), 6);
}

/// A log in which an entry was removed must not be taken for a shorter one.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_object_is_missed_or_not_needed() {
    let stored = small(9).await;
    let mut tally = Tally::default();
    let newest = stored.of_kind(Kind::Entry).last().map(|path| (*path).clone()).unwrap();
    // Without its last entry a log is that log as it was.
    let entries =
        stored.of_kind(Kind::Entry).into_iter().filter(|path| **path != newest && number(path).is_multiple_of(4));
    let others = [Kind::Archive, Kind::Root, Kind::Raw, Kind::Base];
    let others = others.into_iter().filter_map(|kind| stored.of_kind(kind).last().copied());
    for object in entries.chain(others).chain(stored.of_kind(Kind::Part)) {
        stored.try_out(object, Damage::Removed, &mut tally);
    }
}

/// An archive whose entries name no fold, so that everybody who opens it reads its pack.
async fn packed() -> Stored {
    let memory: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    let without_folds = Bent::over(&memory, |path| !path.contains("/fold/"), |_, bytes| Some(bytes));
    let mut world = World::begin(without_folds, 10).await;
    world.change(&[("a", Some("one")), ("b", Some("two"))]).await;
    while world.manifest.next < 10_020 {
        world.idle().await;
    }
    assert_eq!(world.log.write_packs(world.manifest.next).await.unwrap(), 1);
    let closed = world.manifest.closed_through.unwrap();
    Stored::of(&world, &[closed]).await
}

/// Flips and, as every tenth, a cut or a byte more, in all kinds in turn.
fn campaign(stored: &Stored, kinds: &[Kind], count: usize, ids: &Ids) -> Tally {
    let mut tally = Tally::default();
    for n in 0..count {
        let objects = stored.of_kind(kinds[n % kinds.len()]);
        let mut object = objects[usize::try_from(ids.below(objects.len() as u64)).unwrap()];
        // Entries behind the newest fold are what readers cannot do without.
        if Kind::of(object) == Kind::Entry && ids.below(2) == 0 {
            let tail = |object: &&&String| number(object) >= stored.tail;
            let behind: Vec<_> = objects.iter().filter(tail).collect();
            object = behind[usize::try_from(ids.below(behind.len() as u64)).unwrap()];
        }
        let length = stored.whole[object].len();
        stored.try_out(object, Damage::flip(ids, length), &mut tally);
        if n % 10 == 0 {
            let byte = u8::try_from(ids.below(256)).unwrap();
            let other = if ids.below(2) == 0 { Damage::cut(ids, length) } else { Damage::Longer(byte) };
            stored.try_out(object, other, &mut Tally::default());
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: .ci/campaign flips"]
async fn campaign_flips() {
    let count = std::env::var("FLIPS").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000_usize);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| Ids::random().bits());
    let ids = Ids::seeded(seed);
    println!("seed {seed}");
    let others: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Pack).collect();
    let (small, packed) = (small(seed).await, packed().await);
    let of_packs = count / Kind::ALL.len();
    let (one, two) = (Ids::seeded(ids.bits()), Ids::seeded(ids.bits()));
    let mut tally = std::thread::scope(|threads| {
        let packs = threads.spawn(|| campaign(&packed, &[Kind::Pack], of_packs, &one));
        let mut tally = campaign(&small, &others, count - of_packs, &two);
        tally.add(packs.join().unwrap());
        tally
    });
    let of_kind = |kind: &Kind| {
        let commands = tally.0.remove(kind).unwrap();
        let flips = commands["list"].0 + commands["list"].1;
        let told =
            commands.iter().map(|(command, (served, refused))| format!("{command} {refused}/{}", served + refused));
        format!("{kind:?} {flips} ({})", told.collect::<Vec<_>>().join(", "))
    };
    let kinds: Vec<String> = Kind::ALL.iter().map(of_kind).collect();
    println!(
        "campaign: {count} flips, seed {seed}, all found by verify; refused by (the rest of the runs gave the same answer \
         without the object): {}",
        kinds.join("; ")
    );
}
