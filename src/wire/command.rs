//! Commands: the JSON of the `commands` topic, parsed into [`Command`] or refused by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::fingerprint;
use super::invalid::{Invalid, InvalidKind};
use super::object::{Object, object, objects};
use super::scalar::{Money, Pairs, Str, Time};
use crate::ledger::amount::{self, Amount};
use crate::ledger::command::{Body, Command, Configure, Note, Open, POSTINGS_MAX, Party, Posting};
use crate::ledger::{Asset, BalanceId, Limit, ReplyTo, Status};

/// The organization of a ledger that names none.
pub const DEFAULT_ORGANIZATION: &str = "default";
/// Longest reference, in bytes.
pub const REFERENCE_MAX: usize = 128;
/// Longest organization, ledger, account or key, in bytes.
pub const NAME_MAX: usize = 64;
/// Longest description, in bytes.
pub const DESCRIPTION_MAX: usize = 256;
/// Most members of `metadata`, and their longest key and value, in bytes.
pub const METADATA_MAX: usize = 32;
pub const METADATA_KEY_MAX: usize = 64;
pub const METADATA_VALUE_MAX: usize = 512;

/// A command as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandBody<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Str<'a>>,
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(borrow)]
    pub ledger: Str<'a>,
    #[serde(
        borrow,
        default,
        deserialize_with = "objects",
        skip_serializing_if = "Option::is_none"
    )]
    pub postings: Option<Vec<PostingBody<'a>>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub open: Option<OpenBody<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub configure: Option<ConfigureBody<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pairs<Uuid, u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Time>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Str<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Pairs<Str<'a>, Str<'a>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Open,
    Configure,
    Transfer,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostingBody<'a> {
    pub source: Uuid,
    pub destination: Uuid,
    pub amount: Money,
    #[serde(borrow)]
    pub asset: Str<'a>,
}

/// `floor` left out is zero; `null` is unlimited. `ceiling` left out or `null` is unlimited.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenBody<'a> {
    #[serde(borrow)]
    pub account: Str<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Str<'a>>,
    #[serde(borrow)]
    pub asset: Str<'a>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub floor: Option<Option<Money>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Money>,
}

/// What is left out stays; a limit of `null` is unlimited. A limit needs the `asset` it is in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigureBody<'a> {
    pub balance: Uuid,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Str<'a>>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub floor: Option<Option<Money>>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub ceiling: Option<Option<Money>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Str<'a>>,
}

/// Tells a field that is `null` from one that is left out.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Parses commands; remembers ledgers and world balances between them.
#[derive(Debug, Default)]
pub struct Decoder {
    ledgers: HashMap<Box<str>, Arc<str>>,
    worlds: HashMap<(Arc<str>, Asset), BalanceId>,
}

