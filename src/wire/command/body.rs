//! The form of a command, and the way back to it from a [`Command`].

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::names::NameBody;
use super::side::SideBody;
use crate::ledger::Limit;
use crate::ledger::command::{
    Body, Command, Configure, Hold, Open, Party, Post, Posting, Reverse, Target,
};
use crate::wire::object::{Object, object, objects};
use crate::wire::scalar::{Money, Pairs, Span, Str, Time};

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
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub hold: Option<HoldTermsBody>,
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
    #[serde(
        borrow,
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub post: Option<PostBody<'a>>,
    #[serde(
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub void: Option<TargetBody>,
    #[serde(
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub expire: Option<TargetBody>,
    #[serde(
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub close_period: Option<ClosePeriodBody>,
    #[serde(
        borrow,
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub reverse: Option<ReverseBody<'a>>,
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
    Post,
    Void,
    Expire,
    #[serde(rename = "close-period")]
    ClosePeriod,
    Reverse,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostingBody<'a> {
    #[serde(borrow)]
    pub source: SideBody<NameBody<'a>>,
    #[serde(borrow)]
    pub destination: SideBody<NameBody<'a>>,
    pub amount: Money,
    #[serde(borrow)]
    pub asset: Str<'a>,
}

/// Makes a transfer a hold.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldTermsBody {
    /// A whole number of `s`, `m`, `h` or `d`, up to `366d`; left out, it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "15m")]
    pub expires_in: Option<Span>,
}

/// A hold: its transaction's id, and its first source, whose partition decides.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetBody {
    /// `transaction_id` of the hold.
    pub hold: Uuid,
    /// Its first source.
    pub balance: Uuid,
}

/// How much of a hold is posted; left out, all that is left. An amount needs its `asset`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostBody<'a> {
    /// `transaction_id` of the hold.
    pub hold: Uuid,
    /// Its first source.
    pub balance: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "12.50")]
    pub amount: Option<Money>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "USD")]
    pub asset: Option<Str<'a>>,
}

/// Moves back what a transaction has moved, or `amount` of it. An amount needs its `asset`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReverseBody<'a> {
    /// `transaction_id` of the transaction.
    pub transaction: Uuid,
    /// The command of the transaction, a transfer or a hold, as it was sent.
    #[serde(borrow, deserialize_with = "original")]
    pub original: Box<CommandBody<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Str<'a>>,
    /// Whether a balance may go below its floor for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
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

/// Closes what takes effect before a time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClosePeriodBody {
    #[schema(value_type = String, format = DateTime)]
    pub before: Time,
}

fn original<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<CommandBody<'de>>, D::Error> {
    let Object(body) = Object::deserialize(deserializer)?;
    Ok(Box::new(body))
}

/// Tells a field that is `null` from one that is left out.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl<'a> CommandBody<'a> {
    /// A command with nothing in it but its type and ledger.
    pub fn new(kind: Kind, ledger: &'a str) -> Self {
        Self {
            reference: None,
            kind,
            ledger: ledger.into(),
            postings: None,
            hold: None,
            open: None,
            configure: None,
            post: None,
            void: None,
            expire: None,
            close_period: None,
            reverse: None,
            expect: None,
            effective_at: None,
            description: None,
            metadata: None,
        }
    }

    /// A command as JSON again: parsing it gives an equal command.
    pub fn of(command: &'a Command) -> Self {
        let mut body = Self {
            reference: Some((*command.reference).into()),
            effective_at: command.note.effective_at.map(Time),
            description: command.note.description.as_deref().map(Into::into),
            metadata: command
                .note
                .metadata
                .as_deref()
                .and_then(|m| serde_json::from_str(m).ok()),
            ..Self::new(Kind::Transfer, &command.ledger)
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
                body.postings = Some(posting_bodies(command, postings));
            }
            Body::Hold(Hold {
                postings,
                expires_in,
            }) => {
                body.postings = Some(posting_bodies(command, postings));
                let expires_in = expires_in.map(Span);
                body.hold = Some(HoldTermsBody { expires_in });
            }
            Body::Post(post) => {
                body.kind = Kind::Post;
                body.post = Some(post_body(post));
            }
            Body::Void(target) => {
                body.kind = Kind::Void;
                body.void = Some(target_body(*target));
            }
            Body::Expire(target) => {
                body.kind = Kind::Expire;
                body.expire = Some(target_body(*target));
            }
            Body::Open(open) => {
                body.kind = Kind::Open;
                body.open = Some(open_body(open));
            }
            Body::Configure(configure) => {
                body.kind = Kind::Configure;
                body.configure = Some(configure_body(configure));
            }
            Body::ClosePeriod(close) => {
                body.kind = Kind::ClosePeriod;
                body.close_period = Some(ClosePeriodBody {
                    before: Time(close.before_ms),
                });
            }
            Body::Reverse(reverse) => {
                body.kind = Kind::Reverse;
                body.reverse = Some(reverse_body(reverse));
            }
        }
        body
    }
}

