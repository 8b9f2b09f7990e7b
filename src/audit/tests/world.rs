//! A small log, written by the real ledger and the real encoders.

use uuid::Uuid;

use super::ledger::{
    Asset, BalanceId, Cut, Leg, Partition, PartitionId, Record, Setting, partition_of,
};
use super::wire::outcome::NO_HASH;
use super::wire::record::{CLAIM_KEY, ClaimBody, GENESIS_KEY, NO_BALANCE_KEY};
use super::wire::{BalanceBody, Decoder, Hex, MarkerBody, OutcomeBody, Time};

pub(crate) const GENERATION: Uuid = Uuid::from_u128(0x5eed_0001);
pub(crate) const LEDGER: &str = "default/main";
/// The position of the first outcome: a genesis and a claim come before it.
pub(crate) const FIRST: usize = 2;

/// Key and value of a record; its position is its index.
pub(crate) type Bytes = (String, Vec<u8>);

/// What the processors of a log would have written.
pub(crate) struct World {
    pub(crate) commands: Vec<Vec<Bytes>>,
    pub(crate) outcomes: Vec<Vec<Bytes>>,
    pub(crate) partitions: Vec<Partition>,
    /// Legs that were sent and have not arrived.
    pub(crate) wire: Vec<Leg>,
    prev: Vec<Hex<32>>,
    decoder: Decoder,
    at_ms: i64,
}

impl World {
    /// An empty log of `count` partitions: each has a first record, and one owner.
    pub(crate) fn new(count: PartitionId) -> Self {
        let setting = Setting {
            generation: GENERATION,
            horizon_seconds: 3600,
        };
        let genesis = serde_json::json!({"generation": GENERATION, "horizon_seconds": 3600});
        let genesis = (GENESIS_KEY.to_owned(), genesis.to_string().into_bytes());
        let mut world = Self {
            commands: vec![Vec::new(); usize::from(count)],
            outcomes: vec![vec![genesis.clone()]; usize::from(count)],
            partitions: (0..count).map(|p| Partition::new(p, count)).collect(),
            wire: Vec::new(),
            prev: vec![NO_HASH; usize::from(count)],
            decoder: Decoder::new(),
            at_ms: 1_700_000_000_000,
        };
        for partition in 0..count {
            world.claim(partition);
            world.decide(partition, genesis.clone(), &Record::Genesis(setting));
        }
        world
    }

    /// Somebody takes the partition over.
    pub(crate) fn claim(&mut self, partition: PartitionId) {
        let body = ClaimBody {
            partition,
            instance: "one".to_owned(),
            generation: GENERATION,
            at: Time(0),
        };
        let value = serde_json::to_vec(&body).unwrap();
        let record = (CLAIM_KEY.to_owned(), value);
        self.outcomes[usize::from(partition)].push(record);
    }

    /// Opens a balance of `account` that `partition` owns; the name gets a number for that.
    pub(crate) fn open(&mut self, account: &str, partition: PartitionId) -> BalanceId {
        let usd = Asset::parse("USD/2").unwrap();
        let count = PartitionId::try_from(self.partitions.len()).unwrap();
        let names = (0..1000).map(|number| format!("{account}.{number}"));
        let mut named = names.map(|name| (BalanceId::of(LEDGER, &name, &usd, "default"), name));
        let (id, name) = named
            .find(|(id, _)| partition_of(*id, count) == partition)
            .unwrap();
        let json = serde_json::json!({
            "reference": format!("open-{name}"), "type": "open", "ledger": LEDGER,
            "open": {"account": name, "asset": "USD/2"},
        });
        self.send(&json);
        id
    }

    /// Moves money; the legs stay on the wire.
    pub(crate) fn transfer(
        &mut self,
        reference: &str,
        from: BalanceId,
        to: BalanceId,
        amount: &str,
    ) {
        self.send(&serde_json::json!({
            "reference": reference, "type": "transfer", "ledger": LEDGER,
            "postings": [{
                "source": from.to_string(), "destination": to.to_string(),
                "amount": amount, "asset": "USD/2",
            }],
        }));
    }

