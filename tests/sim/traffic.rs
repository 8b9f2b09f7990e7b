//! What clients put on the log, in the form and in the place that they should, and otherwise.

use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};
use steelyard::ledger::{Command, PartitionId, RULES_FIRST, RULES_KNOWN, partition_of};
use steelyard::wire::leg;
use steelyard::wire::record::{CORRELATION_HEADER, REPLY_TOPIC_HEADER, RULES_KEY};
use steelyard::wire::{Decoder, Time};

use crate::chance::Chance;
use crate::check;
use crate::commands::Commands;
use crate::log::{ELSEWHERE, PREFIX, Rec, Topic};
use crate::scene::Scene;
use crate::world::World;

pub(crate) struct Traffic {
    commands: Commands,
    /// Commands that clients still want to send.
    pub(crate) left: u64,
    sent: Vec<(PartitionId, Rec)>,
    decoder: Decoder,
    /// How many of forty commands are about holds.
    holds: u64,
}

impl Traffic {
    pub(crate) fn new(
        chance: &mut Chance,
        count: PartitionId,
        commands: u64,
        scene: Scene,
    ) -> Self {
        let holds = *chance.pick(&[0, 8, 16]);
        Self {
            commands: Commands::new(chance, scene == Scene::LateOwners),
            left: commands,
            sent: Vec::new(),
            decoder: Decoder::of(count),
            holds: match scene {
                Scene::Any | Scene::LateOwners | Scene::LogAlone => holds,
                Scene::Holds => 24,
            },
        }
    }

    /// A client sends a record, good or bad.
    pub(crate) fn send(&mut self, world: &mut World) {
        self.left -= 1;
        let roll = world.chance.below(100);
        match roll {
            0..4 if !self.sent.is_empty() => self.again(world),
            4..6 => self.poison(world),
            6..8 => self.sealed(world),
            8 if world.chance.one_in(2) => rules(world),
            _ => self.command(world),
        }
    }

    fn command(&mut self, world: &mut World) {
        let roll = world.chance.below(45);
        let mut body = match self.commands.unopened(world) {
            Some(open) => open,
            None => match roll {
                0 | 1 => self.commands.reopen(world),
                2..6 => self.commands.configure(world),
                6 => self.commands.close_period(world),
                40..45 => self.commands.of_transaction(world),
                _ if roll - 7 < self.holds => self.commands.of_hold(world),
                _ => self.commands.transfer(world),
            },
        };
        if body["type"] != "open" && world.chance.one_in(100) {
            body["ledger"] = "default/other".into();
        }
        if world.chance.one_in(10) {
            self.date(world, &mut body);
        }
        let command = self.decoder.parse(body.to_string().as_bytes(), None, None);
        if let Ok(command) = &command
            && world.chance.one_in(15)
        {
            expect(world, command, &mut body);
        }
        self.submit(world, &body, command.ok().as_ref());
    }

    /// Says when it takes effect; seldom too far ahead.
    fn date(&self, world: &mut World, body: &mut Value) {
        let now = world.clock_ms();
        let ahead = i64::try_from(world.chance.below(30_000)).unwrap();
        let at = match world.chance.one_in(8) {
            true => now + 70_000 + ahead,
            false => now - ahead,
        };
        body["effective_at"] = serde_json::to_value(Time(at)).unwrap();
    }

    fn submit(&mut self, world: &mut World, body: &Value, command: Option<&Command>) {
        let key = command.map_or("none".to_owned(), |command| key_of(world, command));
        let home = command.map_or(0, |command| partition_of(command.decider(), world.count));
        let partition = match world.chance.one_in(20) {
            true => any_partition(world),
            false => home,
        };
        let correlation = (self.sent.len() as u64).to_be_bytes();
        let headers = world.chance.one_in(4).then(|| {
            let reply_to = match world.chance.one_in(2) {
                true => format!("{PREFIX}.replies"),
                false => ELSEWHERE.to_owned(),
            };
            OwnedHeaders::new()
                .insert(Header {
                    key: CORRELATION_HEADER,
                    value: Some(&correlation[..]),
                })
                .insert(Header {
                    key: REPLY_TOPIC_HEADER,
                    value: Some(&reply_to),
                })
        });
        let rec = Rec {
            key: key.into(),
            value: body.to_string().into(),
            headers,
            at_ms: 0,
        };
        self.sent.push((partition, rec.clone()));
        world.write(Topic::Commands, partition, rec.key, rec.value, rec.headers);
    }

    /// A client that heard nothing sends its record once more.
    fn again(&mut self, world: &mut World) {
        let (partition, rec) = world.chance.pick(&self.sent).clone();
        world.reach("a client sends again");
        world.write(Topic::Commands, partition, rec.key, rec.value, rec.headers);
    }

