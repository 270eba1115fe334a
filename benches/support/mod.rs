//! What the benches share: the table of ways, and the traffic of a table.

pub(crate) mod log;
pub(crate) mod traffic;

use std::time::Duration;

use tailrace::platform::clock;

/// The fewest and the most rounds that count, after one that warms up.
const ROUNDS: (usize, usize) = (7, 101);

/// Ways that are done quickly take turns for so long, as a busy machine interrupts for longer than they take.
const AT_LEAST: Duration = Duration::from_secs(2);

/// What a way is to the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// What a capture or replay really does: the others are measured against it.
    Ours,
    /// A share of what ours does, or the same under another condition.
    Step,
    /// Another way to the same end.
    Peer,
    /// What no way can undercut.
    Floor,
}

/// One way to do a piece of work.
struct Way<'a> {
    role: Role,
    name: String,
    /// Units of work in one run.
    amount: f64,
    work: Box<dyn FnMut() -> Duration + 'a>,
}

/// Ways that are measured in turn.
pub(crate) struct Table<'a> {
    title: String,
    /// What `amount` counts.
    unit: &'static str,
    ways: Vec<Way<'a>>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(title: impl Into<String>, unit: &'static str) -> Self {
        Self { title: title.into(), unit, ways: Vec::new() }
    }

    /// A way whose whole run is measured.
    pub(crate) fn way<T>(&mut self, role: Role, name: &str, amount: f64, mut work: impl FnMut() -> T + 'a) {
        self.prepared(role, name, amount, || (), move |()| work());
    }

    /// A way that needs something fresh for each run, which is not measured; nor is dropping what the run gives.
    pub(crate) fn prepared<P, T>(
        &mut self,
        role: Role,
        name: &str,
        amount: f64,
        mut prepare: impl FnMut() -> P + 'a,
        mut work: impl FnMut(P) -> T + 'a,
    ) {
        let work = Box::new(move || {
            let ready = prepare();
            let begun = clock::now();
            let done = std::hint::black_box(work(ready));
            let taken = begun.elapsed();
            drop(done);
            taken
        });
        self.ways.push(Way { role, name: name.to_owned(), amount, work });
    }

    /// Measures all ways in turn and prints the table.
    pub(crate) fn print(mut self) {
        let mut taken: Vec<Vec<Duration>> = vec![Vec::new(); self.ways.len()];
        let begun = clock::now();
        for round in 0..=ROUNDS.1 {
            if round > ROUNDS.0 && begun.elapsed() > AT_LEAST {
                break;
            }
            for (way, taken) in self.ways.iter_mut().zip(&mut taken) {
                let time = (way.work)();
                if round > 0 {
                    taken.push(time);
                }
            }
        }
        taken.iter_mut().for_each(|times| times.sort_unstable());
        let medians: Vec<f64> = taken.iter().map(|times| times[times.len() / 2].as_secs_f64()).collect();
        println!("\n{}", self.title);
        println!(
            "{:6} {:58} {:>10} {:>10} {:>12}  median to median",
            "",
            "",
            "ms",
            "best ms",
            format!("{}/s", self.unit)
        );
        let per_unit = |at: usize| medians[at] / self.ways[at].amount;
        let ours = self.ways.iter().position(|way| way.role == Role::Ours).map(per_unit);
        for (at, way) in self.ways.iter().enumerate() {
            let ratio = per_unit(at) / ours.unwrap_or(f64::NAN);
            let (word, compared) = match way.role {
                Role::Ours => ("ours", format!("{ratio:.2} x the time of ours")),
                Role::Step => ("step", format!("{:.0} % of ours", ratio * 100.0)),
                Role::Peer => ("peer", format!("ours is {ratio:.2} x as fast")),
                Role::Floor => ("floor", format!("ours takes {:.2} x as long", 1.0 / ratio)),
            };
            let rate = way.amount / medians[at];
            let (median, best) = (medians[at] * 1e3, taken[at][0].as_secs_f64() * 1e3);
            println!("{word:6} {:58} {median:10.2} {best:10.2} {rate:12.0}  {compared}", way.name);
        }
    }
}
