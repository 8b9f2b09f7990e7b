//! How soon a group notices that a member has died: its session, as short as the broker allows.

use std::time::Duration;

use rdkafka::admin::{AdminClient, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;

use super::admin::{self, WAIT};
use super::{Options, peek};

/// What is wanted: long enough that a busy network is no death, for a heartbeat comes twenty
/// times as often, from a thread of the client's own.
const WANTED: Duration = Duration::from_secs(2);

/// What Kafka allows unless somebody says otherwise (`group.min.session.timeout.ms`).
const USUAL_MIN: Duration = Duration::from_secs(6);

/// The broker's setting for the shortest session.
const MIN: &str = "group.min.session.timeout.ms";

/// The session to ask for: `asked`, or else two seconds, or what the brokers allow if that is more.
///
/// # Errors
/// If what is asked for is shorter than they allow.
pub async fn of_group(options: &Options, asked: Option<u64>) -> anyhow::Result<Duration> {
    let min = match shortest(options).await {
        Ok(min) => min,
        Err(error) => {
            tracing::debug!(%error, "the brokers do not tell their settings");
            None
        }
    };
    if let Some(asked) = asked.map(Duration::from_millis) {
        let fits = min.is_none_or(|min| asked >= min);
        anyhow::ensure!(
            fits,
            "--session-ms {} is below the brokers' {MIN}={}",
            asked.as_millis(),
            min.unwrap_or_default().as_millis()
        );
        return Ok(asked);
    }
    let session = min.unwrap_or(USUAL_MIN).max(WANTED);
    if session > WANTED {
        tracing::warn!(
            session_ms = session.as_millis(),
            "after the death of an instance its partitions stand for longer than need be: the \
             brokers' {MIN} forbids a shorter session, or is not known"
        );
    }
    Ok(session)
}

/// The longest of the brokers' shortest sessions, if they tell it: any of them may be the group's
/// coordinator.
async fn shortest(options: &Options) -> KafkaResult<Option<Duration>> {
    let reader = peek::reader(options)?;
    let brokers = tokio::task::spawn_blocking(move || {
        let metadata = reader.fetch_metadata(None, WAIT)?;
        let brokers = metadata.brokers().iter();
        KafkaResult::Ok(brokers.map(|broker| broker.id()).collect::<Vec<_>>())
    });
    let brokers = brokers
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let client: AdminClient<DefaultClientContext> = AdminClient::from_config(&options.client())?;
    let mut longest = None;
    for broker in brokers {
        let asked = [ResourceSpecifier::Broker(broker)];
        let answers = client
            .describe_configs(&asked, &admin::admin_options())
            .await?;
        let mut entries = answers.into_iter().flatten().flat_map(|it| it.entries);
        let min = entries.find(|entry| entry.name == MIN);
        let ms = min.and_then(|entry| entry.value?.parse().ok());
        longest = longest.max(ms.map(Duration::from_millis));
    }
    Ok(longest)
}
