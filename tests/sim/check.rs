//! What must be true of every record that lands, whoever wrote it and when.

use rdkafka::message::Headers as _;
use steelyard::ledger::id::TRANSIT_LEDGER;
use steelyard::ledger::outcome::Ignored;
use steelyard::ledger::rules::RULES_OWN_TRANSIT;
use steelyard::ledger::{Decision, Direction, Outcome, PartitionId, Record};
use steelyard::wire::outcome::hash;
use steelyard::wire::record::{CLAIM_KEY, GENESIS_KEY, marker_key};
use steelyard::wire::{BalanceBody, Decoder, HoldBody, MarkerBody, OutcomeBody, leg};

use crate::log::{Rec, Topic};
use crate::truth::Past;
use crate::world::World;

pub(crate) fn is_claim(key: &[u8]) -> bool {
    key == CLAIM_KEY.as_bytes()
}

/// The origin and number of a leg record.
pub(crate) fn leg_of(rec: &Rec) -> Option<(PartitionId, u64)> {
    let headers = rec.headers.as_ref()?;
    let origin = headers
        .iter()
        .find(|header| header.key == leg::ORIGIN_HEADER)?;
    let from = std::str::from_utf8(origin.value?).ok()?.parse().ok()?;
    Some((from, number(&rec.value, "\"number\":")?))
}

pub(crate) fn is_tick(rec: &Rec) -> bool {
    let mut headers = rec.headers.iter().flat_map(|headers| headers.iter());
    headers.any(|header| header.key == leg::TICK_HEADER)
}

