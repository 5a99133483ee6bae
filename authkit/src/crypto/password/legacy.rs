//! Password hashes of other systems: read, bounded, checked; never made.
//!
//! A stored hash says itself how much work it is. Whoever can write one (an import, a compromised admin)
//! could make every sign-in take minutes or gigabytes, so all parameters are bounded before anything runs;
//! what is beyond the bounds is [`HashKind::Unsupported`] and matches nothing.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::argon::{Argon2Bounds, Argon2Hash, number};
use super::pool::Memory;
use crate::error::{Error, Result};

/// Longest stored hash that is looked at, in bytes.
const MAX_STORED: usize = 512;
/// About one second; the usual 10 to 12 take a twentieth to a quarter of one.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=14;
/// Django 5.2 uses 1,000,000, OWASP asks for 600,000.
const PBKDF2_ITERATIONS: u32 = 2_000_000;
/// `128 * N * r` bytes; OWASP's strongest set (N = 2^17, r = 8) needs exactly this.
const SCRYPT_MEMORY: u64 = 128 << 20;
/// `N * r * p`: what the time depends on. Twice OWASP's strongest set.
const SCRYPT_WORK: u64 = 2 << 20;
/// Block size and parallelism, each.
const SCRYPT_FACTOR: u32 = 32;
/// A shorter tag would be met by chance.
const TAG_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;
const MAX_SALT: usize = 128;

/// The kinds of stored password hashes, told apart by their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashKind {
    /// PHC `$argon2id$`: what authkit makes itself. With other parameters than the configured ones too.
    Argon2id,
    /// PHC `$argon2i$`.
    Argon2i,
    /// `$2a$`, `$2b$`, `$2y$`. Sees the first 72 bytes of a password only.
    Bcrypt,
    /// Django's `pbkdf2_sha256$iterations$salt$tag`.
    DjangoPbkdf2,
    /// passlib's `$pbkdf2-sha256$rounds$salt$tag`.
    PasslibPbkdf2,
    /// PHC `$pbkdf2-sha256$i=..,l=..$salt$tag`.
    Pbkdf2,
    /// `$scrypt$ln=..,r=..,p=..$salt$tag`, by PHC and by passlib.
    Scrypt,
    /// Begins like one of the others, but is damaged, or asks for more work or memory than is allowed, or
    /// for so little of a tag that it protects nothing. Matches no password.
    Unsupported,
}

/// Which kind of password hash `stored` is; `None` when it looks like none of them.
///
/// Reads the text only; no hash is computed.
pub(crate) fn recognise(stored: &str) -> Option<HashKind> {
    let kind = kind(stored)?;
    Some(parse(stored, Argon2Bounds::BASE).map_or(HashKind::Unsupported, |_| kind))
}

/// A stored hash with its parameters within bounds.
pub(super) enum Stored {
    Argon2(Argon2Hash),
    Bcrypt(String),
    Pbkdf2 { iterations: NonZeroU32, salt: Vec<u8>, tag: Vec<u8> },
    Scrypt { params: scrypt::Params, salt: Vec<u8>, tag: Vec<u8> },
}

/// Reads `stored`; `None` for everything that must not or cannot be run.
pub(super) fn parse(stored: &str, bounds: Argon2Bounds) -> Option<Stored> {
    if stored.len() > MAX_STORED {
        return None;
    }
    match kind(stored)? {
        HashKind::Argon2id | HashKind::Argon2i => Argon2Hash::parse(stored, bounds).map(Stored::Argon2),
        HashKind::Bcrypt => bcrypt(stored),
        HashKind::DjangoPbkdf2 => {
            let [_, iterations, salt, tag] = parts(stored)?;
            pbkdf2(iterations, salt.as_bytes().to_vec(), STANDARD.decode(tag).ok()?)
        }
        HashKind::PasslibPbkdf2 => {
            let [_, _, iterations, salt, tag] = parts(stored)?;
            let decode = |text: &str| STANDARD_NO_PAD.decode(text.replace('.', "+")).ok();
            pbkdf2(iterations, decode(salt)?, decode(tag)?)
        }
        HashKind::Pbkdf2 => {
            let [_, _, costs, salt, tag] = parts(stored)?;
            let tag = STANDARD_NO_PAD.decode(tag).ok()?;
            let (iterations, length) = match costs.split_once(',') {
                Some((iterations, length)) => (iterations, Some(length.strip_prefix("l=")?)),
                None => (costs, None),
            };
            if length.is_some_and(|length| length != tag.len().to_string()) {
                return None;
            }
            pbkdf2(iterations.strip_prefix("i=")?, STANDARD_NO_PAD.decode(salt).ok()?, tag)
        }
        HashKind::Scrypt => scrypt(stored),
        HashKind::Unsupported => None,
    }
}

