//! Key → partition, as the Java client does it.
//!
//! librdkafka's own default (CRC32) lands elsewhere, so every producer of ours names the
//! partition itself and every consumer checks it.

use super::id::BalanceId;

/// The number of a partition, `0..count`.
pub type PartitionId = u16;

/// The partition of a balance among `count`.
pub fn partition_of(id: BalanceId, count: PartitionId) -> PartitionId {
    let mut text = uuid::Uuid::encode_buffer();
    partition_of_key(
        id.uuid().as_hyphenated().encode_lower(&mut text).as_bytes(),
        count,
    )
}

/// The partition of a record key among `count`.
///
/// # Panics
/// If `count` is zero.
pub fn partition_of_key(key: &[u8], count: PartitionId) -> PartitionId {
    assert!(count > 0, "a topic has at least one partition");
    let positive = murmur2(key) & 0x7fff_ffff;
    positive
        .checked_rem(u32::from(count))
        .and_then(|partition| PartitionId::try_from(partition).ok())
        .unwrap_or_default()
}

/// MurmurHash2 with the seed of Kafka's Java client.
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = chunk
            .iter()
            .rev()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let tail = chunks.remainder();
    if !tail.is_empty() {
        hash ^= tail
            .iter()
            .rev()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_agrees_with_the_java_client() {
        let vectors: [(&str, u32, PartitionId); 6] = [
            ("a", 2_731_586_172, 12),
            ("bal-1", 1_546_655_054, 14),
            ("bal-000001", 2_627_465_990, 6),
            ("account:42", 185_450_280, 8),
            ("£100", 4_287_017_182, 14),
            ("", 275_646_681, 9),
        ];
        for (key, hash, partition) in vectors {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
            assert_eq!(partition_of_key(key.as_bytes(), 16), partition, "{key}");
        }
    }
}
