//! Who pays whom, and the orders they write: mostly sensible, some that must be refused.

use load::account::{ASSET, Account, Ledger};
use load::rng::Rng;
use serde_json::{Value, json};
use steelyard::ledger::{Fingerprint, PartitionId};
use steelyard::wire::{Decoder, Time};
use uuid::Uuid;

use super::book::Book;

/// The ledger that everything is played in.
pub const LEDGER: &str = "chaos";
/// What every account starts with, in cents.
pub(super) const FUNDS: u64 = 100_000;
/// A striped account.
const FEES: &str = "@fees";
/// Payments are dated, and periods closed, within so many days, long ago.
const DAYS: u64 = 300;

#[derive(Clone, Debug)]
pub struct Cast {
    pub ledger: Ledger,
    pub accounts: Vec<Account>,
}

/// A command as it is sent, by HTTP and by Kafka.
#[derive(Clone, Debug)]
pub struct Order {
    pub reference: String,
    pub body: Vec<u8>,
    pub fingerprint: Fingerprint,
    /// The balance that decides, as the record's key, and its partition.
    pub key: String,
    pub partition: PartitionId,
    /// How many there are: they tell which stripe of the world pays.
    partitions: PartitionId,
    /// The record, whose members may make another content of it under the same reference.
    record: Value,
    /// Where it is posted to over HTTP, and what, if that is not the record.
    request: Option<(String, Value)>,
}

impl Cast {
    pub fn new(accounts: usize, partitions: PartitionId) -> Self {
        let ledger = Ledger {
            name: LEDGER.to_owned(),
            partitions,
        };
        let accounts = (0..accounts)
            .map(|n| ledger.account(&format!("a-{n:05}")))
            .collect();
        Self { ledger, accounts }
    }

    pub fn open(&self, account: &Account) -> Order {
        let reference = format!("open-{}", account.name);
        let body = json!({"reference": reference, "type": "open", "ledger": LEDGER,
            "open": {"account": account.name, "asset": ASSET}});
        self.order(reference, body, account)
    }

    pub fn fund(&self, account: &Account) -> Order {
        let reference = format!("fund-{}", account.name);
        let world = self.ledger.world();
        let posting = posting(world.id, account.id, FUNDS);
        // The world pays from its stripe where the account is.
        self.order(reference.clone(), transfer(&reference, &[posting]), account)
    }

    /// A payment that draws everything: who, whom, how much, and what is wrong with it.
    pub fn payment(&self, reference: String, book: &Book, rng: &mut Rng) -> Order {
        let source = self.draw(rng);
        let mut postings = vec![posting(
            source.id,
            self.other(source, rng).id,
            rng.between(1, 500),
        )];
        let (mut body_expect, mut date) = (None, None);
        match rng.below(100) {
            // A fee beside the payment.
            0..10 => postings.push(posting(source.id, self.other(source, rng).id, 1)),
            // Somebody else pays too: a walk with several debits.
            10..16 => {
                let second = self.draw(rng);
                let to = self.other(second, rng);
                postings.push(posting(second.id, to.id, rng.between(1, 50)));
            }
            // More than there is.
            16..22 => {
                let to = self.other(source, rng);
                postings = vec![posting(source.id, to.id, FUNDS * 1000)];
            }
            // To a stranger.
            22..24 => postings.push(posting(source.id, Uuid::from_u128(7), 1)),
            // What the client saw, mostly stale by now.
            24..32 => body_expect = book.version(source.id),
            // To a striped account, by its name.
            32..40 => {
                let mut fee = posting(source.id, source.id, 1);
                fee["destination"] = json!(FEES);
                postings.push(fee);
            }
            // Back-dated, now and then into a closed period.
            40..46 => date = Some(rng.between(0, DAYS)),
            _ => {}
        }
        let mut body = transfer(&reference, &postings);
        if let Some(version) = body_expect {
            body["expect"] = json!({source.id.to_string(): version});
        }
        if let Some(day) = date {
            body["effective_at"] = json!(at_day(day));
        }
        self.order(reference, body, source)
    }

    pub(super) fn order(&self, reference: String, record: Value, decider: &Account) -> Order {
        let partitions = self.ledger.partitions;
        Order {
            reference,
            body: record.to_string().into_bytes(),
            fingerprint: fingerprint(&record, partitions),
            key: decider.id.to_string(),
            partition: decider.partition,
            partitions,
            record,
            request: None,
        }
    }

