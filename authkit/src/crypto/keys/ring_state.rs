//! Keys in memory: what was read from the store at one moment.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::store::KeyRow;
use super::{KeyInfo, KeyPurpose, KeyState};
use crate::config::JwtAlgorithm;
use crate::crypto::jws::SigningKey;
use crate::crypto::jwt::KeySet;
use crate::crypto::key_id::KeyId;
use crate::crypto::mac;
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// The algorithm of every ring that makes keyed hashes.
pub(super) const HMAC: &str = "HMAC-SHA256";

/// A key, opened.
pub(crate) struct RingKey {
    pub(crate) kid: KeyId,
    purpose: KeyPurpose,
    alg: String,
    created_at: Timestamp,
    activates_at: Timestamp,
    retires_at: Option<Timestamp>,
    gone_at: Option<Timestamp>,
    material: Material,
}

enum Material {
    Plain(Zeroizing<[u8; 32]>),
    Signing(SigningKey),
}

impl RingKey {
    pub(super) fn new(
        kid: KeyId,
        purpose: KeyPurpose,
        row: KeyRow,
        bytes: &Zeroizing<Vec<u8>>,
    ) -> Result<Self> {
        let material = if purpose == KeyPurpose::Jwt {
            let algorithm =
                [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256].into_iter().find(|a| a.name() == row.alg);
            let algorithm = algorithm.ok_or_else(|| Error::internal("a signing key of unknown algorithm"))?;
            Material::Signing(SigningKey::from_bytes(algorithm, bytes)?)
        } else {
            let plain = <[u8; 32]>::try_from(bytes.as_slice());
            let plain = plain.map_err(|_| Error::internal("a data key has not 32 bytes"))?;
            Material::Plain(Zeroizing::new(plain))
        };
        Ok(Self {
            kid,
            purpose,
            alg: row.alg,
            created_at: Timestamp::from_micros(row.created_at),
            activates_at: Timestamp::from_micros(row.activates_at),
            retires_at: row.retires_at.map(Timestamp::from_micros),
            gone_at: row.gone_at.map(Timestamp::from_micros),
            material,
        })
    }

    /// The HS256 key of the settings. Its name tells which secret it is without telling the secret.
    pub(super) fn from_secret(secret: &[u8]) -> Result<Self> {
        let name = mac::hmac_sha256(secret, &[b"authkit HS256 key name"]);
        let kid = name.first_chunk::<8>().copied().unwrap_or_default();
        Ok(Self {
            kid: KeyId::from_bytes(kid),
            purpose: KeyPurpose::Jwt,
            alg: JwtAlgorithm::Hs256.name().to_owned(),
            created_at: Timestamp::from_micros(0),
            activates_at: Timestamp::from_micros(0),
            retires_at: None,
            gone_at: None,
            material: Material::Signing(SigningKey::from_bytes(JwtAlgorithm::Hs256, secret)?),
        })
    }

    /// Whether it is a key of that ring.
    pub(crate) fn is_for(&self, purpose: KeyPurpose) -> bool {
        self.purpose == purpose
    }

    pub(crate) fn bytes32(&self) -> Result<[u8; 32]> {
        match &self.material {
            Material::Plain(bytes) => Ok(**bytes),
            Material::Signing(_) => Err(Error::internal("a signing key was asked for its bytes")),
        }
    }

    pub(crate) fn signing(&self) -> Result<&SigningKey> {
        match &self.material {
            Material::Signing(key) => Ok(key),
            Material::Plain(_) => Err(Error::internal("a data key was asked to sign")),
        }
    }

    fn state(&self, now: Timestamp) -> KeyState {
        let reached = |moment: Option<Timestamp>| moment.is_some_and(|moment| now >= moment);
        if reached(self.gone_at) {
            KeyState::Gone
        } else if reached(self.retires_at) {
            KeyState::Retiring
        } else if now >= self.activates_at {
            KeyState::Active
        } else {
            KeyState::Next
        }
    }

