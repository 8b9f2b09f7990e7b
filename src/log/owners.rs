//! Who of a consumer group has which partition, as the group's coordinator knows it.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

use crate::ledger::PartitionId;

/// The owners of a topic's partitions in a group: the members' names with their hosts.
pub fn owners(
    client: &BaseConsumer,
    group: &str,
    topic: &str,
    wait: Duration,
) -> KafkaResult<BTreeMap<PartitionId, String>> {
    let groups = client.fetch_group_list(Some(group), wait)?;
    let mut owners = BTreeMap::new();
    for member in groups.groups().iter().flat_map(|group| group.members()) {
        let assigned = member.assignment().and_then(|bytes| assigned(bytes, topic));
        let owner = format!("{}@{}", name(member.id()), member.client_host());
        let owned = assigned.unwrap_or_default().into_iter();
        owners.extend(owned.map(|partition| (partition, owner.clone())));
    }
    Ok(owners)
}

/// Whether members other than `instance` have partitions of `topic` in `group`. Blocks.
pub fn others_own(
    options: &super::Options,
    group: &str,
    topic: &str,
    instance: Option<&str>,
    wait: Duration,
) -> KafkaResult<bool> {
    let client = super::peek::reader(options)?;
    let owners = owners(&client, group, topic, wait)?;
    let own = instance.map(|instance| format!("{instance}@"));
    let is_own = |owner: &String| own.as_ref().is_some_and(|own| owner.starts_with(own));
    Ok(owners.values().any(|owner| !is_own(owner)))
}

/// A member's id without the UUID that the coordinator adds.
fn name(id: &str) -> &str {
    let split = id
        .len()
        .checked_sub(37)
        .and_then(|at| id.split_at_checked(at));
    match split {
        Some((name, rest)) if rest[1..].parse::<uuid::Uuid>().is_ok() => name,
        Some(_) | None => id,
    }
}

/// The partitions of `topic` in a consumer protocol assignment: a version, then for every topic
/// its name and its partitions, all lengths big endian.
fn assigned(bytes: &[u8], topic: &str) -> Option<Vec<PartitionId>> {
    let mut rest = bytes;
    take(&mut rest, 2)?;
    for _ in 0..int(&mut rest)? {
        let length = take(&mut rest, 2)?;
        let length = u16::from_be_bytes(length.try_into().ok()?);
        let name = take(&mut rest, usize::from(length))?;
        let count = int(&mut rest)?;
        let partitions = (0..count).map(|_| PartitionId::try_from(int(&mut rest)?).ok());
        let partitions: Option<Vec<PartitionId>> = partitions.collect();
        if name == topic.as_bytes() {
            return partitions;
        }
        partitions?;
    }
    Some(Vec::new())
}

fn int(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(take(rest, 4)?.try_into().ok()?))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_by_topic() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (topic, partitions) in [("a", vec![7]), ("bc", vec![0, 258])] {
            bytes.extend([0, u8::try_from(topic.len()).unwrap()]);
            bytes.extend(topic.as_bytes());
            bytes.extend([0, 0, 0, u8::try_from(partitions.len()).unwrap()]);
            bytes.extend(partitions.iter().flat_map(|p: &u32| p.to_be_bytes()));
        }
        bytes.extend([0, 0, 0, 0]);
        assert_eq!(assigned(&bytes, "a"), Some(vec![7]));
        assert_eq!(assigned(&bytes, "bc"), Some(vec![0, 258]));
        assert_eq!(assigned(&bytes, "d"), Some(vec![]));
        assert_eq!(assigned(&bytes[..12], "bc"), None, "cut short");
        assert_eq!(assigned(&[], "a"), None);
    }

    #[test]
    fn a_member_is_named_without_its_uuid() {
        let id = "node-1-0b7f5d4a-3c1e-4d52-9d3a-1f2e3d4c5b6a";
        assert_eq!(name(id), "node-1");
        assert_eq!(name("node-1"), "node-1");
        assert_eq!(
            name("a much longer name that has no identifier"),
            "a much longer name that has no identifier"
        );
    }
}
