//! Reading cold: a month's border, pages, a time in the past, a transaction over its stops.

use serde_json::{Value, json};
use steelyard::cold::read::{
    AsOf, BalanceCursor, BalanceRow, EntryCursor, Order, Page, balance, balance_at, balances,
    entries,
};
use steelyard::cold::transaction::transaction;
use steelyard::wire::Time;

use super::bench::Bench;
use super::books::pay;
use crate::support::{account_in, balance_id};

/// Milliseconds of an RFC 3339 time.
fn ms(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text)
        .unwrap()
        .timestamp_millis()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_crosses_months() {
    let mut bench = Bench::new(1).await;
    let account = account_in("months", 0, 1);
    bench.books.now_ms = ms("2026-11-30T23:59:59.900Z");
    bench.books.open(&account);
    let mut at = Vec::new();
    for (n, time) in [
        "2026-11-30T23:59:59.998Z",
        "2026-11-30T23:59:59.999Z",
        "2026-12-31T23:59:59.999Z",
        "2027-03-01T00:00:00.000Z",
        "2031-07-15T12:00:00.000Z",
    ]
    .into_iter()
    .enumerate()
    {
        bench.books.now_ms = ms(time) - 1;
        bench
            .books
            .pay(&format!("pay-{n}"), "@world", &account, "1");
        at.push(Time(bench.books.now_ms).utc());
    }
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    sinks.stop().await;
    let id = balance_id(&account);
    let months = "select count(*) from pg_class where relname like 'entries\\_2%' \
                  and relkind = 'r' and relnamespace = current_schema()::regnamespace";
    assert!(bench.number(months).await >= 4);

    // Pages in both directions, two at a time.
    for (order, expected) in [
        (Order::OldestFirst, [1, 2, 3, 4, 5, 6]),
        (Order::NewestFirst, [6, 5, 4, 3, 2, 1]),
    ] {
        let (mut versions, mut after) = (Vec::new(), None);
        loop {
            let page = entries(
                &bench.pool,
                &[id],
                Page {
                    order,
                    after,
                    limit: 2,
                },
            )
            .await
            .unwrap();
            let Some(last) = page.last() else { break };
            after = Some(EntryCursor {
                at: last.at,
                version: last.version,
                balance: id,
            });
            versions.extend(page.iter().map(|entry| entry.version));
        }
        assert_eq!(versions, expected);
    }
    // At a time: the last entry then, whatever month it is in.
    let first = balance_at(&bench.pool, id, at[0] - chrono::TimeDelta::days(1))
        .await
        .unwrap();
    assert!(first.is_none());
    for (n, at) in at.iter().enumerate() {
        let found = balance_at(&bench.pool, id, *at).await.unwrap().unwrap();
        assert_eq!(found.version, u64::try_from(n).unwrap() + 2);
        assert_eq!(found.posted.to_string(), format!("{}.00", n + 1));
    }
    bench.end().await;
}

