//! What each field of a command may be.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::body::{CommandBody, ConfigureBody, Kind, OpenBody, PostBody, ReverseBody, TargetBody};
use super::{
    DESCRIPTION_MAX, METADATA_BYTES_MAX, METADATA_KEY_MAX, METADATA_MAX, METADATA_VALUE_MAX,
    NAME_MAX, REFERENCE_MAX,
};
use crate::ledger::amount;
use crate::ledger::command::{
    Body, Command, Configure, Hold, Open, Post, Posting, Reverse, Target,
};
use crate::ledger::{Amount, Asset, BalanceId, Limit, Status, TransactionId};
use crate::wire::invalid::{Invalid, InvalidKind};
use crate::wire::scalar::{Money, Pairs, Str, Time};

/// Checks a reference: 1 to 128 bytes.
pub fn reference(text: Option<&str>) -> Result<&str, Invalid> {
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

pub(super) fn plain_name(text: &str) -> bool {
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

pub(super) fn accept_open(open: &OpenBody<'_>, ledger: &Arc<str>) -> Result<Open, Invalid> {
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

pub(super) fn accept_configure(configure: &ConfigureBody<'_>) -> Result<Configure, Invalid> {
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

/// Refuses a command without the part that its type takes, or with another type's.
pub(super) fn only_its_part(body: &CommandBody<'_>) -> Result<(), Invalid> {
    let own = match body.kind {
        Kind::Transfer => "postings",
        Kind::Open => "open",
        Kind::Configure => "configure",
        Kind::Post => "post",
        Kind::Void => "void",
        Kind::Expire => "expire",
        Kind::ClosePeriod => "close_period",
        Kind::Reverse => "reverse",
    };
    let parts = [
        ("postings", body.postings.is_some()),
        ("open", body.open.is_some()),
        ("configure", body.configure.is_some()),
        ("post", body.post.is_some()),
        ("void", body.void.is_some()),
        ("expire", body.expire.is_some()),
        ("close_period", body.close_period.is_some()),
        ("reverse", body.reverse.is_some()),
        ("hold", body.hold.is_some()),
    ];
    let ours = |name| name == own || (name == "hold" && body.kind == Kind::Transfer);
    let given = |name| parts.contains(&(name, true));
    let foreign = parts.iter().find(|(name, given)| *given && !ours(*name));
    let refuse =
        |field: &str, detail| Err(Invalid::new(InvalidKind::MalformedRequest, field, detail));
    match foreign {
        Some((field, _)) => refuse(field, format!("is not for this type, which takes {own}")),
        None if !given(own) => refuse(own, "is missing; this type takes it".to_owned()),
        None => Ok(()),
    }
}

pub(super) fn accept_target(target: TargetBody, part: &str) -> Result<Target, Invalid> {
    let hold = TransactionId::from_uuid(target.hold).ok_or_else(|| {
        let detail = "is not the id of a transaction";
        Invalid::new(InvalidKind::InvalidHold, format!("{part}.hold"), detail)
    })?;
    let balance = BalanceId::new(target.balance);
    Ok(Target { hold, balance })
}

pub(super) fn accept_post(post: &PostBody<'_>) -> Result<Post, Invalid> {
    let PostBody { hold, balance, .. } = *post;
    let target = accept_target(TargetBody { hold, balance }, "post")?;
    let amount = part_of(post.amount, post.asset.as_deref(), "post")?;
    Ok(Post { target, amount })
}

/// How much of something, if not all that is left; `part` is the command's part that says so.
fn part_of(
    amount: Option<Money>,
    name: Option<&str>,
    part: &str,
) -> Result<Option<(Amount, Asset)>, Invalid> {
    let refuse = |kind, field, detail| Err(Invalid::new(kind, format!("{part}.{field}"), detail));
    match (amount, name) {
        (None, None) => Ok(None),
        (Some(_), None) => {
            let detail = "needs the asset it is written in";
            refuse(InvalidKind::InvalidAsset, "amount", detail)
        }
        (None, Some(_)) => {
            let detail = "needs an amount; leave both out for all that is left";
            refuse(InvalidKind::InvalidAmount, "asset", detail)
        }
        (Some(money), Some(name)) => {
            let asset = asset(name, || format!("{part}.asset"))?;
            let amount = Amount::from_decimal(money.0, asset.scale()).map_err(|error| {
                let field = format!("{part}.amount");
                Invalid::new(InvalidKind::InvalidAmount, field, error.to_string())
            })?;
            Ok(Some((amount, asset)))
        }
    }
}

/// Checks a reversal in `ledger` of `original`.
pub(super) fn accept_reverse(
    reverse: &ReverseBody<'_>,
    original: Command,
    ledger: &Arc<str>,
) -> Result<Reverse, Invalid> {
    let refuse = |kind, field: &str, detail| {
        let field = format!("reverse.{field}");
        Err(Invalid::new(kind, field, detail))
    };
    let Some(transaction) = TransactionId::from_uuid(reverse.transaction) else {
        let detail = "is not the id of a transaction";
        return refuse(InvalidKind::InvalidOriginal, "transaction", detail);
    };
    if original.ledger != *ledger {
        let detail = "must be the ledger of the reversal";
        return refuse(InvalidKind::InvalidOriginal, "original.ledger", detail);
    }
    if original.postings().is_empty() {
        let detail = "must be transfer: nothing else is reversed";
        return refuse(InvalidKind::InvalidOriginal, "original.type", detail);
    }
    Ok(Reverse {
        transaction,
        original: Box::new(original),
        amount: part_of(reverse.amount, reverse.asset.as_deref(), "reverse")?,
        force: reverse.force,
    })
}

pub(super) fn expect(
    body: &CommandBody<'_>,
    intent: &Body,
) -> Result<Vec<(BalanceId, u64)>, Invalid> {
    let Some(Pairs(pairs)) = &body.expect else {
        return Ok(Vec::new());
    };
    let mut expect: Vec<_> = pairs
        .iter()
        .map(|(uuid, version)| (BalanceId::new(*uuid), *version))
        .collect();
    expect.sort_unstable();
    let concerns = |id: BalanceId| match intent {
        Body::Configure(configure) => configure.balance == id,
        Body::Transfer(postings) | Body::Hold(Hold { postings, .. }) => moves(postings, id),
        Body::Reverse(reverse) => moves(reverse.original.postings(), id),
        Body::Open(_) | Body::ClosePeriod(_) | Body::Post(_) | Body::Void(_) | Body::Expire(_) => {
            false
        }
    };
    let Some((id, _)) = expect.iter().find(|(id, _)| !concerns(*id)) else {
        return Ok(expect);
    };
    let detail = match intent {
        Body::Configure(_) | Body::Transfer(_) | Body::Hold(_) | Body::Reverse(_) => {
            format!("names {id}, which is no balance of this command")
        }
        // What is reserved cannot be refused any more; of the others no version is known.
        Body::Post(_) | Body::Void(_) | Body::Expire(_) | Body::Open(_) | Body::ClosePeriod(_) => {
            "is not for this type: no version is compared".to_owned()
        }
    };
    Err(Invalid::new(InvalidKind::InvalidExpect, "expect", detail))
}

fn moves(postings: &[Posting], id: BalanceId) -> bool {
    let sides = |posting: &Posting| [posting.source.id, posting.destination.id];
    postings.iter().any(|posting| sides(posting).contains(&id))
}

/// Checks a date that something takes effect at, from 1970 to 9999: milliseconds since the epoch.
pub fn date(time: Time, field: &str) -> Result<i64, Invalid> {
    const END: i64 = 253_402_300_800_000;
    match time.0 {
        0..END => Ok(time.0),
        _ => {
            let detail = "must be from 1970 to 9999";
            Err(Invalid::new(InvalidKind::InvalidDate, field, detail))
        }
    }
}

pub(super) fn description(text: Option<&str>) -> Result<Option<Box<str>>, Invalid> {
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

pub(super) fn metadata(
    pairs: Option<&Pairs<Str<'_>, Str<'_>>>,
) -> Result<Option<Box<str>>, Invalid> {
    let Some(Pairs(pairs)) = pairs else {
        return Ok(None);
    };
    let fits = |(key, value): &(Str<'_>, Str<'_>)| {
        !key.is_empty() && key.len() <= METADATA_KEY_MAX && value.len() <= METADATA_VALUE_MAX
    };
    let refuse = |detail: String| Err(Invalid::new(InvalidKind::InvalidNote, "metadata", detail));
    if pairs.len() > METADATA_MAX || !pairs.iter().all(fits) {
        let detail = "may have 32 members, keys of 1 to 64 bytes, values of up to 512 bytes";
        return refuse(detail.to_owned());
    }
    let sorted: BTreeMap<&str, &str> = pairs
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .collect();
    let canonical = serde_json::to_string(&sorted)
        .map_err(|error| Invalid::new(InvalidKind::InvalidNote, "metadata", error.to_string()))?;
    if canonical.len() > METADATA_BYTES_MAX {
        let length = canonical.len();
        return refuse(format!(
            "has {length} bytes, the limit is {METADATA_BYTES_MAX}"
        ));
    }
    Ok(Some(canonical.into_boxed_str()))
}
