//! Every fault by its name, with what it takes and whether continuous integration does it.

use super::{
    Fault, Play, alone, broker, churn, clock, compaction, failpoints, freeze, full, kill, postgres,
    raise, redis, rolling, three,
};

/// A line of the table.
macro_rules! fault {
    ($name:literal, $seconds:literal, $ci:literal, $about:literal, $play:path) => {
        Fault {
            name: $name,
            about: $about,
            seconds: $seconds,
            ci: $ci,
            older: false,
            play: Play::Under(|lab| Box::pin($play(lab))),
        }
    };
    (alone $name:literal, $seconds:literal, $ci:literal, $about:literal, $play:path) => {
        fault!(alone $name, $seconds, $ci, $about, $play, older: false)
    };
    (alone $name:literal, $seconds:literal, $ci:literal, $about:literal, $play:path,
     older: $older:literal) => {
        Fault {
            name: $name,
            about: $about,
            seconds: $seconds,
            ci: $ci,
            older: $older,
            play: Play::Alone(|ground| Box::pin($play(ground))),
        }
    };
}

/// All faults: first those that a world survives, then those with a world of their own.
pub const FAULTS: &[Fault] = &[
    fault!(
        "kill-processor",
        12,
        true,
        "kill -9 of a processor",
        kill::processor
    ),
    fault!("kill-sink", 8, false, "kill -9 of a sink", kill::sink),
    fault!(
        "kill-ingress",
        8,
        true,
        "kill -9 of an ingress",
        kill::ingress
    ),
    fault!(
        "die-after-claim",
        15,
        false,
        "a takeover dies after its claim",
        failpoints::after_claim
    ),
    fault!(
        "die-after-publish",
        15,
        true,
        "a processor dies with outcomes written and no legs sent",
        failpoints::after_publish
    ),
    fault!(
        "die-between-legs",
        15,
        true,
        "a processor dies with some of its legs sent",
        failpoints::between_legs
    ),
    fault!(
        "die-after-hot",
        15,
        false,
        "a processor dies before it replies",
        failpoints::after_hot
    ),
    fault!(
        "die-before-marker",
        15,
        false,
        "a processor dies with snapshots written and no marker",
        failpoints::before_marker
    ),
    fault!(
        "die-before-answer",
        12,
        false,
        "an ingress dies with a command written and no answer given",
        failpoints::before_answer
    ),
    fault!(
        "die-before-commit",
        12,
        true,
        "a sink dies with rows written and no offset committed",
        failpoints::before_group_commit
    ),
    fault!(
        "freeze-processor",
        18,
        true,
        "an owner stops beyond its session and goes on later",
        freeze::processor
    ),
    fault!(
        "freeze-sink",
        14,
        false,
        "a sink stops beyond its session and goes on later",
        freeze::sink
    ),
    fault!(
        "freeze-ingress",
        14,
        false,
        "an ingress stops and goes on later",
        freeze::ingress
    ),
    fault!(
        "rolling-restarts",
        25,
        false,
        "a restart every two seconds, one node after the other",
        churn::rolling
    ),
    fault!(
        "raise-rules",
        15,
        true,
        "the rules are raised under load, while a processor is down",
        raise::under_load
    ),
    fault!(
        "wrong-clocks",
        30,
        false,
        "one processor's clock is an hour ahead, the other's an hour behind",
        clock::wrong
    ),
    fault!(
        "second-owner",
        20,
        true,
        "a second group owns every partition at the same time",
        churn::second_owner
    ),
    fault!("redis-kill", 8, false, "kill -9 of Redis", redis::kill),
    fault!(
        "redis-flush",
        5,
        true,
        "FLUSHALL under load, and again while hot is rebuilt",
        redis::flush
    ),
    fault!(
        "redis-rollback",
        14,
        true,
        "Redis starts from an older file",
        redis::rollback
    ),
    fault!(
        "redis-full",
        10,
        false,
        "Redis has no memory left",
        redis::full
    ),
    fault!(
        "redis-evicting",
        20,
        false,
        "a wrong eviction policy is set while everything runs",
        redis::evicting
    ),
    fault!(
        "redis-deaf",
        6,
        true,
        "scripts run, their replies are cut off",
        redis::deaf
    ),
    fault!(
        "redis-cut",
        10,
        false,
        "processors lose Redis, readers do not",
        redis::cut
    ),
    fault!(
        "redis-hole",
        10,
        false,
        "Redis is silent for processors, and no connection ends",
        redis::hole
    ),
    fault!(
        "redis-slow",
        8,
        false,
        "Redis is slow for everybody",
        redis::slow
    ),
    fault!(
        "postgres-kill",
        6,
        true,
        "kill -9 of Postgres",
        postgres::kill
    ),
    fault!(
        "postgres-outage",
        24,
        false,
        "Postgres is away for long",
        postgres::outage
    ),
    fault!(
        "postgres-takeover",
        20,
        false,
        "a takeover while Postgres is away",
        postgres::takeover
    ),
    fault!(
        "postgres-lock",
        8,
        false,
        "somebody holds a lock on the tables",
        postgres::lock
    ),
    fault!(
        "postgres-read-only",
        8,
        false,
        "Postgres takes no writes",
        postgres::read_only
    ),
    fault!(
        "postgres-links",
        14,
        false,
        "the sinks' way to Postgres is cut, held, slow, one-way",
        postgres::links
    ),
    fault!(
        "broker-kill",
        25,
        true,
        "kill -9 of the broker",
        broker::kill
    ),
    fault!(
        "broker-stop",
        25,
        false,
        "the broker stands still beyond every session",
        broker::stop
    ),
    fault!(
        "kafka-hole",
        25,
        true,
        "half of the nodes hear nothing of the broker, and no connection ends",
        broker::hole
    ),
    fault!(
        "kafka-links",
        20,
        false,
        "the way of half of the nodes to the broker is slow, cut, one-way",
        broker::links
    ),
    fault!(
        "compaction",
        45,
        false,
        "snapshots are compacted before the sinks have read them",
        compaction::ahead
    ),
    fault!(alone "partitions-added", 30, true, "a topic gets more partitions", alone::partitions_added),
    fault!(alone "topic-recreated", 30, true, "a topic is deleted and made again", alone::topic_recreated),
    fault!(alone "two-logs-one-redis", 25, true, "a second log is pointed at the first one's Redis", alone::two_logs_one_redis),
    fault!(alone "three-brokers", 120, false, "each of three brokers is lost in turn", three::brokers),
    fault!(alone "postgres-disk-full", 60, false, "the disk of Postgres is full", full::postgres),
    fault!(alone "kafka-disk-full", 80, false, "the disk of the broker is full", full::kafka),
    fault!(alone "rolling-upgrade", 180, false, "every node is replaced by a newer program, back and forth", rolling::upgrade, older: true),
];
