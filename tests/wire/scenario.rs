//! A day of two partitions, told to the byte: every kind of record happens in it once.

use std::sync::LazyLock;

use steelyard::ledger::{
    Asset, BalanceId, Partition, PartitionId, Record, TransactionId, partition_of,
};
use steelyard::wire::leg::{HEADER, SEAL_HEADER, VERSION};
use steelyard::wire::outcome::{self, GenesisBody};
use steelyard::wire::record::{
    CORRELATION_HEADER, ClaimBody, GENESIS_KEY, Headers, REPLY_TOPIC_HEADER, RULES_KEY, Raw,
    Recognizer, RulesBody, TRACE_HEADER,
};
use steelyard::wire::{
    BalanceBody, CommandBody, Decoder, HoldBody, LegRecord, MarkerBody, OutcomeBody, Secret, Time,
};
use uuid::{Uuid, uuid};

pub(crate) const LEDGER: &str = "acme/main";
pub(crate) const GENERATION: Uuid = uuid!("01907e1b-5d3a-7c40-8000-0123456789ab");
const HORIZON_SECONDS: u64 = 600;

/// A sealed leg as it goes to `commands`.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub to: PartitionId,
    pub key: String,
    pub value: String,
    pub seal: String,
}

/// Everything that was written, in order.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub commands: Vec<String>,
    pub legs: Vec<Sealed>,
    /// By partition.
    pub outcomes: [Vec<String>; 2],
    pub snapshots: Vec<String>,
    pub holds: Vec<String>,
    pub markers: Vec<String>,
    pub genesis: String,
    pub claim: String,
}

pub(crate) fn secret() -> Secret {
    Secret::new("a secret of the tests").unwrap()
}

/// The recognise phase of partition `here` of two.
pub(crate) fn recognizer(here: PartitionId) -> Recognizer {
    Recognizer::new(secret(), vec!["replies".to_owned()], here, 2)
}

/// The account of the tests in a partition.
pub(crate) fn account(partition: PartitionId, number: usize) -> (String, BalanceId) {
    let dollars = Asset::parse("USD").unwrap();
    let names = (0..).map(|at| format!("account-{at}"));
    let ids = names.map(|name| {
        let id = BalanceId::of(LEDGER, &name, &dollars, "default");
        (name, id)
    });
    let mut there = ids.filter(|(_, id)| partition_of(*id, 2) == partition);
    there.nth(number).unwrap()
}

struct Day {
    partitions: Vec<Partition>,
    recognizers: Vec<Recognizer>,
    offsets: [u64; 2],
    now_ms: i64,
    written: Written,
}

/// The day, played once.
pub(crate) fn play() -> &'static Written {
    static DAY: LazyLock<Written> = LazyLock::new(Day::play);
    &DAY
}

/// A shorter one on which the rules are raised first, in one partition further than in the other.
pub(crate) fn play_raised() -> &'static Written {
    static DAY: LazyLock<Written> = LazyLock::new(Day::raised);
    &DAY
}

impl Day {
    fn play() -> Written {
        let (mut day, nine) = Self::begin();
        day.transfers();
        day.walks();
        day.strays();
        day.periods();
        day.holds();
        day.reversals();
        day.projections(nine);
        day.written
    }

    fn raised() -> Written {
        let (mut day, nine) = Self::begin();
        for (to, rules) in [(0, 2), (1, 2), (0, 3)] {
            day.raise(to, rules);
        }
        day.walks();
        day.holds();
        day.raise(1, 3);
        day.reversals();
        day.projections(nine);
        day.written
    }

    fn begin() -> (Self, Time) {
        let nine: Time = serde_json::from_str("\"2026-11-21T09:00:00Z\"").unwrap();
        let mut day = Day {
            partitions: (0..2).map(|id| Partition::new(id, 2)).collect(),
            recognizers: (0..2).map(recognizer).collect(),
            offsets: [0, 0],
            now_ms: nine.0,
            written: Written::default(),
        };
        day.genesis();
        day.balances();
        (day, nine)
    }

    fn raise(&mut self, to: PartitionId, rules: u32) {
        let value = serde_json::to_string(&RulesBody { rules }).unwrap();
        let seal = secret().seal(RULES_KEY.as_bytes(), value.as_bytes());
        let seal = serde_json::to_value(seal).unwrap();
        let headers = Headers {
            seal: seal.as_str().map(str::as_bytes),
            ..Headers::default()
        };
        self.record(to, RULES_KEY, &value, headers);
    }

