//! A test that moves money ends with the audit: whoever gives commands says so here, and a world
//! that ends with commands nobody has audited fails its test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a world and everything that gives commands in it share.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    unaudited: Arc<AtomicBool>,
}

impl Ending {
    /// A command may have been given.
    pub fn moved(&self) {
        self.unaudited.store(true, Ordering::SeqCst);
    }

    pub fn audited(&self) {
        self.unaudited.store(false, Ordering::SeqCst);
    }

    /// # Panics
    /// If commands were given since the last audit, unless the test has failed anyway.
    pub fn demand(&self) {
        let unaudited = self.unaudited.load(Ordering::SeqCst);
        assert!(
            !unaudited || std::thread::panicking(),
            "a test that gives commands ends with World::audit"
        );
    }
}