    /// Closes what takes effect before some day; now and then less than is closed.
    pub fn close(&self, reference: String, rng: &mut Rng) -> Order {
        let record = json!({"reference": reference, "type": "close-period", "ledger": LEDGER,
            "close_period": {"before": at_day(rng.between(0, DAYS))}});
        let home = self.ledger.period();
        self.order(reference, record, &home)
    }

    pub fn draw(&self, rng: &mut Rng) -> &Account {
        // One account in four takes half of everything: hot balances are the rule.
        let hot = (self.accounts.len() / 4).max(1);
        match rng.chance(0.5) {
            true => &self.accounts[rng.below(hot)],
            false => &self.accounts[rng.below(self.accounts.len())],
        }
    }

    pub(super) fn other(&self, than: &Account, rng: &mut Rng) -> &Account {
        loop {
            let drawn = self.draw(rng);
            if drawn.id != than.id || self.accounts.len() == 1 {
                return drawn;
            }
        }
    }
}

impl Order {
    /// What nobody can read.
    pub fn garbled(&self) -> Self {
        Self {
            body: b"{\"reference\": \x00 no".to_vec(),
            ..self.clone()
        }
    }

    /// Other content under the same reference, decided by the same balance.
    pub fn altered(&self) -> Self {
        let described = |content: &Value| {
            let mut content = content.clone();
            content["description"] = json!("another content under a used reference");
            content
        };
        let record = described(&self.record);
        let request = self.request.as_ref();
        Self {
            fingerprint: fingerprint(&record, self.partitions),
            body: record.to_string().into_bytes(),
            request: request.map(|(path, content)| (path.clone(), described(content))),
            ..self.clone()
        }
    }

    /// The same under another reference.
    pub(super) fn under(&self, reference: String) -> Self {
        let mut record = self.record.clone();
        record["reference"] = json!(reference);
        self.followed_by(reference, record)
    }

    /// Another order, which the same balance decides.
    pub(super) fn followed_by(&self, reference: String, record: Value) -> Self {
        Self {
            reference,
            body: record.to_string().into_bytes(),
            fingerprint: fingerprint(&record, self.partitions),
            key: self.key.clone(),
            record,
            request: None,
            ..*self
        }
    }

    pub(super) fn is_reversal(&self) -> bool {
        self.record["type"] == "reverse"
    }

    pub(super) fn record(&self) -> &Value {
        &self.record
    }

    /// All that its postings ask for, in cents.
    pub(super) fn cents(&self) -> u64 {
        let postings = self.record["postings"].as_array();
        let amounts = postings.into_iter().flatten();
        let cents =
            amounts.filter_map(|it| it["amount"].as_str()?.replace('.', "").parse::<u64>().ok());
        cents.sum()
    }

    /// The same, posted to a path of its own over HTTP.
    pub(super) fn at(self, path: String, content: Value) -> Self {
        Self {
            request: Some((path, content)),
            ..self
        }
    }

    /// Where it is posted to over HTTP, and what.
    pub fn request(&self) -> (&str, Vec<u8>) {
        match &self.request {
            None => ("/v1/transactions", self.body.clone()),
            Some((path, content)) => (path, content.to_string().into_bytes()),
        }
    }
}

pub(super) fn posting(source: Uuid, destination: Uuid, minor: u64) -> Value {
    json!({"source": source, "destination": destination, "amount": money(minor), "asset": ASSET})
}

pub(super) fn money(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

pub(super) fn transfer(reference: &str, postings: &[Value]) -> Value {
    json!({"reference": reference, "type": "transfer", "ledger": LEDGER, "postings": postings})
}

/// A day of the year 2020 and a bit.
fn at_day(day: u64) -> String {
    const FIRST_MS: u64 = 1_577_836_800_000;
    let ms = i64::try_from(FIRST_MS + day * 86_400_000).unwrap_or(0);
    Time(ms).to_string()
}

fn fingerprint(body: &Value, partitions: PartitionId) -> Fingerprint {
    let text = body.to_string();
    let command = Decoder::of(partitions).parse(text.as_bytes(), None, None);
    command
        .expect("what the cast writes is well formed")
        .fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_order_is_another_content_of_the_same_decider() {
        let cast = Cast::new(4, 4);
        let (book, mut rng) = (Book::default(), Rng::new(1));
        for n in 0..200 {
            let order = cast.payment(format!("r-{n}"), &book, &mut rng);
            let altered = order.altered();
            assert_ne!(order.fingerprint, altered.fingerprint);
            let decoded = Decoder::of(4).parse(&altered.body, None, None).unwrap();
            assert_eq!(decoded.decider().to_string(), order.key);
            assert_eq!(&*decoded.reference, order.reference);
        }
    }
}
