//! Lag is what `kafka-consumer-groups` prints, and the age of the oldest unread record.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use steelyard::log::meter::{Lag, Meter};
use steelyard::log::status::Status;

use crate::support::broker::TestLog;
use crate::support::kafka::{Row, described};

async fn measure(mut meter: Meter, now_ms: i64) -> (Meter, Vec<Lag>) {
    let measured = tokio::task::spawn_blocking(move || {
        let lags = meter.measure(now_ms).unwrap();
        (meter, lags)
    });
    measured.await.unwrap()
}

fn find<'a>(lags: &'a [Lag], topic: &str, partition: u16) -> &'a Lag {
    let mut lags = lags.iter();
    let found = lags.find(|lag| lag.topic == topic && lag.partition == partition);
    found.unwrap()
}

#[tokio::test]
async fn lag_is_counted_and_dated() {
    let log = TestLog::applied(2).await;
    let commands = log.names.commands.clone();
    let group = log.options.group("processor");
    let meter = Meter::new(&log.options, 2).unwrap();
    let now_ms = || chrono::Utc::now().timestamp_millis();

    let (meter, fresh) = measure(meter, now_ms()).await;
    assert_eq!(fresh.len(), 6, "three groups, two partitions");
    for lag in &fresh {
        assert_eq!(
            (lag.committed, lag.end, lag.records),
            (None, 1, 0),
            "{lag:?}"
        );
        assert_eq!((lag.seconds, lag.status), (0.0, Status::Ok), "{lag:?}");
    }

    let before_ms = now_ms();
    for _ in 0..3 {
        log.write(&commands, 1, "k", b"v").await;
    }
    let after_ms = now_ms();
    log.commit(&group, &commands, 1, 2).await;
    let later_ms = after_ms + 60_000;
    let (meter, behind) = measure(meter, later_ms).await;
    let lag = find(&behind, &commands, 1);
    assert_eq!((lag.committed, lag.end, lag.records), (Some(2), 4, 2));
    let (youngest, oldest) = (later_ms - after_ms, later_ms - before_ms);
    let age_ms = Duration::from_secs_f64(lag.seconds).as_millis();
    let age_ms = i64::try_from(age_ms).unwrap();
    assert!(
        (youngest..=oldest).contains(&age_ms),
        "{age_ms} in {youngest}..={oldest}"
    );
    assert_eq!(find(&behind, &commands, 0).records, 0);
    if let Some(printed) = described(&log.options.kafka_brokers, &group) {
        let row = Row {
            committed: 2,
            end: 4,
            lag: 2,
        };
        assert_eq!(printed, [(1, row)].into());
    }

    log.commit(&group, &commands, 1, 4).await;
    let (_, done) = measure(meter, now_ms()).await;
    let lag = find(&done, &commands, 1);
    assert_eq!((lag.records, lag.seconds), (0, 0.0));
    log.drop_topics().await;
}

#[tokio::test]
async fn a_partition_has_the_owner_that_its_group_knows() {
    let log = TestLog::applied(2).await;
    let mut config = log.options.client();
    config
        .set("group.id", log.options.group("journal-sink"))
        .set("group.instance.id", "sink-a");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[&log.names.outcomes]).unwrap();
    let consumer = tokio::task::spawn_blocking(move || {
        while consumer.assignment().unwrap().count() < 2 {
            consumer.poll(Duration::from_millis(50));
        }
        consumer
    });
    let consumer = consumer.await.unwrap();
    let meter = Meter::new(&log.options, 2).unwrap();
    let (_, lags) = measure(meter, chrono::Utc::now().timestamp_millis()).await;
    for partition in 0..2 {
        let owner = find(&lags, &log.names.outcomes, partition).owner.clone();
        assert!(owner.is_some_and(|owner| owner.starts_with("sink-a@")));
        assert_eq!(find(&lags, &log.names.commands, partition).owner, None);
    }
    tokio::task::spawn_blocking(move || drop(consumer))
        .await
        .unwrap();
    log.drop_topics().await;
}
