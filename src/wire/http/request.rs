//! Requests, and the command each of them means.

use std::sync::Arc;

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::object::Object;
use super::party::{PartyBody, PartySchema};
use super::{DEFAULT_LEDGER, RETRY_MARK};
use crate::ledger::command::POSTINGS_MAX;
use crate::ledger::{Asset, Command};
use crate::wire::command::{
    self, CommandBody, ConfigureBody, Decoder, Kind, OpenBody, PostingBody,
};
use crate::wire::scalar::{Money, Pairs, Str, Time};
use crate::wire::{Invalid, InvalidKind};

/// The most resubmissions that a client may ask for.
pub const EXPECT_RETRIES_MAX: u8 = 5;

/// What a resubmission's reference is longer by: the mark and one digit.
const RETRY_SUFFIX: usize = 2;

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
    /// `transfer`, `open` or `configure`.
    #[serde(rename = "type", default = "transfer")]
    #[schema(value_type = String, default = "transfer")]
    pub kind: Kind,
    /// `LEDGER` or `ORGANIZATION/LEDGER`.
    #[serde(borrow, default = "main_ledger")]
    #[schema(value_type = String, default = "main")]
    pub ledger: Str<'a>,
    /// Of a transfer: 1 to 100 postings, applied all or none.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Vec<PostingRequest>>)]
    pub postings: Option<Vec<Object<PostingRequest<'a>>>>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<OpenPart>)]
    pub open: Option<Object<OpenPart<'a>>>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<ConfigurePart>)]
    pub configure: Option<Object<ConfigurePart<'a>>>,
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
    #[schema(value_type = PartySchema)]
    pub source: PartyBody<'a>,
    #[serde(borrow)]
    #[schema(value_type = PartySchema)]
    pub destination: PartyBody<'a>,
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

/// Opens a balance.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenRequest<'a> {
    /// Defaults to a reference made of the balance's id and the content, so that opening the same
    /// balance twice with the same content is one transaction.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 128)]
    pub reference: Option<Str<'a>>,
    #[serde(borrow, default = "main_ledger")]
    #[schema(value_type = String, default = "main")]
    pub ledger: Str<'a>,
    #[serde(borrow)]
    #[schema(value_type = String, max_length = 64, example = "alice")]
    pub account: Str<'a>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, default = "default")]
    pub key: Option<Str<'a>>,
    #[serde(borrow)]
    #[schema(value_type = String, example = "USD")]
    pub asset: Str<'a>,
    /// The lowest value that available may have: left out it is zero, negative is a credit line,
    /// `null` is unlimited.
    #[serde(default, deserialize_with = "command::given")]
    #[schema(value_type = Option<String>)]
    pub floor: Option<Option<Money>>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub ceiling: Option<Money>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub effective_at: Option<Time>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 256)]
    pub description: Option<Str<'a>>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub metadata: Option<Pairs<Str<'a>, Str<'a>>>,
}

/// Changes what bounds a balance; what is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigureRequest<'a> {
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 128)]
    pub reference: Option<Str<'a>>,
    #[serde(borrow, default = "main_ledger")]
    #[schema(value_type = String, default = "main")]
    pub ledger: Str<'a>,
    /// The asset that a limit is written in.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub asset: Option<Str<'a>>,
    /// `null` is unlimited.
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
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub effective_at: Option<Time>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 256)]
    pub description: Option<Str<'a>>,
    #[serde(borrow, default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub metadata: Option<Pairs<Str<'a>, Str<'a>>>,
}

fn transfer() -> Kind {
    Kind::Transfer
}

fn main_ledger<'a>() -> Str<'a> {
    DEFAULT_LEDGER.into()
}

/// Reads a request, or says which field of it does not fit.
pub fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Invalid> {
    let read: Result<Object<T>, _> = serde_json::from_slice(json);
    read.map(|object| object.0)
        .map_err(|error| command::malformed::<Object<T>>(json, &error))
}

/// Refuses the mark that only resubmissions carry, and a reference that has no room for it.
pub fn client_reference(reference: &str, retries: u8) -> Result<(), Invalid> {
    let refuse = |detail: String| {
        Err(Invalid::new(
            InvalidKind::InvalidReference,
            "reference",
            detail,
        ))
    };
    if reference.contains(RETRY_MARK) {
        return refuse("contains #, which is kept for resubmissions".to_owned());
    }
    let limit = command::REFERENCE_MAX - RETRY_SUFFIX;
    if retries > 0 && reference.len() > limit {
        return refuse(format!(
            "has {} bytes, with expect_retries the limit is {limit}",
            reference.len()
        ));
    }
    Ok(())
}