/// Names remembered before the memory starts anew.
const REMEMBERED_MAX: usize = 4096;

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses the value of a record.
    pub fn parse(
        &mut self,
        json: &[u8],
        reply: Option<ReplyTo>,
        trace: Option<Box<str>>,
    ) -> Result<Command, Invalid> {
        let body: Object<CommandBody<'_>> = serde_json::from_slice(json)
            .map_err(|error| malformed::<Object<CommandBody<'_>>>(json, &error))?;
        self.accept(&body.0, reply, trace)
    }

    /// Checks a parsed body and makes it a command.
    pub fn accept(
        &mut self,
        body: &CommandBody<'_>,
        reply: Option<ReplyTo>,
        trace: Option<Box<str>>,
    ) -> Result<Command, Invalid> {
        let reference = reference(body.reference.as_deref())?;
        let ledger = self.ledger(&body.ledger)?;
        let intent = self.body(body, &ledger)?;
        let expect = expect(body, &intent)?;
        let note = Note {
            effective_at: body.effective_at.map(|time| time.0),
            description: description(body.description.as_deref())?,
            metadata: metadata(body.metadata.as_ref())?,
            reply,
            trace,
        };
        Ok(Command {
            seen_key: fingerprint::seen_key(&ledger, reference),
            fingerprint: fingerprint::fingerprint(&ledger, &intent, &expect, &note),
            reference: reference.into(),
            ledger,
            body: intent,
            expect,
            note,
        })
    }

    /// The canonical `organization/ledger` of what a client wrote.
    pub fn ledger(&mut self, text: &str) -> Result<Arc<str>, Invalid> {
        if let Some(known) = self.ledgers.get(text) {
            return Ok(known.clone());
        }
        let (organization, ledger) = text.split_once('/').unwrap_or((DEFAULT_ORGANIZATION, text));
        if !plain_name(organization) || !plain_name(ledger) {
            return Err(Invalid::new(
                InvalidKind::InvalidLedger,
                "ledger",
                "must be LEDGER or ORGANIZATION/LEDGER, each 1 to 64 of a-z 0-9 . _ -",
            ));
        }
        let canonical: Arc<str> = format!("{organization}/{ledger}").into();
        if self.ledgers.len() >= REMEMBERED_MAX {
            self.ledgers.clear();
        }
        self.ledgers.insert(text.into(), canonical.clone());
        Ok(canonical)
    }

    fn world(&mut self, ledger: &Arc<str>, asset: Asset) -> BalanceId {
        if self.worlds.len() >= REMEMBERED_MAX {
            self.worlds.clear();
        }
        let entry = self.worlds.entry((ledger.clone(), asset));
        *entry.or_insert_with(|| BalanceId::world(ledger, &asset))
    }

    fn body(&mut self, body: &CommandBody<'_>, ledger: &Arc<str>) -> Result<Body, Invalid> {
        let parts = (
            body.postings.is_some(),
            body.open.is_some(),
            body.configure.is_some(),
        );
        let (part, fits) = match body.kind {
            Kind::Transfer => ("postings", parts == (true, false, false)),
            Kind::Open => ("open", parts == (false, true, false)),
            Kind::Configure => ("configure", parts == (false, false, true)),
        };
        if !fits {
            let detail =
                format!("this type takes exactly one of postings, open, configure: {part}");
            return Err(Invalid::new(InvalidKind::MalformedRequest, "type", detail));
        }
        if let Some(open) = &body.open {
            return accept_open(open, ledger).map(Body::Open);
        }
        if let Some(configure) = &body.configure {
            return accept_configure(configure).map(Body::Configure);
        }
        let postings = body.postings.as_deref().unwrap_or_default();
        if postings.is_empty() || postings.len() > POSTINGS_MAX {
            let detail = format!(
                "must have 1 to {POSTINGS_MAX} items, has {}",
                postings.len()
            );
            return Err(Invalid::new(
                InvalidKind::InvalidPostings,
                "postings",
                detail,
            ));
        }
        let accepted = postings
            .iter()
            .enumerate()
            .map(|(at, item)| self.posting(at, item, ledger));
        accepted.collect::<Result<_, _>>().map(Body::Transfer)
    }

    fn posting(
        &mut self,
        at: usize,
        body: &PostingBody<'_>,
        ledger: &Arc<str>,
    ) -> Result<Posting, Invalid> {
        let asset = asset(&body.asset, || format!("postings[{at}].asset"))?;
        let amount = Amount::from_decimal(body.amount.0, asset.scale()).map_err(|error| {
            let field = format!("postings[{at}].amount");
            Invalid::new(InvalidKind::InvalidAmount, field, error.to_string())
        })?;
        if body.source == body.destination {
            let detail = "is the source itself; source and destination must differ";
            let field = format!("postings[{at}].destination");
            return Err(Invalid::new(InvalidKind::SameBalance, field, detail));
        }
        let world = self.world(ledger, asset);
        let party = |uuid| {
            let id = BalanceId::new(uuid);
            Party {
                id,
                world: id == world,
            }
        };
        let (source, destination) = (party(body.source), party(body.destination));
        Ok(Posting {
            source,
            destination,
            amount,
            asset,
        })
    }
}

/// Tells which field of `json` does not fit `T`; `error` is what the plain parser said.
pub fn malformed<'a, T: Deserialize<'a>>(json: &'a [u8], error: &serde_json::Error) -> Invalid {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let traced: Result<T, _> = serde_path_to_error::deserialize(&mut deserializer);
    let path = traced.err().map(|traced| traced.path().to_string());
    // A place without a name is written `?`, and the whole `.`.
    let field = path.unwrap_or_default();
    let field = field.trim_end_matches(['?', '.']).to_owned();
    let kind =
        match field.ends_with("amount") || field.ends_with("floor") || field.ends_with("ceiling") {
            true => InvalidKind::InvalidAmount,
            false => InvalidKind::MalformedRequest,
        };
    Invalid::new(kind, field, error.to_string())
}

