//! A transaction as a client writes it, and the command it means.

use std::sync::Arc;

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::party::{PartyBody, SideSchema};
use super::request::{accept, main_ledger};
use super::reversal::{KnownOriginal, ReversePart};
use crate::ledger::command::POSTINGS_MAX;
use crate::ledger::{Asset, Command};
use crate::wire::command::{
    self, ClosePeriodBody, CommandBody, ConfigureBody, Decoder, HoldTermsBody, Kind, NameBody,
    OpenBody, PostBody, PostingBody, SideBody, TargetBody,
};
use crate::wire::object::{object, objects};
use crate::wire::scalar::{Money, Pairs, Str, Time};
use crate::wire::{Invalid, InvalidKind};

/// The most resubmissions that a client may ask for.
pub const EXPECT_RETRIES_MAX: u8 = 5;

/// A transaction, as in a record of the `commands` topic.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionRequest<'a> {
    /// Your own name of the transaction, unique in its ledger: 1 to 128 of
    /// `A-Z a-z 0-9 . _ : @ / + = , ~ -`. Make it and keep it before the first attempt. The header
    /// `Idempotency-Key` is an alias.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 128, example = "order-8412")]
    pub reference: Option<Str<'a>>,
    /// `transfer`, `open`, `configure`, `close-period`, `post`, `void` or `reverse`.
    #[serde(rename = "type", default = "transfer")]
    #[schema(value_type = String, default = "transfer")]
    pub kind: Kind,
    /// `LEDGER` or `ORGANIZATION/LEDGER`.
    #[serde(borrow, default = "main_ledger")]
    #[schema(value_type = String, default = "main")]
    pub ledger: Str<'a>,
    /// Of a transfer: 1 to 100 postings, applied all or none.
    #[serde(borrow, default, deserialize_with = "objects")]
    pub postings: Option<Vec<PostingRequest<'a>>>,
    /// Makes a transfer a hold: reserved until it is posted, voided or expires.
    #[serde(default, deserialize_with = "object")]
    pub hold: Option<HoldTermsBody>,
    #[serde(borrow, default, deserialize_with = "object")]
    pub open: Option<OpenPart<'a>>,
    #[serde(borrow, default, deserialize_with = "object")]
    pub configure: Option<ConfigurePart<'a>>,
    /// Of a type `post`: makes a hold final, in part or all that is left of it.
    #[serde(borrow, default, deserialize_with = "object")]
    pub post: Option<PostBody<'a>>,
    /// Of a type `void`: releases what is left of a hold.
    #[serde(default, deserialize_with = "object")]
    pub void: Option<TargetBody>,
    /// Of type `reverse`: moves back what a transaction has moved, in part or all that is left.
    #[serde(borrow, default, deserialize_with = "object")]
    pub reverse: Option<ReversePart<'a>>,
    /// Of type `close-period`.
    #[serde(default, deserialize_with = "object")]
    pub close_period: Option<ClosePeriodBody>,
    /// The version of a balance that you saw, by balance id: with any other version the
    /// transaction is rejected as `version-mismatch`.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>)]
    pub expect: Option<Pairs<Uuid, u64>>,
    /// How often to submit again with the current version when `expect` does not hold, under the
    /// references `<reference>#1`, `<reference>#2`… HTTP only, not in a batch.
    #[serde(default)]
    #[schema(maximum = 5, default = 0)]
    pub expect_retries: u8,
    /// When it takes effect: from 1970 on, no more than a minute from now, and not before the end
    /// of the ledger's closed period. Left out, it is the time of the decision.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub effective_at: Option<Time>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 256)]
    pub description: Option<Str<'a>>,
    /// Up to 32 texts.
    #[serde(borrow, default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub metadata: Option<Pairs<Str<'a>, Str<'a>>>,
}

/// One movement of money.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostingRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = SideSchema)]
    pub source: SideBody<PartyBody<'a>>,
    #[serde(borrow)]
    #[schema(value_type = SideSchema)]
    pub destination: SideBody<PartyBody<'a>>,
    /// A positive decimal in units of the asset, as a text.
    #[schema(value_type = String, example = "12.50")]
    pub amount: Money,
    /// `CODE/SCALE`, or a bare ISO 4217 code.
    #[serde(borrow)]
    #[schema(value_type = String, example = "USD")]
    pub asset: Str<'a>,
}

/// The balance that a transaction of type `open` opens.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenPart<'a> {
    #[serde(borrow)]
    #[schema(value_type = String, max_length = 64)]
    pub account: Str<'a>,
    /// Tells balances of one account and asset apart.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, default = "default")]
    pub key: Option<Str<'a>>,
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub asset: Str<'a>,
    /// Left out it is zero; `null` is unlimited.
    #[serde(default, deserialize_with = "command::given")]
    #[schema(value_type = Option<String>)]
    pub floor: Option<Option<Money>>,
    /// Left out or `null` it is unlimited.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub ceiling: Option<Money>,
}

