//! A list that grows without moving what is there: no half of it is ever spare, and no record waits
//! for all of it to be copied.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "places of what is in memory, no amounts"
)]

/// Bytes of one chunk at most: a size that no allocator rounds up.
const CHUNK_BYTES: usize = 1 << 18;

#[derive(Clone, Debug)]
pub(super) struct Chunks<T> {
    /// Invariant: all but the last are full.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Chunks<T> {
    /// Items of one chunk; there is room for what is lost to their alignment.
    const CHUNK: usize = CHUNK_BYTES / size_of::<T>() - 1;

    pub(super) fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1);
        let last = self.chunks.last().map_or(0, Vec::len);
        full.saturating_mul(Self::CHUNK).saturating_add(last)
    }

    pub(super) fn push(&mut self, item: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < Self::CHUNK => last.push(item),
            Some(_) => {
                let mut chunk = Vec::with_capacity(Self::CHUNK);
                chunk.push(item);
                self.chunks.push(chunk);
            }
            None => self.chunks.push(vec![item]),
        }
    }

    /// # Panics
    /// If there are not more than `at`.
    pub(super) fn at(&self, at: usize) -> &T {
        &self.chunks[at / Self::CHUNK][at % Self::CHUNK]
    }

    /// # Panics
    /// If there are not more than `at`.
    pub(super) fn at_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at / Self::CHUNK][at % Self::CHUNK]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_where_they_were_put() {
        const CHUNK: usize = Chunks::<usize>::CHUNK;
        let mut list = Chunks::default();
        for number in 0..3 * CHUNK {
            assert_eq!(list.len(), number);
            list.push(number);
        }
        *list.at_mut(CHUNK) = 7;
        let expected = |at: usize| if at == CHUNK { 7 } else { at };
        assert!((0..3 * CHUNK).all(|at| *list.at(at) == expected(at)));
        assert!(list.iter().copied().eq((0..3 * CHUNK).map(expected)));
    }
}
