//! A table from hashes to values of one width, without spare room.
//!
//! Linear hashing: the low bits of a hash name its page, and whenever pages hold more than
//! [`MEAN`] on average, one page is split in two. So the table grows a page at a time: it is never
//! copied as a whole, and never half empty. A page finds a hash by one byte of it among all of its
//! hashes at once; two bytes in a hundred lead to a look that finds another hash.

use super::chunks::Chunks;

/// Half of a 256-bit hash.
pub(super) type Hash = [u8; 16];

/// Hashes in a page, on average. Each costs its part of a page's own 48 bytes; more of them take
/// longer to search.
const MEAN: usize = 128;
/// The first byte of a hash is the low byte of its page's number.
const PAGES_MIN: usize = 256;
/// What a page keeps of a hash beside its tag.
const TAIL: usize = 14;
/// How many entries a page makes room for at once.
const STEP: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Pages {
    width: usize,
    pages: Chunks<Page>,
    len: usize,
}

/// Hashes whose first byte is the same.
#[derive(Clone, Debug, Default)]
struct Page {
    /// The last byte of every hash.
    tags: Vec<u8>,
    /// The bytes between, and the value.
    entries: Vec<u8>,
}

impl Pages {
    /// An empty table of values of `width` bytes.
    pub(super) fn new(width: usize) -> Self {
        let (pages, len) = (Chunks::default(), 0);
        Self { width, pages, len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn find(&self, hash: &Hash) -> Option<&[u8]> {
        if self.len == 0 {
            return None;
        }
        let page = self.pages.at(self.page_of(hash));
        let at = page.position(hash, self.stride())?;
        let (_, value) = page.entry(at, self.stride());
        Some(value)
    }

    /// Puts `value`, of the table's width, in the place of what `hash` had before.
    pub(super) fn insert(&mut self, hash: &Hash, value: &[u8]) {
        while self.pages.len() < PAGES_MIN {
            self.pages.push(Page::default());
        }
        let (stride, number) = (self.stride(), self.page_of(hash));
        let page = self.pages.at_mut(number);
        if let Some(at) = page.position(hash, stride) {
            let entry = page.entries.chunks_exact_mut(stride).nth(at);
            let (_, old) = entry.expect("it was found").split_at_mut(TAIL);
            return old.copy_from_slice(value);
        }
        page.push(hash, value);
        self.len = self.len.saturating_add(1);
        if self.len > self.pages.len().saturating_mul(MEAN) {
            self.split();
        }
    }

    /// Drops every entry whose value is not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        let stride = self.stride();
        self.len = 0;
        for number in 0..self.pages.len() {
            let page = self.pages.at_mut(number);
            let mut kept = Page::default();
            for (hash, value) in page.iter(number, stride).filter(|(_, value)| keep(value)) {
                kept.push(&hash, value);
            }
            self.len = self.len.saturating_add(kept.tags.len());
            *page = kept;
        }
    }

    /// Every hash and its value, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Hash, &[u8])> {
        let pages = self.pages.iter().enumerate();
        pages.flat_map(|(number, page)| page.iter(number, self.stride()))
    }

    /// Gives every value another form: the first `width` bytes of what `value` makes of it.
    pub(super) fn rewrite<V: AsRef<[u8]>>(
        &mut self,
        width: usize,
        mut value: impl FnMut(&[u8]) -> V,
    ) {
        let stride = self.stride();
        for number in 0..self.pages.len() {
            let page = self.pages.at_mut(number);
            let mut rewritten = Page::default();
            for (hash, old) in page.iter(number, stride) {
                rewritten.push(&hash, &value(old).as_ref()[..width]);
            }
            *page = rewritten;
        }
        self.width = width;
    }

    fn stride(&self) -> usize {
        TAIL.saturating_add(self.width)
    }

    fn page_of(&self, hash: &Hash) -> usize {
        let count = self.pages.len();
        let mask = count.next_power_of_two().saturating_sub(1);
        let low = address(hash) & mask;
        match low < count {
            true => low,
            false => low & (mask >> 1),
        }
    }

