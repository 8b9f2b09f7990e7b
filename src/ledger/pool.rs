//! Blocks of one size, each of which has had several owners: what is given back is taken again
//! before there is a new one.

use super::chunks::Chunks;

/// Bytes of a block.
pub(super) const BLOCK: usize = 232;

#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    blocks: Chunks<[u8; BLOCK]>,
    free: Vec<u32>,
}

impl Pool {
    /// The number of a block that nobody has; what stands in it means nothing.
    pub(super) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let number = u32::try_from(self.blocks.len());
            self.blocks.push([0; BLOCK]);
            number.expect("a terabyte of blocks")
        })
    }

    pub(super) fn give_back(&mut self, block: u32) {
        self.free.push(block);
    }

    pub(super) fn at(&self, block: u32) -> &[u8; BLOCK] {
        self.blocks.at(wide(block))
    }

    pub(super) fn at_mut(&mut self, block: u32) -> &mut [u8; BLOCK] {
        self.blocks.at_mut(wide(block))
    }

    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.blocks.len().saturating_sub(self.free.len())
    }
}

/// A number as a place in memory.
pub(super) fn wide(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