    pub(super) fn info(&self, now: Timestamp) -> KeyInfo {
        KeyInfo {
            kid: self.kid.to_string(),
            purpose: self.purpose,
            algorithm: self.alg.clone(),
            state: self.state(now),
            created_at: self.created_at,
            activates_at: self.activates_at,
            retires_at: self.retires_at,
            gone_at: self.gone_at,
        }
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingKey({} {})", self.purpose.name(), self.kid)
    }
}

/// All keys at one moment of the feed.
#[derive(Debug)]
pub(crate) struct Snapshot {
    generation: u64,
    head: i64,
    ring: Vec<Arc<RingKey>>,
    by_kid: HashMap<KeyId, Arc<RingKey>>,
    hmac: Option<Arc<RingKey>>,
    asymmetric: Arc<KeySet>,
    symmetric: Arc<KeySet>,
}

impl Snapshot {
    /// Nothing read yet.
    pub(super) fn empty() -> Self {
        Self::new(0, 0, Vec::new(), None)
    }

    pub(super) fn new(generation: u64, head: i64, ring: Vec<RingKey>, hmac: Option<RingKey>) -> Self {
        let ring: Vec<_> = ring.into_iter().map(Arc::new).collect();
        let hmac = hmac.map(Arc::new);
        let trusted = |keys: &mut dyn Iterator<Item = &Arc<RingKey>>| {
            let keys = keys.filter_map(|key| {
                let verifying = key.signing().ok()?.verifying_key().ok()?;
                Some((key.kid, verifying, key.gone_at))
            });
            Arc::new(KeySet::new(generation, keys.collect::<Vec<_>>()))
        };
        let asymmetric = trusted(&mut ring.iter().filter(|key| key.purpose == KeyPurpose::Jwt));
        let symmetric = trusted(&mut hmac.iter());
        let by_kid = ring.iter().map(|key| (key.kid, Arc::clone(key))).collect();
        Self { generation, head, ring, by_kid, hmac, asymmetric, symmetric }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Head of the feed when the keys were read.
    pub(crate) fn head(&self) -> i64 {
        self.head
    }

    pub(super) fn active(&self, purpose: KeyPurpose, now: Timestamp) -> Option<Arc<RingKey>> {
        let keys = || self.ring.iter().filter(|key| key.purpose == purpose);
        let active = keys().rev().find(|key| key.state(now) == KeyState::Active);
        // By a clock behind the one that made the ring no key has begun yet: then the oldest one is it.
        active.or_else(|| keys().find(|key| key.state(now) == KeyState::Next)).cloned()
    }

    /// Active and retiring keys of a purpose, the newest first.
    pub(super) fn accepted(&self, purpose: KeyPurpose, now: Timestamp) -> Vec<Arc<RingKey>> {
        let keys = self.ring.iter().rev().filter(|key| key.purpose == purpose);
        keys.filter(|key| key.state(now) != KeyState::Gone).cloned().collect()
    }

    /// The key that was active before the present one, while it is still accepted.
    pub(super) fn retiring(&self, purpose: KeyPurpose, now: Timestamp) -> Option<Arc<RingKey>> {
        let keys = self.ring.iter().filter(|key| key.purpose == purpose);
        keys.rev().find(|key| key.state(now) == KeyState::Retiring).cloned()
    }

    pub(super) fn by_kid(&self, kid: KeyId, now: Timestamp) -> Option<Arc<RingKey>> {
        self.by_kid.get(&kid).filter(|key| key.state(now) != KeyState::Gone).cloned()
    }

    pub(super) fn static_hmac(&self) -> Option<Arc<RingKey>> {
        self.hmac.clone()
    }

    pub(super) fn key_set(&self, symmetric: bool) -> Arc<KeySet> {
        Arc::clone(if symmetric { &self.symmetric } else { &self.asymmetric })
    }

    pub(super) fn jwks(&self, now: Timestamp) -> Vec<serde_json::Value> {
        let keys = self.ring.iter().filter(|key| key.purpose == KeyPurpose::Jwt);
        keys.filter(|key| key.state(now) != KeyState::Gone)
            .filter_map(|key| key.signing().ok()?.public_jwk(key.kid))
            .collect()
    }

    pub(super) fn infos(&self, now: Timestamp) -> Vec<KeyInfo> {
        self.ring.iter().chain(&self.hmac).map(|key| key.info(now)).collect()
    }
}
