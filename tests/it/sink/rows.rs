//! Rows equal the ledger's state; what comes again changes nothing.

use std::collections::BTreeMap;

use serde_json::json;
use steelyard::cold::base;
use steelyard::ledger::{Balance, BalanceId, Partition, SeenMap};

use super::bench::Bench;
use super::books::{Books, pay};
use crate::support::{account_in, balance_id};

/// Accounts in every partition, funded, and payments among them: within a partition, across two,
/// over three stops, refused here and there, sent twice, and one reference used again.
pub(crate) fn busy(books: &mut Books, payments: u64) {
    let count = books.count();
    let accounts: Vec<String> = (0..3 * count)
        .map(|n| account_in(&format!("busy{n}-"), n % count, count))
        .collect();
    for account in &accounts {
        if !books.asked.contains_key(&format!("open-{account}")) {
            books.open(account);
            books.pay(&format!("fund-{account}"), "@world", account, "100");
        }
    }
    let from = u64::try_from(books.asked.len()).unwrap();
    for n in from..from + payments {
        let pick = |step: u64| {
            let at = (n * 7 + n / 5 * 3 + step) % u64::from(3 * count);
            &accounts[usize::try_from(at).unwrap()]
        };
        let amount = if n % 11 == 0 {
            "5000".to_owned()
        } else {
            format!("{}.{:02}", n % 9 + 1, n % 97)
        };
        let reference = format!("pay-{n}");
        match n % 7 {
            0 => books.ask(
                &json!({"reference": reference, "type": "transfer", "ledger": "main",
                "description": "three stops", "metadata": {"n": n.to_string()},
                "postings": [
                    {"source": balance_id(pick(0)), "destination": balance_id(pick(1)),
                     "amount": "0.10", "asset": "USD"},
                    {"source": balance_id(pick(2)), "destination": balance_id(pick(4)),
                     "amount": amount, "asset": "USD"}]}),
            ),
            3 => books.hold_and_post(&reference, pick(0), pick(1)),
            _ => books.pay(&reference, pick(0), pick(1), &amount),
        }
        match n % 13 {
            0 => books.ask(&books.asked[&reference].clone()),
            1 => books.ask(&pay(&reference, pick(0), pick(2), "0.01")),
            _ => {}
        }
    }
}

