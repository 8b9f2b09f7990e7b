//! A balance's latest state: the value of `balance:<id>` on `snapshots`, and hot's value.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::invalid::{Invalid, InvalidKind};
use super::scalar::{Money, Str};
use crate::ledger::amount::minor_of;
use crate::ledger::{Asset, Balance, BalanceId, PartitionId, State, Status};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceBody<'a> {
    pub id: Uuid,
    /// `organization/ledger`.
    #[serde(borrow)]
    pub ledger: Str<'a>,
    #[serde(borrow)]
    pub account: Str<'a>,
    #[serde(borrow)]
    pub key: Str<'a>,
    #[serde(borrow)]
    pub asset: Str<'a>,
    pub posted: Money,
    pub held: Money,
    pub incoming: Money,
    /// `null` is unlimited.
    pub floor: Option<Money>,
    pub ceiling: Option<Money>,
    #[serde(borrow)]
    pub status: Str<'a>,
    pub version: u64,
    /// The last command that changed it.
    pub command_offset: u64,
    pub partition: PartitionId,
    /// Which ownership wrote this copy.
    pub epoch: u64,
}

impl<'a> BalanceBody<'a> {
    pub fn of(id: BalanceId, balance: &'a Balance, partition: PartitionId, epoch: u64) -> Self {
        let money = |minor| Money::of(minor, balance.asset.scale());
        Self {
            id: id.uuid(),
            ledger: (*balance.ledger).into(),
            account: balance.account().into(),
            key: balance.key().into(),
            asset: balance.asset.as_str().into(),
            posted: money(balance.state.posted),
            held: money(balance.state.held),
            incoming: money(balance.state.incoming),
            floor: balance.floor.map(money),
            ceiling: balance.ceiling.map(money),
            status: balance.status.slug().into(),
            version: balance.state.version,
            command_offset: balance.offset,
            partition,
            epoch,
        }
    }

    pub fn parse(json: &'a [u8]) -> Result<Self, Invalid> {
        serde_json::from_slice(json)
            .map_err(|error| Invalid::new(InvalidKind::MalformedRequest, "", error.to_string()))
    }

    /// The ledger's form; `ledger` is shared by the caller between balances.
    pub fn to_ledger(&self, ledger: Arc<str>) -> Result<(BalanceId, Balance), Invalid> {
        let broken =
            |field: &str, error: String| Invalid::new(InvalidKind::MalformedRequest, field, error);
        let asset =
            Asset::parse(&self.asset).map_err(|error| broken("asset", error.to_string()))?;
        let minor = |money: Money, field: &str| {
            minor_of(money.0, asset.scale()).map_err(|error| broken(field, error.to_string()))
        };
        let limit =
            |money: Option<Money>, field: &str| money.map(|money| minor(money, field)).transpose();
        let status = Status::from_slug(&self.status);
        let balance = Balance {
            state: State {
                posted: minor(self.posted, "posted")?,
                held: minor(self.held, "held")?,
                incoming: minor(self.incoming, "incoming")?,
                version: self.version,
            },
            floor: limit(self.floor, "floor")?,
            ceiling: limit(self.ceiling, "ceiling")?,
            status: status.ok_or_else(|| broken("status", "is unknown".to_owned()))?,
            asset,
            offset: self.command_offset,
            ledger,
            name: Balance::name(&self.account, &self.key),
        };
        Ok((BalanceId::new(self.id), balance))
    }
}
