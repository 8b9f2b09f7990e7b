//! What an answer of the ingress means for the one who asked.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;

use crate::measure::Verdict;

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// `Idempotent-Replayed: true`.
    pub replayed: bool,
    pub retry_after: Option<Duration>,
    pub location: Option<String>,
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    Applied,
    Rejected(String),
    /// Accepted; the decision is to be asked for.
    Pending,
    /// Nothing happened; the same reference may be sent again.
    Refused(String),
    /// Nobody knows; the same reference may be sent again.
    Unknown(String),
}

impl Meaning {
    pub fn verdict(&self) -> Option<Verdict<'_>> {
        match self {
            Self::Applied => Some(Verdict::Applied),
            Self::Rejected(slug) => Some(Verdict::Rejected(slug)),
            Self::Pending | Self::Refused(_) | Self::Unknown(_) => None,
        }
    }
}

/// A transaction, a result of a batch or a problem: the members that tell them apart.
#[derive(Debug, Default, Deserialize)]
struct Body {
    status: Option<Status>,
    /// Of a transaction: what it is. Of a problem: `/problems/<slug>`.
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
    /// Of a batch's result that is none.
    problem: Option<Problem>,
    #[serde(default)]
    replayed: bool,
}

#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Batch {
    results: Vec<Body>,
}

/// A transaction's status is a word, a problem's is its HTTP status.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Status {
    Word(String),
    Code(u16),
}

impl Body {
    fn slug(self) -> String {
        let kind = self.problem.map(|problem| problem.kind).or(self.kind);
        let problem = kind.as_deref().and_then(|kind| kind.rsplit_once('/'));
        match (problem, self.reason) {
            (Some((_, slug)), _) => slug.to_owned(),
            (None, Some(reason)) => reason,
            (None, None) => "unnamed".to_owned(),
        }
    }

    fn meaning(self, code: StatusCode) -> Meaning {
        let word = match &self.status {
            Some(Status::Word(word)) => word.as_str(),
            Some(Status::Code(_)) | None => "",
        };
        let code = match self.status {
            Some(Status::Code(code)) => StatusCode::from_u16(code).unwrap_or_default(),
            Some(Status::Word(_)) | None => code,
        };
        match word {
            "applied" | "held" => return Meaning::Applied,
            "pending" | "forwarded" => return Meaning::Pending,
            "rejected" => return Meaning::Rejected(self.slug()),
            _ => {}
        }
        match code {
            StatusCode::CREATED | StatusCode::OK => Meaning::Applied,
            StatusCode::ACCEPTED => Meaning::Pending,
            StatusCode::UNPROCESSABLE_ENTITY => Meaning::Rejected(self.slug()),
            code => match self.slug() {
                slug if slug == "outcome-unknown" => Meaning::Unknown(slug),
                slug => Meaning::Refused(format!("{} {slug}", code.as_u16())),
            },
        }
    }
}

impl Answer {
    /// What the answer to one transaction means.
    pub fn meaning(&self) -> Meaning {
        if self.status == StatusCode::CREATED {
            return Meaning::Applied;
        }
        let body: Body = serde_json::from_slice(&self.body).unwrap_or_default();
        body.meaning(self.status)
    }

    /// What each of a batch's results means, and whether it is a repeat; all have the same fate if
    /// the batch as a whole was refused.
    pub fn meanings(&self, count: usize) -> Vec<(Meaning, bool)> {
        let whole = || vec![(self.meaning(), self.replayed); count];
        if !self.status.is_success() {
            return whole();
        }
        let Ok(batch) = serde_json::from_slice::<Batch>(&self.body) else {
            return vec![(Meaning::Unknown("unreadable".to_owned()), false); count];
        };
        let each = batch.results.into_iter().map(|body| {
            let replayed = body.replayed;
            (body.meaning(self.status), replayed)
        });
        let mut meanings: Vec<_> = each.collect();
        meanings.resize(count, (Meaning::Unknown("missing".to_owned()), false));
        meanings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            replayed: false,
            retry_after: None,
            location: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn an_answer_means_what_the_contract_says() {
        let problem = |slug: &str| format!(r#"{{"type":"/problems/{slug}","status":422}}"#);
        let table = [
            (201, r#"{"status":"applied"}"#.to_owned(), Meaning::Applied),
            (200, r#"{"status":"pending"}"#.to_owned(), Meaning::Pending),
            (202, "{}".to_owned(), Meaning::Pending),
            (
                422,
                problem("insufficient-funds"),
                Meaning::Rejected("insufficient-funds".to_owned()),
            ),
            (
                503,
                r#"{"type":"/problems/overloaded"}"#.to_owned(),
                Meaning::Refused("503 overloaded".to_owned()),
            ),
            (
                503,
                r#"{"type":"/problems/outcome-unknown"}"#.to_owned(),
                Meaning::Unknown("outcome-unknown".to_owned()),
            ),
            (
                502,
                "<html>".to_owned(),
                Meaning::Refused("502 unnamed".to_owned()),
            ),
        ];
        for (status, body, meaning) in table {
            assert_eq!(answer(status, &body).meaning(), meaning, "{status} {body}");
        }
    }

    #[test]
    fn a_batch_has_one_meaning_for_each_item() {
        let body = r#"{"results":[
            {"status":201,"reference":"a","replayed":true,"transaction":{"status":"applied"}},
            {"status":422,"problem":{"type":"/problems/balance-closed","status":422}},
            {"status":400,"problem":{"type":"/problems/invalid-amount"}}]}"#;
        let meanings = answer(200, body).meanings(4);
        assert_eq!(meanings[0], (Meaning::Applied, true));
        assert_eq!(
            meanings[1].0,
            Meaning::Rejected("balance-closed".to_owned())
        );
        assert_eq!(
            meanings[2].0,
            Meaning::Refused("400 invalid-amount".to_owned())
        );
        assert_eq!(meanings[3].0, Meaning::Unknown("missing".to_owned()));
        let refused = answer(429, r#"{"type":"/problems/quota"}"#).meanings(2);
        assert_eq!(
            refused,
            vec![(Meaning::Refused("429 quota".to_owned()), false); 2]
        );
    }
}
