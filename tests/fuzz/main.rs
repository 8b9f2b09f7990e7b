//! Fuzz targets: whatever bytes arrive, a decoder refuses them or understands them; it never
//! panics, and what it understands is written and read back the same.
//!
//! Seeds are the records of `tests/golden` and the cases of `tests/fuzz/corpus`, one file for each
//! target and one case on each line. Every seed is replayed as it is, then mutated for a short
//! while. For longer, and with other numbers each time:
//!
//! ```sh
//! STEELYARD_FUZZ_SECONDS=600 cargo test --release --test fuzz -- --nocapture
//! ```
//!
//! A case that fails is printed as a line for the corpus.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails it like the test itself"
)]

mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mutate::Mutator;

/// Cases of each target when nobody asks for more.
const CASES: u64 = 20_000;

/// Runs a target on its seeds and on what becomes of them. True of a case that was understood.
fn fuzz(name: &str, seeds: &[&str], target: fn(&[u8]) -> bool) {
    let seeds: Vec<&[u8]> = seeds.iter().flat_map(|file| lines(file)).collect();
    assert!(seeds.len() > 1, "{name} has seeds");
    let understood = seeds.iter().filter(|seed| run(name, target, seed)).count();
    assert!(understood > 0, "{name} understands some of its seeds");
    let seconds = std::env::var("STEELYARD_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| Duration::from_secs(text.parse().unwrap()));
    let started = Instant::now();
    let seed = seconds.map_or(1, |_| u64::from(std::process::id()));
    let mut mutator = Mutator::new(seed);
    let (mut cases, mut accepted) = (0_u64, 0_u64);
    let more = |cases| seconds.map_or(cases < CASES, |bound| started.elapsed() < bound);
    while more(cases) {
        for _ in 0..1000 {
            let case = mutator.next(&seeds);
            accepted += u64::from(run(name, target, &case));
        }
        cases += 1000;
    }
    println!(
        "{name}: {} seeds, {cases} cases from {seed}, {accepted} understood",
        seeds.len()
    );
    assert!(accepted < cases, "{name}: not everything is understood");
}

fn lines(file: &str) -> impl Iterator<Item = &[u8]> {
    file.lines()
        .filter(|line| !line.is_empty())
        .map(str::as_bytes)
}

fn run(name: &str, target: fn(&[u8]) -> bool, case: &[u8]) -> bool {
    let ran = catch_unwind(AssertUnwindSafe(|| target(case)));
    ran.unwrap_or_else(|_| panic!("{name} fails on {}", String::from_utf8_lossy(case)))
}

macro_rules! targets {
    ($($name:ident: $($seeds:literal),+;)+) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name), &[$(include_str!($seeds)),+], targets::$name);
        })+
    };
}

targets! {
    command: "../golden/commands.jsonl", "corpus/command.jsonl";
    record: "../golden/commands.jsonl", "corpus/command.jsonl";
    leg: "../golden/legs.jsonl", "../golden/raised/legs.jsonl", "corpus/leg.jsonl";
    forged_leg: "../golden/legs.jsonl", "corpus/leg.jsonl";
    outcome: "../golden/outcomes.0.jsonl", "../golden/outcomes.1.jsonl", "corpus/outcome.jsonl";
    snapshot: "../golden/snapshots.jsonl", "corpus/snapshot.jsonl";
    hold: "../golden/holds.jsonl", "../golden/raised/holds.jsonl";
    marker: "../golden/markers.jsonl", "../golden/raised/markers.jsonl", "corpus/marker.jsonl";
    cursor: "corpus/cursor.txt";
}
