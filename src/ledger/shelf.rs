//! Byte strings of one length, side by side and without a gap: where one is taken away, the last
//! one takes its place.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "places of what is in memory, no amounts"
)]

use std::ops::Range;

/// Bytes of one chunk, unless a string is longer.
const CHUNK_BYTES: usize = 1 << 14;

#[derive(Clone, Debug)]
pub(super) struct Shelf {
    size: usize,
    per_chunk: usize,
    /// Invariant: all but the last are full, and that one is not empty.
    chunks: Vec<Vec<u8>>,
    len: usize,
}

impl Shelf {
    /// Of strings of `size` bytes, which is not zero.
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            per_chunk: (CHUNK_BYTES / size).max(1),
            chunks: Vec::new(),
            len: 0,
        }
    }

    /// # Panics
    /// If there are not more than `at`.
    pub(super) fn at(&self, at: usize) -> &[u8] {
        let (chunk, bytes) = self.place(at);
        &self.chunks[chunk][bytes]
    }

    /// # Panics
    /// If there are not more than `at`.
    pub(super) fn at_mut(&mut self, at: usize) -> &mut [u8] {
        let (chunk, bytes) = self.place(at);
        &mut self.chunks[chunk][bytes]
    }

    /// Adds a string of zeros; says where.
    pub(super) fn push(&mut self) -> usize {
        let at = self.len;
        let (chunk, bytes) = self.place(at);
        if chunk == self.chunks.len() {
            let room = CHUNK_BYTES.max(self.size);
            self.chunks.push(Vec::with_capacity(room));
        }
        self.chunks[chunk].resize(bytes.end, 0);
        self.len += 1;
        at
    }

    /// Takes the string at `at` away; says what stands there instead, if there was another.
    ///
    /// # Panics
    /// If there are not more than `at`.
    pub(super) fn take(&mut self, at: usize) -> Option<&[u8]> {
        self.len -= 1;
        let ((to, place), (from, last)) = (self.place(at), self.place(self.len));
        let start = last.start;
        if to == from {
            self.chunks[to].copy_within(last, place.start);
        } else {
            let (chunks, rest) = self.chunks.split_at_mut(from);
            chunks[to][place].copy_from_slice(&rest[0][last]);
        }
        self.chunks[from].truncate(start);
        if start == 0 {
            self.chunks.pop();
        }
        (at < self.len).then(|| self.at(at))
    }

    /// The chunk, and where in it.
    fn place(&self, at: usize) -> (usize, Range<usize>) {
        let start = at % self.per_chunk * self.size;
        (at / self.per_chunk, start..start + self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_list_without_gaps(
            steps in prop::collection::vec(any::<Option<usize>>(), 1..300),
        ) {
            // Five strings to a chunk.
            let (mut shelf, mut list) = (Shelf::new(3000), Vec::new());
            for (number, step) in (0_u16..).zip(steps) {
                if let Some(at) = step.filter(|_| !list.is_empty()) {
                    let at = at % list.len();
                    list.swap_remove(at);
                    let moved = shelf.take(at).map(<[u8]>::to_vec);
                    prop_assert_eq!(moved.as_ref(), list.get(at));
                } else {
                    let string = number.to_le_bytes().repeat(1500);
                    let at = shelf.push();
                    shelf.at_mut(at).copy_from_slice(&string);
                    prop_assert_eq!(at, list.len());
                    list.push(string);
                }
                prop_assert!((0..list.len()).all(|at| shelf.at(at) == list[at]));
                prop_assert_eq!(shelf.chunks.len(), list.len().div_ceil(5));
            }
        }
    }
}