impl Stored {
    /// Whether `password` is the one that this hash was made of. `kept`: see [`Argon2Hash::matches`].
    pub(super) fn matches(&self, password: &[u8], memory: &mut Memory, kept: usize) -> Result<bool> {
        match self {
            Self::Argon2(hash) => hash.matches(password, memory, kept),
            Self::Bcrypt(hash) => bcrypt::verify(password, hash)
                .map_err(|e| Error::internal("a bcrypt hash could not be computed").with_source(e)),
            Self::Pbkdf2 { iterations, salt, tag } => {
                let sha256 = ring::pbkdf2::PBKDF2_HMAC_SHA256;
                Ok(ring::pbkdf2::verify(sha256, *iterations, salt, password, tag).is_ok())
            }
            Self::Scrypt { params, salt, tag } => {
                let mut found = Zeroizing::new(vec![0; tag.len()]);
                scrypt::scrypt(password, salt, params, &mut found)
                    .map_err(|e| Error::internal(format!("scrypt failed: {e}")))?;
                Ok(found.ct_eq(tag).into())
            }
        }
    }
}

fn kind(stored: &str) -> Option<HashKind> {
    if stored.starts_with("pbkdf2_sha256$") {
        return Some(HashKind::DjangoPbkdf2);
    }
    let (name, rest) = stored.strip_prefix('$')?.split_once('$')?;
    match name {
        "argon2id" => Some(HashKind::Argon2id),
        "argon2i" => Some(HashKind::Argon2i),
        "2a" | "2b" | "2y" => Some(HashKind::Bcrypt),
        "pbkdf2-sha256" if rest.starts_with("i=") => Some(HashKind::Pbkdf2),
        "pbkdf2-sha256" => Some(HashKind::PasslibPbkdf2),
        "scrypt" => Some(HashKind::Scrypt),
        _ => None,
    }
}

/// Exactly `N` parts between dollar signs.
fn parts<const N: usize>(stored: &str) -> Option<[&str; N]> {
    let mut parts = stored.split('$');
    let found = std::array::from_fn(|_| parts.next());
    let whole = parts.next().is_none() && found.iter().all(Option::is_some);
    whole.then(|| found.map(Option::unwrap_or_default))
}

fn bcrypt(stored: &str) -> Option<Stored> {
    let [_, _, cost, text] = parts(stored)?;
    let readable =
        text.len() == 53 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/');
    let cost = (cost.len() == 2).then(|| number(cost.strip_prefix('0').unwrap_or(cost))).flatten()?;
    if !readable || !BCRYPT_COSTS.contains(&cost) {
        return None;
    }
    // Reads salt and tag, computes nothing.
    stored.parse::<bcrypt::HashParts>().ok()?;
    Some(Stored::Bcrypt(stored.to_owned()))
}

fn pbkdf2(iterations: &str, salt: Vec<u8>, tag: Vec<u8>) -> Option<Stored> {
    let iterations = NonZeroU32::new(number(iterations)?)?;
    let bounded = iterations.get() <= PBKDF2_ITERATIONS
        && (1..=MAX_SALT).contains(&salt.len())
        && TAG_LENGTHS.contains(&tag.len());
    bounded.then_some(Stored::Pbkdf2 { iterations, salt, tag })
}

fn scrypt(stored: &str) -> Option<Stored> {
    let [_, _, costs, salt, tag] = parts(stored)?;
    let mut costs = costs.split(',');
    let mut cost = |name: &str| number(costs.next()?.strip_prefix(name)?.strip_prefix('=')?);
    let (log_n, r, p) = (cost("ln")?, cost("r")?, cost("p")?);
    let salt = STANDARD_NO_PAD.decode(salt).ok()?;
    let tag = STANDARD_NO_PAD.decode(tag).ok()?;
    let n = 1_u64.checked_shl(log_n).filter(|_| (1..=24).contains(&log_n))?;
    let factors = 1..=SCRYPT_FACTOR;
    let bounded = costs.next().is_none()
        && factors.contains(&r)
        && factors.contains(&p)
        && 128 * n * u64::from(r) <= SCRYPT_MEMORY
        && n * u64::from(r) * u64::from(p) <= SCRYPT_WORK
        && (1..=MAX_SALT).contains(&salt.len())
        && TAG_LENGTHS.contains(&tag.len());
    if !bounded {
        return None;
    }
    let params = scrypt::Params::new(u8::try_from(log_n).ok()?, r, p).ok()?;
    Some(Stored::Scrypt { params, salt, tag })
}
