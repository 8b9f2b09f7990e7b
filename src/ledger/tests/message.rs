//! Records of the tests' `commands`, as bytes.

use uuid::Uuid;

use super::super::{BalanceId, PartitionId, Record, Setting};
use crate::wire::leg::{HEADER, SEAL_HEADER};
use crate::wire::outcome::GenesisBody;
use crate::wire::record::{GENESIS_KEY, Headers, Raw, Recognizer};
use crate::wire::{LegRecord, Secret};

pub(crate) const SETTING: Setting = Setting {
    generation: Uuid::from_u128(0x0190_7e1b_5d3a_7c40_8000_0000_0000_0042),
    horizon_seconds: 600,
};

/// A record of `commands`; a leg if it is sealed.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    key: Vec<u8>,
    value: Vec<u8>,
    seal: Option<String>,
}

impl Message {
    pub(crate) fn command(key: BalanceId, json: &serde_json::Value) -> Self {
        let (key, value) = (key.to_string().into_bytes(), json.to_string().into_bytes());
        Self {
            key,
            value,
            seal: None,
        }
    }

    pub(super) fn leg(leg: &LegRecord) -> Self {
        let (key, value) = (leg.key.to_string(), leg.value.get().to_owned());
        let seal = hex::encode(secret().seal(key.as_bytes(), value.as_bytes()).0);
        let (key, value) = (key.into_bytes(), value.into_bytes());
        Self {
            key,
            value,
            seal: Some(seal),
        }
    }

    /// A value that can never be understood.
    pub(crate) fn junk() -> Self {
        Self {
            key: b"junk".into(),
            value: b"{".into(),
            seal: None,
        }
    }

    pub(crate) fn genesis() -> Self {
        let body = GenesisBody {
            generation: SETTING.generation,
            horizon_seconds: SETTING.horizon_seconds,
        };
        let (key, value) = (GENESIS_KEY.into(), serde_json::to_vec(&body).unwrap());
        Self {
            key,
            value,
            seal: None,
        }
    }

    /// What the record asks; what cannot be understood is a dead letter.
    pub(super) fn recognize(&self, recognizer: &mut Recognizer, offset: usize) -> Record {
        let seal = self.seal.as_deref().map(str::as_bytes);
        let marks = [(HEADER, seal.map(|_| &b"1"[..])), (SEAL_HEADER, seal)];
        let raw = Raw {
            offset: offset as u64,
            key: Some(&self.key),
            value: Some(&self.value),
            headers: Headers::of(marks.into_iter().filter(|(_, value)| value.is_some())),
        };
        recognizer.recognize(&raw).unwrap_or(Record::DeadLetter)
    }
}

pub(super) fn recognizer(id: PartitionId, count: PartitionId) -> Recognizer {
    Recognizer::new(secret(), Vec::new(), id, count)
}

fn secret() -> Secret {
    Secret::new("a secret of the tests").unwrap()
}
