//! What is more than a transfer at home, beside what a transfer at home does in the same run.

use super::mix::{Heat, Load, Shape};
use super::options::{Options, Scenario, Step};
use super::report::Row;

/// Closed loops: over Kafka plain, half of it across partitions, split in three, and all to one
/// striped account; over HTTP plain, and holds that are posted in two parts.
pub fn steps(options: &Options) -> Vec<Step> {
    let plain = Load::plain(Heat::Spread);
    let shaped = |shape| Load { shape, ..plain };
    let across = Load {
        cross: 0.5,
        ..plain
    };
    let mixes = [
        (Scenario::Kafka, plain),
        (Scenario::Kafka, across),
        (Scenario::Kafka, shaped(Shape::Split)),
        (Scenario::Kafka, shaped(Shape::Striped)),
        (Scenario::Http, plain),
        (Scenario::Http, shaped(Shape::Hold)),
    ];
    let step = |(scenario, load)| Step {
        scenario,
        load,
        pacing: options.closed(scenario),
    };
    mixes.map(step).to_vec()
}

/// Says of every row what share it reached of the plain one of its scenario. A hold that is posted
/// in two parts is three commands, and counted as such.
pub fn hold_against_plain(measured: &mut [(Step, Row)]) {
    let plain: Vec<(Scenario, f64)> = measured
        .iter()
        .filter(|(step, _)| step.load == Load::plain(step.load.heat))
        .map(|(step, row)| (step.scenario, row.settled_per_second))
        .collect();
    for (step, row) in measured {
        let of = plain
            .iter()
            .find(|(scenario, _)| *scenario == step.scenario);
        let of = of.filter(|(_, rate)| *rate > 0.0);
        row.of_plain = of.map(|(_, rate)| row.settled_per_second / rate);
    }
}
