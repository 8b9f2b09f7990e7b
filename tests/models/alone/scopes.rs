//! In which scopes it is true, and which rule each broken variant breaks.

use super::{APART, Alone, BACKED, Beside, Break, Compaction, MIXED, NO_WAIT, SOUND, TRUE_OWNER};
use crate::explore::{STUCK, breaks, long, sound};

#[test]
fn it_is_true_with_legs_losses_and_restarts() {
    let model = Alone {
        commands: &MIXED[..2],
        losses: 1,
        beside: Beside::Legs,
        ..SOUND
    };
    let faults = "1 loss, compaction, trimming";
    sound(
        &format!("alone, 2 commands with legs, 2 owners at once, {faults}"),
        &model,
    );
    let model = Alone {
        restarts: 1,
        compaction: Compaction::AtOnce,
        ..model
    };
    let faults = "1 loss, 1 restart, compaction, trimming";
    sound(
        &format!("alone, 2 commands with legs, 2 owners at once, {faults}"),
        &model,
    );
}

/// Compaction of any record that has a successor, at any time.
#[test]
fn it_is_true_with_all_of_that() {
    if !long() {
        return;
    }
    let model = Alone {
        commands: &MIXED[..2],
        losses: 1,
        restarts: 1,
        beside: Beside::Legs,
        ..SOUND
    };
    sound("alone, all of that, compaction at any time", &model);
}

#[test]
fn it_is_true_after_many_commands() {
    for (name, commands) in [("mixed", MIXED), ("apart", APART)] {
        let model = Alone {
            commands,
            compaction: Compaction::AtOnce,
            ..SOUND
        };
        sound(
            &format!("alone, 3 commands ({name}), 2 owners at once, compaction, trimming"),
            &model,
        );
    }
}

#[test]
fn it_is_true_with_two_zombies() {
    let model = Alone {
        commands: &MIXED[..2],
        owners: 3,
        compaction: Compaction::AtOnce,
        ..SOUND
    };
    sound(
        "alone, 2 commands, 3 owners at once, compaction, trimming",
        &model,
    );
}

#[test]
fn a_sink_that_lags_misses_nothing() {
    let model = Alone {
        commands: &MIXED[..2],
        restarts: 1,
        beside: Beside::Sink,
        compaction: Compaction::AtOnce,
        ..SOUND
    };
    sound(
        "alone, 2 commands, 2 owners at once, 1 restart, a sink, compaction, trimming",
        &model,
    );
}

/// Without trimming outcomes tell everything, whatever became of snapshots.
#[test]
fn no_takeover_waits_while_outcomes_are_whole() {
    let model = Alone {
        commands: &MIXED[..2],
        losses: 1,
        trims: false,
        waiting_is_wrong: true,
        ..SOUND
    };
    sound(
        "alone, outcomes whole, 2 commands, 2 owners at once, 1 loss, compaction",
        &model,
    );
}

/// What was changed before all outcomes that are left must be in a snapshot.
#[test]
fn a_takeover_waits_where_the_log_does_not_tell() {
    let model = Alone {
        waiting_is_wrong: true,
        ..Alone::breaking(Break::Nothing)
    };
    breaks("alone, trimmed", NO_WAIT, &model);
}

#[test]
fn without_the_sum_an_old_snapshot_counts() {
    breaks("alone, no sum", TRUE_OWNER, &Alone::breaking(Break::NoSum));
}

#[test]
fn snapshots_of_after_the_marker_hide_old_ones() {
    breaks(
        "alone, newer snapshots",
        TRUE_OWNER,
        &Alone::breaking(Break::Newer),
    );
}

#[test]
fn a_snapshot_in_the_place_of_what_was_folded_is_counted_twice() {
    let model = Alone::breaking(Break::SnapshotWins);
    breaks("alone, snapshots win", TRUE_OWNER, &model);
}

#[test]
fn an_old_snapshot_tells_old_terms() {
    let model = Alone {
        commands: MIXED,
        ..Alone::breaking(Break::StaleTerms)
    };
    breaks("alone, old terms", TRUE_OWNER, &model);
}

#[test]
fn outcomes_with_a_gap_between_them_tell_old_terms() {
    let model = Alone {
        commands: MIXED,
        ..Alone::breaking(Break::Gap)
    };
    breaks("alone, a gap", TRUE_OWNER, &model);
}

/// After a lost append the log has what follows nothing, and both come again behind it.
#[test]
fn a_fold_begins_where_the_marker_says() {
    let model = Alone {
        commands: &MIXED[..2],
        losses: 1,
        trims: false,
        beside: Beside::Legs,
        ..Alone::breaking(Break::FromFirst)
    };
    breaks("alone, from the first outcome", BACKED, &model);
}

#[test]
fn legs_count_since_the_marker_and_it_waits_for_them() {
    for broken in [Break::LegsSinceEnd, Break::MarkerFirst] {
        let model = Alone {
            commands: &MIXED[..2],
            trims: false,
            beside: Beside::Legs,
            ..Alone::breaking(broken)
        };
        breaks(&format!("alone, {broken:?}"), STUCK, &model);
    }
}

#[test]
fn what_is_published_again_counts_since_the_watermark_of_cold() {
    let model = Alone {
        commands: &MIXED[..2],
        beside: Beside::Sink,
        ..Alone::breaking(Break::SinceMarker)
    };
    breaks("alone, published since the marker", STUCK, &model);
}