fn posting_bodies<'a>(command: &'a Command, postings: &'a [Posting]) -> Vec<PostingBody<'a>> {
    let bodies = postings
        .iter()
        .map(|posting| posting_body(command, posting));
    bodies.collect()
}

fn name(command: &Command, party: Party) -> NameBody<'_> {
    match command.stripe(party.id).filter(|_| party.striped) {
        Some(stripe) => NameBody::Striped((&*stripe.account).into()),
        None => NameBody::Id(party.id.uuid()),
    }
}

fn posting_body<'a>(command: &'a Command, posting: &'a Posting) -> PostingBody<'a> {
    PostingBody {
        source: SideBody::One(name(command, posting.source)),
        destination: SideBody::One(name(command, posting.destination)),
        amount: Money::of(posting.amount.minor(), posting.asset.scale()),
        asset: posting.asset.as_str().into(),
    }
}

fn target_body(target: Target) -> TargetBody {
    TargetBody {
        hold: target.hold.uuid(),
        balance: target.balance.uuid(),
    }
}

fn post_body(post: &Post) -> PostBody<'_> {
    let TargetBody { hold, balance } = target_body(post.target);
    let amount = post.amount.as_ref();
    PostBody {
        hold,
        balance,
        amount: amount.map(|(amount, asset)| Money::of(amount.minor(), asset.scale())),
        asset: amount.map(|(_, asset)| asset.as_str().into()),
    }
}

fn reverse_body(reverse: &Reverse) -> ReverseBody<'_> {
    let amount = reverse.amount.as_ref();
    ReverseBody {
        transaction: reverse.transaction.uuid(),
        original: Box::new(CommandBody::of(&reverse.original)),
        amount: amount.map(|(amount, asset)| Money::of(amount.minor(), asset.scale())),
        asset: amount.map(|(_, asset)| asset.as_str().into()),
        force: reverse.force,
    }
}

fn open_body(open: &Open) -> OpenBody<'_> {
    let money = |minor| Money::of(minor, open.asset.scale());
    OpenBody {
        account: (*open.account).into(),
        key: Some((*open.key).into()),
        asset: open.asset.as_str().into(),
        floor: Some(open.floor.map(money)),
        ceiling: open.ceiling.map(money),
    }
}

fn configure_body(configure: &Configure) -> ConfigureBody<'_> {
    let scale = configure.asset.map_or(0, |asset| asset.scale());
    let money = |limit: Limit| limit.map(|minor| Money::of(minor, scale));
    ConfigureBody {
        balance: configure.balance.uuid(),
        asset: configure.asset.as_ref().map(|asset| asset.as_str().into()),
        floor: configure.floor.map(money),
        ceiling: configure.ceiling.map(money),
        status: configure.status.map(|status| status.slug().into()),
    }
}
