//! The log is created as declared, and a role refuses to start on any other.

use steelyard::log::admin::{Error, Verified, verify};
use steelyard::log::drift::{Difference, Fault};
use uuid::Uuid;

use crate::support::broker::{HORIZON, TestLog};

async fn verified(log: &TestLog) -> Result<Verified, Vec<Difference>> {
    match verify(&log.options, &log.topics).await {
        Ok(verified) => Ok(verified),
        Err(Error::Drift(differences)) => Err(differences),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn applied_topics_are_as_declared_and_stay_so() {
    let log = TestLog::new(3);
    let admin = log.admin();
    let missing = admin.differences().await.unwrap();
    assert_eq!(missing.len(), 5, "{missing:?}");
    assert!(verified(&log).await.is_err());

    let first = admin.apply(HORIZON).await.unwrap();
    assert_eq!((first.created.len(), first.begun), (5, 9));
    assert_eq!(first.remaining, []);
    let expected = Verified {
        partitions: 3,
        generation: first.genesis.generation,
        horizon_seconds: HORIZON,
    };
    assert_eq!(verified(&log).await, Ok(expected));

    let again = admin.apply(2 * HORIZON).await.unwrap();
    assert_eq!((again.created.len(), again.begun), (0, 0));
    assert_eq!(again.altered, []);
    assert_eq!(again.genesis, first.genesis, "the horizon is frozen too");
    log.drop_topics().await;
}

#[tokio::test]
async fn a_drifted_setting_is_refused_by_name_and_set_again() {
    let log = TestLog::applied(1).await;
    let commands = log.names.commands.clone();
    log.set(&commands, "retention.ms", "1000").await;

    let refused = verify(&log.options, &log.topics).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains(&commands), "{text}");
    assert!(
        text.contains("retention.ms is 1000, 604800000 is declared (critical)"),
        "{text}"
    );

    let applied = log.admin().apply(HORIZON).await.unwrap();
    assert_eq!((applied.altered.len(), applied.remaining.len()), (1, 0));
    verified(&log).await.unwrap();
    log.drop_topics().await;
}

#[tokio::test]
async fn what_an_operator_may_choose_is_no_drift_and_survives_apply() {
    let log = TestLog::applied(1).await;
    let (commands, outcomes) = (log.names.commands.clone(), log.names.outcomes.clone());
    log.set(&outcomes, "retention.ms", "-1").await;
    log.set(&commands, "flush.messages", "100000").await;
    assert_eq!(log.admin().differences().await.unwrap(), []);

    // A setting that is declared and not critical is named, and stops nobody.
    log.set(&log.names.snapshots, "segment.ms", "7200000").await;
    let differences = log.admin().differences().await.unwrap();
    assert!(
        differences[0]
            .to_string()
            .ends_with("segment.ms is 7200000, 3600000 is declared")
    );
    verified(&log).await.unwrap();

    log.admin().apply(HORIZON).await.unwrap();
    assert_eq!(log.admin().differences().await.unwrap(), []);
    let observed = log.admin().observe().await.unwrap();
    assert_eq!(observed[&outcomes].settings["retention.ms"], "-1");
    assert_eq!(observed[&commands].own["flush.messages"], "100000");
    log.drop_topics().await;
}

#[tokio::test]
async fn another_partition_count_is_refused() {
    let log = TestLog::applied(2).await;
    log.add_partitions(&log.names.commands, 3).await;
    let refused = verified(&log).await.unwrap_err();
    let expected = Difference::Partitions {
        topic: log.names.commands.clone(),
        declared: 2,
        actual: 3,
    };
    assert!(refused.contains(&expected), "{refused:?}");
    let applied = log.admin().apply(HORIZON).await;
    assert!(matches!(applied, Err(Error::Drift(_))), "{applied:?}");
    log.drop_topics().await;
}

#[tokio::test]
async fn a_topic_of_another_generation_is_refused() {
    let log = TestLog::applied(2).await;
    let outcomes = log.names.outcomes.clone();
    let generation = verified(&log).await.unwrap().generation;
    log.delete(&outcomes).await;
    log.create_bare(&outcomes).await;
    let other = Uuid::new_v4();
    for partition in 0..2 {
        log.write_genesis(&outcomes, partition, other).await;
    }
    let refused = verified(&log).await.unwrap_err();
    let expected = Difference::Genesis {
        topic: outcomes,
        partition: 0,
        fault: Fault::Other {
            expected: generation,
            found: other,
        },
    };
    assert_eq!(refused[0], expected);
    assert_eq!(refused.len(), 2, "both partitions are named");
    log.drop_topics().await;
}

#[tokio::test]
async fn a_topic_that_vanished_from_a_log_in_use_is_not_made_again() {
    let log = TestLog::applied(1).await;
    log.write(&log.names.outcomes, 0, "claim", b"{}").await;
    log.delete(&log.names.snapshots).await;
    assert!(verified(&log).await.is_err());
    let refused = log.admin().apply(HORIZON).await.unwrap_err().to_string();
    assert!(
        refused.contains("is in use: the topic was deleted and made again"),
        "{refused}"
    );

    log.create_bare(&log.names.snapshots).await;
    let refused = log.admin().apply(HORIZON).await.unwrap_err().to_string();
    assert!(
        refused.contains("snapshots partition 0: has no genesis record though"),
        "{refused}"
    );
    assert!(verified(&log).await.is_err());
    log.drop_topics().await;
}

#[tokio::test]
async fn a_trimmed_log_is_known_by_what_compaction_keeps() {
    let log = TestLog::applied(2).await;
    let before = verified(&log).await.unwrap();
    for topic in [&log.names.commands, &log.names.outcomes] {
        for partition in 0..2 {
            log.write(topic, partition, "k", b"{}").await;
            log.trim(topic, partition, 1 + i64::from(partition)).await;
        }
    }
    assert_eq!(verified(&log).await, Ok(before));
    let applied = log.admin().apply(HORIZON).await.unwrap();
    assert_eq!((applied.begun, applied.remaining.len()), (0, 0));
    log.drop_topics().await;
}

#[tokio::test]
async fn a_record_before_the_genesis_record_is_refused() {
    let log = TestLog::new(1);
    log.create_bare(&log.names.commands).await;
    log.write(&log.names.commands, 0, "early", b"{}").await;
    let refused = log.admin().apply(HORIZON).await.unwrap_err().to_string();
    assert!(refused.contains("commands partition 0: does not begin with a genesis record"));
    log.drop_topics().await;
}

#[tokio::test]
async fn a_crash_between_create_and_genesis_is_repaired() {
    let log = TestLog::new(3);
    let names = log.names.clone();
    for topic in [&names.commands, &names.outcomes] {
        log.create_bare(topic).await;
    }
    let generation = Uuid::new_v4();
    log.write_genesis(&names.commands, 0, generation).await;
    log.write_genesis(&names.outcomes, 2, generation).await;
    assert!(verified(&log).await.is_err());

    let applied = log.admin().apply(HORIZON).await.unwrap();
    assert_eq!((applied.created.len(), applied.begun), (3, 7));
    assert_eq!(applied.genesis.generation, generation);
    assert_eq!(verified(&log).await.unwrap().generation, generation);
    log.drop_topics().await;
}

#[tokio::test]
async fn several_applies_at_once_end_in_one_generation() {
    let log = TestLog::new(4);
    let (one, two, three) = (log.admin(), log.admin(), log.admin());
    let (one, two, three) =
        tokio::join!(one.apply(HORIZON), two.apply(HORIZON), three.apply(HORIZON));
    let generation = verified(&log).await.unwrap().generation;
    for applied in [one, two, three] {
        assert_eq!(applied.unwrap().genesis.generation, generation);
    }
    log.drop_topics().await;
}

#[tokio::test]
async fn a_dedupe_horizon_is_no_shorter_than_commands_are_kept() {
    let log = TestLog::new(1);
    let refused = log.admin().apply(HORIZON - 1).await.unwrap_err();
    assert!(matches!(refused, Error::Horizon { .. }), "{refused}");
}
