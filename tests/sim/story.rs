//! What happens in a run, drawn from its seed: phases of work, outages and silence, then calm, then the reckoning.

use std::sync::Arc;
use std::time::Duration;

use tailrace::capture::CaptureOptions;
use tailrace::platform::clock::sleep;
use tailrace::store::fault::{Effect, Rates};
use tailrace::store::memory::MemoryStore;
use tokio::task::JoinHandle;

use crate::dice::Dice;
use crate::keep;
use crate::model::Reader;
use crate::service::{Manners, Service};
use crate::trace::Trace;
use crate::worker::{self, End, Place, Way};

/// How long the last capture may take to come up to date, in virtual seconds: calm things must not take for ever.
const CALM_LIMIT: u64 = 4 * 3600;
/// Seconds that it takes at least to make a table.
const MADE: i64 = 5;
/// Workers that seal are numbered from here, or the others would not be the same without them.
const SEALERS: u64 = 10_000;
/// Shards of one stream that may be open at a time.
const OPEN_SHARDS: usize = 6;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) trace: Arc<Trace>,
    /// Simulated seconds.
    pub(crate) seconds: i64,
    /// Replays that were compared with the model.
    pub(crate) replays: u64,
}

struct Story {
    place: Place,
    dice: Dice,
    reader: Reader,
    workers: u64,
    slack: u32,
    /// When the last work began.
    busy_since: i64,
    /// Chance of what seals, apart from all other.
    sealing: Dice,
    sealers: u64,
}

/// Runs one seed, under a paused clock.
pub(crate) async fn run(seed: u64, aloud: bool) -> Outcome {
    let dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
    let trace = Arc::new(Trace::new(aloud));
    let settle = dice.pick(&[2, 6, 20]);
    let before = dice.once_in(3);
    let service = Service::new(manners(&dice, settle), Dice::new(dice.below(u64::MAX)), Arc::clone(&trace), before);
    let service = Arc::new(service);
    let place = Place {
        service: Arc::clone(&service),
        archive: Arc::new(if dice.once_in(2) { MemoryStore::new() } else { MemoryStore::versioned() }),
        options: CaptureOptions {
            settle: Duration::from_secs(settle.unsigned_abs()),
            flush_age: dice.seconds(1, 12),
            ..CaptureOptions::default()
        },
        rates: Rates::NONE,
        before,
        seed,
        exports: Arc::default(),
    };
    keep::begin(&place.archive).await;
    let reader = Reader::new(&place);
    let slack = dice.pick(&[31, 35, 50]);
    let mut story = Story {
        place,
        dice,
        reader,
        workers: 0,
        slack,
        busy_since: crate::service::NOON,
        sealing: Dice::new(seed ^ 0x5ea1),
        sealers: SEALERS,
    };
    let writing = worker::start(write(Arc::clone(&service), Dice::new(seed ^ 0x77)));
    for _ in 0..story.dice.between(2, 5) {
        story.phase().await;
        story.reader.look().await;
    }
    writing.abort();
    story.come_to_rest().await;
    let replays = story.reader.reckon().await;
    keep::end(&story.place.archive).await;
    Outcome { trace, seconds: service.now() - crate::service::NOON, replays }
}

fn manners(dice: &Dice, settle: i64) -> Manners {
    let long = dice.once_in(3);
    Manners {
        jitter: dice.pick(&[0, 0, 2]),
        stragglers: dice.pick(&[0, 0, 25]),
        // What the protocol bears: a quarter of an hour. What is later than that, and lost, may lie before its gap.
        straggle: if long { (settle, 800) } else { (settle, 5 * settle) },
        lag: dice.pick(&[0, settle / 2, settle - 1, 3 * settle]),
        delay: dice.pick(&[1, 1, settle / 2]),
        chaos: dice.once_in(4),
        extra: if dice.once_in(2) { 0 } else { dice.between(0, 1800) },
        iterator_life: dice.pick(&[900, 900, 30]),
        old_images: !dice.once_in(4),
    }
}

