//! Reading a balance as it is: from hot, else from cold, never an older one than hot has shown.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::balances::balance_id;
use super::context::Context;
use super::error::Kind;
use super::lookup::{money, unavailable};
use super::problem::Problem;
use crate::cold::read;
use crate::hot::read::{HotAnswer, HotBalance};
use crate::ledger::id::DEFAULT_KEY;
use crate::ledger::stripes::{is_striped, stripes};
use crate::ledger::{Asset, Balance, BalanceId, PartitionId, partition_of};
use crate::wire::command::{account_name, asset as asset_named};
use crate::wire::http::{BalanceView, DEFAULT_LEDGER};
use crate::wire::scalar::{Str, Time};
use crate::wire::{BalanceBody, Invalid};

/// How many balances are read at once.
pub const READ_AT_ONCE: usize = 64;

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

/// Which balances a path means.
#[derive(Clone, Debug)]
pub struct Meant {
    /// What the answer is named by.
    pub id: BalanceId,
    /// The balances themselves: itself, or the stripes of a striped account.
    pub parts: Vec<BalanceId>,
}

/// What a path and its query name.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    pub id: &'a str,
    pub ledger: Option<&'a str>,
    pub asset: Option<&'a str>,
}

impl Reading {
    /// The sum of stripes.
    fn sum(id: BalanceId, stripes: Vec<Self>) -> Option<Self> {
        let mut stripes = stripes.into_iter();
        let mut whole = stripes.next()?;
        whole.id = id;
        whole.balance.name = format!("{}/{DEFAULT_KEY}", whole.balance.account()).into();
        for stripe in stripes {
            let (sum, part) = (&mut whole.balance.state, stripe.balance.state);
            sum.posted = sum.posted.checked_add(part.posted)?;
            sum.held = sum.held.checked_add(part.held)?;
            sum.incoming = sum.incoming.checked_add(part.incoming)?;
            sum.version = sum.version.checked_add(part.version)?;
            whole.as_of = whole.as_of.min(stripe.as_of);
            if stripe.source != whole.source {
                whole.source = "cold";
            }
        }
        whole.balance.state.sound().then_some(whole)
    }
}

impl Context {
    /// The balances that a path means: an id, or the name of a striped account and its asset.
    pub fn meant(&self, names: Names<'_>) -> Result<Meant, Problem> {
        if !is_striped(names.id) {
            if names.ledger.or(names.asset).is_some() {
                let detail = "and ledger are for striped accounts, which are read by their name";
                return Err(Problem::malformed("asset", detail));
            }
            let id = balance_id(names.id)?;
            let parts = vec![id];
            return Ok(Meant { id, parts });
        }
        account_name(names.id, "id")?;
        let ledger = names.ledger.unwrap_or(DEFAULT_LEDGER);
        let ledger = self.decode(|decoder| decoder.ledger(ledger))?;
        let asset = names.asset.ok_or_else(|| {
            Problem::malformed(
                "asset",
                "is missing; a striped account is read in one asset",
            )
        })?;
        let asset = asset_named(asset, || "asset".to_owned())?;
        Ok(self.striped(&ledger, names.id, &asset))
    }

    fn striped(&self, ledger: &str, account: &str, asset: &Asset) -> Meant {
        let stripes = stripes(ledger, account, asset, self.partitions);
        Meant {
            id: BalanceId::of(ledger, account, asset, DEFAULT_KEY),
            parts: stripes.into_iter().map(|stripe| stripe.id).collect(),
        }
    }

    /// The same, where an id may be that of a striped account as a whole: its balance of the key
    /// `default`, if `found` is that.
    pub fn whole(&self, meant: Meant, ledger: &str, name: (&str, &str), asset: &Asset) -> Meant {
        match meant.parts.len() == 1 && is_striped(name.0) && name.1 == DEFAULT_KEY {
            true => self.striped(ledger, name.0, asset),
            false => meant,
        }
    }

    /// A balance as it is, or the sum of a striped account.
    pub async fn read_meant(&self, meant: Meant) -> Result<Option<Reading>, Problem> {
        let mut found = self.read_parts(&meant).await?;
        let meant = match found.first() {
            Some(first) => {
                let balance = &first.balance;
                let name = (balance.account(), balance.key());
                let whole = self.whole(meant.clone(), &balance.ledger, name, &balance.asset);
                if whole.parts.len() > meant.parts.len() {
                    found = self.read_parts(&whole).await?;
                }
                whole
            }
            None => meant,
        };
        if found.len() < 2 && meant.parts.len() == 1 {
            return Ok(found.pop());
        }
        if found.is_empty() {
            return Ok(None);
        }
        let large = || Problem::new(Kind::Internal, "the sum needs more than 28 digits");
        Reading::sum(meant.id, found).map(Some).ok_or_else(large)
    }

    async fn read_parts(&self, meant: &Meant) -> Result<Vec<Reading>, Problem> {
        let reading = futures::stream::iter(meant.parts.iter().copied())
            .map(|id| self.read_balance(id))
            .buffered(READ_AT_ONCE);
        reading
            .try_filter_map(async |it| Ok(it))
            .try_collect()
            .await
    }

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
