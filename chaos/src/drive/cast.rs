//! Who pays whom, and the orders they write: mostly sensible, some that must be refused.

use load::account::{ASSET, Account, Ledger};
use load::rng::Rng;
use serde_json::{Value, json};
use steelyard::ledger::{Fingerprint, PartitionId};
use steelyard::wire::Decoder;
use uuid::Uuid;

use super::book::Book;

/// The ledger that everything is played in.
pub const LEDGER: &str = "chaos";
/// What every account starts with, in cents.
const FUNDS: u64 = 100_000;

#[derive(Clone, Debug)]
pub struct Cast {
    pub ledger: Ledger,
    pub accounts: Vec<Account>,
}

/// A command as it is sent, by HTTP and by Kafka alike.
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
    /// Members that make another content of it under the same reference.
    payment: Value,
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
        let mut body_expect = None;
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
            _ => {}
        }
        let mut body = transfer(&reference, &postings);
        if let Some(version) = body_expect {
            body["expect"] = json!({source.id.to_string(): version});
        }
        self.order(reference, body, source)
    }

    fn order(&self, reference: String, payment: Value, decider: &Account) -> Order {
        let partitions = self.ledger.partitions;
        Order {
            reference,
            body: payment.to_string().into_bytes(),
            fingerprint: fingerprint(&payment, partitions),
            key: decider.id.to_string(),
            partition: decider.partition,
            partitions,
            payment,
        }
    }

    pub fn draw(&self, rng: &mut Rng) -> &Account {
        // One account in four takes half of everything: hot balances are the rule.
        let hot = (self.accounts.len() / 4).max(1);
        match rng.chance(0.5) {
            true => &self.accounts[rng.below(hot)],
            false => &self.accounts[rng.below(self.accounts.len())],
        }
    }

    fn other(&self, than: &Account, rng: &mut Rng) -> &Account {
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
        let mut body = self.payment.clone();
        body["description"] = json!("another payment under a used reference");
        Self {
            fingerprint: fingerprint(&body, self.partitions),
            body: body.to_string().into_bytes(),
            ..self.clone()
        }
    }
}

fn posting(source: Uuid, destination: Uuid, minor: u64) -> Value {
    let amount = format!("{}.{:02}", minor / 100, minor % 100);
    json!({"source": source, "destination": destination, "amount": amount, "asset": ASSET})
}

fn transfer(reference: &str, postings: &[Value]) -> Value {
    json!({"reference": reference, "type": "transfer", "ledger": LEDGER, "postings": postings})
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
