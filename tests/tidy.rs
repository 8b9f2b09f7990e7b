//! The house rules, as a test: who may import whom, where a thing may be spelled, how long a file
//! may be. A guide that nothing checks is a wish.
//!
//! An exception stands here, with its reason, and goes when nothing needs it any more.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails it like the test itself"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom. `cli` and `config` put everything together and may import all.
const IMPORTS: &[(&str, &[&str])] = &[
    ("ledger", &[]),
    ("oracle", &["ledger"]),
    ("telemetry", &[]),
    ("wire", &["ledger"]),
    ("log", &["wire", "ledger", "telemetry"]),
    ("hot", &["wire", "ledger", "telemetry"]),
    ("cold", &["wire", "ledger", "telemetry"]),
    (
        "ingress",
        &["log", "hot", "cold", "wire", "ledger", "telemetry"],
    ),
    (
        "processor",
        &["log", "hot", "cold", "wire", "ledger", "telemetry"],
    ),
    (
        "sink",
        &["log", "hot", "cold", "wire", "ledger", "telemetry"],
    ),
    (
        "audit",
        &[
            "log",
            "hot",
            "cold",
            "wire",
            "oracle",
            "ledger",
            "telemetry",
        ],
    ),
];

/// Of some modules a service may only use a part.
const PARTS: &[(&str, &str, &[&str])] = &[
    // reads, never writes
    (
        "ingress",
        "cold",
        &["holds", "homes", "periods", "read", "transaction"],
    ),
    // a takeover starts from cold, old repeats are answered from it, and it is written anew
    ("processor", "cold", &["base", "rebuild", "transaction"]),
    // tells hot what is synced, and that is all
    ("sink", "hot", &["synced", "Options"]),
];

/// What the ledger may import from outside.
const LEDGER_IMPORTS: &[&str] = &[
    "std::borrow",
    "std::cmp",
    "std::collections",
    "std::fmt",
    "std::hash::BuildHasher",
    "std::hint::black_box",
    "std::iter",
    "std::mem",
    "std::ops",
    "std::sync::Arc",
    "foldhash::",
    "hashbrown::HashTable",
    "hold::",
    "holds::",
    "rust_decimal::",
    "uuid::Uuid",
    "super::",
    "crate::ledger::",
    "amount::",
    "asset::",
    "balance::",
    "chain::",
    "command::",
    "id::",
    "outcome::",
    "partition::",
    "rejection::",
    "route::",
    "rules::",
    "seen::",
    "walk::",
];

/// Who starts something that runs by itself, or blocks a thread: `file: reason`.
const SPAWNS: &str = "
    src/cli/serve.rs: constructs, starts and stops the services
    src/processor/assignment.rs: one task for each partition it is given
    src/processor/services.rs: reading the log blocks, and is awaited
    src/processor/rebuild.rs: reading the log blocks, and is awaited
    src/cli/dlq.rs: reading the log blocks, and is awaited
    src/cli/top.rs: asking for offsets blocks, and is awaited
    src/log/admin.rs: librdkafka's admin calls block, and are awaited
    src/log/consumer.rs: librdkafka's seek blocks, and is awaited
    src/log/follower.rs: leaving a group blocks, and is awaited
    src/log/lag.rs: asking for offsets blocks, and is awaited
    src/log/session.rs: asking for metadata blocks, and is awaited
    src/audit/: reading the log blocks, and is awaited
    src/ingress/health.rs: asking for metadata blocks, and is awaited
    src/ingress/mod.rs: flushing the producer blocks, and is awaited
    src/ingress/originals.rs: reading the log blocks, and is awaited
    src/ingress/replies.rs: a thread for as long as replies are read
    src/ingress/server.rs: one task for each connection, on the server's tracker
";

/// Who asks a clock: `file: reason`.
const CLOCKS: &str = "
    src/telemetry/clock.rs: the one clock, for what operators read
";

/// The most lines of a file, its tests not counted.
const LINES_MAX: usize = 500;
/// The most lines of a `mod.rs`.
const MOD_LINES_MAX: usize = 250;
/// The widest line, its texts not counted; a table may go further.
const WIDTH_MAX: usize = 100;

/// A file of Rust.
struct Source {
    /// From the root of the package.
    path: String,
    text: String,
}

/// A line and where it is.
struct Line<'a> {
    source: &'a Source,
    number: usize,
    text: &'a str,
}

