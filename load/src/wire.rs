//! Commands out, outcomes in: as little work per record as the contract allows, because the
//! generator shares its cores with what it measures.

use std::fmt;
use std::io::Write;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::account::ASSET;
use crate::measure::Verdict;
use crate::reference::Tag;

/// One movement of a command.
#[derive(Clone, Copy, Debug)]
pub struct Posting<'a> {
    /// A balance id, or the name of a striped account.
    pub source: &'a [u8],
    pub destination: &'a [u8],
    /// In cents.
    pub minor: u64,
}

/// Writes commands into buffers that are used again.
#[derive(Clone, Debug)]
pub struct Writer {
    pub tag: Tag,
    pub ledger: String,
    /// The road: a record names its type, an HTTP body is posted to it.
    pub typed: bool,
}

impl Writer {
    /// Appends a transfer under the reference of `sequence`.
    pub fn transfer(&self, sequence: usize, postings: &[Posting<'_>], out: &mut Vec<u8>) {
        self.head(sequence, "transfer", out);
        out.extend_from_slice(b",\"postings\":[");
        for (at, posting) in postings.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"source\":\"");
            out.extend_from_slice(posting.source);
            out.extend_from_slice(b"\",\"destination\":\"");
            out.extend_from_slice(posting.destination);
            out.extend_from_slice(b"\",\"amount\":\"");
            let (units, cents) = (posting.minor / 100, posting.minor % 100);
            let _ = write!(out, "{units}.{cents:02}\",\"asset\":\"{ASSET}\"}}");
        }
        out.extend_from_slice(b"]}");
    }

    /// Appends a transfer that is split: half of it, three tenths, and what remains.
    pub fn split(
        &self,
        sequence: usize,
        (source, shares, minor): (&[u8], [&[u8]; 3], u64),
        out: &mut Vec<u8>,
    ) {
        self.head(sequence, "transfer", out);
        out.extend_from_slice(b",\"postings\":[{\"source\":\"");
        out.extend_from_slice(source);
        out.extend_from_slice(b"\",\"destination\":[");
        let parts = [
            "\"percent\":\"50\"",
            "\"percent\":\"30\"",
            "\"remaining\":true",
        ];
        for (at, (share, part)) in shares.iter().zip(parts).enumerate() {
            out.extend_from_slice(if at > 0 {
                b",{\"balance\":\""
            } else {
                b"{\"balance\":\""
            });
            out.extend_from_slice(share);
            let _ = write!(out, "\",{part}}}");
        }
        let (units, cents) = (minor / 100, minor % 100);
        let _ = write!(
            out,
            "],\"amount\":\"{units}.{cents:02}\",\"asset\":\"{ASSET}\"}}]}}"
        );
    }

    /// Appends a hold.
    pub fn hold(&self, sequence: usize, posting: Posting<'_>, out: &mut Vec<u8>) {
        self.transfer(sequence, &[posting], out);
        out.pop();
        out.extend_from_slice(b",\"hold\":{}}");
    }

    /// Appends the body that posts a hold: so much of it, or all that is left.
    pub fn post(&self, sequence: usize, minor: Option<u64>, out: &mut Vec<u8>) {
        self.head(sequence, "post", out);
        if let Some(minor) = minor {
            let _ = write!(out, ",\"amount\":\"{}.{:02}\"", minor / 100, minor % 100);
        }
        out.push(b'}');
    }

    /// Appends the opening of an account.
    pub fn open(&self, sequence: usize, account: &str, out: &mut Vec<u8>) {
        self.head(sequence, "open", out);
        let _ = write!(
            out,
            ",\"open\":{{\"account\":\"{account}\",\"asset\":\"{ASSET}\"}}}}"
        );
    }

    /// Appends the freezing of an account.
    pub fn freeze(&self, sequence: usize, balance: &[u8], out: &mut Vec<u8>) {
        self.head(sequence, "configure", out);
        out.extend_from_slice(b",\"configure\":{\"balance\":\"");
        out.extend_from_slice(balance);
        out.extend_from_slice(b"\",\"status\":\"frozen\"}}");
    }

    fn head(&self, sequence: usize, kind: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"reference\":\"");
        self.tag.write(sequence, out);
        if self.typed {
            let _ = write!(out, "\",\"type\":\"{kind}");
        }
        let _ = write!(out, "\",\"ledger\":\"{}\"", self.ledger);
    }
}

/// What a final outcome says; other records have nothing to say here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final<'a> {
    pub reference: &'a str,
    pub verdict: Verdict<'a>,
    pub replayed: bool,
}

/// The few members of an outcome that are looked at.
#[derive(Debug, Deserialize)]
pub struct Outcome<'a> {
    /// The command's offset.
    pub offset: Option<u64>,
    #[serde(borrow)]
    status: Option<&'a str>,
    reason: Option<&'a str>,
    reference: Option<&'a str>,
    replay_of: Option<u64>,
    #[serde(default)]
    entries: Settles,
    #[serde(default)]
    legs: Option<IgnoredAny>,
    #[serde(default)]
    hold: Option<IgnoredAny>,
}

impl<'a> Outcome<'a> {
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// The decision for the client, if this is it: not a stop on the way, not a leg that settles
    /// what was decided elsewhere.
    pub fn decision(&self) -> Option<Final<'a>> {
        let verdict = match self.status? {
            "applied" if !self.entries.0 => Verdict::Applied,
            // Of holds within one partition: home decides, and there is nowhere else to tell.
            "held" if self.legs.is_none() => Verdict::Applied,
            "posted" if self.hold.is_some() => Verdict::Applied,
            "rejected" => Verdict::Rejected(self.reason.unwrap_or("unnamed")),
            _ => return None,
        };
        Some(Final {
            reference: self.reference?,
            verdict,
            replayed: self.replay_of.is_some(),
        })
    }
}