fn reference(text: Option<&str>) -> Result<&str, Invalid> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        let detail = "is missing or empty; name every transaction with a reference of your own";
        return Err(Invalid::new(
            InvalidKind::ReferenceMissing,
            "reference",
            detail,
        ));
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@/+=,~#-".contains(&byte);
    if text.len() > REFERENCE_MAX || !text.bytes().all(fits) {
        let detail = "must be 1 to 128 of A-Z a-z 0-9 . _ : @ / + = , ~ -";
        return Err(Invalid::new(
            InvalidKind::InvalidReference,
            "reference",
            detail,
        ));
    }
    Ok(text)
}

fn plain_name(text: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= NAME_MAX && text.bytes().all(fits)
}

/// Checks the name of an account or key.
pub fn account_name<'a>(text: &'a str, field: &str) -> Result<&'a str, Invalid> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@+-".contains(&byte);
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(fits) {
        let detail = "must be 1 to 64 of A-Z a-z 0-9 . _ : @ + -";
        return Err(Invalid::new(InvalidKind::InvalidBalance, field, detail));
    }
    Ok(text)
}

/// Reads an asset; `field` names it in the refusal.
pub fn asset(text: &str, field: impl FnOnce() -> String) -> Result<Asset, Invalid> {
    Asset::parse(text)
        .map_err(|error| Invalid::new(InvalidKind::InvalidAsset, field(), error.to_string()))
}

fn limit(money: Option<Money>, asset: Asset, field: &str) -> Result<Limit, Invalid> {
    let minor = money
        .map(|money| amount::minor_of(money.0, asset.scale()))
        .transpose();
    minor.map_err(|error| Invalid::new(InvalidKind::InvalidAmount, field, error.to_string()))
}

fn accept_open(open: &OpenBody<'_>, ledger: &Arc<str>) -> Result<Open, Invalid> {
    let account = account_name(&open.account, "open.account")?;
    if account.starts_with('@') {
        let detail = "starts with @, which is kept for the system's own accounts";
        return Err(Invalid::new(
            InvalidKind::ReservedAccount,
            "open.account",
            detail,
        ));
    }
    let key = open
        .key
        .as_deref()
        .unwrap_or(crate::ledger::id::DEFAULT_KEY);
    let key = account_name(key, "open.key")?;
    let asset = asset(&open.asset, || "open.asset".to_owned())?;
    let floor = match open.floor {
        None => Some(0),
        Some(floor) => limit(floor, asset, "open.floor")?,
    };
    Ok(Open {
        balance: BalanceId::of(ledger, account, &asset, key),
        account: account.into(),
        key: key.into(),
        asset,
        floor,
        ceiling: limit(open.ceiling, asset, "open.ceiling")?,
    })
}

fn accept_configure(configure: &ConfigureBody<'_>) -> Result<Configure, Invalid> {
    let asset = match configure.asset.as_deref() {
        Some(text) => Some(asset(text, || "configure.asset".to_owned())?),
        None => None,
    };
    let change = |given: Option<Option<Money>>, field: &str| match (given, asset) {
        (None, _) => Ok(None),
        (Some(money), Some(asset)) => limit(money, asset, field).map(Some),
        (Some(None), None) => Ok(Some(None)),
        (Some(Some(_)), None) => {
            let detail = "needs the asset it is written in";
            Err(Invalid::new(InvalidKind::InvalidAsset, field, detail))
        }
    };
    let floor = change(configure.floor, "configure.floor")?;
    let ceiling = change(configure.ceiling, "configure.ceiling")?;
    let status = match configure.status.as_deref() {
        None => None,
        Some(text) => Some(Status::from_slug(text).ok_or_else(|| {
            let detail = "must be open, debits-frozen, credits-frozen, frozen or closed";
            Invalid::new(InvalidKind::MalformedRequest, "configure.status", detail)
        })?),
    };
    if floor.is_none() && ceiling.is_none() && status.is_none() {
        let detail = "changes nothing: give floor, ceiling or status";
        return Err(Invalid::new(
            InvalidKind::MalformedRequest,
            "configure",
            detail,
        ));
    }
    let balance = BalanceId::new(configure.balance);
    Ok(Configure {
        balance,
        asset,
        floor,
        ceiling,
        status,
    })
}

