use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::random::SecureRandom;

/// Randomness that repeats for the same seed (`SplitMix64`). Predictable: refused with `ENV=prod`.
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// The stream of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number.
    pub fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0 when `end` is 0.
    pub fn below(&self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next_u64() % end).unwrap_or(0)
    }

    /// So many bytes.
    pub fn bytes(&self, len: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next_u64().to_le_bytes()).flatten().take(len).collect()
    }
}

impl SecureRandom for SeededRandom {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        let bytes = self.bytes(out.len());
        for (byte, random) in out.iter_mut().zip(bytes) {
            *byte = random;
        }
        Ok(())
    }

    fn is_predictable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream_and_no_block_twice() {
        let take = |seed| {
            let mut out = [0; 24];
            SeededRandom::new(seed).fill(&mut out).unwrap();
            out
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
        let out = take(1);
        assert_ne!(out[..8], out[8..16]);
    }
}
