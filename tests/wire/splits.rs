//! Splits as clients write them: the postings they come to, and the ones that are refused by name.

use serde_json::{Value, json};
use steelyard::ledger::stripes::stripes;
use steelyard::ledger::{BalanceId, Command, partition_of};
use steelyard::wire::{CommandBody, Decoder, Invalid};

fn id(number: u8) -> String {
    format!("0f0f0f0f-0000-5000-8000-0000000000{number:02x}")
}

fn parse(postings: &Value) -> Result<Command, Invalid> {
    let command = json!({"reference": "r", "type": "transfer", "ledger": "main",
        "postings": postings});
    Decoder::new().parse(command.to_string().as_bytes(), None, None)
}

fn posting(source: Value, destination: Value, amount: &str, asset: &str) -> Value {
    json!({"source": source, "destination": destination, "amount": amount, "asset": asset})
}

/// `3 2.9%, 4 0.30, 5 *`: a list of shares; `3` alone is a balance.
fn side(text: &str) -> Value {
    if let Ok(number) = text.trim().parse() {
        return json!(id(number));
    }
    let share = |share: &str| {
        let (balance, part) = share.trim().split_once(' ').unwrap();
        let balance = id(balance.parse().unwrap());
        match (part, part.strip_suffix('%')) {
            ("*", _) => json!({"balance": balance, "remaining": true}),
            (_, Some(percent)) => json!({"balance": balance, "percent": percent}),
            (amount, None) => json!({"balance": balance, "amount": amount}),
        }
    };
    text.split(',').map(share).collect()
}

#[test]
fn a_split_is_the_postings_it_comes_to() {
    let table = [
        (
            "1",
            "2 2.9%, 3 0.30, 4 *",
            "10.00 USD",
            "1>2 0.29, 1>3 0.30, 1>4 9.41",
        ),
        ("1 *, 2 0.01", "3", "0.01 USD", "2>3 0.01"),
        ("1 50%, 2 50%", "3", "0.03 USD", "1>3 0.02, 2>3 0.01"),
        ("1 6, 2 *", "3 50%, 4 50%", "10 JPY", "1>3 5, 1>4 1, 2>4 4"),
        ("1", "2 0.00000001%, 3 *", "5 JPY", "1>3 5"),
        ("1", "2 1, 2 *", "5 JPY", "1>2 1, 1>2 4"),
        (
            "1",
            "2 33.33333333%, 3 *",
            "1.00000000 BTC/8",
            "1>2 0.33333333, 1>3 0.66666667",
        ),
    ];
    for (source, destination, money, expected) in table {
        let (amount, asset) = money.split_once(' ').unwrap();
        let split = json!([posting(side(source), side(destination), amount, asset)]);
        let plain: Value = expected
            .split(", ")
            .map(|item| {
                let (way, part) = item.split_once(' ').unwrap();
                let (from, to) = way.split_once('>').unwrap();
                posting(side(from), side(to), part, asset)
            })
            .collect();
        let (split, plain) = (parse(&split).unwrap(), parse(&plain).unwrap());
        assert_eq!(split, plain, "{source} to {destination}");
        assert_eq!(split.fingerprint, plain.fingerprint);
    }
}

