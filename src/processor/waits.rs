//! What a partition waits for, for whoever asks: readiness, a metric, and once the log.
//!
//! Changes nothing of the wait itself: whoever waits goes on by itself as soon as it is over.

use std::time::Duration;

use super::Shared;
use super::ports::World;
use crate::ledger::PartitionId;
use crate::telemetry::health::State;

/// What is not there by then is waited for, and not just on its way.
const PATIENCE: Duration = Duration::from_secs(3);

/// What may keep a partition waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Kafka,
    Postgres,
}

impl For {
    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
        }
    }
}

/// What a partition says where nothing keeps it waiting.
pub(super) const TAKING_OVER: &str = "taking the partition over";

/// Says whether hot of `number` is behind because Redis does not answer. Nobody waits for that.
pub(super) fn hot_is_away<W>(shared: &Shared<W>, number: PartitionId, away: bool) {
    let state = match away {
        true => State::degraded("redis does not answer; reads are as old as cold"),
        false => State::Ok,
    };
    (shared.report)(&format!("hot-{number}"), state);
    let labels = [&*number.to_string(), "redis"];
    let gauge = &shared.metrics.waits;
    gauge.with_label_values(&labels).set(away.into());
}

/// Does `work` for an owner of `number`, who is otherwise well.
pub(super) async fn owning<W: World, T>(
    shared: &Shared<W>,
    number: PartitionId,
    what: For,
    work: impl Future<Output = T>,
) -> T {
    saying(shared, number, what, State::Ok, work).await
}

/// Does `work` of a takeover of `number`.
pub(super) async fn taking_over<W: World, T>(
    shared: &Shared<W>,
    number: PartitionId,
    what: For,
    work: impl Future<Output = T>,
) -> T {
    saying(shared, number, what, State::waiting(TAKING_OVER), work).await
}

async fn saying<W: World, T>(
    shared: &Shared<W>,
    number: PartitionId,
    what: For,
    otherwise: State,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = shared.world.sleep(PATIENCE) => {}
    }
    let saying = Saying::begin(shared, number, what, otherwise);
    let done = work.await;
    drop(saying);
    done
}

/// Says it until it is dropped, whether or not the wait came to its end.
struct Saying<'s, W> {
    shared: &'s Shared<W>,
    number: PartitionId,
    what: For,
    otherwise: State,
}

impl<'s, W> Saying<'s, W> {
    fn begin(shared: &'s Shared<W>, number: PartitionId, what: For, otherwise: State) -> Self {
        let waits = format!("waiting for {}", what.name());
        let said = match &otherwise {
            State::Waiting(doing) => format!("{doing}: {waits}"),
            State::Ok | State::Degraded(_) | State::Failed(_) => waits,
        };
        tracing::warn!(partition = number, said);
        (shared.report)(&format!("partition-{number}"), State::Waiting(said));
        let saying = Self {
            shared,
            number,
            what,
            otherwise,
        };
        saying.show(1);
        saying
    }

    fn show(&self, waits: i64) {
        let labels = [&*self.number.to_string(), self.what.name()];
        let gauge = &self.shared.metrics.waits;
        gauge.with_label_values(&labels).set(waits);
    }
}

impl<W> Drop for Saying<'_, W> {
    fn drop(&mut self) {
        self.show(0);
        let (number, what) = (self.number, self.what.name());
        tracing::info!(partition = number, "{what} is waited for no longer");
        let otherwise = self.otherwise.clone();
        (self.shared.report)(&format!("partition-{number}"), otherwise);
    }
}