    /// Adds a page, which takes its part of the one that stood for both.
    fn split(&mut self) {
        let (stride, new) = (self.stride(), self.pages.len());
        let bit = 1 << new.ilog2();
        let whole = std::mem::take(self.pages.at_mut(new ^ bit));
        let (mut old, mut other) = (Page::default(), Page::default());
        for (hash, value) in whole.iter(new ^ bit, stride) {
            match address(&hash) & bit {
                0 => old.push(&hash, value),
                _ => other.push(&hash, value),
            }
        }
        *self.pages.at_mut(new ^ bit) = old;
        self.pages.push(other);
    }
}

impl Page {
    fn position(&self, hash: &Hash, stride: usize) -> Option<usize> {
        let [_, tail @ .., tag] = hash;
        let mut found = memchr::memchr_iter(*tag, &self.tags);
        found.find(|at| self.entry(*at, stride).0 == tail)
    }

    /// What is kept of the hash, and the value.
    fn entry(&self, at: usize, stride: usize) -> (&[u8], &[u8]) {
        let mut entries = self.entries.chunks_exact(stride);
        entries.nth(at).unwrap_or_default().split_at(TAIL)
    }

    fn push(&mut self, hash: &Hash, value: &[u8]) {
        let [_, tail @ .., tag] = hash;
        if self.tags.len() == self.tags.capacity() {
            self.tags.reserve_exact(STEP);
            let stride = TAIL.saturating_add(value.len());
            self.entries.reserve_exact(STEP.saturating_mul(stride));
        }
        self.tags.push(*tag);
        self.entries.extend_from_slice(tail);
        self.entries.extend_from_slice(value);
    }

    fn iter(&self, number: usize, stride: usize) -> impl Iterator<Item = (Hash, &[u8])> {
        let [first, ..] = number.to_le_bytes();
        let entries = self.entries.chunks_exact(stride);
        entries.zip(&self.tags).map(move |(entry, tag)| {
            let (tail, value) = entry.split_at(TAIL);
            let mut hash = [first; 16];
            hash[1..=TAIL].copy_from_slice(tail);
            hash[15] = *tag;
            (hash, value)
        })
    }
}

fn address(hash: &Hash) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    usize::from_le_bytes([a, b, c, d, e, f, g, h])
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

    #[test]
    fn it_grows_by_a_page_at_a_time_and_finds_everything() {
        let mut pages = Pages::new(8);
        let count = 100_000;
        for number in 0..count {
            assert_eq!(pages.find(&hash(number)), None);
            pages.insert(&hash(number), &number.to_le_bytes());
        }
        assert_eq!(pages.pages.len(), 100_000_usize.div_ceil(MEAN));
        for number in 0..count {
            assert_eq!(pages.find(&hash(number)), Some(&number.to_le_bytes()[..]));
        }
        let full = pages.pages.iter().map(|page| page.tags.len()).max();
        assert!(full < Some(4 * MEAN), "{full:?}");
    }

    /// Hashes that differ in one bit alone, whichever it is.
    #[test]
    fn near_hashes_are_not_taken_for_each_other() {
        let mut pages = Pages::new(1);
        let near = |bit: u8| (1_u128 << bit).to_le_bytes();
        for bit in 0..128 {
            assert_eq!(pages.find(&near(bit)), None, "bit {bit}");
            pages.insert(&near(bit), &[bit]);
        }
        assert!((0..128).all(|bit| pages.find(&near(bit)) == Some(&[bit][..])));
    }

    proptest! {
        #[test]
        fn it_is_a_map(
            steps in prop::collection::vec((0..8_u8, 0..400_u64, any::<u8>()), 1..3000),
        ) {
            let (mut pages, mut map) = (Pages::new(1), HashMap::new());
            for (step, number, value) in steps {
                let key = hash(number);
                if step == 0 {
                    pages.retain(|kept| kept[0] >= value / 4);
                    map.retain(|_, kept: &mut Vec<u8>| kept[0] >= value / 4);
                } else {
                    pages.insert(&key, &[value]);
                    map.insert(key, vec![value]);
                }
                prop_assert_eq!(pages.find(&key), map.get(&key).map(|value| &value[..]));
                prop_assert_eq!(pages.len(), map.len());
            }
            let expected = sorted(map.iter().map(|(key, value)| (*key, &value[..])));
            prop_assert_eq!(sorted(pages.iter()), expected.clone());
            pages.rewrite(2, |old| vec![old[0], 7]);
            let wide = expected.into_iter().map(|(key, old)| (key, vec![old[0], 7]));
            prop_assert_eq!(sorted(pages.iter()), wide.collect::<Vec<_>>());
        }
    }
}
