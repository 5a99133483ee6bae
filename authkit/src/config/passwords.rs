use std::fmt;
use std::num::NonZeroUsize;

use super::database_url::redact_url;

/// Cost of one Argon2id hash (RFC 9106). The default is the OWASP set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Argon2Config {
    /// `ARGON2_MEMORY_KIB`, in KiB.
    pub memory_kib: u32,
    /// `ARGON2_ITERATIONS`.
    pub iterations: u32,
    /// `ARGON2_PARALLELISM`: lanes.
    pub parallelism: u32,
}

impl Argon2Config {
    /// A cost of `memory_kib` KiB, `iterations` passes, `parallelism` lanes.
    pub const fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Self {
        Self { memory_kib, iterations, parallelism }
    }

    /// Whether the cost is at least one of the sets that the OWASP Password Storage Cheat Sheet calls
    /// equal (ASVS 11.4.2).
    pub fn meets_owasp_minimum(&self) -> bool {
        [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)]
            .iter()
            .any(|&(memory_kib, iterations)| self.memory_kib >= memory_kib && self.iterations >= iterations)
    }
}

impl Default for Argon2Config {
    fn default() -> Self {
        Self::new(19_456, 2, 1)
    }
}

/// Password policy and hash cost.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordsConfig {
    /// `PASSWORD_MIN_LENGTH`, in code points, 8 to 64; 15 is advised where no second factor is enforced.
    pub min_length: u32,
    /// `PASSWORD_MIN_STRENGTH`: zxcvbn's score, 0 to 4.
    pub min_strength: u8,
    /// Cost of one hash.
    pub argon2: Argon2Config,
    /// `ARGON2_MAX_CONCURRENT`: hashes at the same time; `None` means as many as cores.
    pub max_concurrent: Option<NonZeroUsize>,
    /// `PASSWORD_BREACH_URL`: range look-up of breached passwords, without a slash at the end; only 5 hex
    /// digits of SHA-1 leave.
    pub breach_url: Option<String>,
    /// `MFA_TOTP_ISSUER`: the product's name, which must not be part of a password.
    pub product_name: String,
}

impl Default for PasswordsConfig {
    fn default() -> Self {
        Self {
            min_length: 8,
            min_strength: 2,
            argon2: Argon2Config::default(),
            max_concurrent: None,
            breach_url: None,
            product_name: "authkit".into(),
        }
    }
}

impl fmt::Debug for PasswordsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordsConfig")
            .field("min_length", &self.min_length)
            .field("min_strength", &self.min_strength)
            .field("argon2", &self.argon2)
            .field("max_concurrent", &self.max_concurrent)
            .field("breach_url", &self.breach_url.as_deref().map(redact_url))
            .field("product_name", &self.product_name)
            .finish()
    }
}