    fn genesis(&mut self) {
        let body = GenesisBody {
            generation: GENERATION,
            horizon_seconds: HORIZON_SECONDS,
        };
        self.written.genesis = serde_json::to_string(&body).unwrap();
        for to in [0, 1] {
            let value = self.written.genesis.clone();
            self.record(to, GENESIS_KEY, &value, Headers::default());
        }
    }

    fn balances(&mut self) {
        let ((alice, _), (bob, _)) = (account(0, 0), account(1, 0));
        let (carl, _) = account(0, 1);
        let open = |reference, name, limits| {
            format!(
                r#"{{"reference": "{reference}", "type": "open", "ledger": "{LEDGER}",
                "open": {{"account": "{name}", "asset": "USD"{limits}}}}}"#
            )
        };
        self.command(0, &open("open-1", alice, r#", "floor": null"#));
        self.command(
            1,
            &open("open-2", bob, r#", "floor": "-5", "ceiling": "1000""#),
        );
        self.command(0, &open("open-3", carl, ""));
    }

    fn transfers(&mut self) {
        let ((_, alice), (_, carl)) = (account(0, 0), account(0, 1));
        let noted = transfer("order-8412", &[(alice, carl, "12.5")]).replacen(
            "\"type\"",
            &format!(
                r#""expect": {{"{alice}": 1}}, "effective_at": "2026-11-20T00:00:00+01:00",
                "description": "Größe \"M\"\n", "metadata": {{"zone": "b", "aisle": "a"}},
                "type""#
            ),
            1,
        );
        self.command(0, &noted);
        self.command(0, &noted);
        self.command(0, &transfer("order-8412", &[(alice, carl, "12.51")]));
        self.command(0, &transfer("order-8413", &[(carl, alice, "12.51")]));
        self.command(
            0,
            &format!(
                r#"{{"reference": "limits-1", "type": "configure", "ledger": "{LEDGER}",
                "configure": {{"balance": "{carl}", "asset": "USD", "floor": "-20.5",
                "ceiling": null, "status": "credits-frozen"}}}}"#
            ),
        );
    }

    fn walks(&mut self) {
        let ((_, alice), (_, bob)) = (account(0, 0), account(1, 0));
        // two records
        let two = transfer("walk-1", &[(alice, bob, "7.00")]);
        self.command(0, &two);
        self.leg(0);
        // reserve and settle
        self.command(
            0,
            &transfer("walk-2", &[(alice, bob, "3.00"), (bob, alice, "1.00")]),
        );
        self.leg(1);
        self.leg(2);
        // refused, and back
        self.command(0, &transfer("walk-3", &[(alice, account(1, 1).1, "1.00")]));
        self.leg(3);
        self.leg(4);
        // refused where a credit was reserved
        self.command(
            0,
            &transfer("walk-4", &[(alice, bob, "0.01"), (bob, alice, "900.00")]),
        );
        self.leg(5);
        self.leg(6);
        // asked again
        self.command(0, &two);
        self.leg(7);
    }

    fn strays(&mut self) {
        let ((_, alice), (_, bob)) = (account(0, 0), account(1, 0));
        self.leg(0);
        self.record(1, "key", "{", Headers::default());
        self.command(1, &transfer("stray-1", &[(alice, account(0, 1).1, "0.01")]));
        self.leg(8);
        // a leg comes before the one before it
        self.command(0, &transfer("gap-1", &[(alice, bob, "0.10")]));
        self.command(0, &transfer("gap-2", &[(alice, bob, "0.20")]));
        self.leg(10);
        self.leg(9);
        self.leg(10);
        // asked again when the answer is forgotten there, but not here
        self.command(0, &transfer("gap-2", &[(alice, bob, "0.20")]));
        self.now_ms += 600_000;
        self.leg(11);
    }

    fn periods(&mut self) {
        let home = partition_of(BalanceId::period(LEDGER), 2);
        let close = format!(
            r#"{{"reference": "november", "type": "close-period", "ledger": "{LEDGER}",
            "close_period": {{"before": "2026-11-01T00:00:00Z"}}}}"#
        );
        self.command(home, &close);
        self.leg(self.written.legs.len() - 1);
        let ((_, alice), (_, carl)) = (account(0, 0), account(0, 1));
        let late = transfer("late-1", &[(alice, carl, "1.00")]);
        let late = late.replacen(
            "\"type\"",
            r#""effective_at": "2026-10-31T23:59:59Z", "type""#,
            1,
        );
        self.command(0, &late);
    }

    fn holds(&mut self) {
        let ((_, alice), (_, bob)) = (account(0, 0), account(1, 0));
        let hold = |reference, postings: &[_], terms| {
            transfer(reference, postings).replacen("\"type\"", &format!("{terms}, \"type\""), 1)
        };
        let on = |reference, kind, hold: TransactionId, more| {
            format!(
                r#"{{"reference": "{reference}", "type": "{kind}", "ledger": "{LEDGER}",
                "{kind}": {{"hold": "{hold}", "balance": "{alice}"{more}}}}}"#
            )
        };
        let at = self.written.legs.len();
        // posted in part, then voided
        let first = TransactionId::new(0, self.offsets[0], GENERATION);
        let one = [(alice, bob, "5.00")];
        self.command(0, &hold("hold-1", &one, r#""hold": {"expires_in": "15m"}"#));
        self.leg(at);
        self.leg(at + 1);
        self.command(
            0,
            &on(
                "post-1",
                "post",
                first,
                r#", "amount": "2", "asset": "USD""#,
            ),
        );
        self.leg(at + 2);
        self.command(
            0,
            &on(
                "post-2",
                "post",
                first,
                r#", "amount": "4", "asset": "USD""#,
            ),
        );
        self.command(0, &on("void-1", "void", first, ""));
        self.leg(at + 3);
        // from and to both partitions
        let second = TransactionId::new(0, self.offsets[0], GENERATION);
        let both = [(alice, bob, "1.00"), (bob, alice, "0.50")];
        self.command(0, &hold("hold-2", &both, r#""hold": {}"#));
        self.leg(at + 4);
        self.leg(at + 5);
        self.command(0, &on("post-3", "post", second, ""));
        for leg in 6..=8 {
            self.leg(at + leg);
        }
        // expired, and one that stays
        let third = TransactionId::new(0, self.offsets[0], GENERATION);
        self.command(0, &hold("hold-3", &one, r#""hold": {"expires_in": "60s"}"#));
        self.leg(at + 9);
        self.leg(at + 10);
        let tick = on("hold-3", "expire", third, "");
        self.tick(alice, &tick);
        self.now_ms += 60_000;
        self.tick(alice, &tick);
        self.leg(at + 11);
        self.command(0, &hold("hold-4", &one, r#""hold": {"expires_in": "1d"}"#));
        self.leg(at + 12);
    }

    fn reversals(&mut self) {
        let ((_, alice), (_, bob)) = (account(0, 0), account(1, 0));
        let reverse = |reference, of: TransactionId, original: &str, more| {
            format!(
                r#"{{"reference": "{reference}", "type": "reverse", "ledger": "{LEDGER}",
                "reverse": {{"transaction": "{of}", "original": {original}{more}}}}}"#
            )
        };
        let at = self.written.legs.len();
        let first = TransactionId::new(0, self.offsets[0], GENERATION);
        let original = transfer("reversed-1", &[(alice, bob, "3.00")]);
        self.command(0, &original);
        self.leg(at);
        // a part, then all that is left, below the floor
        let part = r#", "amount": "1", "asset": "USD""#;
        self.command(0, &reverse("reverse-1", first, &original, part));
        self.leg(at + 1);
        self.leg(at + 2);
        let force = r#", "force": true"#;
        self.command(0, &reverse("reverse-2", first, &original, force));
        self.leg(at + 3);
        self.leg(at + 4);
        self.command(0, &reverse("reverse-3", first, &original, ""));
    }

    /// What an owner writes when a hold is due.
    fn tick(&mut self, key: BalanceId, json: &str) {
        let key = key.to_string();
        let seal = serde_json::to_value(secret().seal(key.as_bytes(), json.as_bytes())).unwrap();
        let headers = Headers {
            tick: Some(VERSION.as_bytes()),
            seal: seal.as_str().map(str::as_bytes),
            ..Headers::default()
        };
        self.record(0, &key, json, headers);
    }

    fn projections(&mut self, at: Time) {
        for (id, partition) in (0..).zip(&self.partitions) {
            let cut = partition.cut().unwrap();
            let marker = MarkerBody::of(&cut, id, 99, 7);
            self.written
                .markers
                .push(serde_json::to_string(&marker).unwrap());
            let mut balances: Vec<_> = partition.balances().collect();
            balances.sort_by_key(|(id, _)| *id);
            for (balance, state) in balances {
                let body = BalanceBody::of(balance, &state, id, 7);
                self.written
                    .snapshots
                    .push(serde_json::to_string(&body).unwrap());
            }
            let mut holds: Vec<_> = partition.holds().iter().collect();
            holds.sort_by_key(|(id, _)| *id);
            for (hold, state) in holds {
                let body = HoldBody::snapshot(hold, state, id, 7);
                self.written
                    .holds
                    .push(serde_json::to_string(&body).unwrap());
            }
        }
        let claim = ClaimBody {
            partition: 1,
            instance: "processor-2".to_owned(),
            generation: GENERATION,
            at,
        };
        self.written.claim = serde_json::to_string(&claim).unwrap();
    }

    fn command(&mut self, to: PartitionId, json: &str) {
        let command = Decoder::new().parse(json.as_bytes(), None, None).unwrap();
        let body = CommandBody::of(&command);
        self.written
            .commands
            .push(serde_json::to_string(&body).unwrap());
        let headers = Headers {
            correlation: Some(b"\x00ticket\xff"),
            reply_topic: Some(b"replies"),
            reply_partition: Some(&[0, 0, 0, 3]),
            trace: Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ..Headers::default()
        };
        self.record(to, &command.decider().to_string(), json, headers);
    }

    fn leg(&mut self, index: usize) {
        let leg = self.written.legs[index].clone();
        let headers = sealed_headers(&leg);
        self.record(leg.to, &leg.key, &leg.value, headers);
    }

    fn record(&mut self, to: PartitionId, key: &str, value: &str, headers: Headers<'_>) {
        let at = usize::from(to);
        let raw = Raw {
            offset: self.offsets[at],
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers,
        };
        let record = self.recognizers[at].recognize(&raw);
        let record = record.unwrap_or(Record::DeadLetter);
        let decided = self.partitions[at].apply(raw.offset, self.now_ms, &record);
        let before = self.written.outcomes[at].last();
        let prev = before.map_or(outcome::NO_HASH, |before| outcome::hash(before.as_bytes()));
        let body = OutcomeBody::of(&decided, to, prev);
        let mut value = Vec::new();
        body.seal(&mut value).unwrap();
        self.written.outcomes[at].push(String::from_utf8(value).unwrap());
        self.written.legs.extend(body.legs.iter().map(sealed));
        self.offsets[at] += 1;
        self.now_ms += 1500;
    }
}

fn sealed(leg: &LegRecord) -> Sealed {
    let (key, value) = (leg.key.to_string(), leg.value.get().to_owned());
    let seal = secret().seal(key.as_bytes(), value.as_bytes());
    Sealed {
        to: leg.to,
        seal: serde_json::to_value(seal)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned(),
        key,
        value,
    }
}

/// The headers of a sealed leg, others among them.
pub(crate) fn sealed_headers(leg: &Sealed) -> Headers<'_> {
    let headers = [
        (HEADER, VERSION),
        (SEAL_HEADER, leg.seal.as_str()),
        ("ce_type", "steelyard.leg"),
        (CORRELATION_HEADER, "not for a leg"),
        (REPLY_TOPIC_HEADER, "elsewhere"),
        (TRACE_HEADER, "not for a leg"),
    ];
    Headers::of(
        headers
            .into_iter()
            .map(|(name, value)| (name, Some(value.as_bytes()))),
    )
}

fn transfer(reference: &str, postings: &[(BalanceId, BalanceId, &str)]) -> String {
    let posting = |(source, destination, amount): &(BalanceId, BalanceId, &str)| {
        format!(
            r#"{{"source": "{source}", "destination": "{destination}",
            "amount": "{amount}", "asset": "USD"}}"#
        )
    };
    let postings: Vec<String> = postings.iter().map(posting).collect();
    format!(
        r#"{{"reference": "{reference}", "type": "transfer", "ledger": "{LEDGER}",
        "postings": [{}]}}"#,
        postings.join(", ")
    )
}
