//! Cold, journal and hot, against the state that the outcomes give.

use super::world::{World, day};
use crate::audit::cold::{Rows, holds, marker};
use crate::audit::hot::Values;
use crate::audit::journal::{Entries, position, statuses};
use crate::audit::report::Check;
use crate::audit::scan::Statuses;
use crate::cold::audit::{BalanceRow, EntriesRow, SinkRow, StatusRow};
use crate::ledger::{Balance, BalanceId, Hold, Partition, SeenMap, Stage, TransactionId};
use crate::wire::outcome::hash;
use crate::wire::{BalanceBody, Money};

fn text(minor: i128, balance: &Balance) -> String {
    Money::of(minor, balance.asset.scale()).0.to_string()
}

fn row(id: BalanceId, balance: &Balance) -> BalanceRow {
    let stored = |offset: u64| i64::try_from(offset).unwrap();
    BalanceRow {
        id: id.uuid(),
        ledger: balance.ledger.to_string(),
        account: balance.account().to_owned(),
        key: balance.key().to_owned(),
        asset: balance.asset.to_string(),
        posted: text(balance.state.posted, balance),
        held: text(balance.state.held, balance),
        incoming: text(balance.state.incoming, balance),
        floor: balance.floor.map(|floor| text(floor, balance)),
        ceiling: balance.ceiling.map(|ceiling| text(ceiling, balance)),
        status: balance.status.slug().to_owned(),
        version: stored(balance.state.version),
        command_offset: stored(balance.offset),
        epoch: 1,
    }
}

fn rows(state: &Partition) -> Vec<BalanceRow> {
    let mut rows: Vec<_> = state.balances().map(|(id, b)| row(id, &b)).collect();
    rows.sort_by_key(|row| row.id);
    rows
}

fn cold(state: &Partition, rows: &[BalanceRow]) -> Check {
    let mut check = Rows::new(state);
    rows.iter().for_each(|row| check.take(row));
    check.finish().0
}

#[test]
fn a_row_changed_in_any_field_is_found() {
    let world = day();
    let state = &world.partitions[0];
    assert_eq!(cold(state, &rows(state)).differences, 0);
    assert_eq!(cold(state, &rows(state)).examined, state.resident() as u64);
    type Change = fn(&mut BalanceRow);
    let changes: [(&str, Change); 12] = [
        ("posted", |row| row.posted = "0.01".to_owned()),
        ("held", |row| row.held = "0.01".to_owned()),
        ("incoming", |row| row.incoming = "-0.01".to_owned()),
        ("floor", |row| row.floor = Some("-1.00".to_owned())),
        ("ceiling", |row| row.ceiling = Some("1.00".to_owned())),
        ("status", |row| row.status = "frozen".to_owned()),
        ("version", |row| row.version += 1),
        ("command offset", |row| row.command_offset -= 1),
        ("asset", |row| row.asset = "EUR/2".to_owned()),
        ("account", |row| row.account.push('x')),
        ("key", |row| row.key.push('x')),
        ("ledger", |row| row.ledger.push('x')),
    ];
    for (name, change) in changes {
        let mut rows = rows(state);
        change(&mut rows[0]);
        let check = cold(state, &rows);
        assert_eq!(check.differences, 1, "{name}");
        let what = check.first.unwrap().what;
        assert!(what.contains(name), "{name}: {what}");
    }
    let mut unreadable = rows(state);
    unreadable[0].posted = "NaN".to_owned();
    assert_eq!(cold(state, &unreadable).differences, 1);
}

#[test]
fn a_missing_and_an_extra_row_are_found() {
    let world = day();
    let state = &world.partitions[0];
    assert_eq!(cold(state, &rows(state)[1..]).differences, 1);
    let mut more = rows(state);
    more.push(BalanceRow {
        id: uuid::Uuid::from_u128(7),
        ..more[0].clone()
    });
    assert_eq!(cold(state, &more).differences, 1);
}

fn sink(world: &World, partition: u16) -> SinkRow {
    let marker = world.marker(partition);
    let (_, last) = world.outcomes[usize::from(partition)].last().unwrap();
    SinkRow {
        sink: "balances".to_owned(),
        position: world.outcomes[usize::from(partition)]
            .len()
            .try_into()
            .unwrap(),
        command_offset: Some(marker.command_offset.try_into().unwrap()),
        marker: Some(serde_json::to_string(&marker).unwrap()),
        last_hash: Some(hash(last).0.to_vec()),
        generation: marker.generation,
    }
}

