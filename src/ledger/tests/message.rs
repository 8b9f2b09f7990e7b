//! Records of the tests' `commands`, as bytes.

use uuid::Uuid;

use crate::ledger::{BalanceId, PartitionId, Record, Setting};
use crate::wire::leg::{HEADER, SEAL_HEADER, TICK_HEADER, VERSION};
use crate::wire::outcome::GenesisBody;
use crate::wire::record::{
    CORRELATION_HEADER, GENESIS_KEY, Headers, REPLY_TOPIC_HEADER, RULES_KEY, Raw, Recognizer,
    RulesBody,
};
use crate::wire::{LegRecord, Secret};

pub(crate) const SETTING: Setting = Setting {
    generation: Uuid::from_u128(0x0190_7e1b_5d3a_7c40_8000_0000_0000_0042),
    horizon_seconds: 600,
};

/// Where the tests want their answers.
const REPLIES: &str = "replies";

/// A record of `commands`; a leg if it is sealed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    key: Vec<u8>,
    value: Vec<u8>,
    seal: Option<String>,
    /// Whether the seal is a tick's.
    tick: bool,
    /// Sent along as the correlation id of a reply.
    ticket: Option<[u8; 8]>,
}

impl Message {
    pub(crate) fn command(ticket: u64, key: BalanceId, json: &serde_json::Value) -> Self {
        Self {
            key: key.to_string().into_bytes(),
            value: json.to_string().into_bytes(),
            ticket: Some(ticket.to_be_bytes()),
            ..Self::default()
        }
    }

    pub(super) fn leg(leg: &LegRecord) -> Self {
        let (key, value) = (leg.key.to_string(), leg.value.get().to_owned());
        let seal = secret().seal(key.as_bytes(), value.as_bytes());
        Self {
            key: key.into_bytes(),
            value: value.into_bytes(),
            seal: Some(hex::encode(seal.0)),
            ..Self::default()
        }
    }

    /// What an owner writes when a hold is due.
    pub(crate) fn tick(key: BalanceId, json: &serde_json::Value) -> Self {
        let (key, value) = (key.to_string(), json.to_string());
        let seal = secret().seal(key.as_bytes(), value.as_bytes());
        Self {
            key: key.into_bytes(),
            value: value.into_bytes(),
            seal: Some(hex::encode(seal.0)),
            tick: true,
            ticket: None,
        }
    }

    /// A value that can never be understood.
    pub(crate) fn junk() -> Self {
        Self {
            key: b"junk".into(),
            value: b"{".into(),
            ..Self::default()
        }
    }

    pub(crate) fn genesis() -> Self {
        let body = GenesisBody {
            generation: SETTING.generation,
            horizon_seconds: SETTING.horizon_seconds,
        };
        Self {
            key: GENESIS_KEY.into(),
            value: serde_json::to_vec(&body).unwrap(),
            ..Self::default()
        }
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.value
    }

    /// What raises the rules.
    pub(crate) fn rules(rules: u32) -> Self {
        let value = serde_json::to_vec(&RulesBody { rules }).unwrap();
        Self {
            key: RULES_KEY.into(),
            seal: Some(hex::encode(secret().seal(RULES_KEY.as_bytes(), &value).0)),
            value,
            ..Self::default()
        }
    }

    /// What the record asks; what cannot be understood is a dead letter.
    pub(super) fn recognize(&self, recognizer: &mut Recognizer, offset: usize) -> Record {
        let seal = self.seal.as_deref().map(str::as_bytes);
        let ticket = self.ticket.as_ref().map(|ticket| &ticket[..]);
        let version = seal.map(|_| VERSION.as_bytes());
        let headers = [
            (HEADER, version.filter(|_| !self.tick)),
            (TICK_HEADER, version.filter(|_| self.tick)),
            (SEAL_HEADER, seal),
            (CORRELATION_HEADER, ticket),
            (REPLY_TOPIC_HEADER, ticket.map(|_| REPLIES.as_bytes())),
        ];
        let raw = Raw {
            offset: offset as u64,
            key: Some(&self.key),
            value: Some(&self.value),
            headers: Headers::of(headers.into_iter().filter(|(_, value)| value.is_some())),
        };
        recognizer.recognize(&raw).unwrap_or(Record::DeadLetter)
    }
}

pub(super) fn recognizer(id: PartitionId, count: PartitionId) -> Recognizer {
    Recognizer::new(secret(), vec![REPLIES.to_owned()], id, count)
}

fn secret() -> Secret {
    Secret::new("a secret of the tests").unwrap()
}