/// Three accounts, one in each partition, and what was done with them.
async fn three_accounts() -> (Bench, Vec<String>) {
    let mut bench = Bench::new(3).await;
    let accounts: Vec<String> = (0..3)
        .map(|p| account_in(&format!("read{p}-"), p, 3))
        .collect();
    for account in &accounts {
        bench.books.open(account);
        bench
            .books
            .pay(&format!("fund-{account}"), "@world", account, "10");
    }
    let open = |reference: &str, more: Value| {
        let mut open = json!({"account": accounts[0]});
        open.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"reference": reference, "type": "open", "ledger": "main", "open": open})
    };
    let savings = json!({"asset": "USD", "key": "savings", "floor": null, "ceiling": "5"});
    bench.books.ask(&open("savings", savings));
    bench.books.ask(&open("euros", json!({"asset": "EUR"})));
    bench.books.pay("walk", &accounts[0], &accounts[1], "4");
    bench
        .books
        .pay("too-much", &accounts[1], &accounts[2], "400");
    let mut back = pay("turned-back", &accounts[0], &accounts[1], "1");
    let more = pay("", &accounts[2], &accounts[1], "100");
    let postings = back["postings"].as_array_mut().unwrap();
    postings.push(more["postings"][0].clone());
    bench.books.ask(&back);
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    sinks.stop().await;
    (bench, accounts)
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_are_found() {
    let (bench, accounts) = three_accounts().await;
    let pool = &bench.pool;
    let (row, as_of) = balance(pool, balance_id(&accounts[0]))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (row.posted.to_string().as_str(), row.partition),
        ("6.00", 0)
    );
    assert_eq!(
        (row.floor.unwrap().to_string().as_str(), row.ceiling),
        ("0.00", None)
    );
    assert_eq!(
        Some(as_of.command_offset),
        bench.books.partitions[0].partition.applied()
    );
    assert!(balance(pool, uuid::Uuid::new_v4()).await.unwrap().is_none());

    let who = ("default/main", accounts[0].as_str());
    let first = balances(pool, who, None, 2).await.unwrap();
    let names = |page: &[(BalanceRow, AsOf)]| -> Vec<String> {
        page.iter()
            .map(|(row, _)| format!("{} {}", row.asset, row.key))
            .collect()
    };
    assert_eq!(names(&first), ["EUR/2 default", "USD/2 default"]);
    let after = BalanceCursor {
        asset: "USD/2".to_owned(),
        key: "default".to_owned(),
    };
    let second = balances(pool, who, Some(&after), 2).await.unwrap();
    assert_eq!(names(&second), ["USD/2 savings"]);
    let limits = (second[0].0.floor, second[0].0.ceiling.unwrap().to_string());
    assert_eq!(limits, (None, "5.00".to_owned()));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_found_by_reference() {
    let (bench, accounts) = three_accounts().await;
    let find = async |name| {
        transaction(&bench.pool, "default/main", name)
            .await
            .unwrap()
    };
    let walk = find("walk").await.unwrap();
    assert_eq!((walk.status.as_str(), walk.stops.len()), ("applied", 2));
    assert_eq!(walk.decider.partition, 1);
    let moved: Vec<_> = walk
        .entries
        .iter()
        .filter(|entry| {
            accounts
                .iter()
                .any(|account| balance_id(account) == entry.balance_id)
        })
        .map(|entry| format!("{} {}", entry.direction, entry.amount))
        .collect();
    assert_eq!(moved, ["debit 4.00", "credit 4.00"]);
    let partitions: Vec<_> = walk.as_of.iter().map(|as_of| as_of.partition).collect();
    assert_eq!(partitions, [0, 1]);

    let refused = find("too-much").await.unwrap();
    let reason = refused.reason.as_deref();
    assert_eq!(
        (refused.status.as_str(), reason),
        ("rejected", Some("insufficient-funds"))
    );
    assert_eq!(
        refused.decider.refused_balance,
        Some(balance_id(&accounts[1]))
    );
    assert_eq!(refused.decider.refused_version, Some(3));
    assert!(refused.entries.is_empty());

    let back = find("turned-back").await.unwrap();
    assert_eq!(
        (back.status.as_str(), back.decider.partition),
        ("rejected", 2)
    );
    let statuses: Vec<_> = back.stops.iter().map(|stop| stop.status.as_str()).collect();
    assert_eq!(statuses, ["forwarded", "rejected", "returned"]);
    assert!(find("never").await.is_none());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_reference_decided_at_several_stops_the_latest_decision_counts() {
    use steelyard::cold::base;
    use steelyard::ledger::{Decision, SeenMap};
    let mut bench = Bench::new(1).await;
    let account = account_in("alice", 0, 1);
    bench.books.open(&account);
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    sinks.stop().await;
    // An earlier decision whose row comes later: without an index that happens to serve, rows have
    // no order of their own.
    sqlx::query("alter table transactions drop constraint transactions_pkey")
        .execute(&bench.pool)
        .await
        .unwrap();
    let earlier = "insert into transactions (transaction_id, partition, command_offset, at, \
                   ledger, reference, type, status, fingerprint) \
                   select transaction_id, partition, 0, at, ledger, reference, type, 'forwarded', \
                   fingerprint from transactions where command_offset = 1";
    let inserted = sqlx::query(earlier).execute(&bench.pool).await.unwrap();
    assert_eq!(inserted.rows_affected(), 1);
    let base = base::base(&bench.pool, 0).await.unwrap();
    assert_eq!(base.seen.len(), 2);
    let mut seen = SeenMap::default();
    for (key, mark) in base.seen {
        seen.insert(key, mark);
    }
    let decisions: Vec<Decision> = seen.iter().map(|(_, mark)| mark.decision).collect();
    assert_eq!(decisions, [Decision::Applied]);
    bench.end().await;
}
