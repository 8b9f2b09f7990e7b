//! Hashes that identify a reference and its content.
//!
//! Both are taken over the parsed command, never over raw bytes, so white space, key order,
//! `1.5` against `1.50` and a bare `USD` against `USD/2` make no difference.

use crate::ledger::command::{Body, Note};
use crate::ledger::{Amount, Asset, BalanceId, Fingerprint, Limit, Posting, SeenKey, Target};

/// The key under which a partition remembers `reference` of `ledger`.
pub fn seen_key(ledger: &str, reference: &str) -> SeenKey {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(ledger.as_bytes())
        .update(&[0])
        .update(reference.as_bytes());
    SeenKey(half(&hasher))
}

/// The fingerprint of a command without its reference.
pub fn fingerprint(
    ledger: &str,
    body: &Body,
    expect: &[(BalanceId, u64)],
    note: &Note,
) -> Fingerprint {
    let mut fields = Fields(blake3::Hasher::new());
    fields.text(ledger);
    match body {
        Body::Open(open) => {
            fields
                .text("open")
                .balance(open.balance)
                .text(open.asset.as_str());
            fields.limit(open.floor).limit(open.ceiling);
        }
        Body::Configure(configure) => {
            fields.text("configure").balance(configure.balance);
            fields.text(configure.asset.as_ref().map_or("", |asset| asset.as_str()));
            for limit in [configure.floor, configure.ceiling] {
                fields.text(if limit.is_some() { "set" } else { "keep" });
                fields.limit(limit.flatten());
            }
            fields.text(configure.status.map_or("keep", |status| status.slug()));
        }
        Body::ClosePeriod(close) => {
            fields.text("close-period").wide(close.before_ms.into());
        }
        Body::Transfer(postings) => {
            fields.text("transfer").postings(postings);
        }
        Body::Hold(hold) => {
            fields.text("hold").postings(&hold.postings);
            fields.number(hold.expires_in.map_or(0, u64::from));
        }
        Body::Post(post) => {
            fields.text("post").target(post.target);
            fields.amount(post.amount.as_ref());
        }
        Body::Void(target) => {
            fields.text("void").target(*target);
        }
        Body::Expire(target) => {
            fields.text("expire").target(*target);
        }
        Body::Reverse(reverse) => {
            fields.text("reverse");
            fields.0.update(reverse.transaction.uuid().as_bytes());
            // The original as a whole: what it says of itself, and under which reference.
            fields.0.update(&reverse.original.fingerprint.0);
            fields.text(&reverse.original.reference);
            fields.amount(reverse.amount.as_ref());
            fields.number(reverse.force.into());
        }
    }
    fields.number(expect.len() as u64);
    for (balance, version) in expect {
        fields.balance(*balance).number(*version);
    }
    fields.text(note.description.as_deref().unwrap_or_default());
    fields.text(note.metadata.as_deref().unwrap_or_default());
    fields.wide(note.effective_at.map_or(i128::MIN, i128::from));
    Fingerprint(half(&fields.0))
}

/// Length-prefixed fields, so that no two commands share their bytes.
struct Fields(blake3::Hasher);

impl Fields {
    fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(&number.to_be_bytes());
        self
    }

    fn wide(&mut self, number: i128) -> &mut Self {
        self.0.update(&number.to_be_bytes());
        self
    }

    fn postings(&mut self, postings: &[Posting]) {
        self.number(postings.len() as u64);
        for posting in postings {
            self.balance(posting.source.id)
                .balance(posting.destination.id);
            self.wide(posting.amount.minor()).text(posting.asset.code());
            self.number(posting.asset.scale().into());
        }
    }

    fn amount(&mut self, amount: Option<&(Amount, Asset)>) {
        self.number(amount.is_some().into());
        if let Some((amount, asset)) = amount {
            self.wide(amount.minor()).text(asset.as_str());
        }
    }

    fn target(&mut self, target: Target) {
        self.0.update(target.hold.uuid().as_bytes());
        self.balance(target.balance);
    }

    fn balance(&mut self, id: BalanceId) -> &mut Self {
        self.0.update(id.uuid().as_bytes());
        self
    }

    fn limit(&mut self, limit: Limit) -> &mut Self {
        self.number(limit.is_some().into())
            .wide(limit.unwrap_or_default())
    }
}

fn half(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    half
}
