//! Randomness is injected, so that tests can be repeated; the default is the system's CSPRNG.

use std::fmt;
use std::sync::Arc;

use ring::rand::SecureRandom as _;

use crate::error::{Error, Result};

/// Where the library gets random bytes from.
pub trait SecureRandom: Send + Sync + fmt::Debug + 'static {
    /// Fills `out` with unpredictable bytes, or fails; never part of it (R10).
    fn fill(&self, out: &mut [u8]) -> Result<()>;

    /// Whether the bytes can be foretold, as in tests. Such a source is refused with `ENV=prod`.
    fn is_predictable(&self) -> bool {
        false
    }
}

/// A shared [`SecureRandom`].
pub type SharedRandom = Arc<dyn SecureRandom>;

/// The operating system's CSPRNG.
#[derive(Debug, Clone)]
pub struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    /// The operating system's CSPRNG.
    pub fn new() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl SecureRandom for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        self.0.fill(out).map_err(|_| Error::unavailable("the system's random source failed"))
    }
}

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>(random: &dyn SecureRandom) -> Result<[u8; N]> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}