#[test]
fn who_gives_nothing_does_not_decide() {
    let split = json!([posting(side("1 *, 2 5"), side("3"), "5", "JPY")]);
    let second = BalanceId::new(id(2).parse().unwrap());
    assert_eq!(parse(&split).unwrap().decider(), second);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one line of it is one case")]
fn a_bad_split_is_refused_by_name() {
    let share = |share: Value| json!([share]);
    let table = [
        (json!([]), "invalid-split postings[0].destination"),
        (side("2 9.99"), "invalid-split postings[0].destination"),
        (side("2 10.01"), "invalid-split postings[0].destination"),
        (
            side("2 60%, 3 41%"),
            "invalid-split postings[0].destination",
        ),
        (side("2 99%"), "invalid-split postings[0].destination"),
        (
            side("2 99%, 3 0.11"),
            "invalid-split postings[0].destination",
        ),
        (
            side("2 100%, 3 0.00000001%, 4 *"),
            "invalid-split postings[0].destination",
        ),
        (side("2 *, 3 *"), "invalid-split postings[0].destination"),
        (side("2 *, 1 *"), "invalid-split postings[0].destination"),
        (side("2 5, 1 *"), "same-balance postings[0].destination"),
        (
            side("2 0%, 3 *"),
            "invalid-split postings[0].destination[0].percent",
        ),
        (
            side("3 *, 2 -1%"),
            "invalid-split postings[0].destination[1].percent",
        ),
        (
            side("2 100.1%"),
            "invalid-split postings[0].destination[0].percent",
        ),
        (
            side("2 0.000000001%, 3 *"),
            "invalid-split postings[0].destination[0].percent",
        ),
        (
            side("2 0, 3 *"),
            "invalid-amount postings[0].destination[0].amount",
        ),
        (
            side("2 0.001, 3 *"),
            "invalid-amount postings[0].destination[0].amount",
        ),
        (
            side("2 -1, 3 *"),
            "invalid-amount postings[0].destination[0].amount",
        ),
        (
            share(json!({"balance": id(2)})),
            "invalid-split postings[0].destination[0]",
        ),
        (
            share(json!({"balance": id(2), "remaining": false})),
            "invalid-split postings[0].destination[0]",
        ),
        (
            share(json!({"balance": id(2), "amount": "5", "percent": "50"})),
            "invalid-split postings[0].destination[0]",
        ),
        (
            share(json!({"remaining": true})),
            "malformed-request postings[0].destination[0]",
        ),
        (
            share(json!({"balance": id(2), "remaining": true, "x": 1})),
            "malformed-request postings[0].destination[0].x",
        ),
        (
            share(json!({"balance": id(2), "percent": 50})),
            "malformed-request postings[0].destination[0].percent",
        ),
        (
            share(json!({"balance": id(2), "amount": 5})),
            "invalid-amount postings[0].destination[0].amount",
        ),
        (
            share(json!([id(2), "5"])),
            "malformed-request postings[0].destination[0]",
        ),
        (json!([[]]), "malformed-request postings[0].destination[0]"),
        (json!(7), "malformed-request postings[0].destination"),
    ];
    for (destination, expected) in table {
        let split = json!([posting(side("1"), destination.clone(), "10.00", "USD")]);
        let invalid = parse(&split).unwrap_err();
        let got = format!("{} {}", invalid.kind.slug(), invalid.field);
        assert_eq!(got, expected, "{destination}: {invalid}");
    }
}

#[test]
fn splits_are_bounded_by_the_postings_they_come_to() {
    let shares = |count: u8| -> Value {
        let share = |at| json!({"balance": id(at + 2), "amount": "1"});
        (0..count).map(share).collect()
    };
    let split = |count: u8| {
        let amount = count.to_string();
        posting(side("1"), shares(count), &amount, "JPY")
    };
    let accepted = parse(&json!([split(100)])).unwrap();
    assert_eq!(accepted.postings().len(), 100);
    let one = parse(&json!([split(101)])).unwrap_err();
    assert_eq!(
        (one.kind.slug(), one.field.as_str()),
        ("invalid-split", "postings[0].destination")
    );
    let both = parse(&json!([split(60), split(41)])).unwrap_err();
    assert_eq!(
        (both.kind.slug(), both.field.as_str()),
        ("invalid-postings", "postings")
    );
}

#[test]
fn a_striped_account_stands_for_its_stripe_on_the_other_side() {
    let count = 4;
    let parse = |source: Value, destination: Value| {
        let command = json!({"reference": "r", "type": "transfer", "ledger": "main",
            "postings": [posting(source, destination, "5", "JPY")]});
        Decoder::of(count).parse(command.to_string().as_bytes(), None, None)
    };
    let yen = steelyard::ledger::Asset::parse("JPY").unwrap();
    for number in 1..20 {
        let other = BalanceId::new(id(number).parse().unwrap());
        let place = usize::from(partition_of(other, count));
        let fees = stripes("default/main", "@fees", &yen, count);
        for (source, destination) in [(json!("@fees"), side("1")), (side("1"), json!("@fees"))] {
            let replaced = |side: Value| match side == json!(id(1)) {
                true => json!(id(number)),
                false => side,
            };
            let command = parse(replaced(source), replaced(destination)).unwrap();
            assert_eq!(command.stripes, [fees[place].clone()]);
            let [posting] = command.postings() else {
                panic!("one posting")
            };
            let parties = [posting.source, posting.destination];
            let striped = parties.iter().find(|party| party.striped).unwrap();
            assert_eq!(striped.id, fees[place].id);
            assert_eq!(
                partition_of(command.decider(), count),
                partition_of(other, count)
            );
            // Written out and read again, it is the same command.
            let again = serde_json::to_string(&CommandBody::of(&command)).unwrap();
            let again = Decoder::of(count).parse(again.as_bytes(), None, None);
            assert_eq!(again.unwrap(), command);
        }
    }
    let world = BalanceId::world("default/main", &yen).to_string();
    let (by_id, by_name) = (
        parse(json!(world), side("1")),
        parse(json!("@world"), side("1")),
    );
    assert_eq!(by_id.unwrap(), by_name.unwrap());
    for (source, destination, expected) in [
        (
            json!("@fees"),
            json!("@fees"),
            "same-balance postings[0].destination",
        ),
        (json!("@"), side("1"), "invalid-balance postings[0].source"),
        (
            json!("@a b"),
            side("1"),
            "invalid-balance postings[0].source",
        ),
        (
            json!("fees"),
            side("1"),
            "malformed-request postings[0].source",
        ),
    ] {
        let refused = parse(source, destination).unwrap_err();
        assert_eq!(
            format!("{} {}", refused.kind.slug(), refused.field),
            expected
        );
    }
}
