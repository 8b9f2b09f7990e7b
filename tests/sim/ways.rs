//! Producers: records on their way to the log, which land one by one, in order by partition.
//!
//! A record lands at a time of the run's choice, and its acknowledgement arrives later still, or
//! never: a crash leaves records behind that land after the death of who sent them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use steelyard::ledger::PartitionId;
use steelyard::log::producer::{Acks, Append, AppendFailed};

use crate::breaks::Break;
use crate::chance::Chance;
use crate::check;
use crate::log::{Rec, Topic};
use crate::world::World;

/// A record on its way.
#[derive(Debug)]
struct Item {
    rec: Rec,
    acks: Arc<Acks>,
}

/// What one producer sends to one partition.
#[derive(Debug)]
struct Queue {
    topic: Topic,
    partition: PartitionId,
    items: VecDeque<Item>,
    /// Landed, and not acknowledged.
    landed: VecDeque<(Arc<Acks>, u64)>,
    /// Nobody listens any more.
    orphan: bool,
    busy: bool,
    /// So many times it is passed by before anything moves.
    slow: u64,
}

/// Everything on its way.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    queues: Vec<Queue>,
    by_way: BTreeMap<(usize, Topic, PartitionId), usize>,
    /// Queues in which something can happen.
    busy: Vec<usize>,
    /// By producer: whether it can go on.
    broken: Vec<bool>,
    /// By producer, its queues.
    of_producer: Vec<Vec<usize>>,
    /// One in so many times something is slow, if at all; and how slow at most.
    slowness: Option<(u64, u64)>,
}

impl Ways {
    /// How slow the ways of one run are: none, some, or all those to come after a crash.
    pub(crate) fn draw(&mut self, chance: &mut Chance) {
        let one_in = *chance.pick(&[None, Some(50), Some(10)]);
        self.slowness = one_in.map(|one_in| (one_in, *chance.pick(&[10, 100, 1_000])));
    }

    /// Nothing is slow any more.
    pub(crate) fn heal(&mut self) {
        self.slowness = None;
        for at in &self.busy {
            self.queues[*at].slow = 0;
        }
    }

    pub(crate) fn producer(&mut self) -> usize {
        self.of_producer.push(Vec::new());
        self.broken.push(false);
        self.broken.len() - 1
    }

    pub(crate) fn is_broken(&self, producer: usize) -> bool {
        self.broken[producer]
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    fn queue(&mut self, producer: usize, topic: Topic, partition: PartitionId) -> usize {
        let next = self.queues.len();
        let at = *self
            .by_way
            .entry((producer, topic, partition))
            .or_insert(next);
        if at == next {
            self.queues.push(Queue {
                topic,
                partition,
                items: VecDeque::new(),
                landed: VecDeque::new(),
                orphan: false,
                busy: false,
                slow: 0,
            });
            self.of_producer[producer].push(at);
        }
        at
    }
}

impl World {
    /// Takes a record from a producer's user.
    pub(crate) fn send(
        &mut self,
        producer: usize,
        append: Append<'_>,
        acks: &Arc<Acks>,
    ) -> Result<(), AppendFailed> {
        if self.log.ways.is_broken(producer) {
            acks.expect();
            acks.settle(Err(AppendFailed));
            return Err(AppendFailed);
        }
        let topic = Topic::named(append.topic);
        let partition = append
            .partition
            .map_or(0, |number| number.try_into().unwrap());
        acks.expect();
        let rec = Rec {
            key: Bytes::copy_from_slice(append.key),
            value: Bytes::copy_from_slice(append.value),
            headers: append.headers,
            at_ms: 0,
        };
        let acks = match self.withheld(topic, partition, &rec) {
            None => acks.clone(),
            Some(lands) => {
                acks.settle(Ok(self.expected(producer, topic, partition)));
                if !lands {
                    return Ok(());
                }
                // Nobody waits for it any more.
                let other = Acks::open();
                other.expect();
                other
            }
        };
        let at = self.log.ways.queue(producer, topic, partition);
        let item = Item { rec, acks };
        let queue = &mut self.log.ways.queues[at];
        queue.items.push_back(item);
        if !std::mem::replace(&mut queue.busy, true) {
            self.log.ways.busy.push(at);
            self.slow_down(at, 1);
        }
        Ok(())
    }

