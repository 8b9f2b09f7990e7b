//! Opening a balance, and changing what bounds it.

use super::balance::{State, Status};
use super::command::{Command, Configure, Open};
use super::draft::{Draft, Refusal};
use super::outcome::{Detail, Direction, Entry, Terms};
use super::partition::Partition;
use super::rejection::Rejection;

pub(super) fn open_balance(
    partition: &Partition,
    command: &Command,
    open: &Open,
) -> Result<Vec<Entry>, Refusal> {
    let version = partition
        .balance(open.balance)
        .map(|balance| balance.state.version);
    let detail = Detail {
        balance: open.balance,
        version,
    };
    if version.is_some() {
        return Err((Rejection::BalanceExists, detail));
    }
    if open.account.starts_with('@') {
        return Err((Rejection::SystemBalance, detail));
    }
    let empty = State::default();
    if !empty.above(open.floor) || !empty.below(open.ceiling) {
        return Err((Rejection::LimitNotMet, detail));
    }
    let terms = Terms {
        ledger: command.ledger.clone(),
        account: open.account.clone(),
        key: open.key.clone(),
        floor: open.floor,
        ceiling: open.ceiling,
        status: Status::Open,
    };
    let mut draft = Draft::new(partition, 1);
    draft.open(open.balance, open.asset, terms);
    Ok(draft.entries)
}

pub(super) fn configure_balance(
    partition: &Partition,
    command: &Command,
    configure: &Configure,
) -> Result<Vec<Entry>, Refusal> {
    let nowhere = Detail {
        balance: configure.balance,
        version: None,
    };
    let found = partition.balance(configure.balance);
    let Some(balance) = found.filter(|balance| balance.ledger == command.ledger) else {
        return Err((Rejection::BalanceNotFound, nowhere));
    };
    let State {
        posted,
        held,
        incoming,
        version,
    } = balance.state;
    let refuse = |rejection| {
        Err((
            rejection,
            Detail {
                version: Some(version),
                ..nowhere
            },
        ))
    };
    if balance.name.starts_with('@') {
        return refuse(Rejection::SystemBalance);
    }
    if configure.asset.is_some_and(|asset| asset != balance.asset) {
        return refuse(Rejection::AssetMismatch);
    }
    if balance.status == Status::Closed && configure.status.is_none_or(|to| to == Status::Closed) {
        return refuse(Rejection::BalanceClosed);
    }
    if command
        .expect
        .iter()
        .any(|(_, expected)| *expected != version)
    {
        return refuse(Rejection::VersionMismatch);
    }
    let floor = configure.floor.unwrap_or(balance.floor);
    let ceiling = configure.ceiling.unwrap_or(balance.ceiling);
    let raised = configure.floor.is_some() && !balance.state.above(floor);
    let lowered = configure.ceiling.is_some() && !balance.state.below(ceiling);
    if raised || lowered {
        return refuse(Rejection::LimitNotMet);
    }
    let status = configure.status.unwrap_or(balance.status);
    if status == Status::Closed && (posted, held, incoming) != (0, 0, 0) {
        return refuse(Rejection::BalanceNotEmpty);
    }
    let terms = Terms {
        ledger: balance.ledger.clone(),
        account: balance.account().into(),
        key: balance.key().into(),
        floor,
        ceiling,
        status,
    };
    let version = version.checked_add(1).expect("versions fit 64 bits");
    Ok(vec![Entry {
        balance: configure.balance,
        direction: Direction::Configure,
        amount: 0,
        asset: balance.asset,
        after: State {
            version,
            ..balance.state
        },
        terms: Some(Box::new(terms)),
    }])
}
