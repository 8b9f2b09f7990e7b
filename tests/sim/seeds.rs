//! Which seeds are looked at, and what must have been reached by all of them together.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use steelyard::ledger::rejection::{self, Rejection};

use crate::breaks::Break;
use crate::run::{Ran, Run, Size};

/// Seeds of every test run.
const SEEDS: std::ops::Range<u64> = 0..200;

/// A broken rule is found within so many seeds.
const BROKEN_SEEDS_MAX: u64 = 200;

const SIZE: Size = Size {
    commands: 300,
    steps: 30_000,
};

/// What every look at many seeds must have reached, beside every reason to refuse and every end of
/// a decision: a fault that never strikes proves nothing.
const SOMETIMES: [&str; 70] = [
    "a reply is completed from cold",
    "a record is slow",
    "a reference is used in two partitions",
    "a sink is told to stop",
    "rules",
    "a leg goes by later rules than its receiver",
    "a leg goes by earlier rules than its receiver",
    "a leg goes by the latest rules",
    "the group is shared out anew",
    "the log does not answer",
    "a broker's clock is off",
    "a client sends again",
    "a dead letter",
    "a leg is copied",
    "a leg is forged",
    "a leg lands twice",
    "a marker is accepted",
    "a marker is passed over",
    "a partition is handed over",
    "a process is killed",
    "a producer breaks",
    "a record has the key of the other side",
    "a record lands after its sender's death",
    "a reply",
    "a reply of cold is lost",
    "a reply of hot is lost",
    "a reply to a dead letter",
    "a sink is killed",
    "a sink's partition moves",
    "a split",
    "a stale snapshot of a balance is named",
    "a stale snapshot of a hold is named",
    "a takeover has a standby",
    "a takeover finds cold away",
    "a takeover finds the journal behind the balances",
    "a takeover starts from cold",
    "a takeover starts from nothing",
    "a takeover starts from the log alone",
    "a takeover waits for cold",
    "a takeover without cold reads trimmed outcomes",
    "a tick is copied",
    "a tick is forged",
    "a version is expected at a later stop",
    "an acknowledgement never arrives",
    "hot refuses the claim of an earlier owner",
    "snapshots are compacted",
    "an outcome lands twice",
    "an owner empties an old hot",
    "applied",
    "cold is away",
    "cold stands elsewhere",
    "dead-letter",
    "expired",
    "forwarded",
    "genesis",
    "held",
    "hot is away",
    "hot is emptied",
    "hot is rolled back",
    "hot lets synced balances go",
    "hot refuses a write",
    "known-leg",
    "misrouted",
    "not-due",
    "outcomes are trimmed",
    "posted",
    "replayed",
    "returned",
    "two owners at once",
    "voided",
];

/// Runs one seed; on a failure says which, and what was wrong.
fn attempt(seed: u64, size: Size, broken: Option<Break>) -> Result<Ran, String> {
    let mut run = Run::new(seed, size, broken);
    let played = catch_unwind(AssertUnwindSafe(|| run.play(size)));
    if let Some(story) = &run.sim().lock().story {
        eprintln!("{story}");
    }
    played.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let steps = run.steps();
        // What a panic left behind is not to be dropped in order.
        std::mem::forget(run);
        format!("seed {seed}, step {steps}: {}", text.unwrap_or_default())
    })
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

/// What all the seeds came to that were looked at.
#[derive(Default)]
struct Looked {
    seeds: u64,
    steps: u64,
    reached: BTreeMap<&'static str, u64>,
    /// The first of the seeds that failed.
    failed: Option<(u64, String)>,
}

impl Looked {
    fn add(&mut self, seed: u64, result: Result<Ran, String>) {
        match result {
            Ok(ran) => {
                self.seeds += 1;
                self.steps += ran.steps;
                for (what, times) in ran.reached {
                    *self.reached.entry(what).or_default() += times;
                }
            }
            Err(failure) => {
                let earlier = |(failed, _): &(u64, String)| *failed < seed;
                if !self.failed.as_ref().is_some_and(earlier) {
                    self.failed = Some((seed, failure));
                }
            }
        }
    }
}