    pub(crate) fn world(&self) -> BalanceId {
        BalanceId::world(LEDGER, &Asset::parse("USD/2").unwrap())
    }

    /// Delivers the legs on the wire, and those they send, until none is left.
    pub(crate) fn deliver(&mut self) {
        while !self.wire.is_empty() {
            let leg = self.wire.remove(0);
            let bytes = (leg.key.to_string(), b"a leg".to_vec());
            self.decide(leg.to, bytes, &Record::Leg(leg));
        }
    }

    fn send(&mut self, json: &serde_json::Value) {
        let value = json.to_string().into_bytes();
        let command = self.decoder.parse(&value, None, None).unwrap();
        let key = command.decider();
        let count = PartitionId::try_from(self.partitions.len()).unwrap();
        let record = Record::Command(command.into());
        self.decide(partition_of(key, count), (key.to_string(), value), &record);
    }

    fn decide(&mut self, partition: PartitionId, bytes: Bytes, record: &Record) {
        let at = usize::from(partition);
        self.at_ms += 1;
        let offset = self.commands[at].len() as u64;
        self.commands[at].push(bytes);
        let outcome = self.partitions[at].apply(offset, self.at_ms, record);
        let key = outcome.command.as_ref().map_or_else(
            || NO_BALANCE_KEY.to_owned(),
            |command| command.decider().to_string(),
        );
        let body = OutcomeBody::of(&outcome, partition, self.prev[at]);
        let mut value = Vec::new();
        self.prev[at] = body.seal(&mut value).unwrap();
        self.wire.extend(outcome.legs.iter().cloned());
        self.outcomes[at].push((key, value));
    }

    /// The marker of a partition as it is, as its owner would write it.
    pub(crate) fn marker(&self, partition: PartitionId) -> MarkerBody {
        let cut: Cut = self.partitions[usize::from(partition)].cut().unwrap();
        let position = self.outcomes[usize::from(partition)].len() as u64 - 1;
        MarkerBody::of(&cut, partition, position, 1)
    }

    /// Hot's values of a partition.
    pub(crate) fn hot(&self, partition: PartitionId) -> Vec<(BalanceId, String)> {
        let balances = self.partitions[usize::from(partition)].balances();
        let values = balances.map(|(id, balance)| {
            let body = BalanceBody::of(id, &balance, partition, 1);
            let json = serde_json::to_string(&body).unwrap();
            (id, format!("{} {json}", balance.state.version))
        });
        let mut values: Vec<_> = values.collect();
        values.sort_unstable();
        values
    }

    /// Changes the text of the outcome of `command`.
    pub(crate) fn edit(&mut self, partition: PartitionId, command: u64, from: &str, to: &str) {
        let records = self.outcomes[usize::from(partition)].iter_mut();
        let mut values = records.skip(FIRST).map(|(_, value)| value);
        let named = format!("\"offset\":{command},");
        let value = values
            .find(|value| String::from_utf8_lossy(value).contains(&named))
            .unwrap();
        let text = String::from_utf8(value.clone()).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        *value = text.replacen(from, to, 1).into_bytes();
    }
}

/// A day of two partitions: money comes in, moves within and between them, and some is refused.
pub(crate) fn day() -> World {
    let mut world = World::new(2);
    let (alice, bob) = (world.open("alice", 0), world.open("bob", 0));
    let (carol, source) = (world.open("carol", 1), world.world());
    world.transfer("in-1", source, alice, "100.00");
    world.transfer("in-2", source, carol, "50.00");
    world.deliver();
    world.transfer("pay-1", alice, bob, "12.50");
    world.transfer("pay-2", alice, carol, "20.00");
    world.transfer("pay-3", carol, bob, "5.25");
    world.deliver();
    world.transfer("pay-1", alice, bob, "12.50");
    world.transfer("too-much", bob, carol, "1000.00");
    world.transfer("pay-4", bob, alice, "1.00");
    world.deliver();
    world
}
