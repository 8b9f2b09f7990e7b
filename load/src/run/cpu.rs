//! Where the processor's time goes: cores used by each program of this machine over a phase.
//! Read from `/proc`; elsewhere there is nothing to tell.

use std::collections::BTreeMap;
use std::time::Instant;

/// Clock ticks per second in `/proc`: the same on every Linux that matters here.
const TICKS: f64 = 100.0;
/// Programs below this share of a core are not named.
const NAMED_FROM: f64 = 0.02;

#[derive(Debug)]
pub struct Snapshot {
    at: Instant,
    /// Ticks by process, with the program's name.
    processes: BTreeMap<u32, (String, u64)>,
}

impl Snapshot {
    pub fn take() -> Self {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter_map(|entry| {
            let process: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((process, parse(&stat)?))
        });
        Self {
            at: Instant::now(),
            processes: processes.collect(),
        }
    }

    /// Cores used by program since `earlier`.
    pub fn since(&self, earlier: &Self) -> BTreeMap<String, f64> {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64().max(0.001);
        let mut cores = BTreeMap::new();
        for (process, (name, ticks)) in &self.processes {
            let before = earlier
                .processes
                .get(process)
                .map_or(0, |(_, ticks)| *ticks);
            let used = ticks.saturating_sub(before) as f64 / TICKS / seconds;
            *cores.entry(name.clone()).or_insert(0.0) += used;
        }
        cores.retain(|_, used| *used >= NAMED_FROM);
        for used in cores.values_mut() {
            *used = (*used * 100.0).round() / 100.0;
        }
        cores
    }
}

/// The program's name and its user and system ticks; the name stands in parentheses and may have
/// any character.
fn parse(stat: &str) -> Option<(String, u64)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name.to_owned(), user + system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_anything_in_it_is_read() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 70 30 0 0 20 0 9 0 100";
        assert_eq!(parse(stat), Some(("a (b) c".to_owned(), 100)));
        assert_eq!(parse("nonsense"), None);
    }
}
