//! Bytes in, command out.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;

use super::DEFAULT_ORGANIZATION;
use super::body::{CommandBody, PostingBody};
use super::check::{
    accept_configure, accept_open, accept_post, accept_reverse, accept_target, asset, date,
    description, expect, metadata, only_its_part, plain_name, reference,
};
use super::names::{NameBody, Named, Names};
use super::side::SideBody;
use crate::ledger::amount::Amount;
use crate::ledger::command::{
    Body, ClosePeriod, Command, Hold, Note, POSTINGS_MAX, Party, Posting, Stripe,
};
use crate::ledger::split::pair;
use crate::ledger::{BalanceId, PartitionId, ReplyTo};
use crate::wire::fingerprint;
use crate::wire::invalid::{Invalid, InvalidKind};
use crate::wire::object::Object;

/// Parses commands; remembers ledgers and striped accounts between them.
#[derive(Debug)]
pub struct Decoder {
    ledgers: HashMap<Box<str>, Arc<str>>,
    names: Names,
}

/// Names remembered before the memory starts anew.
const REMEMBERED_MAX: usize = 4096;

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Of a log of one partition, or for what knows of no postings.
    pub fn new() -> Self {
        Self::of(1)
    }

    /// Of a log of `count` partitions: which stripe of a striped account is meant depends on it.
    pub fn of(count: PartitionId) -> Self {
        Self {
            ledgers: HashMap::new(),
            names: Names::new(count),
        }
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
        self.names.bound();
        let mut stripes = Vec::new();
        let intent = self.body(body, &ledger, &mut stripes)?;
        let expect = expect(body, &intent)?;
        let note = Note {
            effective_at: match body.effective_at {
                Some(time) => Some(date(time, "effective_at")?),
                None => None,
            },
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
            stripes,
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

    fn body(
        &mut self,
        body: &CommandBody<'_>,
        ledger: &Arc<str>,
        stripes: &mut Vec<Stripe>,
    ) -> Result<Body, Invalid> {
        only_its_part(body)?;
        if let Some(open) = &body.open {
            return accept_open(open, ledger).map(Body::Open);
        }
        if let Some(configure) = &body.configure {
            return accept_configure(configure).map(Body::Configure);
        }
        if let Some(post) = &body.post {
            return accept_post(post).map(Body::Post);
        }
        if let Some(target) = body.void {
            return accept_target(target, "void").map(Body::Void);
        }
        if let Some(target) = body.expire {
            return accept_target(target, "expire").map(Body::Expire);
        }
        if let Some(close) = &body.close_period {
            return Ok(Body::ClosePeriod(ClosePeriod {
                before_ms: date(close.before, "close_period.before")?,
                home: BalanceId::period(ledger),
            }));
        }
        if let Some(reverse) = &body.reverse {
            let original = self.accept(&reverse.original, None, None);
            let original = original.map_err(|invalid| invalid.within("reverse.original"))?;
            return accept_reverse(reverse, original, ledger).map(Body::Reverse);
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
        let mut accepted = Vec::with_capacity(postings.len());
        for (at, item) in postings.iter().enumerate() {
            self.posting(at, item, ledger, (&mut accepted, stripes))?;
        }
        if accepted.len() > POSTINGS_MAX {
            let detail = format!(
                "come to {} once they are split, the limit is {POSTINGS_MAX}",
                accepted.len()
            );
            return Err(Invalid::new(
                InvalidKind::InvalidPostings,
                "postings",
                detail,
            ));
        }
        Ok(match body.hold {
            None => Body::Transfer(accepted),
            Some(terms) => Body::Hold(Hold {
                postings: accepted,
                expires_in: terms.expires_in.map(|span| span.0),
            }),
        })
    }

    /// The postings that one posting of the command comes to.
    fn posting(
        &mut self,
        at: usize,
        body: &PostingBody<'_>,
        ledger: &Arc<str>,
        (accepted, stripes): (&mut Vec<Posting>, &mut Vec<Stripe>),
    ) -> Result<(), Invalid> {
        let asset = asset(&body.asset, || format!("postings[{at}].asset"))?;
        let amount = Amount::from_decimal(body.amount.0, asset.scale()).map_err(|error| {
            let field = format!("postings[{at}].amount");
            Invalid::new(InvalidKind::InvalidAmount, field, error.to_string())
        })?;
        let world = self.names.world(ledger, asset).id;
        if let (SideBody::One(NameBody::Id(source)), SideBody::One(NameBody::Id(destination))) =
            (&body.source, &body.destination)
        {
            let party = |id: &Uuid| Party {
                id: BalanceId::new(*id),
                striped: false,
            };
            let (source, destination) = (party(source), party(destination));
            if source != destination && source.id != world && destination.id != world {
                accepted.push(Posting {
                    source,
                    destination,
                    amount,
                    asset,
                });
                return Ok(());
            }
        }
        let mut side = |side: &SideBody<NameBody<'_>>, name: &str| {
            let field = format!("postings[{at}].{name}");
            let find = |name: &_, field: &str| self.names.find(name, (ledger, asset), field);
            side.try_map(&field, find)?
                .parts(amount, asset, || field.clone())
        };
        let sources = side(&body.source, "source")?;
        let destinations = side(&body.destination, "destination")?;
        let both = |(named, _): &&(Named, i128)| sources.iter().any(|(o, _)| o.id == named.id);
        if let Some((named, _)) = destinations.iter().find(both) {
            let id = named.id;
            let detail = format!("names {id}, a source itself; source and destination must differ");
            let field = format!("postings[{at}].destination");
            return Err(Invalid::new(InvalidKind::SameBalance, field, detail));
        }
        for (source, destination, amount) in pair(&sources, &destinations) {
            let (source, destination) = self.names.sides((source, destination), stripes);
            accepted.push(Posting {
                source,
                destination,
                amount,
                asset,
            });
        }
        Ok(())
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