    /// Perhaps makes a queue slow, so many times as likely as usual.
    fn slow_down(&mut self, at: usize, likely: u64) {
        if let Some((one_in, most)) = self.log.ways.slowness
            && self.chance.below(one_in) < likely
        {
            self.log.ways.queues[at].slow = self.chance.between(1, most);
            self.reach("a record is slow");
        }
    }

    /// The offset that a producer's next record gets if nobody comes before it.
    fn expected(&mut self, producer: usize, topic: Topic, partition: PartitionId) -> u64 {
        let at = self.log.ways.queue(producer, topic, partition);
        let waiting = self.log.ways.queues[at].items.len() as u64;
        self.log.line(topic, partition).end() + waiting
    }

    /// Breaks a rule, if it is one of this road: whether a record that is acknowledged at once will
    /// land later.
    fn withheld(&mut self, topic: Topic, partition: PartitionId, rec: &Rec) -> Option<bool> {
        if self.is_broken(Break::EarlyAck) && topic == Topic::Outcomes {
            return (!check::is_claim(&rec.key)).then_some(true);
        }
        if self.is_broken(Break::NoResend)
            && topic == Topic::Commands
            && let Some((from, number)) = check::leg_of(rec)
        {
            let sent = &mut self.truth[usize::from(from)].offered[usize::from(partition)];
            let again = number <= *sent;
            *sent = number.max(*sent);
            return again.then_some(false);
        }
        None
    }

    /// Something happens to a record on its way: it lands, or its acknowledgement arrives. False if
    /// nothing does.
    pub(crate) fn move_log(&mut self) -> bool {
        if !self.log.ways.is_busy() {
            return false;
        }
        let choice = self.chance.index(self.log.ways.busy.len());
        let at = self.log.ways.busy[choice];
        let lands = self.chance.one_in(2);
        let queue = &mut self.log.ways.queues[at];
        if queue.slow > 0 {
            queue.slow -= 1;
            return false;
        }
        if let (Some((acks, offset)), true) = (
            queue.landed.front().cloned(),
            !lands || queue.items.is_empty(),
        ) {
            queue.landed.pop_front();
            acks.settle(Ok(offset));
        } else if let Some(item) = queue.items.pop_front() {
            let (topic, partition, orphan) = (queue.topic, queue.partition, queue.orphan);
            if orphan {
                self.reach("a record lands after its sender's death");
            }
            let offset = self.write(
                topic,
                partition,
                item.rec.key,
                item.rec.value,
                item.rec.headers,
            );
            self.log.ways.queues[at]
                .landed
                .push_back((item.acks, offset));
        }
        let queue = &mut self.log.ways.queues[at];
        if queue.orphan {
            queue.landed.clear();
        }
        if queue.items.is_empty() && queue.landed.is_empty() {
            queue.busy = false;
            self.log.ways.busy.swap_remove(choice);
        }
        true
    }

    /// The producer dies, or breaks with its user alive: some of what is on its way still lands,
    /// nothing more is acknowledged.
    pub(crate) fn break_producer(&mut self, producer: usize, dies: bool) {
        self.log.ways.broken[producer] = true;
        for at in self.log.ways.of_producer[producer].clone() {
            if self.log.ways.queues[at].orphan {
                continue;
            }
            let on_the_way = self.log.ways.queues[at].items.len();
            let lands = self.chance.between(0, on_the_way as u64) as usize;
            let queue = &mut self.log.ways.queues[at];
            queue.orphan = true;
            let failed: Vec<Arc<Acks>> = queue.items.iter().map(|item| item.acks.clone()).collect();
            let failed: Vec<_> = queue
                .landed
                .drain(..)
                .map(|(acks, _)| acks)
                .chain(failed)
                .collect();
            queue.items.truncate(lands);
            let waits = !queue.items.is_empty();
            if on_the_way > 0 || !failed.is_empty() {
                self.reach("an acknowledgement never arrives");
            }
            if waits {
                self.slow_down(at, 5);
            }
            if !dies {
                failed
                    .into_iter()
                    .for_each(|acks| acks.settle(Err(AppendFailed)));
            }
        }
    }
}
