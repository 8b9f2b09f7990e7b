//! What an audit found: one [`Check`] for every proof, and how they are told.

use std::fmt;

use serde_json::{Value, json};

use crate::ledger::{BalanceId, PartitionId};

/// Where two stores differ, or a rule does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub partition: Option<PartitionId>,
    pub balance: Option<BalanceId>,
    /// The command it became visible at.
    pub command: Option<u64>,
    pub what: String,
    /// What led there: the latest entries of the balance, or the latest offsets.
    pub history: Vec<String>,
}

impl Finding {
    pub fn new(partition: PartitionId, what: impl Into<String>) -> Self {
        Self {
            partition: Some(partition),
            balance: None,
            command: None,
            what: what.into(),
            history: Vec::new(),
        }
    }

    #[must_use]
    pub fn of(mut self, balance: BalanceId) -> Self {
        self.balance = Some(balance);
        self
    }

    #[must_use]
    pub fn at(mut self, command: Option<u64>) -> Self {
        self.command = command;
        self
    }

    #[must_use]
    pub fn after(mut self, history: Vec<String>) -> Self {
        self.history = history;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(partition) = self.partition {
            write!(f, "partition {partition}: ")?;
        }
        if let Some(balance) = self.balance {
            write!(f, "balance {balance} ")?;
        }
        f.write_str(&self.what)?;
        match self.command {
            Some(command) => write!(f, " (as of command {command})"),
            None => Ok(()),
        }
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proved,
    Broken,
    /// Something it needs could not be read.
    Untold,
}

/// One proof, over all partitions.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    pub examined: u64,
    pub differences: u64,
    pub first: Option<Finding>,
    /// Why it could not be told, for some partition.
    pub untold: Option<String>,
    pub notes: Vec<String>,
}

impl Check {
    pub(super) fn new(name: &'static str, unit: &'static str) -> Self {
        Self {
            name,
            unit,
            examined: 0,
            differences: 0,
            first: None,
            untold: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn miss(&mut self, finding: Finding) {
        self.differences += 1;
        self.first.get_or_insert(finding);
    }

    pub(super) fn cannot_tell(&mut self, why: impl Into<String>) {
        self.untold.get_or_insert(why.into());
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds what the same check found in another partition.
    pub(super) fn absorb(&mut self, other: Self) {
        assert!(self.name == other.name, "a check adds up with itself only");
        self.examined += other.examined;
        self.differences += other.differences;
        self.first = self.first.take().or(other.first);
        self.untold = self.untold.take().or(other.untold);
        self.notes.extend(other.notes);
    }

    pub fn verdict(&self) -> Verdict {
        match (self.differences, &self.untold) {
            (0, None) => Verdict::Proved,
            (0, Some(_)) => Verdict::Untold,
            (1.., _) => Verdict::Broken,
        }
    }

    fn json(&self) -> Value {
        json!({
            "check": self.name,
            "examined": self.examined,
            "unit": self.unit,
            "result": match self.verdict() {
                Verdict::Proved => "proved",
                Verdict::Broken => "broken",
                Verdict::Untold => "untold",
            },
            "differences": self.differences,
            "first": self.first.as_ref().map(|finding| json!({
                "partition": finding.partition,
                "balance": finding.balance.map(|id| id.to_string()),
                "command_offset": finding.command,
                "what": finding.what,
                "history": finding.history,
            })),
            "untold": self.untold,
            "notes": self.notes,
        })
    }
}

/// Everything an audit has to say.
#[derive(Clone, Debug)]
pub struct Report {
    pub checks: Vec<Check>,
    /// Whether every check was made, and none found a difference.
    pub clean: bool,
}

impl Report {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        let clean = checks
            .iter()
            .all(|check| check.verdict() == Verdict::Proved);
        Self { checks, clean }
    }

    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    pub fn differences(&self) -> u64 {
        self.checks.iter().map(|check| check.differences).sum()
    }

    /// 0 clean, 1 broken, 2 could not be told.
    pub fn exit_code(&self) -> u8 {
        match (self.clean, self.differences()) {
            (true, _) => 0,
            (false, 1..) => 1,
            (false, 0) => 2,
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "clean": self.clean,
            "differences": self.differences(),
            "checks": self.checks.iter().map(Check::json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<10} {:>12} {:<13} result", "check", "examined", "")?;
        for check in &self.checks {
            let result = match check.verdict() {
                Verdict::Proved => "proved".to_owned(),
                Verdict::Broken => format!("BROKEN, {}", counted(check.differences)),
                Verdict::Untold => "could not be told".to_owned(),
            };
            let (name, examined, unit) = (check.name, check.examined, check.unit);
            writeln!(f, "{name:<10} {examined:>12} {unit:<13} {result}")?;
        }
        for check in &self.checks {
            detail(check, f)?;
        }
        match self.exit_code() {
            0 => f.write_str("audit: clean"),
            1 => write!(f, "audit: {}", counted(self.differences())),
            _ => f.write_str("audit: could not be told"),
        }
    }
}

fn detail(check: &Check, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(first) = &check.first {
        writeln!(f, "{}: {first}", check.name)?;
        for line in &first.history {
            writeln!(f, "    {line}")?;
        }
    }
    if let Some(why) = &check.untold {
        writeln!(f, "{}: could not be told: {why}", check.name)?;
    }
    for note in &check.notes {
        writeln!(f, "{}: {note}", check.name)?;
    }
    Ok(())
}

fn counted(differences: u64) -> String {
    match differences {
        1 => "1 difference".to_owned(),
        _ => format!("{differences} differences"),
    }
}
