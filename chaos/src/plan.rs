//! The plan: which faults are done, in which order; a seed decides it, and it is printed first.

use anyhow::{Context, Result, ensure};
use load::rng::Rng;

use crate::faults::{FAULTS, Fault};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How long faults are done, in seconds.
    pub seconds: u64,
    pub only: Vec<String>,
    /// Only the share of continuous integration.
    pub ci: bool,
    /// Whether there is an older program.
    pub older: bool,
    /// Each fault once, however long it takes.
    pub once: bool,
}

/// The faults in order. Every fault comes up before one comes up again.
///
/// # Errors
/// If a name is unknown, or a fault is asked for that takes an older program and there is none.
pub fn plan(wanted: &Wanted, rng: &mut Rng) -> Result<Vec<&'static Fault>> {
    for name in &wanted.only {
        let fault = FAULTS.iter().find(|fault| fault.name == name);
        let fault =
            fault.with_context(|| format!("there is no fault {name}; `chaos list` names them"))?;
        ensure!(
            wanted.older || !fault.older,
            "{name} takes an older program: --older PATH, or ./dev chaos --older-rev REVISION"
        );
    }
    let chosen: Vec<&Fault> = FAULTS
        .iter()
        .filter(|fault| wanted.only.is_empty() || wanted.only.iter().any(|it| it == fault.name))
        .filter(|fault| (!wanted.ci || fault.ci) && (wanted.older || !fault.older))
        .collect();
    let mut steps = Vec::new();
    let mut seconds = 0;
    loop {
        let mut round = chosen.clone();
        while !round.is_empty() {
            let fault = round.swap_remove(rng.below(round.len()));
            if seconds + fault.seconds > wanted.seconds && !steps.is_empty() && !wanted.once {
                return Ok(steps);
            }
            seconds += fault.seconds;
            steps.push(fault);
        }
        if wanted.once || chosen.is_empty() {
            return Ok(steps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &Wanted, seed: u64) -> Vec<&'static str> {
        let steps = plan(wanted, &mut Rng::new(seed)).unwrap();
        steps.iter().map(|fault| fault.name).collect()
    }

    #[test]
    fn a_seed_decides_the_plan() {
        let wanted = Wanted {
            seconds: 600,
            only: Vec::new(),
            ci: false,
            older: false,
            once: false,
        };
        assert_eq!(names(&wanted, 1), names(&wanted, 1));
        assert_ne!(names(&wanted, 1), names(&wanted, 2));
    }

    #[test]
    fn a_plan_has_what_was_asked_for() {
        let only = |name: &str| Wanted {
            seconds: 1,
            only: vec![name.to_owned()],
            ci: false,
            older: false,
            once: true,
        };
        assert_eq!(names(&only("kill-sink"), 3), ["kill-sink"]);
        assert!(plan(&only("kill-moon"), &mut Rng::new(1)).is_err());
        let ci = Wanted {
            seconds: 0,
            only: Vec::new(),
            ci: true,
            older: false,
            once: true,
        };
        let share = FAULTS.iter().filter(|fault| fault.ci).count();
        assert_eq!(names(&ci, 1).len(), share);
    }

    #[test]
    fn an_upgrade_is_planned_where_there_is_an_older_program() {
        let wanted = |older, only: &[&str]| Wanted {
            seconds: 10_000,
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            ci: false,
            older,
            once: true,
        };
        let upgrade = "rolling-upgrade";
        assert!(!names(&wanted(false, &[]), 1).contains(&upgrade));
        assert!(names(&wanted(true, &[]), 1).contains(&upgrade));
        assert_eq!(names(&wanted(true, &[upgrade]), 1), [upgrade]);
        let refused = plan(&wanted(false, &[upgrade]), &mut Rng::new(1)).unwrap_err();
        assert!(refused.to_string().contains("--older"), "{refused}");
    }
}