fn expect(body: &CommandBody<'_>, intent: &Body) -> Result<Vec<(BalanceId, u64)>, Invalid> {
    let Some(Pairs(pairs)) = &body.expect else {
        return Ok(Vec::new());
    };
    let mut expect: Vec<_> = pairs
        .iter()
        .map(|(uuid, version)| (BalanceId::new(*uuid), *version))
        .collect();
    expect.sort_unstable();
    let concerns = |id: BalanceId| match intent {
        Body::Open(_) => false,
        Body::Configure(configure) => configure.balance == id,
        Body::Transfer(postings) => postings
            .iter()
            .any(|p| p.source.id == id || p.destination.id == id),
    };
    match expect.iter().find(|(id, _)| !concerns(*id)) {
        None => Ok(expect),
        Some((id, _)) => {
            let detail = format!("names {id}, which is no balance of this command");
            Err(Invalid::new(InvalidKind::InvalidExpect, "expect", detail))
        }
    }
}

fn description(text: Option<&str>) -> Result<Option<Box<str>>, Invalid> {
    match text {
        Some(text) if text.len() > DESCRIPTION_MAX => {
            let detail = format!("has {} bytes, the limit is {DESCRIPTION_MAX}", text.len());
            Err(Invalid::new(
                InvalidKind::InvalidNote,
                "description",
                detail,
            ))
        }
        text => Ok(text.map(Into::into)),
    }
}

fn metadata(pairs: Option<&Pairs<Str<'_>, Str<'_>>>) -> Result<Option<Box<str>>, Invalid> {
    let Some(Pairs(pairs)) = pairs else {
        return Ok(None);
    };
    let fits = |(key, value): &(Str<'_>, Str<'_>)| {
        !key.is_empty() && key.len() <= METADATA_KEY_MAX && value.len() <= METADATA_VALUE_MAX
    };
    if pairs.len() > METADATA_MAX || !pairs.iter().all(fits) {
        let detail = "may have 32 members, keys of 1 to 64 bytes, values of up to 512 bytes";
        return Err(Invalid::new(InvalidKind::InvalidNote, "metadata", detail));
    }
    let sorted: BTreeMap<&str, &str> = pairs
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .collect();
    let canonical = serde_json::to_string(&sorted)
        .map_err(|error| Invalid::new(InvalidKind::InvalidNote, "metadata", error.to_string()))?;
    Ok(Some(canonical.into_boxed_str()))
}

impl<'a> CommandBody<'a> {
    /// A command as JSON again: parsing it gives an equal command.
    pub fn of(command: &'a Command) -> Self {
        let mut body = Self {
            reference: Some((*command.reference).into()),
            kind: Kind::Transfer,
            ledger: (*command.ledger).into(),
            postings: None,
            open: None,
            configure: None,
            expect: None,
            effective_at: command.note.effective_at.map(Time),
            description: command.note.description.as_deref().map(Into::into),
            metadata: command
                .note
                .metadata
                .as_deref()
                .and_then(|m| serde_json::from_str(m).ok()),
        };
        if !command.expect.is_empty() {
            let pairs = command
                .expect
                .iter()
                .map(|(id, version)| (id.uuid(), *version));
            body.expect = Some(Pairs(pairs.collect()));
        }
        match &command.body {
            Body::Transfer(postings) => {
                body.postings = Some(postings.iter().map(posting_body).collect());
            }
            Body::Open(open) => {
                body.kind = Kind::Open;
                body.open = Some(open_body(open));
            }
            Body::Configure(configure) => {
                body.kind = Kind::Configure;
                body.configure = Some(configure_body(configure));
            }
        }
        body
    }
}

fn posting_body(posting: &Posting) -> PostingBody<'static> {
    PostingBody {
        source: posting.source.id.uuid(),
        destination: posting.destination.id.uuid(),
        amount: Money::of(posting.amount.minor(), posting.asset.scale()),
        asset: Str(posting.asset.to_string().into()),
    }
}

fn open_body(open: &Open) -> OpenBody<'_> {
    let money = |minor| Money::of(minor, open.asset.scale());
    OpenBody {
        account: (*open.account).into(),
        key: Some((*open.key).into()),
        asset: Str(open.asset.to_string().into()),
        floor: Some(open.floor.map(money)),
        ceiling: open.ceiling.map(money),
    }
}

fn configure_body(configure: &Configure) -> ConfigureBody<'static> {
    let scale = configure.asset.map_or(0, |asset| asset.scale());
    let money = |limit: Limit| limit.map(|minor| Money::of(minor, scale));
    ConfigureBody {
        balance: configure.balance.uuid(),
        asset: configure.asset.map(|asset| Str(asset.to_string().into())),
        floor: configure.floor.map(money),
        ceiling: configure.ceiling.map(money),
        status: configure.status.map(|status| status.slug().into()),
    }
}
