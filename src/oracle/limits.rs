//! Opening a balance, and changing what it may do.

use super::page::{Page, Refusal};
use crate::ledger::{Command, Configure, Open, Rejection, Status, Terms};

pub(super) fn open(page: &mut Page<'_>, command: &Command, open: &Open) -> Result<(), Refusal> {
    let objections = [
        (page.find(open.balance).is_some(), Rejection::BalanceExists),
        (open.account.starts_with('@'), Rejection::SystemBalance),
        (
            open.floor.is_some_and(|floor| floor > 0)
                || open.ceiling.is_some_and(|ceiling| ceiling < 0),
            Rejection::LimitNotMet,
        ),
    ];
    if let Some((_, rejection)) = objections.into_iter().find(|(holds, _)| *holds) {
        return Err(page.refusal(rejection, open.balance));
    }
    let terms = Terms {
        ledger: command.ledger.clone(),
        account: open.account.clone(),
        key: open.key.clone(),
        floor: open.floor,
        ceiling: open.ceiling,
        status: Status::Open,
    };
    page.open(open.balance, open.asset, terms);
    Ok(())
}

pub(super) fn configure(
    page: &mut Page<'_>,
    command: &Command,
    configure: &Configure,
) -> Result<(), Refusal> {
    let id = configure.balance;
    let Some(balance) = page
        .find(id)
        .filter(|found| found.ledger == command.ledger)
        .cloned()
    else {
        let (rejection, mut detail) = page.refusal(Rejection::BalanceNotFound, id);
        detail.version = None;
        return Err((rejection, detail));
    };
    let state = balance.state;
    let status = configure.status.unwrap_or(balance.status);
    let low = configure
        .floor
        .flatten()
        .is_some_and(|floor| state.posted - state.held < floor);
    let high = configure
        .ceiling
        .flatten()
        .is_some_and(|ceiling| state.posted + state.incoming > ceiling);
    let empty = state.posted == 0 && state.held == 0 && state.incoming == 0;
    let stays_closed = balance.status == Status::Closed && status == Status::Closed;
    let seen_other = command
        .expect
        .iter()
        .any(|(_, version)| *version != state.version);
    let objections = [
        (balance.name.starts_with('@'), Rejection::SystemBalance),
        (
            configure.asset.is_some_and(|asset| asset != balance.asset),
            Rejection::AssetMismatch,
        ),
        (stays_closed, Rejection::BalanceClosed),
        (seen_other, Rejection::VersionMismatch),
        (low || high, Rejection::LimitNotMet),
        (
            status == Status::Closed && !empty,
            Rejection::BalanceNotEmpty,
        ),
    ];
    if let Some((_, rejection)) = objections.into_iter().find(|(holds, _)| *holds) {
        return Err(page.refusal(rejection, id));
    }
    let (account, key) = balance.name.split_once('/').unwrap_or((&*balance.name, ""));
    let terms = Terms {
        ledger: balance.ledger.clone(),
        account: account.into(),
        key: key.into(),
        floor: configure.floor.unwrap_or(balance.floor),
        ceiling: configure.ceiling.unwrap_or(balance.ceiling),
        status,
    };
    page.configure(id, terms);
    Ok(())
}