/// Writes, splits and rolls over, as long as the run lasts: faster while there are workers to see it.
async fn write(service: Arc<Service>, dice: Dice) {
    loop {
        let busy = service.state().busy;
        sleep(if busy { dice.seconds(0, 6) } else { dice.seconds(60, 3600) }).await;
        for _ in 0..dice.between(0, 2) {
            service.write();
        }
        if dice.once_in(14) && service.open_shards() < OPEN_SHARDS {
            service.split();
        }
    }
}

impl Story {
    async fn phase(&mut self) {
        match self.dice.below(10) {
            0..=5 => self.work().await,
            6 => {
                self.work().await;
                self.silence(self.dice.seconds(5, 1200)).await;
            }
            7 => {
                // What was written while somebody worked is trimmed while the next one reads.
                let ago = self.place.service.now() - self.busy_since;
                let early = if self.dice.once_in(3) { -1200 } else { -120 };
                let age = 24 * 3600 + self.place.service.manners.extra + self.dice.between(early, 240);
                self.silence(Duration::from_secs((age - ago).max(60).unsigned_abs())).await;
                self.work_of(2).await;
            }
            8 => self.silence(self.dice.seconds(26 * 3600, 62 * 3600)).await,
            _ => self.restart_stream().await,
        }
    }

    /// Nobody captures.
    async fn silence(&self, time: Duration) {
        self.place.service.trace.note("silence", format_args!("{time:?}"));
        self.place.service.state().busy = false;
        sleep(time).await;
    }

    /// The stream is turned off, and some time later on again.
    async fn restart_stream(&mut self) {
        // A table takes some seconds to be made, and nothing of it can be changed before: so a stream that is as old as
        // its table was made with it.
        if self.place.service.now() < crate::service::NOON + MADE {
            sleep(Duration::from_secs(MADE.unsigned_abs())).await;
        }
        self.place.service.turn_off();
        if self.dice.once_in(2) {
            self.work().await;
        }
        self.place.service.state().busy = self.dice.once_in(2);
        sleep(self.dice.seconds(1, 40)).await;
        self.place.service.turn_on();
        self.work().await;
    }

    /// One worker or two.
    async fn work(&mut self) {
        let workers = self.dice.pick(&[1, 1, 2]);
        self.work_of(workers).await;
    }

    /// So many workers, perhaps with a snapshot beside them, under whatever goes wrong this time.
    async fn work_of(&mut self, workers: u64) {
        let dice = self.dice.clone();
        self.place.rates = rates(&dice);
        self.busy_since = self.place.service.now();
        {
            let mut state = self.place.service.state();
            (state.busy, state.faults) = (true, dice.pick(&[0, 5, 50, 200]));
        }
        let mut running = vec![];
        // A snapshot needs a while of capture beside it; an export's fence lies five minutes before it, and its end as far
        // behind.
        let snapshot = dice.once_in(3).then(|| dice.pick(&[Way::Scan, Way::Export]));
        let least = match snapshot {
            None => 10,
            Some(Way::Scan) => 200,
            Some(Way::Export) => dice.pick(&[200, 700]),
        };
        for _ in 0..workers {
            let end = self.end(least);
            self.workers += 1;
            running.push(worker::start(worker::capture(self.place.clone(), self.workers, end)));
            sleep(dice.seconds(0, 20)).await;
        }
        if let Some(way) = snapshot {
            let end = self.end(least - 50);
            self.workers += 1;
            running.push(worker::start(worker::snapshot(self.place.clone(), self.workers, self.slack, way, end)));
        }
        running.extend(self.seal_beside());
        for run in running {
            worker::join(run).await;
        }
        self.place.service.state().faults = 0;
    }

