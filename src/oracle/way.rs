//! Where things are, and which way a transaction goes.

use crate::ledger::{Asset, BalanceId, Carried, PartitionId, Portion, Posting};

/// The partition of a balance among `count`: murmur2 over its text, as the Java client has it.
pub fn partition_of(id: BalanceId, count: PartitionId) -> PartitionId {
    let text = id.to_string();
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(text.len()).unwrap_or_default();
    // The text of a UUID has 36 bytes: nine words, and nothing left over.
    for word in text.as_bytes().chunks(4) {
        let bytes = word.iter().enumerate();
        let word: u32 = bytes.map(|(at, byte)| u32::from(*byte) << (8 * at)).sum();
        let mixed = word.wrapping_mul(0x5bd1_e995);
        let mixed = (mixed ^ (mixed >> 24)).wrapping_mul(0x5bd1_e995);
        hash = hash.wrapping_mul(0x5bd1_e995) ^ mixed;
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(0x5bd1_e995);
    let hash = (hash ^ (hash >> 15)) & 0x7fff_ffff;
    PartitionId::try_from(hash % u32::from(count)).unwrap_or_default()
}

/// A partition on the way, and the balance there that is named first.
pub(super) type Stop = (PartitionId, BalanceId);

/// The stops of a transaction: those with sources, then those with nothing but destinations, each
/// as the postings name them.
pub(super) fn stops(postings: &[Posting], count: PartitionId) -> Vec<Stop> {
    let sources = postings.iter().map(|posting| posting.source.id);
    let destinations = postings.iter().map(|posting| posting.destination.id);
    let mut stops: Vec<Stop> = Vec::new();
    for id in sources.chain(destinations) {
        let partition = partition_of(id, count);
        if stops.iter().all(|(known, _)| *known != partition) {
            stops.push((partition, id));
        }
    }
    stops
}

/// Every partition, that of `home` first.
pub(super) fn everywhere(home: BalanceId, count: PartitionId) -> Vec<Stop> {
    let first = partition_of(home, count);
    let mut all: Vec<PartitionId> = (0..count).collect();
    all.sort_by_key(|partition| *partition != first);
    all.into_iter().map(|partition| (partition, home)).collect()
}

/// Sums amounts by asset, in the order in which the assets come up.
pub(super) fn total(amounts: impl Iterator<Item = (Asset, i128)>) -> Vec<Carried> {
    let mut total: Vec<Carried> = Vec::new();
    for (asset, amount) in amounts {
        match total.iter().position(|money| money.asset == asset) {
            Some(at) => total[at].amount += amount,
            None => total.push(Carried { asset, amount }),
        }
    }
    total
}

/// Portions by the partition of the balance that `side` names, in the order in which the partitions
/// come up.
pub(super) fn by_stop(
    portions: &[Portion],
    side: fn(&Portion) -> BalanceId,
    count: PartitionId,
) -> Vec<(Stop, Vec<Portion>)> {
    let mut groups: Vec<(Stop, Vec<Portion>)> = Vec::new();
    for portion in portions {
        let stop = (partition_of(side(portion), count), side(portion));
        match groups.iter().position(|((known, _), _)| *known == stop.0) {
            Some(at) => groups[at].1.push(*portion),
            None => groups.push((stop, vec![*portion])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::route;

    proptest! {
        #[test]
        fn both_find_a_balance_in_the_same_partition(id: u128, count in 1_u16..300) {
            let id = BalanceId::new(Uuid::from_u128(id));
            prop_assert_eq!(partition_of(id, count), route::partition_of(id, count));
        }
    }
}
