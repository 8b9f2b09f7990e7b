//! Moments at which a process can be told to die, so that the worst of them can be met on purpose.
//!
//! `--fail-at POINT:N` ends the process, as `kill -9` would, when it passes the point for the
//! N-th time. Without it a pass is one look at a cell that nobody has filled.

use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A moment between two steps that must not depend on both being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A takeover has claimed its partition and read nothing yet.
    AfterClaim,
    /// A batch's outcomes are acknowledged, its legs are not sent.
    AfterPublish,
    /// A leg is about to be sent.
    BetweenLegs,
    /// A batch is in hot, its askers have no replies.
    AfterHot,
    /// Snapshots are acknowledged, their marker is not sent.
    BeforeMarker,
    /// A command is acknowledged, its client has no answer.
    BeforeAnswer,
    /// A sink's rows are in cold, its group's offsets are not committed.
    BeforeGroupCommit,
}

impl Point {
    pub const ALL: [Self; 7] = [
        Self::AfterClaim,
        Self::AfterPublish,
        Self::BetweenLegs,
        Self::AfterHot,
        Self::BeforeMarker,
        Self::BeforeAnswer,
        Self::BeforeGroupCommit,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::AfterClaim => "after-claim",
            Self::AfterPublish => "after-publish",
            Self::BetweenLegs => "between-legs",
            Self::AfterHot => "after-hot",
            Self::BeforeMarker => "before-marker",
            Self::BeforeAnswer => "before-answer",
            Self::BeforeGroupCommit => "before-group-commit",
        }
    }
}

/// Which pass of which point is the last: `after-publish:3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailAt {
    point: Point,
    /// Counted from one.
    pass: u64,
}

impl FromStr for FailAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pass) = text.split_once(':').unwrap_or((text, "1"));
        let point = Point::ALL.into_iter().find(|point| point.name() == name);
        let point = point.ok_or_else(|| {
            let names = Point::ALL.map(Point::name).join(", ");
            format!("{name} is none of {names}")
        })?;
        match pass.parse() {
            Ok(pass) if pass > 0 => Ok(Self { point, pass }),
            Ok(_) | Err(_) => Err(format!("{pass} is no number from 1 on")),
        }
    }
}

#[derive(Debug)]
struct Armed {
    point: Point,
    left: AtomicU64,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Decides where this process dies; the first call counts.
pub fn arm(at: FailAt) {
    let FailAt { point, pass } = at;
    let left = AtomicU64::new(pass);
    tracing::warn!(
        point = point.name(),
        pass,
        "this process will die on purpose"
    );
    ARMED.get_or_init(|| Armed { point, left });
}

/// Passes a point.
pub fn pass(point: Point) {
    let Some(armed) = ARMED.get().filter(|armed| armed.point == point) else {
        return;
    };
    if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        tracing::error!(point = point.name(), "dying on purpose");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_of_a_point_is_named() {
        for point in Point::ALL {
            let text = format!("{}:7", point.name());
            assert_eq!(text.parse(), Ok(FailAt { point, pass: 7 }));
        }
        let one = FailAt {
            point: Point::AfterHot,
            pass: 1,
        };
        assert_eq!("after-hot".parse(), Ok(one));
        for wrong in ["", "after-lunch", "after-hot:0", "after-hot:x"] {
            assert!(wrong.parse::<FailAt>().is_err(), "{wrong}");
        }
    }
}
