//! Random commands.

use proptest::prelude::*;

/// Accounts `0..ACCOUNTS`, and the world.
pub(super) const ACCOUNTS: usize = 5;
pub(super) const WORLD: usize = ACCOUNTS;
pub(super) const ASSETS: [&str; 2] = ["USD/2", "EUR/2"];
pub(super) const STATUSES: [&str; 5] = [
    "open",
    "debits-frozen",
    "credits-frozen",
    "frozen",
    "closed",
];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Intent {
    Open {
        who: usize,
        asset: usize,
        floor: Option<i64>,
        ceiling: Option<i64>,
    },
    Set {
        who: usize,
        floor: Option<Option<i64>>,
        ceiling: Option<Option<i64>>,
        status: Option<usize>,
        expect: Option<Expect>,
    },
    Transfer(Vec<Move>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Move {
    pub(super) source: usize,
    pub(super) destination: usize,
    pub(super) asset: usize,
    pub(super) cents: i64,
    /// Names the source's balance in the other asset.
    pub(super) crossed: bool,
    /// Expects a version of the destination.
    pub(super) expect: Option<Expect>,
}

/// Which version is expected: the present one or another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Expect {
    Present,
    Stale,
}

/// A command under a reference, sent to its own partition or to another one.
#[derive(Clone, Debug)]
pub(super) struct Submit {
    pub(super) reference: u8,
    pub(super) intent: Intent,
    pub(super) via: Option<u16>,
}

pub(super) fn submit() -> impl Strategy<Value = Submit> {
    let via = prop::option::weighted(0.2, any::<u16>());
    (0..100_u8, intent(), via).prop_map(|(reference, intent, via)| Submit {
        reference,
        intent,
        via,
    })
}

/// Most balances are there from the start.
pub(super) fn openings() -> impl Strategy<Value = Vec<Submit>> {
    let all = (0..ACCOUNTS).flat_map(|who| (0..ASSETS.len()).map(move |asset| (who, asset)));
    let open = |(who, asset)| (limits(), prop::bool::weighted(0.9), Just((who, asset)));
    all.map(open).collect::<Vec<_>>().prop_map(|drawn| {
        let kept = drawn.into_iter().filter(|(_, there, _)| *there);
        let submit = |((floor, ceiling), _, (who, asset)): ((_, _), _, (usize, usize))| Submit {
            reference: 200 + u8::try_from(who * ASSETS.len() + asset).unwrap(),
            intent: Intent::Open {
                who,
                asset,
                floor,
                ceiling,
            },
            via: None,
        };
        kept.map(submit).collect()
    })
}

/// A floor and a ceiling that an empty balance meets, nearly always.
fn limits() -> impl Strategy<Value = (Option<i64>, Option<i64>)> {
    let floor = prop_oneof![2 => Just(None), 6 => (-40_i64..2).prop_map(Some)];
    let ceiling = prop_oneof![6 => Just(None), 2 => (-1_i64..60).prop_map(Some)];
    (floor, ceiling)
}

fn intent() -> impl Strategy<Value = Intent> {
    let limit = || prop::option::weighted(0.6, -30_i64..30);
    let open = (0..ACCOUNTS, 0..ASSETS.len(), limits());
    let open = open.prop_map(|(who, asset, (floor, ceiling))| Intent::Open {
        who,
        asset,
        floor,
        ceiling,
    });
    let change = || prop::option::weighted(0.3, limit());
    let status = prop::option::weighted(0.6, prop_oneof![4 => Just(0_usize), 1 => 1..5_usize]);
    let set = (0..ACCOUNTS, change(), change(), status, expect());
    let set = set.prop_filter_map(
        "it changes something",
        |(who, floor, ceiling, status, e)| {
            let nothing = floor.is_none() && ceiling.is_none() && status.is_none();
            (!nothing).then_some(Intent::Set {
                who,
                floor,
                ceiling,
                status,
                expect: e,
            })
        },
    );
    let transfer = prop::collection::vec(one_move(), 1..4).prop_map(Intent::Transfer);
    prop_oneof![1 => open, 3 => set, 16 => transfer]
}

fn one_move() -> impl Strategy<Value = Move> {
    let parties = (0..=WORLD, 1..=WORLD, 0..ASSETS.len());
    let crossed = prop::bool::weighted(0.03);
    (parties, 1_i64..12, crossed, expect()).prop_map(
        |((source, step, asset), cents, crossed, e)| Move {
            source,
            destination: (source + step) % (WORLD + 1),
            asset,
            cents,
            crossed: crossed && source != WORLD,
            // The world is many balances, of which none has a version that a client could know.
            expect: e.filter(|_| (source + step) % (WORLD + 1) != WORLD),
        },
    )
}

fn expect() -> impl Strategy<Value = Option<Expect>> {
    let which = prop_oneof![3 => Just(Expect::Present), 1 => Just(Expect::Stale)];
    prop::option::weighted(0.1, which)
}
