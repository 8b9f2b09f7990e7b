//! A table from hashes to values of one width, with hardly any room to spare.
//!
//! Linear hashing: the low bits of a hash name its page, and whenever pages hold more than
//! [`MEAN`] on average, one page is split in two. So the table grows a page at a time: it is never
//! copied as a whole, and never half empty.
//!
//! Pages differ in size by more than half, and all of them grow; an allocator would leave gaps
//! between them. So the entries of a page lie in blocks of one size, which all pages draw from one
//! [`Pool`], and its head, which names them, on the [`Shelf`] of all heads as long. What is
//! forgotten makes room for what comes.
//!
//! A hash is found by one byte of it, among all those in its page's head at once; one look in
//! two meets another hash by that.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "places of what is in memory, no amounts"
)]

use std::mem;

use super::chunks::Chunks;
use super::pool::{BLOCK, Pool, wide};
use super::shelf::Shelf;

/// Half of a 256-bit hash.
pub(super) type Hash = [u8; 16];
/// The first bytes are the value, as many as the table is wide.
pub(super) type Value = [u8; 24];

/// Hashes in a page, on average. Each costs its part of what the last block has to spare; more of
/// them take longer to search.
const MEAN: usize = 128;
/// The first byte of a hash is the low byte of its page's number.
const PAGES_MIN: usize = 256;
/// What an entry has of a hash; the last byte is its tag.
const TAIL: usize = 14;
/// Bytes of the number of a page or of a block.
const NUMBER: usize = size_of::<u32>();

#[derive(Clone, Debug)]
pub(super) struct Pages {
    width: usize,
    pages: Chunks<Page>,
    /// By how many blocks a head names, less one.
    shelves: Vec<Shelf>,
    blocks: Pool,
    len: usize,
}

/// Hashes whose low bits are the same.
///
/// The head has the number of the page first. Then comes for each block its own number, and a tag
/// for each entry that it has room for.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    /// Where on its shelf the head is.
    at: u32,
    /// How many blocks it names; there is no head if there are none.
    blocks: u32,
    /// How many hashes are in them.
    count: u32,
}

