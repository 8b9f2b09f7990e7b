//! What led to a finding: a second look at the outcomes, only where something was found.

use std::collections::VecDeque;

use rdkafka::Message;

use super::report::Finding;
use crate::ledger::{PartitionId, TransactionId};
use crate::log::reader::{ReadError, Reader};
use crate::wire::{EntryBody, OutcomeBody};

/// How many lines are told.
const LINES_MAX: usize = 5;

/// The last entries of the finding's balance up to the finding's command, oldest first. Blocks.
pub(super) fn of_balance(
    (reader, topic): (&Reader, &str),
    finding: &Finding,
) -> Result<Vec<String>, ReadError> {
    let (Some(partition), Some(balance)) = (finding.partition, finding.balance) else {
        return Ok(Vec::new());
    };
    let upto = finding.command.unwrap_or(u64::MAX);
    let mut lines: VecDeque<(u64, String)> = VecDeque::new();
    look((reader, topic), partition, |position, body| {
        let repeated = lines.iter().any(|(offset, _)| *offset == body.offset);
        if body.offset > upto || repeated {
            return;
        }
        let entries = body.entries.iter();
        for entry in entries.filter(|entry| entry.balance == balance.uuid()) {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back((body.offset, line(position, body, entry)));
        }
    })?;
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// The decisions on two transactions, at their homes. Blocks.
pub(super) fn of_transactions(
    (reader, topic): (&Reader, &str),
    ids: [TransactionId; 2],
) -> Result<Vec<String>, ReadError> {
    let mut lines = Vec::new();
    for id in ids {
        let mut found = None;
        look((reader, topic), id.home(), |position, body| {
            if body.offset == id.offset() && found.is_none() {
                found = Some(format!(
                    "{}: transaction {id}, reference {} of {}, {} at {}, outcome at {position}",
                    id.home(),
                    body.reference.as_deref().unwrap_or_default(),
                    body.ledger.as_deref().unwrap_or_default(),
                    &*body.status,
                    body.at
                ));
            }
        })?;
        lines.extend(found);
    }
    Ok(lines)
}

fn look(
    (reader, topic): (&Reader, &str),
    partition: PartitionId,
    mut each: impl FnMut(u64, &OutcomeBody<'_>),
) -> Result<(), ReadError> {
    let (low, end) = reader.bounds(topic, partition)?;
    reader.read(topic, partition, low, end, |message| {
        let body = message.payload().map(OutcomeBody::parse);
        if let Some(Ok(body)) = body {
            each(u64::try_from(message.offset()).unwrap_or(0), &body);
        }
        true
    })
}

fn line(position: u64, body: &OutcomeBody<'_>, entry: &EntryBody<'_>) -> String {
    format!(
        "command {}, outcome at {position}: {} {} {} to version {}, posted {}, held {}, incoming \
         {}; {} {}",
        body.offset,
        &*entry.direction,
        entry.amount.0,
        &*entry.asset,
        entry.version,
        entry.posted.0,
        entry.held.0,
        entry.incoming.0,
        &*body.status,
        body.reference.as_deref().unwrap_or_default()
    )
}