impl Source {
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().enumerate().map(|(at, text)| Line {
            source: self,
            number: at + 1,
            text,
        })
    }

    /// Whether the whole file is tests.
    fn is_test(&self) -> bool {
        let parts = self.path.split('/');
        let named = |part: &str| matches!(part, "tests" | "tests.rs" | "properties" | "benches");
        parts.into_iter().any(named)
    }

    /// The lines before the file's tests.
    fn code(&self) -> impl Iterator<Item = Line<'_>> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = (0..lines.len()).find(|at| {
            let module = lines[at + 1..].iter().find(|line| !line.starts_with("#["));
            let opens = |line: &&str| line.starts_with("mod ") && line.ends_with('{');
            lines[*at].starts_with("#[cfg(test)]") && module.is_some_and(opens)
        });
        let end = if self.is_test() {
            0
        } else {
            tests.unwrap_or(lines.len())
        };
        self.lines().take(end)
    }

    /// The code without comments.
    fn statements(&self) -> impl Iterator<Item = Line<'_>> {
        self.code().filter_map(|mut line| {
            line.text = line.text.split(" // ").next().unwrap_or_default();
            (!line.text.trim_start().starts_with("//")).then_some(line)
        })
    }

    /// `ledger` of `src/ledger/fold.rs`, `config` of `src/config.rs`.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split('/').next()?.trim_end_matches(".rs"))
    }
}

impl Line<'_> {
    fn place(&self) -> String {
        format!("{}:{}", self.source.path, self.number)
    }
}

/// Every file of Rust in the package and its members.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = ["src", "tests", "benches", "chaos", "load"]
        .map(|f| root.join(f))
        .into();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.map(|entry| entry.unwrap().path()) {
            if entry.is_dir() && !entry.ends_with("target") {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let path = entry
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                let text = fs::read_to_string(&entry).unwrap();
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(
        sources.len() > 50,
        "the sources are where they are looked for"
    );
    sources
}

/// Fails with every place and what is wrong there.
#[track_caller]
fn report(rule: &str, broken: impl IntoIterator<Item = (String, String)>) {
    let mut text = String::new();
    for (place, what) in broken {
        let _ = write!(text, "\n  {place}: {what}");
    }
    assert!(text.is_empty(), "{rule}{text}");
}

/// Only the listed files may have what `found` finds; who is listed and has none is reported too.
#[track_caller]
fn only_in(rule: &str, allowed: &[&str], found: impl Fn(&Line<'_>) -> Option<String>) {
    let (mut used, mut broken) = (BTreeSet::new(), Vec::new());
    let sources = sources();
    for line in sources.iter().flat_map(Source::statements) {
        let Some(what) = found(&line) else {
            continue;
        };
        match allowed
            .iter()
            .find(|place| line.source.path.starts_with(**place))
        {
            Some(place) => drop(used.insert(*place)),
            None if line.source.path.starts_with("src/") => broken.push((line.place(), what)),
            None => {}
        }
    }
    let there = |place: &str| sources.iter().any(|source| source.path.starts_with(place));
    let idle = allowed
        .iter()
        .filter(|place| there(place) && !used.contains(**place));
    broken.extend(idle.map(|place| (place.to_string(), "is listed for nothing".to_owned())));
    report(rule, broken);
}

fn files(table: &str) -> Vec<&str> {
    table
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.0.trim()))
        .collect()
}

/// The first of `words` that stands in the line.
fn word(line: &Line<'_>, words: &[&str]) -> Option<String> {
    let found = words.iter().find(|word| line.text.contains(**word));
    found.map(|word| (*word).to_owned())
}

/// The paths after `crate::` in a line, such as `cold::read`.
fn imports<'a>(line: &Line<'a>) -> Vec<&'a str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let path = |text: &'a str| text.split(|c| !inside(c)).next().unwrap_or_default();
    let mut paths = Vec::new();
    for text in line.text.split("crate::").skip(1) {
        match text
            .strip_prefix('{')
            .and_then(|text| text.split('}').next())
        {
            Some(several) => paths.extend(several.split(", ").map(path)),
            None => paths.push(path(text)),
        }
    }
    // the macro that declares metrics is of the crate, and telemetry's
    paths.retain(|path| *path != "metrics");
    paths
}

/// The parts of a module that is imported as a whole: `Options` of `hot::Options`.
fn parts_used<'a>(line: &Line<'a>, module: &str) -> Vec<&'a str> {
    let start = format!("{module}::");
    let own = |at: &usize| !line.text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == ':');
    let places = line.text.match_indices(&start).map(|(at, _)| at);
    let part = |at: usize| {
        let rest = line.text.get(at + start.len()..).unwrap_or_default();
        let word = rest.split(|c: char| !c.is_alphanumeric() && c != '_');
        word.into_iter().next().unwrap_or_default()
    };
    places.filter(own).map(part).collect()
}