/// Looks at seeds from `start` on, on every core one at a time, while `goes_on` and none fails.
/// How long all cores together were at it.
fn look(
    start: u64,
    broken: Option<Break>,
    goes_on: impl Fn(u64) -> bool + Sync,
) -> (Looked, Duration) {
    let (next, looked) = (AtomicU64::new(0), Mutex::new(Looked::default()));
    let spent = Mutex::new(Duration::ZERO);
    let cores = available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let began = Instant::now();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if !goes_on(number) || looked.lock().unwrap().failed.is_some() {
                        break;
                    }
                    let result = attempt(start + number, SIZE, broken);
                    looked.lock().unwrap().add(start + number, result);
                }
                *spent.lock().unwrap() += began.elapsed();
            });
        }
    });
    (looked.into_inner().unwrap(), spent.into_inner().unwrap())
}

/// Looks at seeds from `STEELYARD_SIM_SEED` on for `STEELYARD_SIM_MINUTES`, or at those of every
/// test run. `STEELYARD_SIM_BREAK` names a rule to switch off, `STEELYARD_SIM_STORY` prints every
/// event.
#[test]
fn every_seed_comes_to_rest() {
    let first = setting("STEELYARD_SIM_SEED");
    let minutes = setting("STEELYARD_SIM_MINUTES");
    let broken = std::env::var("STEELYARD_SIM_BREAK")
        .ok()
        .map(|name| Break::named(&name).unwrap_or_else(|| panic!("no rule has the name {name}")));
    let start = first.unwrap_or(match minutes {
        Some(_) => u64::from(std::process::id()) << 32,
        None => SEEDS.start,
    });
    let began = Instant::now();
    let (looked, spent) = look(start, broken, |number| match (minutes, first) {
        (Some(minutes), _) => began.elapsed() < Duration::from_secs(minutes * 60),
        (None, Some(_)) => number < 1,
        (None, None) => number < SEEDS.end - SEEDS.start,
    });
    if let Some((seed, failure)) = looked.failed {
        panic!("{failure}\nagain with: ./dev sim --seed {seed}");
    }
    let Looked {
        seeds,
        steps,
        reached,
        ..
    } = looked;
    let rate = steps as f64 / spent.as_secs_f64();
    println!("{seeds} seeds from {start}, {steps} steps, {rate:.0} a second and core");
    for (what, times) in &reached {
        println!("{times:>9} {what}");
    }
    let slugs = rejection::ALL.map(Rejection::slug);
    let missed: Vec<_> = SOMETIMES
        .iter()
        .chain(&slugs)
        .filter(|what| !reached.contains_key(*what))
        .collect();
    let whole = seeds >= SEEDS.end - SEEDS.start;
    assert!(!whole || missed.is_empty(), "never reached: {missed:?}");
}

#[test]
fn a_seed_replays_byte_for_byte() {
    for seed in 1_000..1_004 {
        let size = Size {
            commands: 100,
            steps: 8_000,
        };
        let [one, other] = [(); 2].map(|()| attempt(seed, size, None).unwrap());
        assert_eq!(
            (one.digest, one.steps),
            (other.digest, other.steps),
            "seed {seed}"
        );
    }
}

/// The simulator sees it when a rule is switched off.
#[test]
fn a_broken_rule_is_found() {
    for rule in Break::ALL {
        let (looked, _) = look(0, Some(rule), |number| number < BROKEN_SEEDS_MAX);
        let found = looked.failed.map(|(_, failure)| failure);
        let found = found.unwrap_or_else(|| panic!("{} went unnoticed", rule.name()));
        println!(
            "{}: {}",
            rule.name(),
            found.lines().next().unwrap_or_default()
        );
    }
}