impl Pages {
    /// An empty table of values of `width` bytes.
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            pages: Chunks::default(),
            shelves: Vec::new(),
            blocks: Pool::default(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn find(&self, hash: &Hash) -> Option<&[u8]> {
        let (block, start) = self.locate(hash)?;
        Some(&self.blocks.at(block)[start + TAIL..start + self.stride()])
    }

    /// Puts `value` in the place of what `hash` had before.
    pub(super) fn insert(&mut self, hash: &Hash, value: &Value) {
        while self.pages.len() < PAGES_MIN {
            self.pages.push(Page::default());
        }
        if let Some((block, start)) = self.locate(hash) {
            return self.write(block, start, hash, value);
        }
        self.push(self.page_of(hash), hash, value);
        self.len += 1;
        if self.len > self.pages.len() * MEAN {
            self.split();
        }
    }

    /// Drops every entry whose value is not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        for number in 0..self.pages.len() {
            if self.entries(number).any(|(_, value)| !keep(value)) {
                let mut all = self.empty(number);
                all.retain(|(_, value)| keep(&value[..self.width]));
                self.fill(number, all.len(), all.iter());
            }
        }
        self.len = self.pages.iter().map(|page| wide(page.count)).sum();
    }

    /// Every hash and its value, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Hash, &[u8])> {
        (0..self.pages.len()).flat_map(|number| self.entries(number))
    }

    /// Gives every value another form, of `width` bytes.
    pub(super) fn rewrite(&mut self, width: usize, mut value: impl FnMut(&[u8]) -> Value) {
        let mut other = Self::new(width);
        for number in 0..self.pages.len() {
            let mut all = self.empty(number);
            for (_, old) in &mut all {
                *old = value(&old[..self.width]);
            }
            other.pages.push(Page::default());
            // What one has given back the other takes: never is there all of both.
            mem::swap(&mut self.blocks, &mut other.blocks);
            other.fill(number, all.len(), all.iter());
            mem::swap(&mut self.blocks, &mut other.blocks);
        }
        other.blocks = mem::take(&mut self.blocks);
        other.len = self.len;
        *self = other;
    }

    fn stride(&self) -> usize {
        TAIL + self.width
    }

    /// Entries of a block.
    fn slots(&self) -> usize {
        BLOCK / self.stride()
    }

    fn page_of(&self, hash: &Hash) -> usize {
        let count = self.pages.len();
        let mask = count.next_power_of_two() - 1;
        let low = address(hash) & mask;
        match low < count {
            true => low,
            false => low & (mask >> 1),
        }
    }

    /// Bytes that a head has of a block.
    fn group(&self) -> usize {
        NUMBER + self.slots()
    }

    /// What the head of a page says of each of its blocks.
    fn head(&self, page: Page) -> &[u8] {
        match page.blocks {
            0 => &[],
            blocks => &self.shelves[wide(blocks) - 1].at(wide(page.at))[NUMBER..],
        }
    }

    /// The block that `hash` is in, and where in it.
    fn locate(&self, hash: &Hash) -> Option<(u32, usize)> {
        if self.len == 0 {
            return None;
        }
        let page = *self.pages.at(self.page_of(hash));
        let (head, group, stride) = (self.head(page), self.group(), self.stride());
        let [_, tail @ .., tag] = hash;
        let full = wide(page.count) / self.slots() * group;
        let end = full + NUMBER + wide(page.count) % self.slots();
        memchr::memchr_iter(*tag, &head[..end.min(head.len())]).find_map(|place| {
            // Bytes of a block's number are no tags.
            let slot = (place % group).checked_sub(NUMBER)?;
            let (block, start) = (number_at(head, place - place % group), slot * stride);
            let same = self.blocks.at(block)[start..start + TAIL] == *tail;
            same.then_some((block, start))
        })
    }

    /// Adds a hash that is not there.
    fn push(&mut self, number: usize, hash: &Hash, value: &Value) {
        let (slots, group, stride) = (self.slots(), self.group(), self.stride());
        let page = *self.pages.at(number);
        if wide(page.count) == wide(page.blocks) * slots {
            self.reserve(number, wide(page.blocks) + 1);
        }
        let page = self.pages.at_mut(number);
        let (place, slot) = (wide(page.count) / slots * group, wide(page.count) % slots);
        page.count += 1;
        let shelf = &mut self.shelves[wide(page.blocks) - 1];
        let head = &mut shelf.at_mut(wide(page.at))[NUMBER..];
        head[place + NUMBER + slot] = hash[15];
        let block = number_at(head, place);
        self.write(block, slot * stride, hash, value);
    }

    fn write(&mut self, block: u32, start: usize, hash: &Hash, value: &Value) {
        let (stride, width, [_, tail @ .., _]) = (self.stride(), self.width, hash);
        let entry = &mut self.blocks.at_mut(block)[start..start + stride];
        let (kept, rest) = entry.split_at_mut(TAIL);
        kept.copy_from_slice(tail);
        rest.copy_from_slice(&value[..width]);
    }

    /// Gives a page more blocks than it has, `blocks` together.
    fn reserve(&mut self, number: usize, blocks: usize) {
        let (page, group) = (*self.pages.at(number), self.group());
        while self.shelves.len() < blocks {
            let size = NUMBER + (self.shelves.len() + 1) * group;
            self.shelves.push(Shelf::new(size));
        }
        let (less, more) = self.shelves.split_at_mut(blocks - 1);
        let at = more[0].push();
        let head = more[0].at_mut(at);
        head[..NUMBER].copy_from_slice(&narrow(number).to_le_bytes());
        if let Some(shelf) = wide(page.blocks).checked_sub(1) {
            let old = less[shelf].at(wide(page.at));
            head[..old.len()].copy_from_slice(old);
        }
        let groups = head[NUMBER..].chunks_exact_mut(group);
        for group in groups.skip(wide(page.blocks)) {
            group[..NUMBER].copy_from_slice(&self.blocks.take().to_le_bytes());
        }
        self.leave_shelf(page);
        let (at, blocks, count) = (narrow(at), narrow(blocks), page.count);
        *self.pages.at_mut(number) = Page { at, blocks, count };
    }

    /// Takes the head of a page, if it has one, off its shelf.
    fn leave_shelf(&mut self, page: Page) {
        if let Some(shelf) = wide(page.blocks).checked_sub(1)
            && let Some(moved) = self.shelves[shelf].take(wide(page.at))
        {
            let owner = wide(number_at(moved, 0));
            self.pages.at_mut(owner).at = page.at;
        }
    }

    fn entries(&self, number: usize) -> impl Iterator<Item = (Hash, &[u8])> {
        let [first, ..] = number.to_le_bytes();
        let page = *self.pages.at(number);
        let groups = self.head(page).chunks_exact(self.group());
        let slots = groups.flat_map(|group| {
            let block = self.blocks.at(number_at(group, 0));
            group[NUMBER..]
                .iter()
                .zip(block.chunks_exact(self.stride()))
        });
        slots.take(wide(page.count)).map(move |(tag, slot)| {
            let (tail, value) = slot.split_at(TAIL);
            let mut hash = [first; 16];
            hash[1..=TAIL].copy_from_slice(tail);
            hash[15] = *tag;
            (hash, value)
        })
    }

    /// Takes everything out of a page.
    fn empty(&mut self, number: usize) -> Vec<(Hash, Value)> {
        let mut all = Vec::with_capacity(wide(self.pages.at(number).count));
        all.extend(self.entries(number).map(|(hash, kept)| {
            let mut value = Value::default();
            value[..kept.len()].copy_from_slice(kept);
            (hash, value)
        }));
        let page = mem::take(self.pages.at_mut(number));
        for at in 0..wide(page.blocks) {
            let block = number_at(self.head(page), at * self.group());
            self.blocks.give_back(block);
        }
        self.leave_shelf(page);
        all
    }

    /// Puts entries into a page that is empty, of which there are `count`.
    fn fill<'a>(
        &mut self,
        number: usize,
        count: usize,
        all: impl Iterator<Item = &'a (Hash, Value)>,
    ) {
        if count > 0 {
            self.reserve(number, count.div_ceil(self.slots()));
        }
        for (hash, value) in all {
            self.push(number, hash, value);
        }
    }

    /// Adds a page, which takes its part of the one that stood for both.
    fn split(&mut self) {
        let new = self.pages.len();
        let bit = 1 << new.ilog2();
        let all = self.empty(new ^ bit);
        self.pages.push(Page::default());
        let moves = |entry: &&(Hash, Value)| address(&entry.0) & bit != 0;
        let moved = all.iter().filter(moves).count();
        let stay = all.iter().filter(|entry| !moves(entry));
        self.fill(new ^ bit, all.len() - moved, stay);
        self.fill(new, moved, all.iter().filter(moves));
    }
}