#[test]
fn modules_import_only_what_is_below_them() {
    let sources = sources();
    let mut broken = Vec::new();
    for line in sources.iter().flat_map(Source::statements) {
        let module = line.source.module().unwrap_or_default();
        let Some((_, below)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            continue;
        };
        for path in imports(&line) {
            let target = path.split("::").next().unwrap_or_default();
            if target != module && !below.contains(&target) {
                broken.push((line.place(), format!("{module} may not use {target:?}")));
            }
        }
    }
    report("an import goes down the page, never up or across", broken);
}

#[test]
fn services_use_their_part_of_an_adapter() {
    let sources = sources();
    let mut broken = Vec::new();
    for line in sources.iter().flat_map(Source::statements) {
        let module = line.source.module().unwrap_or_default();
        for (_, adapter, allowed) in PARTS.iter().filter(|(who, _, _)| *who == module) {
            let inside = imports(&line).into_iter();
            let inside = inside.filter_map(|path| path.split_once("::"));
            let inside = inside.filter(|(target, _)| target == adapter);
            let mut parts: Vec<&str> = inside.map(|(_, rest)| rest).collect();
            parts.extend(parts_used(&line, adapter));
            for part in parts {
                let part = part.split("::").next().unwrap_or_default();
                if !part.is_empty() && !allowed.contains(&part) {
                    let what = format!("{module} may use {allowed:?} of {adapter}, not {part}");
                    broken.push((line.place(), what));
                }
            }
        }
    }
    report("a service uses its part of an adapter", broken);
}

#[test]
fn every_module_has_its_place_in_the_table() {
    let sources = sources();
    let modules: BTreeSet<&str> = sources.iter().filter_map(Source::module).collect();
    let free = ["cli", "config", "lib", "main"];
    let known = |name: &&&str| IMPORTS.iter().any(|(module, _)| module == *name);
    let new = modules
        .iter()
        .filter(|name| !free.contains(*name) && !known(name));
    let what = || "say in IMPORTS what it may import".to_owned();
    report(
        "every module has its place",
        new.map(|name| (format!("src/{name}"), what())),
    );
}

#[test]
fn the_ledger_knows_nothing_but_the_rules() {
    let sources = sources();
    let ledger = sources
        .iter()
        .filter(|source| source.module() == Some("ledger"));
    let mut broken = Vec::new();
    for line in ledger.flat_map(Source::statements) {
        let text = line.text.trim_start();
        let used = text.strip_prefix("pub use ").or(text.strip_prefix("use "));
        if let Some(used) =
            used.filter(|used| !LEDGER_IMPORTS.iter().any(|it| used.starts_with(it)))
        {
            broken.push((line.place(), format!("use {used}")));
        }
        let globals = text.starts_with("static ") || text.starts_with("pub static ");
        broken.extend(globals.then(|| (line.place(), text.to_owned())));
        let banned = [
            "SystemTime",
            "Instant",
            "new_v4",
            "now_v7",
            "async ",
            ".await",
            "serde",
            "tracing",
            "println!",
            "std::env",
            "std::fs",
            "thread",
            "RandomState",
        ];
        broken.extend(word(&line, &banned).map(|what| (line.place(), what)));
    }
    report("the ledger is std, decimals, ids and its own files", broken);
}

#[test]
fn files_are_short() {
    let sources = sources();
    let length = |source: &Source| source.code().count();
    let limit = |source: &Source| match source.path.ends_with("/mod.rs") {
        true => MOD_LINES_MAX,
        false => LINES_MAX,
    };
    let long = sources
        .iter()
        .filter(|source| length(source) > limit(source));
    let what = |source: &Source| format!("{} lines, {} at most", length(source), limit(source));
    report(
        "a file is read in one sitting",
        long.map(|it| (it.path.clone(), what(it))),
    );
}

#[test]
fn lines_are_narrow() {
    let sources = sources();
    // the text between quotation marks may make a line as wide as it is
    let width = |line: &Line<'_>| {
        let code = line.text.split('"').step_by(2);
        code.map(|code| code.chars().count()).sum::<usize>()
    };
    let wide = sources.iter().flat_map(Source::lines).filter(|line| {
        let comment = line.text.trim_start().starts_with("//");
        let table = (comment || line.source.is_test()) && line.text.contains(" | ");
        !table && width(line) > WIDTH_MAX
    });
    let what = |line: &Line<'_>| format!("{} columns, {WIDTH_MAX} at most", width(line));
    report(
        "a line fits the screen",
        wide.map(|line| (line.place(), what(&line))),
    );
}

