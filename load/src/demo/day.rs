//! The plan of a day: who pays whom how much, in which order and by which road. A seed decides it.

use std::collections::BTreeMap;

use super::cast::Cast;
use crate::rng::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Salary,
    Card,
    /// A card payment whose fee is a second posting of the same transaction.
    CardWithFee,
    Gift,
    Fee,
    Refund,
    /// More than anybody has.
    Unfunded,
    /// To somebody who was never here.
    Stranger,
    /// An earlier payment, sent once more.
    Again,
    /// The reference of an earlier payment, with another amount.
    Altered,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Salary => "salaries",
            Self::Card => "card payments",
            Self::CardWithFee => "card payments with a fee",
            Self::Gift => "gifts",
            Self::Fee => "fees",
            Self::Refund => "refunds",
            Self::Unfunded => "without funds",
            Self::Stranger => "to a stranger",
            Self::Again => "sent twice",
            Self::Altered => "references reused",
        }
    }
}

/// Cents from one account to another, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub from: usize,
    pub to: usize,
    pub minor: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub kind: Kind,
    /// Whose reference it has: its own number, or the earlier payment's.
    pub reference: usize,
    pub moves: Vec<Move>,
}

impl Payment {
    /// Half of all references go over HTTP, and whatever is sent again goes the same way.
    pub fn is_http(&self) -> bool {
        Rng::new(self.reference as u64).draw() & 1 == 0
    }
}

/// How many of a thousand payments are of a kind, once salaries are paid.
const SHARES: [(Kind, usize); 9] = [
    (Kind::Card, 640),
    (Kind::CardWithFee, 60),
    (Kind::Gift, 80),
    (Kind::Fee, 60),
    (Kind::Refund, 50),
    (Kind::Unfunded, 55),
    (Kind::Stranger, 5),
    (Kind::Again, 40),
    (Kind::Altered, 10),
];

/// The plan for so many payments.
pub fn plan(cast: &Cast, payments: usize, seed: u64) -> Vec<Payment> {
    let mut rng = Rng::new(seed);
    let salaries = cast.customers.len().min(payments / 10);
    let mut plan: Vec<Payment> = Vec::with_capacity(payments);
    for number in 0..payments {
        let kind = match number < salaries {
            true => Kind::Salary,
            false => draw(&mut rng),
        };
        let payment = match matches!(kind, Kind::Again | Kind::Altered) {
            true => repeat(&plan, kind, &mut rng),
            false => Payment {
                kind,
                reference: number,
                moves: moves(cast, kind, number, &mut rng),
            },
        };
        plan.push(payment);
    }
    plan
}

/// How many payments of each kind a plan has.
pub fn census(plan: &[Payment]) -> BTreeMap<Kind, usize> {
    let mut census = BTreeMap::new();
    for payment in plan {
        *census.entry(payment.kind).or_insert(0) += 1;
    }
    census
}

fn draw(rng: &mut Rng) -> Kind {
    let mut ticket = rng.below(SHARES.iter().map(|(_, share)| share).sum());
    for (kind, share) in SHARES {
        if ticket < share {
            return kind;
        }
        ticket -= share;
    }
    Kind::Card
}

/// A payment made a good while ago, as after a time-out; the first ones are always the first.
fn repeat(plan: &[Payment], kind: Kind, rng: &mut Rng) -> Payment {
    let settled = plan.len().saturating_sub(plan.len().min(4_000) / 2).max(1);
    let earlier = &plan[plan[rng.below(settled)].reference];
    let mut moves = earlier.moves.clone();
    if let (Kind::Altered, Some(first)) = (kind, moves.first_mut()) {
        first.minor += 1;
    }
    Payment {
        kind,
        reference: earlier.reference,
        moves,
    }
}

fn salary(cast: &Cast, number: usize, rng: &mut Rng) -> Move {
    Move {
        from: cast.employers.start + number % cast.employers.len(),
        to: cast.customers.start + number % cast.customers.len(),
        minor: rng.between(1_600, 5_200) * 100,
    }
}

fn moves(cast: &Cast, kind: Kind, number: usize, rng: &mut Rng) -> Vec<Move> {
    let from = cast.customers.start + rng.below(cast.customers.len());
    let merchant = favourite(cast, rng);
    let cents = rng.between(150, 9_500);
    let go = |from, to, minor| vec![Move { from, to, minor }];
    match kind {
        Kind::Salary => vec![salary(cast, number, rng)],
        Kind::CardWithFee => {
            let fee = cents / 50 + 10;
            [go(from, merchant, cents), go(from, cast.fees, fee)].concat()
        }
        Kind::Gift => {
            let others = cast.customers.len() - 1;
            let step = 1 + rng.below(others);
            let to =
                cast.customers.start + (from - cast.customers.start + step) % cast.customers.len();
            go(from, to, cents)
        }
        Kind::Fee => go(from, cast.fees, 250),
        Kind::Refund => go(merchant, from, cents / 2 + 1),
        Kind::Unfunded => go(from, merchant, 9_000_000 * 100 + cents),
        Kind::Stranger => go(from, cast.stranger, cents),
        Kind::Card | Kind::Again | Kind::Altered => go(from, merchant, cents),
    }
}

/// Half of all card payments go to the first tenth of the merchants.
fn favourite(cast: &Cast, rng: &mut Rng) -> usize {
    let all = cast.merchants.len();
    let hot = (all / 10).max(1);
    let among = if rng.chance(0.5) { hot } else { all };
    cast.merchants.start + rng.below(among)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Ledger;

    fn cast(balances: usize) -> Cast {
        let ledger = Ledger {
            name: "demo".to_owned(),
            partitions: 4,
        };
        Cast::new(ledger, balances)
    }

    #[test]
    fn a_seed_decides_the_day() {
        let cast = cast(200);
        assert_eq!(plan(&cast, 2_000, 1), plan(&cast, 2_000, 1));
        assert_ne!(plan(&cast, 2_000, 1), plan(&cast, 2_000, 2));
    }

    #[test]
    fn a_day_has_everything_in_it_and_sums_to_zero() {
        let cast = cast(2_000);
        let plan = plan(&cast, 50_000, 1);
        let census = census(&plan);
        assert_eq!(census.len(), 10, "{census:?}");
        assert_eq!(census.values().sum::<usize>(), 50_000);
        assert!(census.values().all(|count| *count > 100), "{census:?}");
        let mut balances = vec![0_i64; cast.accounts.len()];
        for movement in plan.iter().flat_map(|payment| &payment.moves) {
            assert_ne!(movement.from, movement.to);
            assert!(movement.minor > 0);
            balances[movement.from] -= movement.minor as i64;
            balances[movement.to] += movement.minor as i64;
        }
        assert_eq!(balances.iter().sum::<i64>(), 0);
    }

    #[test]
    fn half_goes_each_way() {
        let plan = plan(&cast(2_000), 50_000, 3);
        let http = plan.iter().filter(|payment| payment.is_http()).count();
        assert!((24_000..26_000).contains(&http), "{http}");
    }

    #[test]
    fn what_is_sent_again_names_an_earlier_payment() {
        let plan = plan(&cast(200), 3_000, 9);
        for (number, payment) in plan.iter().enumerate() {
            let own = !matches!(payment.kind, Kind::Again | Kind::Altered);
            let earlier = &plan[payment.reference];
            assert_eq!(
                payment.kind == Kind::Altered,
                payment.moves != earlier.moves
            );
            assert_eq!(own, payment.reference == number, "{number}");
            assert!(payment.reference <= number);
        }
    }
}