impl TransactionRequest<'_> {
    /// The command this means under `reference`; `if_match` is the version of the balance that
    /// decides, which is the first source or the balance itself.
    pub fn command(
        &self,
        reference: Option<&str>,
        if_match: Option<u64>,
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
        let ledger = decoder.ledger(&self.ledger)?;
        let body = CommandBody {
            reference: reference.map(Into::into),
            kind: self.kind,
            ledger: (&*self.ledger).into(),
            postings: self.postings(&ledger)?,
            open: self.open.as_deref().map(OpenPart::body),
            configure: self.configure.as_deref().map(ConfigurePart::body),
            expect: self.expect.clone(),
            effective_at: self.effective_at,
            description: self.description.as_deref().map(Into::into),
            metadata: self.metadata.clone(),
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

fn side(
    party: &PartyBody<'_>,
    ledger: &str,
    asset: &Asset,
    (at, side): (usize, &str),
) -> Result<Uuid, Invalid> {
    match party {
        PartyBody::Id(id) => Ok(*id),
        PartyBody::Account(_) | PartyBody::AccountKey { .. } => {
            party.resolve(ledger, asset, &format!("postings[{at}].{side}"))
        }
    }
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

impl OpenRequest<'_> {
    /// The command this means under `reference`.
    pub fn command(
        &self,
        reference: Option<&str>,
        decoder: &mut Decoder,
    ) -> Result<Command, Invalid> {
        let body = |reference| CommandBody {
            reference: Some(reference),
            kind: Kind::Open,
            ledger: (&*self.ledger).into(),
            postings: None,
            open: Some(OpenBody {
                account: (&*self.account).into(),
                key: self.key.as_deref().map(Into::into),
                asset: (&*self.asset).into(),
                floor: self.floor,
                ceiling: self.ceiling,
            }),
            configure: None,
            expect: None,
            effective_at: self.effective_at,
            description: self.description.as_deref().map(Into::into),
            metadata: self.metadata.clone(),
        };
        if let Some(reference) = reference {
            return decoder
                .accept(&body(reference.into()), None, None)
                .map_err(relative);
        }
        let unnamed = decoder
            .accept(&body("open".into()), None, None)
            .map_err(relative)?;
        let (head, _) = unnamed.fingerprint.0.split_at(8);
        let reference = format!("open:{}:{}", unnamed.decider(), hex::encode(head));
        decoder
            .accept(&body(Str(reference.into())), None, None)
            .map_err(relative)
    }
}

impl ConfigureRequest<'_> {
    /// The command this means for `balance` under `reference`; `if_match` is the version that the
    /// client saw.
    pub fn command(
        &self,
        balance: Uuid,
        reference: Option<&str>,
        if_match: Option<u64>,
        decoder: &mut Decoder,
    ) -> Result<Command, Invalid> {
        let body = CommandBody {
            reference: reference.map(Into::into),
            kind: Kind::Configure,
            ledger: (&*self.ledger).into(),
            postings: None,
            open: None,
            configure: Some(ConfigureBody {
                balance,
                asset: self.asset.as_deref().map(Into::into),
                floor: self.floor,
                ceiling: self.ceiling,
                status: self.status.as_deref().map(Into::into),
            }),
            expect: None,
            effective_at: self.effective_at,
            description: self.description.as_deref().map(Into::into),
            metadata: self.metadata.clone(),
        };
        accept(body, if_match, decoder).map_err(relative)
    }
}

/// The fields of a request on a balance are not nested as those of a command are.
fn relative(mut invalid: Invalid) -> Invalid {
    for part in ["open.", "configure."] {
        if let Some(field) = invalid.field.strip_prefix(part) {
            invalid.field = field.to_owned();
        }
    }
    invalid
}

fn accept(
    mut body: CommandBody<'_>,
    if_match: Option<u64>,
    decoder: &mut Decoder,
) -> Result<Command, Invalid> {
    if let Some(version) = if_match {
        let postings = body.postings.as_deref().unwrap_or_default();
        let configured = body.configure.as_ref().map(|configure| configure.balance);
        if let Some(decider) = postings
            .first()
            .map(|posting| posting.source)
            .or(configured)
        {
            expect(&mut body, decider, version)?;
        }
    }
    decoder.accept(&body, None, None)
}

fn expect(body: &mut CommandBody<'_>, balance: Uuid, version: u64) -> Result<(), Invalid> {
    let Pairs(pairs) = body.expect.get_or_insert_with(|| Pairs(Vec::new()));
    match pairs.iter().find(|(known, _)| *known == balance) {
        None => pairs.push((balance, version)),
        Some((_, known)) if *known == version => {}
        Some(_) => {
            let detail = format!("and the header If-Match name different versions of {balance}");
            return Err(Invalid::new(InvalidKind::InvalidExpect, "expect", detail));
        }
    }
    Ok(())
}

/// The same intent once more, under the `attempt`-th derived reference, against the version that
/// refused it.
pub fn resubmission(
    command: &Command,
    original: &str,
    attempt: u8,
    (balance, version): (Uuid, u64),
    decoder: &mut Decoder,
) -> Result<Command, Invalid> {
    let mut body = CommandBody::of(command);
    body.reference = Some(Str(format!("{original}{RETRY_MARK}{attempt}").into()));
    if let Some(Pairs(pairs)) = &mut body.expect {
        for pair in pairs.iter_mut().filter(|(known, _)| *known == balance) {
            pair.1 = version;
        }
    }
    decoder.accept(&body, None, None)
}