#[test]
fn a_marker_that_says_otherwise_is_found() {
    let world = day();
    let state = &world.partitions[0];
    let differences = |sink: &SinkRow| {
        let mut check = Check::new("cold", "rows");
        marker(state, sink, &mut check);
        check.differences
    };
    assert_eq!(differences(&sink(&world, 0)), 0);
    assert_eq!(differences(&sink(&world, 1)), 2);
    let edit = |from: &str, to: &str| {
        let mut sink = sink(&world, 0);
        sink.marker = sink.marker.map(|marker| marker.replace(from, to));
        differences(&sink)
    };
    assert_eq!(edit("\"USD/2\":\"0.00\"", "\"USD/2\":\"0.01\""), 1);
    assert_eq!(edit("\"version_sum\":", "\"version_sum\":1"), 1);
    assert_eq!(edit("\"sent\":[0,", "\"sent\":[1,"), 1);
    assert_eq!(edit("{", ""), 1);
}

#[test]
fn holds_that_are_missing_or_changed_are_found() {
    let id = TransactionId::new(0, 7, uuid::Uuid::nil());
    let hold = Hold {
        ledger: "default/main".into(),
        reference: "h".into(),
        stage: Stage::Open,
        parts: Box::new([]),
        expires_at_ms: None,
        reversals: 0,
        version: 1,
        offset: 7,
        at_ms: 0,
    };
    let world = day();
    let mut cut = world.partitions[0].cut().unwrap();
    cut.holds = cut.holds.with(&hold);
    let state = Partition::from_cut(0, &cut, [], [(id, hold.clone())], SeenMap::default());
    let differences = |rows: &[(TransactionId, Hold)]| {
        let mut check = Check::new("cold", "rows");
        holds(&state, rows, &mut check);
        check.differences
    };
    assert_eq!(differences(&[(id, hold.clone())]), 0);
    assert_eq!(differences(&[]), 1);
    let changed = Hold {
        version: 2,
        ..hold.clone()
    };
    assert_eq!(differences(&[(id, changed)]), 1);
    let stranger = TransactionId::new(0, 8, uuid::Uuid::nil());
    let (one, too_many) = ((id, hold.clone()), (stranger, hold));
    assert_eq!(differences(&[one, too_many]), 1);
}

fn entries(state: &Partition) -> Vec<EntriesRow> {
    let mut rows: Vec<_> = state
        .balances()
        .map(|(id, balance)| {
            let row = row(id, &balance);
            EntriesRow {
                balance_id: row.id,
                entries: row.version,
                versions: row.version,
                first: 1,
                last: row.version,
                posted_sum: row.posted.clone(),
                held_sum: row.held.clone(),
                incoming_sum: row.incoming.clone(),
                command_offset: Some(row.command_offset),
                asset: Some(row.asset),
                posted: Some(row.posted),
                held: Some(row.held),
                incoming: Some(row.incoming),
            }
        })
        .collect();
    rows.sort_by_key(|row| row.balance_id);
    rows
}

#[test]
fn entries_that_are_missing_doubled_or_changed_are_found() {
    let world = day();
    let state = &world.partitions[0];
    let differences = |rows: &[EntriesRow]| {
        let mut check = Entries::new(state);
        rows.iter().for_each(|row| check.take(row));
        check.finish().differences
    };
    assert_eq!(differences(&entries(state)), 0);
    assert_eq!(differences(&entries(state)[1..]), 1);
    type Change = fn(&mut EntriesRow);
    let changes: [(&str, Change); 10] = [
        ("a gap", |row| {
            (row.entries, row.versions) = (row.entries - 1, row.versions - 1);
        }),
        ("a doubled version", |row| row.entries += 1),
        ("one too many", |row| {
            (row.entries, row.versions, row.last) =
                (row.entries + 1, row.versions + 1, row.last + 1);
        }),
        ("an amount", |row| row.posted_sum = "0.01".to_owned()),
        ("a held debit", |row| row.held_sum = "0.01".to_owned()),
        ("a reservation", |row| row.incoming_sum = "0.01".to_owned()),
        ("the last posted", |row| {
            row.posted = Some("0.01".to_owned())
        }),
        ("the last asset", |row| row.asset = Some("EUR/2".to_owned())),
        ("the last command", |row| row.command_offset = Some(0)),
        ("the order of time", |row| row.command_offset = None),
    ];
    for (name, change) in changes {
        let mut rows = entries(state);
        change(&mut rows[0]);
        assert_eq!(differences(&rows), 1, "{name}");
    }
}

#[test]
fn transactions_of_another_status_are_found() {
    let world = day();
    let state = &world.partitions[0];
    let applied = ("applied".to_owned(), None);
    let said = Statuses::from([(applied, 3)]);
    let row = |status: &str, transactions| StatusRow {
        status: status.to_owned(),
        reason: None,
        transactions,
    };
    let differences = |rows: &[StatusRow]| {
        let mut check = Check::new("journal", "entries");
        statuses(state, rows, &said, &mut check);
        check.differences
    };
    assert_eq!(differences(&[row("applied", 3)]), 0);
    assert_eq!(differences(&[row("applied", 2)]), 1);
    assert_eq!(differences(&[row("applied", 2), row("forwarded", 1)]), 2);
    assert_eq!(differences(&[]), 1);
}

