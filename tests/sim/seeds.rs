//! Which seeds are looked at, and what must have been reached by all of them together.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::breaks::Break;
use crate::run::{Ran, Run, Size};

/// Seeds of every test run.
const SEEDS: std::ops::Range<u64> = 0..60;

/// A broken rule is found within so many seeds.
const BROKEN_SEEDS_MAX: u64 = 50;

const SIZE: Size = Size {
    commands: 300,
    steps: 30_000,
};

/// What every look at many seeds must have reached: a fault that never strikes proves nothing.
const SOMETIMES: [&str; 42] = [
    "a split",
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
    "a record lands after its sender's death",
    "a reply",
    "a reply of cold is lost",
    "a reply of hot is lost",
    "a sink is killed",
    "a sink's partition moves",
    "a takeover has a standby",
    "a takeover finds the journal behind the balances",
    "a takeover starts from cold",
    "a takeover starts from nothing",
    "a takeover waits for cold",
    "an acknowledgement never arrives",
    "an outcome lands behind a hole",
    "an outcome lands twice",
    "an owner empties an old hot",
    "applied",
    "cold is away",
    "cold stands elsewhere",
    "dead-letter",
    "forwarded",
    "hot is away",
    "hot is emptied",
    "hot is rolled back",
    "hot lets synced balances go",
    "hot refuses a write",
    "known-leg",
    "misrouted",
    "outcomes are trimmed",
    "returned",
    "two owners at once",
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

fn add(all: &mut BTreeMap<&'static str, u64>, ran: Ran) {
    for (what, times) in ran.reached {
        *all.entry(what).or_default() += times;
    }
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
    let (mut reached, mut steps, mut seeds) = (BTreeMap::new(), 0, 0);
    let began = Instant::now();
    let goes_on = |seeds: u64| match (minutes, first) {
        (Some(minutes), _) => began.elapsed() < Duration::from_secs(minutes * 60),
        (None, Some(_)) => seeds < 1,
        (None, None) => seeds < SEEDS.end - SEEDS.start,
    };
    while goes_on(seeds) {
        let ran = attempt(start + seeds, SIZE, broken).unwrap_or_else(|failure| {
            panic!("{failure}\nagain with: ./dev sim --seed {}", start + seeds)
        });
        steps += ran.steps;
        seeds += 1;
        add(&mut reached, ran);
    }
    let rate = steps as f64 / began.elapsed().as_secs_f64();
    println!("{seeds} seeds from {start}, {steps} steps, {rate:.0} a second");
    for (what, times) in &reached {
        println!("{times:>9} {what}");
    }
    let missed: Vec<_> = SOMETIMES
        .iter()
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

/// The simulator sees it when a rule is switched off. Errors in a sum cancel too seldom to wait for
/// that in every test run; `./dev sim --break sum-alone` does.
#[test]
fn a_broken_rule_is_found() {
    for rule in Break::ALL {
        if rule == Break::SumAlone {
            continue;
        }
        let found = (0..BROKEN_SEEDS_MAX).find_map(|seed| attempt(seed, SIZE, Some(rule)).err());
        let found = found.unwrap_or_else(|| panic!("{} went unnoticed", rule.name()));
        println!(
            "{}: {}",
            rule.name(),
            found.lines().next().unwrap_or_default()
        );
    }
}