/// Compares cold with the ledger: balances, entries, and what a takeover would start from.
pub(crate) async fn assert_cold_is_the_ledger(bench: &mut Bench) {
    for number in 0..bench.books.count() {
        let base = base::base(&bench.pool, number).await.unwrap();
        let asked: Vec<_> = bench.books.asked.values().cloned().collect();
        let commands: Vec<_> = asked.iter().map(|body| bench.books.command(body)).collect();
        let now_ms = bench.books.now_ms;
        let owner = bench.books.owner(number);
        let cut = owner.partition.cut().unwrap();
        let marker = base.marker.unwrap();
        assert_eq!(marker.to_cut().unwrap(), cut);
        assert_eq!(marker.position, owner.position);
        assert_eq!(
            base.journal.map(|(_, offset)| offset),
            owner.partition.applied()
        );

        let rows: BTreeMap<BalanceId, Balance> = base.balances.iter().cloned().collect();
        assert_eq!(
            rows,
            owner.partition.balances().collect(),
            "balances of partition {number}"
        );

        let mut seen = SeenMap::default();
        for (key, mark) in base.seen {
            seen.insert(key, mark);
        }
        let mut restored = Partition::from_cut(number, &cut, base.balances, base.holds, seen);
        let mut owned = owner.partition.clone();
        assert_eq!(restored.references(), owned.references());
        let ours = commands.iter().filter(|(home, _)| *home == number);
        for ((_, record), offset) in ours.zip(owner.next..) {
            let (again, first) = (
                restored.apply(offset, now_ms, record),
                owned.apply(offset, now_ms, record),
            );
            assert_eq!(again, first, "a repeat is answered alike");
            assert!(again.replay_of.is_some());
        }
    }
    let versions = bench
        .number("select coalesce(sum(version), 0)::bigint from balances")
        .await;
    assert_eq!(bench.number("select count(*) from entries").await, versions);
    let gaps = "select count(*) from (select version, row_number() over \
                (partition by balance_id order by at, version) as n from entries) e \
                where version <> n";
    assert_eq!(bench.number(gaps).await, 0, "L3: versions are contiguous");
    let differing = "select count(*) from balances b join entries e \
                     on e.balance_id = b.id and e.version = b.version \
                     where (e.posted, e.held, e.incoming, e.command_offset, e.asset) \
                        is distinct from (b.posted, b.held, b.incoming, b.command_offset, b.asset)";
    assert_eq!(
        bench.number(differing).await,
        0,
        "the last entry is the balance"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_equal_the_ledger() {
    let mut bench = Bench::new(3).await;
    let sinks = bench.sinks();
    for _ in 0..4 {
        busy(&mut bench.books, 120);
        bench.flush().await;
    }
    bench.synced().await;
    assert_cold_is_the_ledger(&mut bench).await;
    // A marker of an older binary says nothing of holds that have ended: the rows do.
    let older = "with older as (update sink_positions set \
                 marker = regexp_replace(marker, ',\"changes\":[0-9]+', '') \
                 where marker like '%,\"changes\":%' returning 1) select count(*) from older";
    assert_eq!(bench.number(older).await, 3);
    assert_cold_is_the_ledger(&mut bench).await;
    let ended = "select count(*) from holds where state = 'spent'";
    assert!(bench.number(ended).await > 0);

    // Rows of transactions are the marks of the outcomes, and no more.
    let replayed = "select count(*) from (select reference from transactions \
                    where status <> 'forwarded' group by partition, command_offset, reference \
                    having count(*) > 1) t";
    assert_eq!(bench.number(replayed).await, 0);
    assert!(
        sinks.metrics.reused.get() > 0,
        "reused references are counted"
    );
    let references = "select count(*) from transaction_references";
    let asked = i64::try_from(bench.books.asked.len()).unwrap();
    assert_eq!(bench.number(references).await, asked);
    assert_eq!(
        bench
            .number("select count(*) from reference_conflicts")
            .await,
        0
    );
    let written: u64 = (0..3)
        .map(|p: u16| {
            sinks
                .metrics
                .balance_rows
                .with_label_values(&[&p.to_string()])
                .get()
        })
        .sum();
    let outcomes: u64 = (0..3)
        .map(|p: u16| {
            sinks
                .metrics
                .outcomes
                .with_label_values(&[&p.to_string()])
                .get()
        })
        .sum();
    assert!(
        written * 4 < outcomes,
        "{written} rows for {outcomes} outcomes"
    );
    sinks.stop().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_changes_nothing() {
    let mut bench = Bench::new(2).await;
    busy(&mut bench.books, 60);
    // A second owner writes copies in between, and stretches that come too early.
    for partition in 0..2 {
        let mut log = Vec::new();
        let history = std::mem::take(&mut bench.books.owner(partition).outcomes);
        log.extend_from_slice(&history[..20]);
        log.extend_from_slice(&history[5..15]);
        log.extend_from_slice(&history[25..35]);
        log.extend_from_slice(&history[18..]);
        log.extend_from_slice(&history[history.len() - 3..]);
        let position = bench.write_outcomes(partition, &log).await;
        bench.books.owner(partition).position = position;
    }
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    for partition in 0..2 {
        bench
            .read(
                "journal",
                partition,
                bench.books.partitions[usize::from(partition)].position,
            )
            .await;
    }
    assert_cold_is_the_ledger(&mut bench).await;
    let skipped = |reason| sinks.metrics.skipped.with_label_values(&[reason]).get();
    assert_eq!((skipped("hole"), skipped("copy")), (20, 2 * (10 + 2 + 3)));
    sinks.kill().await;

    // Killed before the group's offsets are committed, or with a group that knows nothing, the
    // next one starts where cold is.
    let before = bench
        .number("select sum(position)::bigint from sink_positions")
        .await;
    for (topic, role) in [
        (bench.log.names.outcomes.clone(), "journal-sink"),
        (bench.log.names.snapshots.clone(), "balance-sink"),
    ] {
        for partition in 0..2 {
            bench
                .log
                .commit(&bench.log.options.group(role), &topic, partition, 1)
                .await;
        }
    }
    let sinks = bench.sinks();
    bench
        .books
        .pay("after", "@world", &account_in("busy0-", 0, 2), "1");
    bench.flush().await;
    bench.synced().await;
    assert_cold_is_the_ledger(&mut bench).await;
    let after = bench
        .number("select sum(position)::bigint from sink_positions")
        .await;
    assert!(after > before);
    let outcomes: u64 = (0..2)
        .map(|p: u16| {
            sinks
                .metrics
                .outcomes
                .with_label_values(&[&p.to_string()])
                .get()
        })
        .sum();
    assert!(outcomes <= 2, "only what is new is written: {outcomes}");
    sinks.stop().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_in_two_partitions_is_a_conflict() {
    let mut bench = Bench::new(2).await;
    let (left, right) = (account_in("left", 0, 2), account_in("right", 1, 2));
    for account in [&left, &right] {
        bench.books.open(account);
        bench
            .books
            .pay(&format!("fund-{account}"), "@world", account, "10");
    }
    bench.books.pay("same", &left, &right, "1");
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    bench.books.pay("same", &right, &left, "2");
    bench.flush().await;
    bench.synced().await;
    let found: (String, String, uuid::Uuid, uuid::Uuid) =
        sqlx::query_as("select ledger, reference, kept, other from reference_conflicts")
            .fetch_one(&bench.pool)
            .await
            .unwrap();
    assert_eq!(
        (found.0.as_str(), found.1.as_str()),
        ("default/main", "same")
    );
    let homes = [found.2, found.3].map(|id| {
        steelyard::ledger::TransactionId::from_uuid(id)
            .unwrap()
            .home()
    });
    assert_eq!(homes, [0, 1], "the first one is kept");
    assert_eq!(sinks.metrics.conflicts.get(), 1);
    sinks.stop().await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_postgres_cannot_hold_is_written_all_the_same() {
    let mut bench = Bench::new(1).await;
    let account = account_in("note", 0, 1);
    bench.books.open(&account);
    let mut body = pay("noted", "@world", &account, "1");
    body["description"] = json!("a\0b");
    body["metadata"] = json!({"k\0": "v\\u0000\0é"});
    bench.books.ask(&body);
    bench.flush().await;
    let sinks = bench.sinks();
    bench.synced().await;
    let found = steelyard::cold::transaction::transaction(&bench.pool, "default/main", "noted");
    let row = found.await.unwrap().unwrap().decider;
    assert_eq!(row.description.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(
        row.metadata,
        Some(json!({"k\u{fffd}": "v\\u0000\u{fffd}é"}))
    );
    sinks.stop().await;
    bench.end().await;
}
