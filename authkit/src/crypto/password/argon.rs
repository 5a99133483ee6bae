//! Argon2 hashes in PHC form (RFC 9106), made and checked in a slot's memory.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::pool::Memory;
use crate::config::Argon2Config;
use crate::error::{Error, Result};
use crate::random::{SecureRandom, bytes};

pub(super) const SALT_LENGTH: usize = 16;
pub(super) const TAG_LENGTH: usize = 32;

/// What a stored Argon2 hash may ask for.
///
/// The base is twice the memory of the most expensive common defaults (Python's argon2-cffi: 64 MiB, 3
/// passes) and Django's 100 MiB. What is configured is allowed in any case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Argon2Bounds {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    /// Memory times passes, in KiB: what the time depends on.
    work_kib: u64,
}

impl Argon2Bounds {
    pub(super) const BASE: Self =
        Self { memory_kib: 128 * 1024, iterations: 16, parallelism: 16, work_kib: 512 * 1024 };

    /// The base, widened where `cost` is higher.
    pub(super) fn including(cost: Argon2Config) -> Self {
        Self {
            memory_kib: Self::BASE.memory_kib.max(cost.memory_kib),
            iterations: Self::BASE.iterations.max(cost.iterations),
            parallelism: Self::BASE.parallelism.max(cost.parallelism),
            work_kib: Self::BASE.work_kib.max(u64::from(cost.memory_kib) * u64::from(cost.iterations)),
        }
    }

    fn allow(self, m: u32, t: u32, p: u32) -> bool {
        m <= self.memory_kib
            && t <= self.iterations
            && p <= self.parallelism
            && u64::from(m) * u64::from(t) <= self.work_kib
    }
}

/// One Argon2 hash, its parameters within bounds.
pub(super) struct Argon2Hash {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

impl Argon2Hash {
    /// A hash of the configured cost that no password is known for: the work for unknown accounts.
    pub(super) fn dummy(params: &Params, random: &dyn SecureRandom) -> Result<Self> {
        Ok(Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            params: params.clone(),
            salt: bytes::<SALT_LENGTH>(random)?.to_vec(),
            tag: bytes::<TAG_LENGTH>(random)?.to_vec(),
        })
    }

    /// Reads `$argon2id$v=19$m=..,t=..,p=..$salt$tag` (or argon2i, or without `v=`, which means 1.0).
    /// Optional parameters (`keyid`, `data`) are not supported: they need a key that nobody has here.
    pub(super) fn parse(stored: &str, bounds: Argon2Bounds) -> Option<Self> {
        let mut parts = stored.strip_prefix('$')?.split('$');
        let algorithm = match parts.next()? {
            "argon2id" => Algorithm::Argon2id,
            "argon2i" => Algorithm::Argon2i,
            _ => return None,
        };
        let mut costs = parts.next()?;
        let version = match costs.strip_prefix("v=") {
            Some(version) => {
                costs = parts.next()?;
                match version {
                    "19" => Version::V0x13,
                    "16" => Version::V0x10,
                    _ => return None,
                }
            }
            None => Version::V0x10,
        };
        let mut costs = costs.split(',');
        let mut cost = |name: &str| number(costs.next()?.strip_prefix(name)?.strip_prefix('=')?);
        let (m, t, p) = (cost("m")?, cost("t")?, cost("p")?);
        let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        let tag = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        let whole = costs.next().is_none() && parts.next().is_none();
        if !whole
            || !bounds.allow(m, t, p)
            || !(8..=64).contains(&salt.len())
            || !(16..=64).contains(&tag.len())
        {
            return None;
        }
        let params = Params::new(m, t, p, Some(tag.len())).ok()?;
        Some(Self { algorithm, version, params, salt, tag })
    }

    /// Whether `password` is the one that this hash was made of.
    pub(super) fn matches(&self, password: &[u8], memory: &mut Memory, kept: usize) -> Result<bool> {
        let mut tag = Zeroizing::new(vec![0; self.tag.len()]);
        let argon2 = Argon2::new(self.algorithm, self.version, self.params.clone());
        compute(&argon2, password, &self.salt, &mut tag, memory, kept)?;
        Ok(tag.ct_eq(&self.tag).into())
    }

    #[cfg(test)]
    pub(super) fn params(&self) -> &Params {
        &self.params
    }

    /// Whether a hash made now, at `cost`, would be stronger than this one in any way.
    pub(super) fn weaker_than(&self, cost: &Params) -> bool {
        self.algorithm != Algorithm::Argon2id
            || self.version != Version::V0x13
            || self.params.m_cost() < cost.m_cost()
            || self.params.t_cost() < cost.t_cost()
            || self.params.p_cost() < cost.p_cost()
            || self.salt.len() < SALT_LENGTH
            || self.tag.len() < TAG_LENGTH
    }
}

/// A new hash of `password` in PHC form.
pub(super) fn hash(
    params: &Params,
    password: &[u8],
    salt: &[u8; SALT_LENGTH],
    memory: &mut Memory,
) -> Result<String> {
    let mut tag = Zeroizing::new([0; TAG_LENGTH]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    compute(&argon2, password, salt, tag.as_mut_slice(), memory, params.block_count())?;
    Ok(format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        params.m_cost(),
        params.t_cost(),
        params.p_cost(),
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(tag.as_slice()),
    ))
}

/// Fills `tag`. The slot's buffer is kept at the `kept` blocks that the configured cost needs; a stored
/// hash that asks for more gets a buffer of its own, which is given back when this returns.
fn compute(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    tag: &mut [u8],
    memory: &mut Memory,
    kept: usize,
) -> Result<()> {
    let count = argon2.params().block_count();
    let mut own = Memory::default();
    let blocks: &mut [Block] = if count <= kept { memory.blocks(kept)? } else { own.blocks(count)? };
    argon2
        .hash_password_into_with_memory(password, salt, tag, blocks)
        .map_err(|e| Error::internal(format!("argon2 failed: {e}")))
}

/// A plain decimal number: digits only, no sign, no leading zero.
pub(super) fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}