/// The reference of a command that is read back as it was written.
pub fn echo(value: &[u8]) -> Option<&str> {
    #[derive(Deserialize)]
    struct Echo<'a> {
        reference: &'a str,
    }
    let echo: Echo<'_> = serde_json::from_slice(value).ok()?;
    Some(echo.reference)
}

/// Whether an entry posts a credit that was reserved earlier.
#[derive(Debug, Default)]
struct Settles(bool);

impl<'de> Deserialize<'de> for Settles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Settles;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("entries")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Settles, A::Error> {
                let mut settles = false;
                while !settles {
                    match entries.next_element::<Entry<'de>>()? {
                        Some(entry) => settles = entry.direction == "settle",
                        None => return Ok(Settles(false)),
                    }
                }
                while entries.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Settles(true))
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    direction: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Ledger;
    use steelyard::ledger::Body;
    use steelyard::wire::Decoder;

    fn writer() -> Writer {
        Writer {
            tag: Tag::new("r"),
            ledger: "load-1".to_owned(),
            typed: true,
        }
    }

    fn ledger() -> Ledger {
        Ledger {
            name: "load-1".to_owned(),
            partitions: 4,
        }
    }

    #[test]
    fn what_is_written_is_what_the_ledger_reads() {
        let (alice, bob) = (ledger().account("alice"), ledger().account("bob"));
        let mut out = Vec::new();
        let posting = Posting {
            source: &alice.key,
            destination: &bob.key,
            minor: 1_205,
        };
        writer().transfer(31, &[posting, posting], &mut out);
        let command = Decoder::new().parse(&out, None, None).unwrap();
        assert_eq!(&*command.reference, "r-0000001f");
        assert_eq!(command.decider().uuid(), alice.id);
        assert_eq!(command.postings().len(), 2);
        assert_eq!(command.postings()[0].amount.minor(), 1_205);
        assert_eq!(command.postings()[0].destination.id.uuid(), bob.id);
        assert_eq!(echo(&out), Some("r-0000001f"));
    }

    #[test]
    fn a_split_comes_to_three_postings_and_a_hold_is_one() {
        let [alice, bob, carl, dora] =
            ["alice", "bob", "carl", "dora"].map(|name| ledger().account(name));
        let mut out = Vec::new();
        let shares = [&bob.key[..], &carl.key, &dora.key];
        writer().split(3, (&alice.key, shares, 100), &mut out);
        let command = Decoder::new().parse(&out, None, None).unwrap();
        let amounts = command
            .postings()
            .iter()
            .map(|posting| posting.amount.minor());
        assert_eq!(amounts.collect::<Vec<_>>(), [50, 30, 20]);
        out.clear();
        let posting = Posting {
            source: &alice.key,
            destination: b"@load",
            minor: 100,
        };
        writer().hold(4, posting, &mut out);
        let command = Decoder::of(4).parse(&out, None, None).unwrap();
        assert!(command.hold().is_some());
        assert!(
            ledger()
                .stripes("@load")
                .contains(&command.postings()[0].destination.id.uuid())
        );
    }

    #[test]
    fn an_opening_opens_the_account_it_names() {
        let mut out = Vec::new();
        writer().open(1, "alice", &mut out);
        let command = Decoder::new().parse(&out, None, None).unwrap();
        assert_eq!(command.decider().uuid(), ledger().account("alice").id);
        out.clear();
        writer().freeze(2, &ledger().account("bob").key, &mut out);
        let command = Decoder::new().parse(&out, None, None).unwrap();
        assert!(matches!(command.body, Body::Configure(_)));
    }

    #[test]
    fn only_the_decision_is_final() {
        let decision = |json: &str| {
            let outcome = Outcome::parse(json.as_bytes()).unwrap();
            let decision = outcome.decision()?;
            Some((
                decision.verdict == Verdict::Applied,
                decision.replayed,
                decision.reference.to_owned(),
            ))
        };
        let head = r#"{"partition":1,"offset":7,"follows":6,"prev":"00","at":"x","reference":"a","#;
        let with = |rest: &str| decision(&format!("{head}{rest}}}"));
        let a = || "a".to_owned();
        assert_eq!(with(r#""status":"applied""#), Some((true, false, a())));
        assert_eq!(
            with(r#""status":"applied","replay_of":3"#),
            Some((true, true, a()))
        );
        assert_eq!(
            with(r#""status":"rejected","reason":"balance-not-found""#),
            Some((false, false, a()))
        );
        assert_eq!(with(r#""status":"held""#), Some((true, false, a())));
        assert_eq!(with(r#""status":"held","legs":[{}]"#), None);
        assert_eq!(
            with(r#""status":"posted","hold":{}"#),
            Some((true, false, a()))
        );
        for stop in ["forwarded", "returned", "ignored", "posted"] {
            assert_eq!(with(&format!(r#""status":"{stop}""#)), None);
        }
        let entries = r#""status":"applied","entries":[{"direction":"debit","amount":"1"},"#;
        assert_eq!(
            with(&format!(r#"{entries}{{"direction":"settle"}},{{"x":1}}]"#)),
            None
        );
        assert_eq!(
            with(&format!(r#"{entries}{{"direction":"credit"}}]"#)),
            Some((true, false, a()))
        );
        assert_eq!(
            decision(r#"{"partition":0,"instance":"i","generation":"g","at":"t"}"#),
            None
        );
    }
}