    /// Up to two sealers, which begin and end as they like.
    fn seal_beside(&mut self) -> Vec<JoinHandle<()>> {
        let dice = self.sealing.clone();
        let sealers = dice.pick(&[0, 1, 1, 2]);
        let one = |number| {
            let (place, begin, time) = (self.place.clone(), dice.seconds(0, 150), dice.seconds(20, 150));
            let effect = dice.pick(&[Effect::Never, Effect::Now, Effect::Late(dice.seconds(0, 40))]);
            let end = match dice.below(4) {
                0 => End::Killed(time),
                1 => End::KilledAt(dice.below(8), effect, time),
                2 => End::Frozen(dice.seconds(1, 20), dice.seconds(1, 300), dice.seconds(5, 60)),
                _ => End::Stopped(time),
            };
            // Among those that seal are some that look back.
            let part = dice.once_in(3).then(|| dice.below(101));
            worker::start(async move {
                sleep(begin).await;
                match part {
                    Some(part) => worker::look_back(place, number, part, end).await,
                    None => worker::seal(place, number, end).await,
                }
            })
        };
        let running = (self.sealers..self.sealers + sealers).map(one).collect();
        self.sealers += sealers;
        running
    }

    /// How a worker ends that lives for at least so many seconds, unless it is killed in a mutation.
    fn end(&self, least: i64) -> End {
        let dice = &self.dice;
        let time = dice.seconds(least, least + 150);
        match dice.below(5) {
            0 => End::Killed(time),
            1 | 2 => {
                let later = Duration::from_secs(dice.below(40));
                let effect = dice.pick(&[Effect::Never, Effect::Now, Effect::Late(later)]);
                End::KilledAt(dice.below(if least > 100 { 60 } else { 12 }), effect, time)
            }
            3 => End::Frozen(dice.seconds(5, 60), dice.seconds(1, 300), dice.seconds(5, 60)),
            _ => End::Stopped(time),
        }
    }

    /// Everything works again, and nothing more is written: what was not lost must be archived before long.
    async fn come_to_rest(&mut self) {
        let service = Arc::clone(&self.place.service);
        service.trace.note("calm", "");
        self.place.rates = Rates::NONE;
        (service.state().faults, service.state().busy) = (0, false);
        // A late request of the last phase lands before the reckoning.
        let visible = service.all_visible() - service.now();
        sleep(Duration::from_secs(visible.max(60).unsigned_abs())).await;
        let deleted = self.dice.once_in(8);
        if deleted {
            service.delete();
        }
        let goal = service.now();
        self.workers += 1;
        let end = End::Stopped(Duration::from_secs(CALM_LIMIT));
        let last = worker::start(worker::capture(self.place.clone(), self.workers, end));
        let mut waited = 0;
        while !self.reader.reached(goal).await {
            sleep(Duration::from_secs(5)).await;
            waited += 5;
            assert!(waited < CALM_LIMIT, "the archive does not come up to date: {}", self.reader.standing().await);
            assert!(!last.is_finished() || deleted, "the last capture ended by itself");
        }
        last.abort();
        // Whatever sealers left behind is finished; in some runs nothing was ever sealed.
        if self.sealing.once_in(2) {
            let end = End::Stopped(Duration::from_secs(CALM_LIMIT));
            worker::join(worker::start(worker::seal(self.place.clone(), self.sealers, end))).await;
        }
    }
}

fn rates(dice: &Dice) -> Rates {
    match dice.below(5) {
        0 | 1 => Rates::NONE,
        2 | 3 => Rates {
            lost: 40,
            unanswered: 60,
            late: 40,
            late_within: Duration::from_secs(60),
            slow: 40,
            slow_within: Duration::from_secs(30),
            reads: 30,
            stale: 100,
        },
        // An outage: next to nothing gets through.
        _ => Rates {
            lost: 500,
            unanswered: 100,
            late: 300,
            late_within: Duration::from_secs(90),
            reads: 600,
            ..Rates::NONE
        },
    }
}
