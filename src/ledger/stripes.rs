//! Striped accounts: one balance in every partition, so that whatever is paid with them needs no
//! other partition than that of the other side.
//!
//! An account whose name begins with `@` is striped, `@world` among them: it has neither floor nor
//! ceiling, and each partition opens its own stripe on first use. Which stripe a posting means
//! follows from the posting and the number of partitions, never from state.

use std::sync::Arc;

use super::asset::Asset;
use super::command::Stripe;
use super::id::{BalanceId, DEFAULT_KEY};
use super::route::{PartitionId, partition_of};

/// Whether an account is striped.
pub fn is_striped(account: &str) -> bool {
    account.starts_with('@')
}

/// The stripes of an account among `count` partitions, by partition: of the keys `default`, `1`,
/// `2`… the first whose balance is there. With one partition that is the balance itself.
pub fn stripes(ledger: &str, account: &str, asset: &Asset, count: PartitionId) -> Vec<Stripe> {
    let account: Arc<str> = account.into();
    let mut found: Vec<Option<Stripe>> = vec![None; usize::from(count)];
    for number in 0_u64.. {
        let key = match number {
            0 => DEFAULT_KEY.to_owned(),
            _ => number.to_string(),
        };
        let id = BalanceId::of(ledger, &account, asset, &key);
        if let Some(slot) = found.get_mut(usize::from(partition_of(id, count)))
            && slot.is_none()
        {
            let (account, key) = (account.clone(), key.into());
            *slot = Some(Stripe { id, account, key });
            if found.iter().all(Option::is_some) {
                break;
            }
        }
    }
    found.into_iter().flatten().collect()
}