/// The first number after `name`.
fn number(json: &[u8], name: &str) -> Option<u64> {
    let at = json
        .windows(name.len())
        .position(|window| window == name.as_bytes())?;
    let rest = &json[at + name.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// Before the record is on the log.
pub(crate) fn lands(world: &mut World, topic: Topic, partition: PartitionId, rec: &Rec) {
    match topic {
        Topic::Outcomes => outcome_lands(world, partition, rec),
        Topic::Snapshots => snapshot_lands(world, partition, rec),
        Topic::Commands => leg_lands(world, partition, rec),
        Topic::Replies => reply_lands(world, rec),
        Topic::DeadLetters => letter_lands(world, partition, rec),
    }
}

/// P1, P4: whoever decides a command, and however often, writes the same bytes.
fn outcome_lands(world: &mut World, partition: PartitionId, rec: &Rec) {
    if is_claim(&rec.key) || rec.key == GENESIS_KEY {
        return;
    }
    let offset = number(&rec.value, "\"offset\":").expect("an outcome names its command");
    let truth = &mut world.truth[usize::from(partition)];
    let decided = truth.decided.get_mut(usize::try_from(offset).unwrap());
    let decided = decided.expect("a command is decided after it landed");
    assert!(
        decided.body == rec.value,
        "P4: command {offset} of partition {partition} was decided otherwise:\n{}\n{}",
        String::from_utf8_lossy(&rec.value),
        String::from_utf8_lossy(&decided.body)
    );
    assert!(
        !decided.dead || decided.buried,
        "a record is decided away before it is safe"
    );
    let again = std::mem::replace(&mut decided.landed, true);
    while truth
        .decided
        .get(truth.landed)
        .is_some_and(|decided| decided.landed)
    {
        truth.landed += 1;
    }
    let hole = truth.landed as u64 <= offset;
    if again {
        world.reach("an outcome lands twice");
    }
    if hole {
        world.reach("an outcome lands behind a hole");
    }
}

/// P2, P3: a leg is what its outcome says, and its outcome is on the log.
fn leg_lands(world: &mut World, to: PartitionId, rec: &Rec) {
    let Some((from, number)) = leg_of(rec) else {
        return;
    };
    let truth = &mut world.truth[usize::from(from)];
    let (offset, value) = truth
        .legs
        .get(&(to, number))
        .expect("a leg that was decided");
    assert!(
        *value == rec.value,
        "P3: leg {number} from {from} to {to} changed"
    );
    let offset = *offset;
    must_be_landed(world, from, offset, "a leg");
    let landed = &mut world.truth[usize::from(from)].legs_landed[usize::from(to)];
    let again = number <= *landed;
    if number == *landed + 1 {
        *landed = number;
    }
    if again {
        world.reach("a leg lands twice");
    }
}

#[track_caller]
pub(crate) fn must_be_landed(world: &World, partition: PartitionId, offset: u64, what: &str) {
    let truth = &world.truth[usize::from(partition)];
    let decided = truth.decided.get(usize::try_from(offset).unwrap());
    assert!(
        decided.is_some_and(|decided| decided.landed),
        "P2: {what} of command {offset} of partition {partition} comes before its outcome"
    );
}

/// Only what can never be understood goes to the dead letters.
fn letter_lands(world: &mut World, partition: PartitionId, rec: &Rec) {
    let headers = rec
        .headers
        .as_ref()
        .expect("a dead letter says where it comes from");
    let mut headers = headers.iter();
    let offset = headers.find(|header| header.key == "kafka_dlt-original-offset");
    let offset: [u8; 8] = offset
        .and_then(|header| header.value?.try_into().ok())
        .unwrap();
    let at = usize::try_from(u64::from_be_bytes(offset)).unwrap();
    let decided = &mut world.truth[usize::from(partition)].decided[at];
    assert!(
        decided.dead,
        "command {at} of partition {partition} is no dead letter"
    );
    decided.buried = true;
    world.reach("a dead letter");
}

/// A reply is an outcome that is on the log, or tells of a dead letter.
fn reply_lands(world: &mut World, rec: &Rec) {
    if rec
        .value
        .windows(22)
        .any(|window| window == b"\"status\":\"dead-letter\"")
    {
        return world.reach("a reply to a dead letter");
    }
    let body = OutcomeBody::parse(&rec.value).expect("a reply is an outcome");
    let (partition, offset) = (body.partition, body.offset);
    must_be_landed(world, partition, offset, "a reply");
    if body.hash.is_none() {
        return world.reply_is_complete(&body);
    }
    let truth = &world.truth[usize::from(partition)];
    let known = truth.by_hash.get(&hash(&rec.value).0);
    assert_eq!(known, Some(&offset), "a reply that nobody decided");
    world.reach("a reply");
}

fn snapshot_lands(world: &mut World, partition: PartitionId, rec: &Rec) {
    if rec.key == marker_key(partition) {
        return marker_lands(world, partition, &rec.value);
    }
    if rec.key.starts_with(b"hold:") {
        return hold_is_true(world, partition, &rec.value);
    }
    if rec.key != GENESIS_KEY {
        let (version, offset) = balance_is_true(world, partition, &rec.value, "a snapshot");
        assert!(version > 0 && offset > 0, "a snapshot of nothing");
    }
}

/// A balance that is shown anywhere is what it was at that version, and its outcome is on the log.
/// Its version, and the command that changed it last.
pub(crate) fn balance_is_true(
    world: &World,
    partition: PartitionId,
    json: &[u8],
    what: &str,
) -> (u64, u64) {
    let body = BalanceBody::parse(json).expect("a balance is plain JSON");
    let (id, balance) = body.to_ledger("".into()).expect("a balance of the ledger");
    let truth = &world.truth[usize::from(partition)];
    let past = truth.past.get(&id).map(Vec::as_slice).unwrap_or_default();
    let version = usize::try_from(body.version).unwrap();
    let expected = version.checked_sub(1).and_then(|at| past.get(at));
    let found = Past {
        offset: balance.offset,
        state: balance.state,
        floor: balance.floor,
        ceiling: balance.ceiling,
        status: balance.status,
    };
    // Of two entries by one command only the last one is ever shown.
    assert_eq!(
        Some(&found),
        expected,
        "{what} of balance {id} is not what it was"
    );
    must_be_landed(world, partition, balance.offset, what);
    (body.version, balance.offset)
}

/// As [`balance_is_true`], of a hold on `snapshots`.
fn hold_is_true(world: &World, partition: PartitionId, json: &[u8]) {
    let body = HoldBody::parse(json).expect("a hold is plain JSON");
    let (id, hold) = body
        .to_ledger(&mut Decoder::new())
        .expect("a hold of the ledger");
    let truth = &world.truth[usize::from(partition)];
    let past = truth.past_holds.get(&id).map(Vec::as_slice);
    let version = usize::try_from(hold.version).unwrap();
    let expected = version
        .checked_sub(1)
        .and_then(|at| past.unwrap_or_default().get(at));
    assert_eq!(Some(&hold), expected, "hold {id} is not what it was");
    must_be_landed(world, partition, hold.offset, "a snapshot of a hold");
}

/// A marker is written when everything up to it is on the log, and says what is true there.
fn marker_lands(world: &mut World, partition: PartitionId, value: &[u8]) {
    let body = MarkerBody::parse(value).expect("a marker is plain JSON");
    let cut = body.to_cut().expect("a marker of the ledger");
    let truth = &world.truth[usize::from(partition)];
    let upto = usize::try_from(cut.command_offset).unwrap();
    assert!(
        upto < truth.landed,
        "P2: a marker at {upto}, outcomes end at {}",
        truth.landed
    );
    let decided = &truth.decided[upto];
    assert_eq!(
        (
            cut.version_sum,
            cut.highest_offset,
            cut.holds,
            &cut.sent,
            &cut.received
        ),
        (
            decided.version_sum,
            decided.highest,
            decided.holds,
            &decided.sent,
            &decided.received
        ),
        "a marker at {upto} of partition {partition} says otherwise"
    );
    let raised = truth.partition.rules().raises().iter();
    let raised = raised.filter(|raise| raise.offset <= cut.command_offset);
    assert!(
        raised.eq(cut.rules.raises()),
        "a marker at {upto} of partition {partition} has other rules"
    );
    for (to, (sent, landed)) in cut.sent.iter().zip(&truth.legs_landed).enumerate() {
        assert!(
            sent <= landed,
            "P2: a marker at {upto} comes before leg {sent} to {to}"
        );
    }
    let line = world.log.line(Topic::Outcomes, partition);
    if body.position >= line.low {
        let rec = line.get(body.position).expect("a marker's position");
        assert!(
            rec.value == decided.body,
            "a marker's position is another outcome's"
        );
    }
}

/// After the record is on the log.
pub(crate) fn landed(world: &mut World, topic: Topic, partition: PartitionId, offset: u64) {
    if topic != Topic::Commands {
        return;
    }
    let World {
        log, truth, oracle, ..
    } = world;
    let rec = log
        .line(topic, partition)
        .get(offset)
        .expect("it was just written");
    let truth = &mut truth[usize::from(partition)];
    let (record, outcome) = truth.decide(rec, oracle);
    if offset == 0 {
        // Every log's first outcome is on its genesis record.
        assert_eq!(outcome.decision, Decision::Ignored(Ignored::Genesis));
    }
    if let Some((id, hold)) = outcome.effects.hold.as_deref()
        && hold.version == 1
        && id.home() == partition
    {
        world.holds.push((*id, hold.parts[0].source));
    }
    if let (Some(id), Some(command), None) =
        (outcome.transaction, &outcome.command, outcome.replay_of)
        && (id.home(), id.offset()) == (partition, offset)
        && !command.postings().is_empty()
    {
        world.moved.push((id, command.clone()));
    }
    if let Some(rules) = rules_of(world, partition, (&record, &outcome)) {
        world.reach(rules);
    }
    no_room(world, partition, (&record, &outcome));
    note(world, &outcome);
}

/// How the rules of a leg that has changed something stand to those of its receiver.
fn rules_of(
    world: &World,
    partition: PartitionId,
    (record, outcome): (&Record, &Outcome),
) -> Option<&'static str> {
    let Record::Leg(leg) = record else {
        return None;
    };
    outcome.effects.entries.first()?;
    let here = world.truth[usize::from(partition)].partition.rules().now();
    let latest = |rules| rules >= RULES_OWN_TRANSIT;
    match (latest(leg.rules), latest(here)) {
        (true, false) => Some("a leg goes by later rules than its receiver"),
        (false, true) => Some("a leg goes by earlier rules than its receiver"),
        (true, true) => Some("a leg goes by the latest rules"),
        (false, false) => None,
    }
}

/// What comes back to a balance that has no room left stays on the wire: it came with the leg, is
/// not handed on, and nobody is credited with it.
fn no_room(world: &mut World, partition: PartitionId, (record, outcome): (&Record, &Outcome)) {
    let (Decision::Returned(_), Record::Leg(arrived)) = (outcome.decision, record) else {
        return;
    };
    let truth = &world.truth[usize::from(partition)];
    let effects = &outcome.effects;
    let stays = &mut world.stays;
    for money in arrived.step.carried() {
        *stays.entry(money.asset).or_default() += money.amount;
    }
    for money in outcome.legs.iter().flat_map(|leg| leg.step.carried()) {
        *stays.entry(money.asset).or_default() -= money.amount;
    }
    for entry in &effects.entries {
        let balance = truth.partition.balance(entry.balance);
        let is_transit = balance.is_some_and(|it| *it.ledger == *TRANSIT_LEDGER);
        if entry.direction == Direction::Credit && !is_transit {
            *stays.entry(entry.asset).or_default() -= entry.amount;
        }
    }
}

/// Which decisions were reached.
fn note(world: &mut World, outcome: &Outcome) {
    assert!(
        outcome.decision != Decision::Ignored(Ignored::LegGap),
        "a leg is missing before {:?}",
        outcome.effects
    );
    if outcome.replay_of.is_some() {
        world.reach("replayed");
    }
    match outcome.decision {
        Decision::Rejected(rejection) => world.reach(rejection.slug()),
        Decision::Ignored(ignored) => world.reach(ignored.slug()),
        decision => world.reach(decision.status()),
    }
}
