//! Opening and configuring a balance as a client writes it, and the command it means.

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::{accept, main_ledger};
use crate::ledger::Command;
use crate::wire::Invalid;
use crate::wire::command::{self, CommandBody, ConfigureBody, Decoder, Kind, OpenBody};
use crate::wire::scalar::{Money, Pairs, Str, Time};

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

impl OpenRequest<'_> {
    /// The command this means under `reference`.
    pub fn command(
        &self,
        reference: Option<&str>,
        decoder: &mut Decoder,
    ) -> Result<Command, Invalid> {
        let body = |reference| CommandBody {
            reference: Some(reference),
            open: Some(OpenBody {
                account: (&*self.account).into(),
                key: self.key.as_deref().map(Into::into),
                asset: (&*self.asset).into(),
                floor: self.floor,
                ceiling: self.ceiling,
            }),
            effective_at: self.effective_at,
            description: self.description.as_deref().map(Into::into),
            metadata: self.metadata.clone(),
            ..CommandBody::new(Kind::Open, &self.ledger)
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
            configure: Some(ConfigureBody {
                balance,
                asset: self.asset.as_deref().map(Into::into),
                floor: self.floor,
                ceiling: self.ceiling,
                status: self.status.as_deref().map(Into::into),
            }),
            effective_at: self.effective_at,
            description: self.description.as_deref().map(Into::into),
            metadata: self.metadata.clone(),
            ..CommandBody::new(Kind::Configure, &self.ledger)
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