/// What a transaction of type `configure` changes; what is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigurePart<'a> {
    pub balance: Uuid,
    /// The asset that a limit is written in.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub asset: Option<Str<'a>>,
    #[serde(default, deserialize_with = "command::given")]
    #[schema(value_type = Option<String>)]
    pub floor: Option<Option<Money>>,
    #[serde(default, deserialize_with = "command::given")]
    #[schema(value_type = Option<String>)]
    pub ceiling: Option<Option<Money>>,
    /// `open`, `debits-frozen`, `credits-frozen`, `frozen` or `closed`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub status: Option<Str<'a>>,
}

fn transfer() -> Kind {
    Kind::Transfer
}

impl TransactionRequest<'_> {
    /// The command this means under `reference`; `if_match` is the version of the balance that
    /// decides, which is the first source or the balance itself. A reversal needs its `original`.
    pub fn command(
        &self,
        reference: Option<&str>,
        if_match: Option<u64>,
        original: Option<&KnownOriginal>,
        decoder: &mut Decoder,
    ) -> Result<Command, Invalid> {
        if self.expect_retries > EXPECT_RETRIES_MAX {
            let detail = format!(
                "is {}, the limit is {EXPECT_RETRIES_MAX}",
                self.expect_retries
            );
            return Err(Invalid::new(
                InvalidKind::InvalidExpect,
                "expect_retries",
                detail,
            ));
        }
        let versionless = matches!(
            self.kind,
            Kind::Open | Kind::ClosePeriod | Kind::Post | Kind::Void
        );
        if self.expect_retries > 0 && versionless {
            let detail = "is not for this type: no version is compared";
            return Err(Invalid::new(
                InvalidKind::InvalidExpect,
                "expect_retries",
                detail,
            ));
        }
        if self.kind == Kind::Expire {
            let detail = "must be transfer, open, configure, close-period, post, void or reverse";
            return Err(Invalid::new(InvalidKind::MalformedRequest, "type", detail));
        }
        let reverse = self.reverse.as_ref().zip(original);
        let ledger = decoder.ledger(&self.ledger)?;
        let body = CommandBody {
            reference: reference.map(Into::into),
            postings: self.postings(&ledger)?,
            open: self.open.as_ref().map(OpenPart::body),
            configure: self.configure.as_ref().map(ConfigurePart::body),
            close_period: self.close_period,
            reverse: reverse
                .map(|(part, original)| part.body(original))
                .transpose()?,
            expect: self.expect.clone(),
            effective_at: self.effective_at,
            description: self.description.as_deref().map(Into::into),
            metadata: self.metadata.clone(),
            hold: self.hold,
            post: self.post.clone(),
            void: self.void,
            ..CommandBody::new(self.kind, &self.ledger)
        };
        accept(body, if_match, decoder)
    }

    fn postings(&self, ledger: &Arc<str>) -> Result<Option<Vec<PostingBody<'_>>>, Invalid> {
        let Some(postings) = &self.postings else {
            return Ok(None);
        };
        // One more than allowed is enough for the decoder to refuse them by name.
        let resolved = postings
            .iter()
            .take(POSTINGS_MAX + 1)
            .enumerate()
            .map(|(at, posting)| {
                let asset = command::asset(&posting.asset, || format!("postings[{at}].asset"))?;
                Ok(PostingBody {
                    source: side(&posting.source, ledger, &asset, (at, "source"))?,
                    destination: side(&posting.destination, ledger, &asset, (at, "destination"))?,
                    amount: posting.amount,
                    asset: (&*posting.asset).into(),
                })
            });
        resolved.collect::<Result<_, _>>().map(Some)
    }
}

fn side<'s>(
    side: &'s SideBody<PartyBody<'_>>,
    ledger: &str,
    asset: &Asset,
    (at, name): (usize, &str),
) -> Result<SideBody<NameBody<'s>>, Invalid> {
    let field = format!("postings[{at}].{name}");
    side.try_map(&field, |party, field| party.resolve(ledger, asset, field))
}

impl OpenPart<'_> {
    fn body(&self) -> OpenBody<'_> {
        OpenBody {
            account: (&*self.account).into(),
            key: self.key.as_deref().map(Into::into),
            asset: (&*self.asset).into(),
            floor: self.floor,
            ceiling: self.ceiling,
        }
    }
}

impl ConfigurePart<'_> {
    fn body(&self) -> ConfigureBody<'_> {
        ConfigureBody {
            balance: self.balance,
            asset: self.asset.as_deref().map(Into::into),
            floor: self.floor,
            ceiling: self.ceiling,
            status: self.status.as_deref().map(Into::into),
        }
    }
}