    fn poison(&mut self, world: &mut World) {
        let partition = any_partition(world);
        let value = *world.chance.pick(&[
            "{",
            "",
            "[1]",
            "{\"reference\":\"x\",\"type\":\"transfer\"}",
        ]);
        let key = Bytes::from_static(b"junk");
        world.write(Topic::Commands, partition, key, value.into(), None);
    }

    /// What only processors may write: a leg or a tick that was there before, or that somebody
    /// else has sealed.
    fn sealed(&mut self, world: &mut World) {
        let partition = any_partition(world);
        let line = world.log.line(Topic::Commands, partition);
        let (low, end) = (line.low, line.end());
        let places = [(); 8].map(|()| world.chance.between(low, end - 1));
        let line = world.log.line(Topic::Commands, partition);
        let mut found = places.iter().filter_map(|at| line.get(*at));
        let sealed = |rec: &&Rec| check::leg_of(rec).is_some() || check::is_tick(rec);
        let found = found.clone().find(sealed).or_else(|| found.next());
        let Some(rec) = found.cloned() else {
            return;
        };
        let (is_leg, is_tick) = (check::leg_of(&rec).is_some(), check::is_tick(&rec));
        let headers = match (is_leg || is_tick) && !world.chance.one_in(4) {
            true => {
                world.reach(match is_leg {
                    true => "a leg is copied",
                    false => "a tick is copied",
                });
                rec.headers
            }
            false => {
                let tick = world.chance.one_in(4);
                world.reach(match tick {
                    true => "a tick is forged",
                    false => "a leg is forged",
                });
                Some(forged(if tick { leg::TICK_HEADER } else { leg::HEADER }))
            }
        };
        world.write(Topic::Commands, partition, rec.key, rec.value, headers);
    }
}

/// An operator raises the rules, everywhere to one before anywhere to the next, and is interrupted;
/// or somebody else tries to.
fn rules(world: &mut World) {
    let asked = any_partition(world);
    if world.chance.one_in(4) {
        return raise(world, asked, RULES_KNOWN, Some("00".repeat(32)));
    }
    for rules in RULES_FIRST..RULES_KNOWN {
        for partition in world.partitions() {
            raise(world, partition, rules, None);
        }
    }
    raise(world, asked, RULES_KNOWN, None);
}

/// Asks a partition for rules, with a seal of one's own or with the right one.
fn raise(world: &mut World, partition: PartitionId, rules: u32, seal: Option<String>) {
    let value = format!("{{\"rules\":{rules}}}");
    let right = world.secret.seal(RULES_KEY.as_bytes(), value.as_bytes());
    let seal = seal.unwrap_or_else(|| hex::encode(right.0));
    let headers = sealed("steelyard-rules", &seal);
    let key = Bytes::from_static(RULES_KEY.as_bytes());
    world.write(Topic::Commands, partition, key, value.into(), Some(headers));
}

/// The headers of a sealed record, without the secret.
fn forged(kind: &str) -> OwnedHeaders {
    sealed(kind, &"00".repeat(32))
}

fn sealed(kind: &str, seal: &str) -> OwnedHeaders {
    OwnedHeaders::new()
        .insert(Header {
            key: kind,
            value: Some(leg::VERSION),
        })
        .insert(Header {
            key: leg::SEAL_HEADER,
            value: Some(seal),
        })
}

fn any_partition(world: &mut World) -> PartitionId {
    PartitionId::try_from(world.chance.below(world.count.into())).unwrap()
}

/// The record's key: who pays from a striped account may name the other side instead.
fn key_of(world: &mut World, command: &Command) -> String {
    let posting = command.postings().first();
    match posting.filter(|posting| posting.source.striped) {
        Some(posting) if world.chance.one_in(2) => {
            world.reach("a record has the key of the other side");
            posting.destination.id.to_string()
        }
        _ => command.decider().to_string(),
    }
}

/// Names the version of any balance of the command, wherever that is: the one that it has, or
/// another one.
fn expect(world: &mut World, command: &Command, body: &mut Value) {
    let postings = command.postings();
    if postings.is_empty() || command.target().is_some() {
        return;
    }
    let posting = world.chance.pick(postings);
    let id = match world.chance.one_in(2) {
        true => posting.source.id,
        false => posting.destination.id,
    };
    let home = partition_of(id, world.count);
    if home != partition_of(command.decider(), world.count) {
        world.reach("a version is expected at a later stop");
    }
    let past = world.truth[usize::from(home)].past.get(&id);
    let seen = past.map_or(1, |past| past.len() as u64);
    let version = match world.chance.one_in(2) {
        true => seen,
        false => seen + 3,
    };
    body["expect"] = json!({id.to_string(): version});
}
