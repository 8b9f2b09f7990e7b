//! The rates that have to be reached on the smallest machine that counts: two cores with
//! everything on them, this generator included.

use serde::Serialize;

use super::mix::{Heat, Load};
use super::options::{Options, Scenario, Step};
use super::report::Row;
use crate::measure::Pacing;

/// Settled per second, commands from Kafka, spread.
const KAFKA_SPREAD: f64 = 20_000.0;
/// One hot balance, as a share of what spread did in the same run.
const ONE_HOT_SHARE: f64 = 0.9;
/// Settled per second, one transaction a request.
const HTTP_SINGLE: f64 = 5_000.0;

#[derive(Clone, Debug, Serialize)]
pub struct Floor {
    pub name: String,
    pub needed: f64,
    pub got: f64,
    /// Whether the numbers are shares, not rates.
    pub share: bool,
    pub met: bool,
}

const SCENARIOS: [(Scenario, Heat); 4] = [
    (Scenario::Kafka, Heat::Spread),
    (Scenario::Kafka, Heat::OneHot),
    (Scenario::Http, Heat::Spread),
    (Scenario::Batch, Heat::Spread),
];

/// Each scenario twice: a closed loop for the highest rate, which the floor is held against, and
/// an open loop at the usual rate for latencies that mean something.
pub fn steps(options: &Options) -> Vec<Step> {
    let both = SCENARIOS.into_iter().flat_map(|(scenario, heat)| {
        let rate = scenario.usual_rate();
        let pacings = [options.closed(scenario), Pacing::Open { rate }];
        pacings.map(|pacing| Step {
            scenario,
            load: Load::plain(heat),
            pacing,
        })
    });
    both.collect()
}

/// Holds what was measured against the floors.
pub fn floors(measured: &[(Step, Row)]) -> Vec<Floor> {
    let highest = |scenario, heat| {
        let of = measured
            .iter()
            .filter(|(step, _)| step.scenario == scenario && step.load.heat == heat);
        of.map(|(_, row)| row.settled_per_second)
            .fold(0.0, f64::max)
    };
    let spread = highest(Scenario::Kafka, Heat::Spread);
    let one_hot = highest(Scenario::Kafka, Heat::OneHot);
    let share = if spread > 0.0 { one_hot / spread } else { 0.0 };
    let single = highest(Scenario::Http, Heat::Spread);
    let unclean = measured.iter().filter(|(_, row)| !row.is_clean()).count();
    vec![
        floor("kafka spread, settled/s", KAFKA_SPREAD, spread, false),
        floor("kafka one-hot, share of spread", ONE_HOT_SHARE, share, true),
        floor("http single, settled/s", HTTP_SINGLE, single, false),
        Floor {
            name: "runs with anything lost, double, dropped or unanswered".to_owned(),
            needed: 0.0,
            got: unclean as f64,
            share: false,
            met: unclean == 0,
        },
    ]
}

fn floor(name: &str, needed: f64, got: f64, share: bool) -> Floor {
    Floor {
        name: name.to_owned(),
        needed,
        got,
        share,
        met: got >= needed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Schedule, Track};
    use crate::reference::Tag;

    fn measured(scenario: Scenario, heat: Heat, rate: f64) -> (Step, Row) {
        let pacing = Pacing::Closed { window: 1 };
        let track = Track::new(Tag::new("t"), Schedule::all(1, 0));
        let mut row = Row::new("row".to_owned(), &track, Default::default());
        row.settled_per_second = rate;
        let step = Step {
            scenario,
            load: Load::plain(heat),
            pacing,
        };
        (step, row)
    }

    fn met(spread: f64, one_hot: f64, http: f64) -> Vec<bool> {
        let rows = [
            measured(Scenario::Kafka, Heat::Spread, spread),
            measured(Scenario::Kafka, Heat::OneHot, one_hot),
            measured(Scenario::Http, Heat::Spread, http),
        ];
        floors(&rows).iter().map(|floor| floor.met).collect()
    }

    #[test]
    fn heat_is_held_against_the_same_run() {
        assert_eq!(met(20_000.0, 18_000.0, 5_000.0), [true; 4]);
        assert_eq!(met(30_000.0, 26_000.0, 5_000.0), [true, false, true, true]);
        assert_eq!(met(19_999.0, 30_000.0, 4_999.0), [false, true, false, true]);
        assert_eq!(met(0.0, 0.0, 0.0), [false, false, false, true]);
    }

    #[test]
    fn one_loss_misses_a_floor() {
        let mut rows = vec![measured(Scenario::Kafka, Heat::Spread, 30_000.0)];
        rows[0].1.counts.lost = 1;
        assert!(!floors(&rows)[3].met);
    }
}