/// The number that stands at `place`.
fn number_at(bytes: &[u8], place: usize) -> u32 {
    let (number, _) = bytes[place..].split_first_chunk().expect("there is one");
    u32::from_le_bytes(*number)
}

fn address(hash: &Hash) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    usize::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("no memory holds as many")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn hash(number: u64) -> Hash {
        let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        uuid::Uuid::from_u64_pair(number.swap_bytes(), number).into_bytes()
    }

    fn sorted<'a>(entries: impl Iterator<Item = (Hash, &'a [u8])>) -> Vec<(Hash, Vec<u8>)> {
        let mut all: Vec<_> = entries
            .map(|(hash, value)| (hash, value.to_vec()))
            .collect();
        all.sort();
        all
    }

    fn value(bytes: &[u8]) -> Value {
        let mut value = Value::default();
        value[..bytes.len()].copy_from_slice(bytes);
        value
    }

    /// Whatever has been taken is in some page.
    fn check_room(pages: &Pages) {
        let full = pages.pages.iter();
        let full = full.map(|page| wide(page.count).div_ceil(pages.slots()));
        assert_eq!(pages.blocks.in_use(), full.sum::<usize>());
    }

    #[test]
    fn it_grows_by_a_page_at_a_time_and_finds_everything() {
        let mut pages = Pages::new(8);
        let count = 100_000;
        for number in 0..count {
            assert_eq!(pages.find(&hash(number)), None);
            pages.insert(&hash(number), &value(&number.to_le_bytes()));
        }
        assert_eq!(pages.pages.len(), 100_000_usize.div_ceil(MEAN));
        check_room(&pages);
        for number in 0..count {
            assert_eq!(pages.find(&hash(number)), Some(&number.to_le_bytes()[..]));
        }
        let full = pages.pages.iter().map(|page| page.count).max();
        assert!(full < Some(4 * narrow(MEAN)), "{full:?}");
    }

    /// Hashes that differ in one bit alone, whichever it is.
    #[test]
    fn near_hashes_are_not_taken_for_each_other() {
        let mut pages = Pages::new(1);
        let near = |bit: u8| (1_u128 << bit).to_le_bytes();
        for bit in 0..128 {
            assert_eq!(pages.find(&near(bit)), None, "bit {bit}");
            pages.insert(&near(bit), &value(&[bit]));
        }
        assert!((0..128).all(|bit| pages.find(&near(bit)) == Some(&[bit][..])));
    }

    proptest! {
        #[test]
        fn it_is_a_map(
            steps in prop::collection::vec((0..60_u8, 0..600_u64, any::<u8>()), 1..3000),
        ) {
            let (mut pages, mut map, mut width) = (Pages::new(1), HashMap::new(), 1);
            for (step, number, byte) in steps {
                // Three pages, which have many blocks and few, and tags that all share.
                let mut key = hash(number);
                (key[0], key[15]) = (key[0] % 3, key[15] % 4);
                match step {
                    0 => {
                        pages.retain(|kept| kept[0] >= byte);
                        map.retain(|_, kept| *kept >= byte);
                    }
                    1 => {
                        width = 1 + usize::from(byte % 24);
                        pages.rewrite(width, |old| [old[0]; 24]);
                    }
                    _ => {
                        pages.insert(&key, &[byte; 24]);
                        map.insert(key, byte);
                    }
                }
                let expected = map.get(&key).map(|byte| vec![*byte; width]);
                prop_assert_eq!(pages.find(&key).map(<[u8]>::to_vec), expected);
                prop_assert_eq!(pages.len(), map.len());
            }
            check_room(&pages);
            let all = map.iter().map(|(key, byte)| (*key, vec![*byte; width]));
            let mut expected: Vec<_> = all.collect();
            expected.sort();
            prop_assert_eq!(sorted(pages.iter()), expected);
        }
    }
}
