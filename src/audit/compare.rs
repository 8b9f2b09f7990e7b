//! One balance in two stores, field by field.

use crate::cold::audit::BalanceRow;
use crate::ledger::amount;
use crate::ledger::{Balance, BalanceId, PartitionId};
use crate::wire::{BalanceBody, Money};

/// What `found` says otherwise than the outcomes, which give `balance`. Epochs are not compared:
/// nothing in an outcome depends on them.
pub(super) fn differences(
    found: &BalanceBody<'_>,
    id: BalanceId,
    balance: &Balance,
    partition: PartitionId,
) -> Vec<String> {
    let expected = BalanceBody::of(id, balance, partition, found.epoch);
    if *found == expected {
        return Vec::new();
    }
    let said = fields(found).into_iter().zip(fields(&expected));
    let differing = said.filter(|((_, found), (_, expected))| found != expected);
    let texts = differing.map(|((name, found), (_, expected))| {
        format!("{name} is {found}, the outcomes give {expected}")
    });
    texts.collect()
}

fn fields(body: &BalanceBody<'_>) -> [(&'static str, String); 14] {
    let money = |money: Money| money.0.normalize().to_string();
    let limit = |limit: Option<Money>| limit.map_or_else(|| "unlimited".to_owned(), money);
    [
        ("version", body.version.to_string()),
        ("posted", money(body.posted)),
        ("held", money(body.held)),
        ("incoming", money(body.incoming)),
        ("floor", limit(body.floor)),
        ("ceiling", limit(body.ceiling)),
        ("status", body.status.to_string()),
        ("asset", body.asset.to_string()),
        ("ledger", body.ledger.to_string()),
        ("account", body.account.to_string()),
        ("key", body.key.to_string()),
        ("command offset", body.command_offset.to_string()),
        ("partition", body.partition.to_string()),
        ("id", body.id.to_string()),
    ]
}

/// A row of cold in the form of a snapshot.
pub(super) fn body_of(row: &BalanceRow, partition: PartitionId) -> Result<BalanceBody<'_>, String> {
    let money = |name: &str, text: &str| {
        let parsed = amount::parse(text).map(Money);
        parsed.map_err(|error| format!("{name} {text} {error}"))
    };
    let limit = |name: &str, text: &Option<String>| {
        let text = text.as_deref();
        text.map(|text| money(name, text)).transpose()
    };
    let count = |name: &str, number: i64| {
        u64::try_from(number).map_err(|_| format!("{name} {number} is negative"))
    };
    Ok(BalanceBody {
        id: row.id,
        ledger: row.ledger.as_str().into(),
        account: row.account.as_str().into(),
        key: row.key.as_str().into(),
        asset: row.asset.as_str().into(),
        posted: money("posted", &row.posted)?,
        held: money("held", &row.held)?,
        incoming: money("incoming", &row.incoming)?,
        floor: limit("floor", &row.floor)?,
        ceiling: limit("ceiling", &row.ceiling)?,
        status: row.status.as_str().into(),
        version: count("version", row.version)?,
        command_offset: count("command offset", row.command_offset)?,
        partition,
        epoch: count("epoch", row.epoch)?,
    })
}
