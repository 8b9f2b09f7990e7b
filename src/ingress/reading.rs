//! Reading a balance as it is: from hot, else from cold, never an older one than hot has shown.

use std::sync::Arc;

use super::context::Context;
use super::error::Kind;
use super::lookup::{money, unavailable};
use super::problem::Problem;
use crate::cold::read;
use crate::hot::read::{HotAnswer, HotBalance};
use crate::ledger::{Balance, BalanceId, PartitionId, partition_of};
use crate::wire::http::BalanceView;
use crate::wire::scalar::{Str, Time};
use crate::wire::{BalanceBody, Invalid};

/// A balance, and how fresh it is.
#[derive(Clone, Debug)]
pub struct Reading {
    pub id: BalanceId,
    pub balance: Balance,
    pub partition: PartitionId,
    /// `hot` or `cold`.
    pub source: &'static str,
    /// Every change up to this moment is in it.
    pub as_of: Time,
}

impl Reading {
    pub fn view(&self) -> BalanceView<'_> {
        let body = BalanceBody::of(self.id, &self.balance, self.partition, 0);
        BalanceView::of(body, self.source, Some(self.as_of))
    }

    fn of(body: &BalanceBody<'_>, source: &'static str, as_of: Time) -> Result<Self, Invalid> {
        let (id, balance) = body.to_ledger(Arc::from(&*body.ledger))?;
        Ok(Self {
            id,
            balance,
            partition: body.partition,
            source,
            as_of,
        })
    }

    fn of_hot(hot: &HotBalance) -> Option<Self> {
        let body = BalanceBody::parse(hot.json.as_bytes()).ok()?;
        Self::of(&body, "hot", Time(hot.as_of)).ok()
    }

    fn of_cold((row, as_of): (read::BalanceRow, read::AsOf)) -> Result<Self, Problem> {
        let broken = |error: Invalid| {
            tracing::error!(%error, "a row of cold is no balance");
            Problem::new(Kind::Internal, "the balance cannot be read")
        };
        Self::of(&body(row), "cold", Time(as_of.at.timestamp_millis())).map_err(broken)
    }
}

impl Context {
    /// A balance as it is, or nothing where there certainly is none.
    ///
    /// # Errors
    /// If neither store can tell.
    pub async fn read_balance(&self, id: BalanceId) -> Result<Option<Reading>, Problem> {
        let (hot, trusted) = self.hot(id).await;
        let shown = hot.as_ref().and_then(Reading::of_hot);
        if hot.is_some_and(|hot| hot.current) && shown.is_some() {
            return Ok(shown);
        }
        match (shown, read::balance(&self.pool, id.uuid()).await) {
            (Some(hot), Ok(Some((row, _)))) if row.version <= hot.balance.state.version => {
                Ok(Some(hot))
            }
            (_, Ok(Some(found))) => Reading::of_cold(found).map(Some),
            (Some(hot), Ok(None) | Err(_)) => Ok(Some(hot)),
            (None, Ok(None)) if trusted => Ok(None),
            (None, Ok(None)) => {
                let detail = "it is not in cold, and what is newer cannot be looked up just now";
                Err(Problem::new(Kind::StorageUnavailable, detail))
            }
            (None, Err(error)) => Err(unavailable(&error)),
        }
    }

    /// What hot has of a balance, and whether its not being there means that cold has it.
    async fn hot(&self, id: BalanceId) -> (Option<HotBalance>, bool) {
        match self
            .hot
            .balance(partition_of(id, self.partitions), id)
            .await
        {
            Ok(HotAnswer::Found(hot)) => (Some(hot), true),
            Ok(HotAnswer::Absent) => (None, true),
            Ok(HotAnswer::Untrusted) => (None, false),
            Err(error) => {
                tracing::debug!(%error, balance.id = %id, "hot does not answer");
                (None, false)
            }
        }
    }
}

/// A row of cold as the snapshot that it was.
pub fn body(row: read::BalanceRow) -> BalanceBody<'static> {
    BalanceBody {
        posted: money(row.posted, &row.asset),
        held: money(row.held, &row.asset),
        incoming: money(row.incoming, &row.asset),
        floor: row.floor.map(|floor| money(floor, &row.asset)),
        ceiling: row.ceiling.map(|ceiling| money(ceiling, &row.asset)),
        id: row.id,
        ledger: Str(row.ledger.into()),
        account: Str(row.account.into()),
        key: Str(row.key.into()),
        asset: Str(row.asset.into()),
        status: Str(row.status.into()),
        version: row.version,
        command_offset: row.command_offset,
        partition: row.partition,
        epoch: row.epoch,
    }
}
