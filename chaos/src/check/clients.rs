//! What clients were told against what was decided.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::Message;
use rdkafka::message::Headers as _;
use steelyard::ledger::Fingerprint;
use steelyard::log::reader::Reader;
use steelyard::wire::OutcomeBody;
use steelyard::wire::record::CORRELATION_HEADER;

use super::decisions::Decision;
use super::replay::Expected;
use crate::drive::book::{Final, Place, Verdict};
use crate::world::World;

const REUSED: &str = "reference-reused";

/// # Errors
/// The first answer that is not the truth.
pub fn check(
    expected: &Expected,
    answers: &[Final],
    accepted: &[(String, Fingerprint)],
    places: &[Place],
) -> Result<()> {
    for place in places {
        let partition = expected.decided.get(usize::from(place.partition));
        let decided = partition.and_then(|it| it.get(usize::try_from(place.offset).ok()?));
        ensure!(
            decided.is_some_and(|decided| decided.command == place.value),
            "the broker acknowledged {}/{} for what is not there: {}",
            place.partition,
            place.offset,
            String::from_utf8_lossy(&place.value)
        );
    }
    for (reference, _) in accepted {
        ensure!(
            expected.decisions.contains_key(reference),
            "{reference} was accepted with a 2xx, and there is no decision on it"
        );
    }
    for answer in answers {
        let decision = expected.decisions.get(&answer.reference);
        let decision = decision
            .with_context(|| format!("{answer:?} was told, and there is no decision on it"))?;
        // Who asks for a hold later may be told that its time is over.
        let expired = expected.holds.is_expired(decision.transaction);
        one(answer, decision, expired).with_context(|| {
            let (partition, offset) = decision.at;
            format!("its history:\n{}", expected.history(partition, offset, 3))
        })?;
    }
    Ok(())
}

fn one(answer: &Final, decision: &Decision, expired: bool) -> Result<()> {
    let same = answer.fingerprint == decision.fingerprint || answer.road == "get";
    let reused = answer.verdict == Verdict::Rejected(REUSED.to_owned());
    match (same, reused) {
        (true, false) => ensure!(
            answer.verdict == decision.verdict || (expired && answer.verdict == Verdict::Expired),
            "{answer:?} was told, but it was decided {decision:?}"
        ),
        (false, true) => return Ok(()),
        (true, true) => bail!("{answer:?} was told of the content that was decided: {decision:?}"),
        (false, false) => bail!("{answer:?} was told of a content that was not decided"),
    }
    let both = answer.transaction.zip(decision.transaction);
    if let Some((told, decided)) = both {
        ensure!(
            told == decided,
            "{answer:?} names a transaction that is not {decided}"
        );
    }
    Ok(())
}

/// The answers on the reply topic, as somebody would have read them.
///
/// # Errors
/// If the topic cannot be read, or holds what is no answer.
pub fn replies(world: &World) -> Result<Vec<Final>> {
    let topic = world.answers();
    let reader = Reader::open(&world.log())?;
    let mut answers = Vec::new();
    let mut strange: HashMap<String, String> = HashMap::new();
    for (partition, (low, high)) in (0..).zip(reader.all_bounds(&topic)?) {
        reader.read(&topic, partition, low, high, |message| {
            let headers = message.headers();
            let correlation = headers
                .into_iter()
                .flat_map(|it| it.iter())
                .find(|header| header.key == CORRELATION_HEADER);
            let reference = correlation.and_then(|header| header.value);
            let reference = String::from_utf8_lossy(reference.unwrap_or_default()).into_owned();
            let value = message.payload().unwrap_or_default();
            match reply(&reference, value) {
                Some(answer) => answers.push(answer),
                // A dead letter's asker is told why.
                None if String::from_utf8_lossy(value).contains("\"status\":\"dead-letter\"") => {}
                None => {
                    drop(strange.insert(reference, String::from_utf8_lossy(value).into_owned()))
                }
            }
            true
        })?;
    }
    match strange.into_iter().next() {
        Some((reference, value)) => bail!("{reference} got a strange reply: {value}"),
        None => Ok(answers),
    }
}

fn reply(reference: &str, value: &[u8]) -> Option<Final> {
    let body = OutcomeBody::parse(value).ok()?;
    Some(Final {
        reference: reference.to_owned(),
        fingerprint: Fingerprint(body.fingerprint?.0),
        verdict: Verdict::of(&body.status, body.reason.as_deref()),
        transaction: body.transaction_id,
        road: "reply",
    })
}
