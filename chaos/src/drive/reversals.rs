//! Reversals: of payments, and of what was posted of holds; whole, in parts, once too often, and
//! of what was never decided like that.

use load::account::ASSET;
use load::rng::Rng;
use serde_json::json;
use uuid::Uuid;

use super::cast::{Cast, LEDGER, Order, money};

impl Cast {
    /// A reversal of `original`, whose transaction is `id`: of all that is left, of a part, or of
    /// more than there ever was.
    pub fn reversal(&self, reference: String, original: &Order, id: Uuid, rng: &mut Rng) -> Order {
        let all = original.cents();
        let part = match rng.below(10) {
            0..4 => None,
            4..9 => Some(rng.between(1, all / 2 + 1)),
            _ => Some(all + rng.between(1, 100)),
        };
        let mut target = json!({"transaction": id, "original": original.record()});
        let mut request = json!({"reference": reference, "ledger": LEDGER});
        if let Some(cents) = part {
            (target["amount"], target["asset"]) = (json!(money(cents)), json!(ASSET));
            request["amount"] = target["amount"].clone();
        }
        if rng.chance(0.2) {
            target["force"] = json!(true);
            request["force"] = json!(true);
        }
        let record = json!({"reference": reference, "type": "reverse", "ledger": LEDGER,
            "reverse": target});
        let path = format!("/v1/transactions/{}/reverse", original.reference);
        original.followed_by(reference, record).at(path, request)
    }

    /// A reversal as only a producer on Kafka can write it: now and then of another content than
    /// the one that was decided, of a transaction of another content, or of one that never was.
    pub fn wild_reversal(
        &self,
        reference: String,
        original: &Order,
        id: Uuid,
        rng: &mut Rng,
    ) -> Order {
        let original = match rng.below(20) {
            0 => original.altered(),
            1 => original.under(format!("never-{reference}")),
            _ => original.clone(),
        };
        self.reversal(reference, &original, id, rng)
    }
}

#[cfg(test)]
mod tests {
    use steelyard::wire::Decoder;

    use super::*;
    use crate::drive::book::Book;

    #[test]
    fn a_reversal_is_decided_where_its_original_was() {
        let (cast, book, mut rng) = (Cast::new(4, 4), Book::default(), Rng::new(1));
        let id: Uuid = "00000000-0000-8002-8000-000000000042".parse().unwrap();
        for n in 0..300 {
            let original = match rng.chance(0.3) {
                true => cast.hold(format!("o-{n}"), &mut rng).order,
                false => cast.payment(format!("o-{n}"), &book, &mut rng),
            };
            let order = cast.wild_reversal(format!("r-{n}"), &original, id, &mut rng);
            assert_eq!(order.partition, original.partition);
            let decoded = Decoder::of(4).parse(&order.body, None, None).unwrap();
            assert_eq!(decoded.decider().to_string(), order.key);
            assert_eq!(decoded.fingerprint, order.fingerprint);
            assert!(order.request().0.ends_with("/reverse"));
        }
    }
}
