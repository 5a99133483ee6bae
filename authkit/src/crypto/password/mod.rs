//! Password hashes: Argon2id for all that authkit makes, and the common kinds of others to check against.
//!
//! - **Cost** (R19, ASVS 11.4.2): at most `slots` hashes at a time, on Tokio's blocking threads; a bounded
//!   queue before them, past which [`Unavailable`](crate::ErrorKind::Unavailable) is the answer at once.
//! - **Memory** is `slots` times the configured cost, allocated at a slot's first hash and kept: blocks of
//!   19 MiB that come and go stay in the allocator's arenas and let a process grow without bound. Only an
//!   imported hash that asks for more than is configured gets memory of its own, at most 128 MiB, while it
//!   is checked. A buffer is not wiped between hashes; what is in it tells no more than the stored hash.
//! - **Time** (R5): without a stored hash, and for one that cannot be checked, a dummy of the configured cost
//!   is computed. Imported hashes of another kind or cost differ in time until their first sign-in.
//! - **CPU**: `argon2` 0.6 looks at run time for AVX2 and uses it for its compression function, where all the
//!   time is spent. It has no such switch for AVX-512; that needs a build for the host
//!   (`-C target-cpu=native`). `blake2` 0.11 has no run-time switch, but hashes only the two ends of the work.
//!
//! Passwords come in as their NFC form; nothing here changes or cuts them (bcrypt itself sees 72 bytes).

mod argon;
mod legacy;
mod pool;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::Params;
use secrecy::{ExposeSecret as _, SecretString};

use self::argon::{Argon2Bounds, Argon2Hash, SALT_LENGTH, TAG_LENGTH};
pub use self::legacy::HashKind;
pub(crate) use self::legacy::recognise;
use self::legacy::{Stored, parse};
pub(crate) use self::pool::Admission;
use self::pool::Pool;
use crate::config::Argon2Config;
use crate::error::{Error, FieldCode, Result};
use crate::random::{SharedRandom, bytes};

/// Longest password in bytes, after NFC (contract 4.2). Longer ones are refused before any work (R16).
pub(crate) const MAX_PASSWORD_BYTES: usize = 512;

/// Highest cost that can be configured: memory (KiB), passes, lanes.
const MAX_COST: (u32, u32, u32) = (1024 * 1024, 64, 64);

/// Makes and checks password hashes in a bounded number of slots. Clones share the slots.
#[derive(Clone)]
pub(crate) struct PasswordHasher(Arc<Inner>);

struct Inner {
    pool: Pool,
    params: Params,
    bounds: Argon2Bounds,
    random: SharedRandom,
    dummy: Stored,
    hashes: AtomicU64,
    unsupported: AtomicU64,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verification {
    /// Wrong password, or nothing to check against.
    Mismatch,
    /// The right password.
    Match {
        /// The stored hash is of another kind, or weaker than what would be made now.
        needs_rehash: bool,
    },
}

/// How the hash slots are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HashSlotStats {
    /// Hashes that can run at the same time.
    pub slots: usize,
    /// Slots in use now.
    pub busy: usize,
    /// Requests that wait for a slot now.
    pub queued: usize,
    /// Requests refused because the queue was full, since the start.
    pub shed: u64,
    /// Hashes computed since the start, dummies included.
    pub hashes: u64,
    /// Checks against stored hashes that are of no supported kind, damaged or beyond the bounds, since
    /// the start. Such a hash matches no password.
    pub unsupported: u64,
}

impl PasswordHasher {
    /// A hasher of `slots` slots, before which at most `queue` requests wait.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) for a cost that Argon2id does not know or that no sign-in could
    /// wait for; [`Unavailable`](crate::ErrorKind::Unavailable) when `random` fails.
    pub(crate) fn new(
        cost: Argon2Config,
        slots: NonZeroUsize,
        queue: usize,
        random: SharedRandom,
    ) -> Result<Self> {
        let (m, t, p) = (cost.memory_kib, cost.iterations, cost.parallelism);
        let impossible = |why: &dyn fmt::Display| {
            Error::config(format!(
                "ARGON2_MEMORY_KIB={m}, ARGON2_ITERATIONS={t}, ARGON2_PARALLELISM={p} cannot be used: {why}"
            ))
        };
        let (max_m, max_t, max_p) = MAX_COST;
        if m > max_m || t > max_t || p > max_p {
            return Err(impossible(&format_args!("at most {max_m}, {max_t}, {max_p}")));
        }
        let params = Params::new(m, t, p, Some(TAG_LENGTH)).map_err(|e| impossible(&e))?;
        let dummy = Stored::Argon2(Argon2Hash::dummy(&params, &*random)?);
        Ok(Self(Arc::new(Inner {
            pool: Pool::new(slots, queue),
            params,
            bounds: Argon2Bounds::including(cost),
            random,
            dummy,
            hashes: AtomicU64::new(0),
            unsupported: AtomicU64::new(0),
        })))
    }