#[test]
fn a_journal_of_another_outcome_is_found() {
    let world = day();
    let state = &world.partitions[0];
    let (_, last) = world.outcomes[0].last().unwrap();
    let end = (world.outcomes[0].len() as u64 - 1, Some(hash(last)));
    let differences = |sink: &SinkRow| {
        let mut check = Check::new("journal", "entries");
        position(state, sink, end, &mut check);
        check.differences
    };
    let sink = sink(&world, 0);
    assert_eq!(differences(&sink), 0);
    let hash = Some(vec![0; 32]);
    assert_eq!(
        differences(&SinkRow {
            last_hash: hash,
            ..sink.clone()
        }),
        1
    );
    let position = sink.position - 1;
    assert_eq!(
        differences(&SinkRow {
            position,
            ..sink.clone()
        }),
        1
    );
    let generation = uuid::Uuid::nil();
    assert_eq!(differences(&SinkRow { generation, ..sink }), 1);
}

/// Takes the values of `found` where hot stands as `state` is.
fn values(state: &Partition, found: &[(BalanceId, String)]) -> Values {
    let mut values = Values::new(state.id());
    let ids = state.ids();
    let extra = found.iter().map(|(id, _)| *id);
    let mut ids: Vec<_> = ids.chain(extra).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let value = found.iter().find(|(known, _)| *known == id);
        values.take(
            state,
            id,
            value.map(|(_, value)| value.clone().into_bytes()),
        );
    }
    values
}

#[test]
fn a_value_changed_in_hot_is_found() {
    let world = day();
    let (state, hot) = (&world.partitions[0], world.hot(0));
    let check = values(state, &hot).finish(1);
    assert_eq!(
        (check.differences, check.examined),
        (0, state.resident() as u64)
    );
    let edits: [fn(&str) -> String; 4] = [
        |value| value.replacen("\"held\":\"0.00\"", "\"held\":\"0.01\"", 1),
        |value| value.replacen("\"status\":\"open\"", "\"status\":\"closed\"", 1),
        |value| format!("1{value}"),
        |_| "nonsense".to_owned(),
    ];
    for edit in edits {
        let mut hot = hot.clone();
        hot[0].1 = edit(&hot[0].1);
        assert_eq!(values(state, &hot).finish(1).differences, 1, "{}", hot[0].1);
    }
    assert_eq!(
        values(state, &hot).finish(0).differences,
        1,
        "an epoch that nobody claimed"
    );
}

#[test]
fn a_value_that_is_older_is_found_when_it_stays_so() {
    let mut world = day();
    let before = world.hot(0);
    let (alice, bob) = (world.open("alice", 0), world.open("bob", 0));
    world.transfer("later", alice, bob, "1.00");
    let state = &world.partitions[0];
    let mut found = values(state, &before);
    assert_eq!(found.older.len(), 2);
    found.insist(state);
    assert_eq!(found.finish(1).differences, 2);
}

#[test]
fn a_value_that_is_newer_waits_for_its_outcome() {
    let mut world = day();
    let before = world.partitions[0].clone();
    let (alice, bob) = (world.open("alice", 0), world.open("bob", 0));
    world.transfer("later", alice, bob, "1.00");
    let (after, hot) = (&world.partitions[0], world.hot(0));
    let mut found = values(&before, &hot);
    found.folded(after, [alice, bob].into_iter());
    assert_eq!(found.finish(1).differences, 0);
    assert_eq!(
        values(&before, &hot).finish(1).differences,
        1,
        "nothing gives its version"
    );
    let changed: Vec<_> = hot
        .iter()
        .map(|(id, value)| (*id, value.replace("\"held\":\"0.00\"", "\"held\":\"0.01\"")))
        .filter(|(id, _)| *id == alice)
        .collect();
    let mut found = values(&before, &changed);
    found.folded(after, [alice].into_iter());
    assert_eq!(found.finish(1).differences, 1);
}

#[test]
fn a_balance_absent_from_hot_must_be_in_cold() {
    let world = day();
    let state = &world.partitions[0];
    let hot = world.hot(0);
    let mut found = values(state, &hot[1..]);
    let absent = std::mem::take(&mut found.absent);
    let (id, version) = absent[0];
    assert_eq!((absent.len(), id), (1, hot[0].0));
    found.in_cold(id, version, Some(version.try_into().unwrap()));
    assert_eq!(found.check().differences, 0);
    found.in_cold(id, version, Some(0));
    found.in_cold(id, version, None);
    assert_eq!(found.finish(1).differences, 2);
}

#[test]
fn a_value_of_a_balance_that_nobody_opened_is_found() {
    let world = day();
    let mut hot = world.hot(0);
    let (id, balance) = world.partitions[1].balances().next().unwrap();
    let body = BalanceBody::of(id, &balance, 0, 1);
    let json = serde_json::to_string(&body).unwrap();
    hot.push((id, format!("{} {json}", balance.state.version)));
    assert_eq!(values(&world.partitions[0], &hot).finish(1).differences, 1);
}
