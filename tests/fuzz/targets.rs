//! What is done with a case, and what must hold if it is understood.

use steelyard::ingress::cursor as page;
use steelyard::ledger::{PartitionId, Record};
use steelyard::wire::outcome::{OutcomeBody, hash, shared_ledger};
use steelyard::wire::record::{Headers, Raw, Recognizer};
use steelyard::wire::{
    BalanceBody, CommandBody, Decoder, HoldBody, LegBody, LegRecord, MarkerBody, Secret,
    leg as legs,
};

/// Partitions of the log that the cases arrive at.
const COUNT: PartitionId = 4;

fn secret() -> Secret {
    Secret::new("a secret of the tests").unwrap()
}

/// The value of a client's command.
pub(crate) fn command(case: &[u8]) -> bool {
    let mut decoder = Decoder::new();
    let Ok(command) = decoder.parse(case, None, None) else {
        return false;
    };
    let written = serde_json::to_vec(&CommandBody::of(&command)).unwrap();
    assert_eq!(
        decoder.parse(&written, None, None).unwrap(),
        command,
        "read back the same"
    );
    true
}

/// A record whose key fits, with every header that a case can make of its first bytes.
pub(crate) fn record(case: &[u8]) -> bool {
    let key = Decoder::new().parse(case, None, None).ok();
    let key = key.map_or_else(String::new, |command| command.decider().to_string());
    let (some, more) = case.split_at(case.len().min(4));
    let headers = Headers {
        correlation: Some(more),
        reply_topic: case.len().is_multiple_of(2).then_some(b"replies"),
        reply_partition: (!case.len().is_multiple_of(3)).then_some(some),
        trace: Some(more),
        seal: Some(some),
        ..Headers::default()
    };
    let mut recognizer = Recognizer::new(secret(), vec!["replies".to_owned()], 0, COUNT);
    let raw = Raw {
        offset: 1,
        key: Some(key.as_bytes()),
        value: Some(case),
        headers,
    };
    let understood = recognizer.recognize(&raw);
    let whole = Headers {
        correlation: None,
        ..headers
    };
    let bare = recognizer.recognize(&Raw {
        headers: whole,
        ..raw
    });
    assert!(
        understood.is_err() || bare.is_ok(),
        "a header only ever refuses"
    );
    matches!(bare, Ok(Record::Command(_)))
}

/// A leg with the right seal: whatever is in it.
pub(crate) fn leg(case: &[u8]) -> bool {
    let body: Result<LegBody<'_>, _> = serde_json::from_slice(case);
    let to = body.map_or(0, |body| body.to);
    let key = "e94673c3-3353-540c-9976-f0f32603bc0d";
    let seal = hex::encode(secret().seal(key.as_bytes(), case).0);
    let mut decoder = Decoder::new();
    let mut open = |value: &[u8], seal: &str| {
        let (key, seal) = (key.as_bytes(), seal.as_bytes());
        legs::open(&mut decoder, &secret(), key, value, seal, (to, COUNT))
    };
    let Ok(leg) = open(case, &seal) else {
        return false;
    };
    let again = LegRecord::of(&leg);
    let value = again.value.get().as_bytes();
    let seal = hex::encode(secret().seal(key.as_bytes(), value).0);
    assert_eq!(open(value, &seal).unwrap(), leg, "read back the same");
    true
}

/// A leg under the seal of another one: never understood, unless nothing was changed.
pub(crate) fn forged_leg(case: &[u8]) -> bool {
    let seed = include_str!("../golden/legs.jsonl").lines().next().unwrap();
    let key = "e94673c3-3353-540c-9976-f0f32603bc0d";
    let seal = hex::encode(secret().seal(key.as_bytes(), seed.as_bytes()).0);
    let way = (1, COUNT);
    let (key, seal) = (key.as_bytes(), seal.as_bytes());
    let opened = legs::open(&mut Decoder::new(), &secret(), key, case, seal, way);
    assert!(
        opened.is_err() || case == seed.as_bytes(),
        "a seal is of one value"
    );
    opened.is_ok()
}

pub(crate) fn outcome(case: &[u8]) -> bool {
    let Ok(body) = OutcomeBody::parse(case) else {
        return false;
    };
    let mut decoder = Decoder::new();
    let read = body.to_ledger(&mut decoder);
    let seal = |body: &OutcomeBody<'_>| {
        let mut sealed = Vec::new();
        let body = OutcomeBody {
            hash: None,
            ..body.clone()
        };
        body.seal(&mut sealed).unwrap();
        sealed
    };
    let sealed = seal(&body);
    let again = OutcomeBody::parse(&sealed).unwrap();
    assert_eq!(again.hash, Some(hash(&sealed)), "sealed with its own hash");
    assert_eq!(text(&sealed), text(&seal(&again)), "written the same");
    assert_eq!(read, again.to_ledger(&mut decoder), "read back the same");
    read.is_ok()
}

pub(crate) fn snapshot(case: &[u8]) -> bool {
    let Ok(body) = BalanceBody::parse(case) else {
        return false;
    };
    let mut decoder = Decoder::new();
    let mut read = |body: &BalanceBody<'_>| {
        let ledger = shared_ledger(&mut decoder, &body.ledger);
        body.to_ledger(ledger)
    };
    let Ok((id, balance)) = read(&body) else {
        return false;
    };
    let written = BalanceBody::of(id, &balance, body.partition, body.epoch);
    let written = serde_json::to_vec(&written).unwrap();
    let again = BalanceBody::parse(&written).unwrap();
    assert_eq!(read(&again).unwrap(), (id, balance), "read back the same");
    true
}

pub(crate) fn hold(case: &[u8]) -> bool {
    let Ok(body) = HoldBody::parse(case) else {
        return false;
    };
    let mut decoder = Decoder::new();
    let Ok((id, hold)) = body.to_ledger(&mut decoder) else {
        return false;
    };
    let written = serde_json::to_vec(&HoldBody::of(id, &hold)).unwrap();
    let again = HoldBody::parse(&written).unwrap();
    let again = again.to_ledger(&mut decoder).unwrap();
    assert_eq!(again, (id, hold), "read back the same");
    true
}

pub(crate) fn marker(case: &[u8]) -> bool {
    let Ok(body) = MarkerBody::parse(case) else {
        return false;
    };
    let Ok(cut) = body.to_cut() else {
        return false;
    };
    let written = MarkerBody::of(&cut, body.partition, body.position, body.epoch);
    let written = serde_json::to_vec(&written).unwrap();
    let again = MarkerBody::parse(&written).unwrap();
    assert_eq!(again.to_cut().unwrap(), cut, "read back the same");
    true
}

/// Where a page of entries, of balances or of holds goes on.
pub(crate) fn cursor(case: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(case) else {
        return false;
    };
    let entry = page::entry(text);
    if let Ok(cursor) = entry {
        assert_eq!(page::entry(&page::of_entry(cursor)).ok(), Some(cursor));
    }
    let balance = page::balance(text);
    if let Ok(cursor) = &balance {
        assert_eq!(
            page::balance(&page::of_balance(cursor)).ok().as_ref(),
            Some(cursor)
        );
    }
    let hold = page::hold(text);
    if let Ok(id) = hold {
        assert_eq!(page::hold(&page::of_hold(id)).ok(), Some(id));
    }
    balance.is_ok() || hold.is_ok() || page::entry(text).is_ok()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
