//! What a partition waits for, for whoever asks: readiness, a metric, and once the log.
//!
//! Changes nothing of the wait itself: whoever waits goes on by itself as soon as it is over.

use std::time::Duration;

use super::Shared;
use super::ports::World;
use crate::ledger::PartitionId;

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

/// Does `work` for an owner of `number`, who is otherwise well.
pub(super) async fn owning<W: World, T>(
    shared: &Shared<W>,
    number: PartitionId,
    what: For,
    work: impl Future<Output = T>,
) -> T {
    saying(shared, number, what, Ok(()), work).await
}

/// Does `work` of a takeover of `number`.
pub(super) async fn taking_over<W: World, T>(
    shared: &Shared<W>,
    number: PartitionId,
    what: For,
    work: impl Future<Output = T>,
) -> T {
    saying(shared, number, what, Err(TAKING_OVER.to_owned()), work).await
}

async fn saying<W: World, T>(
    shared: &Shared<W>,
    number: PartitionId,
    what: For,
    otherwise: Result<(), String>,
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
    otherwise: Result<(), String>,
}

impl<'s, W> Saying<'s, W> {
    fn begin(
        shared: &'s Shared<W>,
        number: PartitionId,
        what: For,
        otherwise: Result<(), String>,
    ) -> Self {
        let waits = format!("waiting for {}", what.name());
        let said = match &otherwise {
            Ok(()) => waits,
            Err(doing) => format!("{doing}: {waits}"),
        };
        tracing::warn!(partition = number, said);
        (shared.report)(&format!("partition-{number}"), Err(said));
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
