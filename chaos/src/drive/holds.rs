//! Holds: made, posted in parts and too much, voided, left to expire.

use load::account::{ASSET, Account};
use load::rng::Rng;
use serde_json::json;
use uuid::Uuid;

use super::cast::{Cast, FUNDS, LEDGER, Order, money, posting, transfer};

/// An order of a hold, and what its posts and voids have to name.
#[derive(Clone, Debug)]
pub struct Hold {
    pub order: Order,
    /// The first source: its balance decides.
    source: Account,
    /// All of it, in cents.
    cents: u64,
}

impl Cast {
    /// A hold that draws everything: between how many, for how long, and what is wrong with it.
    pub fn hold(&self, reference: String, rng: &mut Rng) -> Hold {
        let source = self.draw(rng).clone();
        let (mut postings, mut cents) = (Vec::new(), 0);
        for n in 0..rng.between(1, 3) {
            // The first source decides; the others are often its own too.
            let from = match n == 0 || rng.chance(0.5) {
                true => &source,
                false => self.draw(rng),
            };
            let minor = match rng.chance(0.04) {
                true => FUNDS * 1000,
                false => rng.between(1, 300),
            };
            postings.push(posting(from.id, self.other(from, rng).id, minor));
            cents += minor;
        }
        if rng.chance(0.03) {
            postings.push(posting(source.id, Uuid::from_u128(7), 1));
        }
        let mut record = transfer(&reference, &postings);
        record["hold"] = match rng.below(10) {
            0..4 => json!({"expires_in": format!("{}s", rng.between(1, 4))}),
            4..6 => json!({"expires_in": "30d"}),
            _ => json!({}),
        };
        let order = self.order(reference, record, &source);
        Hold {
            order,
            source,
            cents,
        }
    }

    /// What somebody may want of `hold`, whose transaction is `id`: a part of it, all, or an end.
    pub fn on_hold(&self, reference: String, hold: &Hold, id: Uuid, rng: &mut Rng) -> Order {
        let (kind, part) = match rng.below(10) {
            0..2 => ("void", None),
            2..4 => ("post", None),
            // Now and then more than is left.
            _ => (
                "post",
                Some(money(rng.between(1, hold.cents.max(2) / 2 + 20))),
            ),
        };
        let mut target = json!({"hold": id, "balance": hold.source.id});
        let mut request = json!({"reference": reference, "ledger": LEDGER});
        if let Some(amount) = part {
            (target["amount"], target["asset"]) = (json!(amount), json!(ASSET));
            request["amount"] = json!(amount);
        }
        let mut record = json!({"reference": reference, "type": kind, "ledger": LEDGER});
        record[kind] = target;
        let path = format!("/v1/transactions/{}/{kind}", hold.order.reference);
        let order = self.order(reference, record, &hold.source);
        order.at(path, request)
    }
}

#[cfg(test)]
mod tests {
    use steelyard::wire::Decoder;

    use super::*;

    #[test]
    fn what_is_ordered_on_a_hold_is_decided_at_its_home() {
        let (cast, mut rng) = (Cast::new(4, 4), Rng::new(1));
        let id: Uuid = "00000000-0000-8002-8000-000000000042".parse().unwrap();
        for n in 0..200 {
            let hold = cast.hold(format!("h-{n}"), &mut rng);
            let order = cast.on_hold(format!("p-{n}"), &hold, id, &mut rng);
            assert_eq!(order.partition, hold.order.partition);
            let decoded = Decoder::of(4).parse(&order.body, None, None).unwrap();
            assert_eq!(decoded.decider().to_string(), order.key);
            let (path, request) = order.request();
            assert!(path.starts_with(&format!("/v1/transactions/h-{n}/")));
            let altered = order.altered();
            assert_ne!(altered.fingerprint, order.fingerprint);
            assert_ne!(altered.request().1, request);
        }
    }
}
