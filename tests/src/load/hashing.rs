//! Argon2id as everybody must do it: the bare rate, and a bounded hasher that keeps its buffers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::Semaphore;

/// One salt for all: load accounts protect nothing.
pub(crate) const SALT: &[u8; 16] = b"authkit-load-16b";

/// m, t and p of the settings' defaults.
const MEMORY_KIB: u32 = 19_456;
const ITERATIONS: u32 = 2;
const LANES: u32 = 1;

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, ITERATIONS, LANES, Some(32)).expect("good parameters");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn buffer() -> Vec<Block> {
    vec![Block::default(); argon2().params().block_count()]
}

fn hash_into(password: &str, buffer: &mut [Block]) -> [u8; 32] {
    let mut out = [0; 32];
    argon2().hash_password_into_with_memory(password.as_bytes(), SALT, &mut out, buffer).expect("a hash");
    out
}

/// The PHC string of a password, for rows that are inserted directly.
pub(crate) fn phc(password: &str) -> String {
    let hash = STANDARD_NO_PAD.encode(hash_into(password, &mut buffer()));
    let salt = STANDARD_NO_PAD.encode(SALT);
    format!("$argon2id$v=19$m={MEMORY_KIB},t={ITERATIONS},p={LANES}${salt}${hash}")
}

/// How many hashes run at once where one a core runs.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Hashes a second by that many threads, each with a buffer of its own.
pub(crate) fn bare_rate(threads: usize, time: Duration) -> f64 {
    let worker = || {
        let mut buffer = buffer();
        // Once before the count: the first pass pays for the pages.
        hash_into("warm", &mut buffer);
        let start = Instant::now();
        let mut done = 0.0;
        while start.elapsed() < time {
            hash_into("correct horse", &mut buffer);
            done += 1.0;
        }
        done / start.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|w| w.join().expect("a hash")).sum()
    })
}

/// Bounded slots off the async workers, with kept buffers. Permit and buffer live in the blocking task.
pub(crate) struct Hasher {
    slots: Arc<Semaphore>,
    buffers: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl Hasher {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(slots)), buffers: Arc::default() }
    }

    pub(crate) async fn hash(&self, password: String) -> [u8; 32] {
        let permit = self.slots.clone().acquire_owned().await.expect("never closed");
        let buffers = self.buffers.clone();
        let run = move || {
            let kept = buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut blocks = kept.unwrap_or_else(buffer);
            let hash = hash_into(&password, &mut blocks);
            buffers.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
            drop(permit);
            hash
        };
        tokio::task::spawn_blocking(run).await.expect("a hash")
    }
}