#[test]
fn nothing_is_left_undone() {
    // in two parts, so that this file does not find itself
    let banned = [
        ("todo", "!("),
        ("unimplemented", "!("),
        ("dbg", "!("),
        ("FIX", "ME"),
        ("TO", "DO:"),
        ("XX", "X:"),
        ("#[ig", "nore"),
        ("super::", "super::"),
    ];
    let banned: Vec<String> = banned.map(|(one, two)| format!("{one}{two}")).into();
    let banned: Vec<&str> = banned.iter().map(String::as_str).collect();
    let sources = sources();
    let lines = sources.iter().flat_map(Source::lines);
    let broken = lines.filter_map(|line| word(&line, &banned).map(|what| (line.place(), what)));
    report("done is done, and a path says where it begins", broken);
}

#[test]
fn sql_is_spelled_in_cold_only() {
    let words = [
        "\"select ",
        "\"insert into ",
        "\"update ",
        "\"delete from ",
        "\"create ",
        "\"drop ",
        "\"truncate ",
        "\"alter ",
        "\"begin",
        "sqlx::query",
        "QueryBuilder",
    ];
    only_in("SQL lives in src/cold", &["src/cold/"], |line| {
        let lower = line.text.to_lowercase();
        let found = words
            .iter()
            .find(|word| lower.contains(&word.to_lowercase()));
        found.map(|word| (*word).to_owned())
    });
}

#[test]
fn topics_are_spelled_in_log_only() {
    // the bare word is a unit and a label too, so it counts behind a prefix, and as a topic's name
    let topics = [
        "commands",
        "outcomes",
        "snapshots",
        "replies",
        "dead-letters",
    ];
    let spelled = topics.map(|topic| [format!(".{topic}\""), format!(": name(\"{topic}")]);
    let words: Vec<&str> = spelled.iter().flatten().map(String::as_str).collect();
    let rule = "src/log/mod.rs spells topics";
    only_in(rule, &["src/log/mod.rs"], |line| word(line, &words));
}

#[test]
fn redis_keys_are_spelled_in_one_file() {
    let words = ["}:position", "}:balance:", ":claim:", "redis::cmd(\"KEYS"];
    only_in(
        "src/hot/key.rs spells Redis keys",
        &["src/hot/key.rs"],
        |line| word(line, &words),
    );
}

#[test]
fn one_table_of_http_statuses() {
    let allowed = ["src/ingress/error.rs"];
    only_in(
        "src/ingress/error.rs names HTTP statuses",
        &allowed,
        |line| word(line, &["StatusCode"]),
    );
}

#[test]
fn few_places_spawn() {
    let words = [
        ".spawn(",
        "tokio::spawn",
        "spawn_blocking(",
        "thread::spawn",
        "spawn_local(",
    ];
    only_in(
        "a task has an owner who waits for it",
        &files(SPAWNS),
        |line| word(line, &words),
    );
}

#[test]
fn few_places_ask_a_clock() {
    let words = ["Utc::now", "Local::now", "SystemTime::now"];
    only_in("time is log time", &files(CLOCKS), |line| {
        word(line, &words)
    });
}

#[test]
fn only_cli_handles_signals_and_arguments() {
    let words = ["tokio::signal", "env::args", "env::var", "process::exit"];
    let allowed = ["src/cli/", "src/main.rs"];
    only_in(
        "src/cli reads the process's surroundings",
        &allowed,
        |line| word(line, &words),
    );
}

#[test]
fn nothing_is_global() {
    // the migrations are embedded and never change; the allocator is the process's, and so are the
    // moment at which it dies on purpose and how wrong its clock is on purpose
    let allowed = [
        "src/cold/mod.rs",
        "src/main.rs",
        "src/telemetry/clock.rs",
        "src/telemetry/failpoint.rs",
    ];
    only_in("what is needed is passed in", &allowed, |line| {
        let text = line.text.trim_start();
        let text = text.strip_prefix("pub ").unwrap_or(text);
        let text = text.strip_prefix("pub(crate) ").unwrap_or(text);
        let global = text.starts_with("static ") || text.contains("thread_local!");
        global.then(|| text.to_owned())
    });
}

#[test]
fn nothing_names_a_machine() {
    let homes = [
        ("/ho", "me/"),
        ("/ro", "ot/"),
        ("/Us", "ers/"),
        ("/wo", "rk/"),
        ("C:", "\\\\"),
    ];
    let homes: Vec<String> = homes.map(|(one, two)| format!("{one}{two}")).into();
    let homes: Vec<&str> = homes.iter().map(String::as_str).collect();
    let sources = sources();
    let lines = sources.iter().flat_map(Source::lines);
    let broken = lines.filter_map(|line| word(&line, &homes).map(|what| (line.place(), what)));
    report("a path is relative or configured", broken);
}