    /// A new Argon2id hash of `password` in PHC form, with its own random salt of 16 bytes.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) under overload;
    /// [`Validation`](crate::ErrorKind::Validation) for more than 512 bytes, which the policy refuses earlier.
    pub(crate) async fn hash(&self, password: &SecretString) -> Result<String> {
        self.0.pool.run(self.hashing(password)?).await
    }

    /// Waits until a hash slot is at hand. Whoever goes away meanwhile is skipped.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) at once under overload.
    pub(crate) async fn admit(&self) -> Result<Admission> {
        self.0.pool.admit().await
    }

    /// As [`Self::hash`], for whoever was admitted.
    pub(crate) async fn hash_admitted(
        &self,
        admission: &Admission,
        password: &SecretString,
    ) -> Result<String> {
        self.0.pool.run_admitted(admission, self.hashing(password)?).await
    }

    fn hashing(
        &self,
        password: &SecretString,
    ) -> Result<impl FnOnce(&mut pool::Memory) -> Result<String> + Send + use<>> {
        if password.expose_secret().len() > MAX_PASSWORD_BYTES {
            return Err(Error::field("/password", FieldCode::TooLong, "Use at most 512 bytes."));
        }
        let salt = bytes::<SALT_LENGTH>(&*self.0.random)?;
        let (inner, password) = (Arc::clone(&self.0), password.clone());
        Ok(move |memory: &mut pool::Memory| {
            inner.hashes.fetch_add(1, Ordering::Relaxed);
            argon::hash(&inner.params, password.expose_secret().as_bytes(), &salt, memory)
        })
    }

    /// Checks `password` against a stored hash; without one, does the same work for nothing.
    ///
    /// More than 512 bytes match nothing and cost nothing, whatever is stored.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when the process shuts down: nothing was checked.
    pub(crate) async fn verify_admitted(
        &self,
        admission: &Admission,
        password: &SecretString,
        stored: Option<String>,
    ) -> Result<Verification> {
        if password.expose_secret().len() > MAX_PASSWORD_BYTES {
            return Ok(Verification::Mismatch);
        }
        let parsed = stored.as_deref().and_then(|stored| parse(stored, self.0.bounds));
        if stored.is_some() && parsed.is_none() {
            self.0.unsupported.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("a stored password hash is damaged or of no supported kind and cost: no match");
        }
        let (inner, password) = (Arc::clone(&self.0), password.clone());
        let work = move |memory: &mut pool::Memory| {
            inner.hashes.fetch_add(1, Ordering::Relaxed);
            let hash = parsed.as_ref().unwrap_or(&inner.dummy);
            let kept = inner.params.block_count();
            let same = hash.matches(password.expose_secret().as_bytes(), memory, kept)?;
            Ok(match &parsed {
                Some(hash) if same => Verification::Match { needs_rehash: inner.outdated(hash) },
                _ => Verification::Mismatch,
            })
        };
        self.0.pool.run_admitted(admission, work).await
    }

    /// Both in one: for tests of the hasher alone.
    #[cfg(test)]
    pub(crate) async fn verify(
        &self,
        password: &SecretString,
        stored: Option<String>,
    ) -> Result<Verification> {
        let admission = self.admit().await?;
        self.verify_admitted(&admission, password, stored).await
    }

    /// How the slots are doing.
    pub(crate) fn stats(&self) -> HashSlotStats {
        let pool = self.0.pool.stats();
        HashSlotStats {
            slots: pool.slots,
            busy: pool.busy,
            queued: pool.queued,
            shed: pool.shed,
            hashes: self.0.hashes.load(Ordering::Relaxed),
            unsupported: self.0.unsupported.load(Ordering::Relaxed),
        }
    }
}

impl Inner {
    fn outdated(&self, stored: &Stored) -> bool {
        match stored {
            Stored::Argon2(hash) => hash.weaker_than(&self.params),
            _ => true,
        }
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher")
            .field("params", &self.0.params)
            .field("stats", &self.stats())
            .finish()
    }
}

#[cfg(test)]
mod tests;
