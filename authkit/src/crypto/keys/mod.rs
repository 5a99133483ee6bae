//! Rings of data keys: one root seals them, each purpose has its own.
//!
//! A key's state is a function of its times, so no process has to move a key from one state to the next, and all
//! nodes agree: `next` before `activates_at`, `active` until `retires_at`, `retiring` until `gone_at`, then `gone`.
//! The signing ring publishes `next` keys ahead of time; the others may activate at once, because every
//! holder of a token with an unknown key id re-reads the ring.

mod ring_state;
mod store;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use super::jws::SigningKey;
use super::jwt::KeySet;
use super::key_id::KeyId;
use super::seal::{self, RootKeys};
use crate::config::JwtAlgorithm;
use crate::db::{Conn, Db, Tx, feed};
use crate::error::{Error, ErrorKind, Result};
use crate::random::{self, SharedRandom};
use crate::time::{SharedClock, Timestamp};

pub(crate) use ring_state::{RingKey, Snapshot};

/// How long clients and proxies may keep the JWKS.
pub(crate) const JWKS_MAX_AGE: Duration = Duration::from_mins(5);
/// The feed whose head moves with every change of a key.
pub(crate) const FEED: &str = "keys";
const FINGERPRINT: &str = "root_fingerprint";

/// What a data key is for. One ring a purpose; no key serves two (NIST SP 800-57 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyPurpose {
    /// Refresh tokens.
    Token,
    /// Keyed hashes of mailed links and their codes.
    Link,
    /// Keyed hashes of API keys' secrets.
    ApiKey,
    /// Keyed hashes of what must be found but not read: addresses, e-mails of unknown accounts.
    Lookup,
    /// Mails that wait to be sent.
    Outbox,
    /// Answers that are kept for a repeated request, and keyed hashes of such requests.
    Idempotency,
    /// Cursors of lists.
    Cursor,
    /// Signatures of access tokens.
    Jwt,
}

impl KeyPurpose {
    /// All purposes.
    pub const ALL: &'static [Self] = &[
        Self::Token,
        Self::Link,
        Self::ApiKey,
        Self::Lookup,
        Self::Outbox,
        Self::Idempotency,
        Self::Cursor,
        Self::Jwt,
    ];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Link => "link",
            Self::ApiKey => "api_key",
            Self::Lookup => "lookup",
            Self::Outbox => "outbox",
            Self::Idempotency => "idempotency",
            Self::Cursor => "cursor",
            Self::Jwt => "jwt",
        }
    }

    /// The purpose of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|purpose| purpose.name() == name)
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyState {
    /// Published, not used yet.
    Next,
    /// Used for what is made now.
    Active,
    /// Still accepted.
    Retiring,
    /// Refused.
    Gone,
}

/// A key as operators see it: nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its name, as it stands in tokens.
    pub kid: String,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Algorithm, such as `EdDSA` or `HMAC-SHA256`.
    pub algorithm: String,
    /// State at the time of the question.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is used.
    pub activates_at: Timestamp,
    /// From when on it is only accepted.
    pub retires_at: Option<Timestamp>,
    /// From when on it is refused.
    pub gone_at: Option<Timestamp>,
}

/// Spans that decide when keys may change hands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyTiming {
    /// Between publishing a signing key and using it.
    pub(crate) publish: Duration,
    /// Between the end of a signing key's use and its end.
    pub(crate) retire: Duration,
}

/// The rings, as last read from the store.
pub(crate) struct Keys {
    roots: RootKeys,
    clock: SharedClock,
    random: SharedRandom,
    algorithm: JwtAlgorithm,
    hmac: Option<Zeroizing<Vec<u8>>>,
    timing: KeyTiming,
    snapshot: RwLock<Arc<Snapshot>>,
    reload: tokio::sync::Mutex<Option<Duration>>,
}

impl Keys {
    /// Reads the rings, makes what is missing, and seals everything under the newest root.
    ///
    /// # Errors
    /// [`ErrorKind::Schema`] when the store was sealed under another root.
    pub(crate) async fn open(
        db: &Db,
        roots: RootKeys,
        clock: SharedClock,
        random: SharedRandom,
        algorithm: JwtAlgorithm,
        jwt_secret: Option<&[u8]>,
        timing: KeyTiming,
    ) -> Result<Self> {
        let keys = Self {
            roots,
            clock,
            random,
            algorithm,
            hmac: jwt_secret.map(|secret| Zeroizing::new(secret.to_vec())),
            timing,
            snapshot: RwLock::new(Arc::new(Snapshot::empty())),
            reload: tokio::sync::Mutex::new(None),
        };
        keys.check_root(db).await?;
        keys.ensure(db).await?;
        keys.load(db).await?;
        // Told now and not at the first sign-in: HS256 without its secret.
        keys.signing()?;
        Ok(keys)
    }

    /// The rings as last read.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that makes new things of this purpose.
    pub(crate) fn active(&self, purpose: KeyPurpose) -> Result<Arc<RingKey>> {
        self.snapshot()
            .active(purpose, self.clock.now())
            .ok_or_else(|| Error::unavailable(format!("no active {} key", purpose.name())))
    }

    /// The bytes of the active key of a purpose that has plain 32-byte keys.
    pub(crate) fn active_bytes(&self, purpose: KeyPurpose) -> Result<([u8; 32], KeyId)> {
        let key = self.active(purpose)?;
        Ok((key.bytes32()?, key.kid))
    }

    /// The bytes of every key of a purpose that is not gone, the newest first: what is found by a keyed hash must
    /// still be found after a rotation.
    pub(crate) fn accepted_bytes(&self, purpose: KeyPurpose) -> Result<Vec<[u8; 32]>> {
        self.snapshot().accepted(purpose, self.clock.now()).iter().map(|key| key.bytes32()).collect()
    }

    /// The bytes of the key that was active before, while it is still accepted.
    pub(crate) fn retiring_bytes(&self, purpose: KeyPurpose) -> Result<Option<([u8; 32], KeyId)>> {
        let key = self.snapshot().retiring(purpose, self.clock.now());
        key.map(|key| Ok((key.bytes32()?, key.kid))).transpose()
    }

    /// A key by name, whatever its state short of gone. Re-reads the ring for an unknown name, at most once a
    /// second, because another process may just have made it.
    pub(crate) async fn by_kid(&self, db: &Db, kid: KeyId) -> Result<Option<Arc<RingKey>>> {
        if let Some(key) = self.snapshot().by_kid(kid, self.clock.now()) {
            return Ok(Some(key));
        }
        self.reload_rarely(db).await?;
        Ok(self.snapshot().by_kid(kid, self.clock.now()))
    }

    /// A key by name as last read, whatever its state short of gone.
    pub(crate) fn known(&self, kid: KeyId) -> Option<Arc<RingKey>> {
        self.snapshot().by_kid(kid, self.clock.now())
    }

    /// Re-reads the ring unless that was done within the last second. Single flight.
    pub(crate) async fn reload_rarely(&self, db: &Db) -> Result<()> {
        let mut last = self.reload.lock().await;
        let now = self.clock.monotonic();
        if last.is_some_and(|at| now.saturating_sub(at) < Duration::from_secs(1)) {
            return Ok(());
        }
        let out = self.load(db).await;
        // After the try as well as before: those who waited for it must not queue up behind a store that is gone.
        *last = Some(self.clock.monotonic());
        out
    }

    /// Re-reads the ring.
    pub(crate) async fn load(&self, db: &Db) -> Result<()> {
        let (head, rows) = db.read(|conn| Box::pin(async move { read(conn).await })).await?;
        let mut ring = Vec::with_capacity(rows.len());
        for row in rows {
            ring.push(self.unseal(row)?);
        }
        let before = self.snapshot();
        let next = Snapshot::new(before.generation() + 1, head, ring, self.static_hmac()?);
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    fn unseal(&self, row: store::KeyRow) -> Result<RingKey> {
        let purpose = KeyPurpose::from_name(&row.purpose);
        let purpose = purpose.ok_or_else(|| Error::internal("a key of unknown purpose"))?;
        let kid = KeyId::from_str(&row.kid)
            .map_err(|e| Error::internal("a key's name is garbled").with_source(e))?;
        let bytes = self.roots.open(&row.sealed, &associated(&row.kid, purpose))?;
        RingKey::new(kid, purpose, row, &bytes)
    }

    /// The one HS256 key comes from the settings, not from the store.
    fn static_hmac(&self) -> Result<Option<RingKey>> {
        let Some(secret) = &self.hmac else { return Ok(None) };
        RingKey::from_secret(secret).map(Some)
    }

    /// The key that signs access tokens now.
    pub(crate) fn signing(&self) -> Result<(KeyId, Arc<RingKey>)> {
        let key = if self.algorithm == JwtAlgorithm::Hs256 {
            self.snapshot().static_hmac().ok_or_else(|| Error::config("JWT_ALG=HS256 needs JWT_SECRET"))?
        } else {
            self.active(KeyPurpose::Jwt)?
        };
        Ok((key.kid, key))
    }

    /// The keys by which access tokens are verified now.
    pub(crate) fn key_set(&self) -> Arc<KeySet> {
        self.snapshot().key_set(self.algorithm == JwtAlgorithm::Hs256)
    }

    /// Public keys that are published now, as JWKs (RFC 7517 section 4). With HS256 none: no token of ours can be
    /// verified by them.
    pub(crate) fn jwks(&self) -> Vec<serde_json::Value> {
        if self.algorithm == JwtAlgorithm::Hs256 {
            return Vec::new();
        }
        self.snapshot().jwks(self.clock.now())
    }

    pub(crate) fn infos(&self) -> Vec<KeyInfo> {
        self.snapshot().infos(self.clock.now())
    }

    /// A key as the transaction of the caller sees it, before the commit.
    pub(crate) async fn info_in(&self, tx: &mut Tx<'_>, kid: &str) -> Result<KeyInfo> {
        let row = store::all(tx.conn()).await?.into_iter().find(|row| row.kid == kid);
        let row = row.ok_or_else(|| Error::internal("a new key is not in its ring"))?;
        Ok(self.unseal(row)?.info(self.clock.now()))
    }

    /// Refuses a store that was sealed under another root, and takes over to a newer one.
    async fn check_root(&self, db: &Db) -> Result<()> {
        let stored = db.read(|conn| Box::pin(async move { store::meta(conn, FINGERPRINT).await })).await?;
        let prints = self.roots.fingerprint();
        let newest = prints.first().cloned().unwrap_or_default();
        match stored {
            Some(stored) if stored == newest => Ok(()),
            Some(stored) if !prints.contains(&stored) => Err(Error::new(
                ErrorKind::Schema,
                "the store's keys are sealed under another TOKEN_PEPPER: give the one that it was made with \
                 (older ones may follow the newest, separated by commas)",
            )),
            Some(_) => self.reseal(db, newest).await,
            None => {
                let first = db
                    .write(move |tx| {
                        let newest = newest.clone();
                        Box::pin(async move { store::set_meta_once(tx.conn(), FINGERPRINT, &newest).await })
                    })
                    .await?;
                // Another process was first: its root counts.
                if first { Ok(()) } else { Box::pin(self.check_root(db)).await }
            }
        }
    }

    /// Seals every key anew under the newest root. Invalidates nothing.
    async fn reseal(&self, db: &Db, newest: String) -> Result<()> {
        let (_, rows) = db.read(|conn| Box::pin(async move { read(conn).await })).await?;
        let mut sealed = Vec::with_capacity(rows.len());
        for row in rows.iter().filter(|row| self.roots.needs_reseal(&row.sealed)) {
            let purpose = KeyPurpose::from_name(&row.purpose);
            let purpose = purpose.ok_or_else(|| Error::internal("a key of unknown purpose"))?;
            let aad = associated(&row.kid, purpose);
            let bytes = self.roots.open(&row.sealed, &aad)?;
            sealed.push((row.kid.clone(), self.roots.seal(&bytes, &aad, &*self.random)?));
        }
        db.write(move |tx| {
            let (sealed, newest) = (sealed.clone(), newest.clone());
            Box::pin(async move {
                feed::advance(tx.conn(), FEED).await?;
                for (kid, sealed) in &sealed {
                    store::set_sealed(tx.conn(), kid, sealed).await?;
                }
                store::set_meta(tx.conn(), FINGERPRINT, &newest).await
            })
        })
        .await
    }

    /// Makes a first key for every purpose that has none, and one of the configured algorithm.
    async fn ensure(&self, db: &Db) -> Result<()> {
        let (_, rows) = db.read(|conn| Box::pin(async move { read(conn).await })).await?;
        if KeyPurpose::ALL.iter().all(|purpose| self.is_covered(*purpose, &rows)) {
            return Ok(());
        }
        let mut fresh = Vec::new();
        for purpose in KeyPurpose::ALL {
            fresh.push((*purpose, self.generate(*purpose)?));
        }
        let (timing, algorithm) = (self.timing, self.algorithm);
        let now = self.clock.now();
        db.write(move |tx| {
            let fresh = fresh.clone();
            Box::pin(async move {
                // The head's row is the lock: of two processes that start together one makes the keys.
                feed::advance(tx.conn(), FEED).await?;
                let rows = store::all(tx.conn()).await?;
                for (purpose, key) in fresh.iter().filter(|(p, _)| !covered(*p, &rows, algorithm)) {
                    put(tx.conn(), *purpose, key, now, timing).await?;
                }
                Ok(())
            })
        })
        .await
    }

    fn is_covered(&self, purpose: KeyPurpose, rows: &[store::KeyRow]) -> bool {
        covered(purpose, rows, self.algorithm)
    }

    /// A new key for `purpose`, in the transaction of the caller, who reloads after the commit. The present one
    /// retires when the new one becomes active.
    pub(crate) async fn rotate(&self, tx: &mut Tx<'_>, purpose: KeyPurpose) -> Result<KeyId> {
        feed::advance(tx.conn(), FEED).await?;
        let key = self.generate(purpose)?;
        put(tx.conn(), purpose, &key, self.clock.now(), self.timing).await?;
        Ok(key.kid)
    }

    /// All keys of `purpose` are gone at once and a new one is active: after a leak or a restore.
    pub(crate) async fn replace(&self, tx: &mut Tx<'_>, purpose: KeyPurpose) -> Result<KeyId> {
        feed::advance(tx.conn(), FEED).await?;
        let key = self.generate(purpose)?;
        let now = self.clock.now();
        store::end_all(tx.conn(), purpose.name(), now).await?;
        put(tx.conn(), purpose, &key, now, self.timing).await?;
        Ok(key.kid)
    }

    fn generate(&self, purpose: KeyPurpose) -> Result<Fresh> {
        let kid = KeyId::generate(&*self.random)?;
        let (alg, bytes) = match (purpose, self.algorithm) {
            (KeyPurpose::Jwt, JwtAlgorithm::Es256) => {
                (JwtAlgorithm::Es256.name(), SigningKey::generate(JwtAlgorithm::Es256, &*self.random)?)
            }
            (KeyPurpose::Jwt, _) => {
                (JwtAlgorithm::EdDsa.name(), SigningKey::generate(JwtAlgorithm::EdDsa, &*self.random)?)
            }
            (KeyPurpose::Outbox | KeyPurpose::Idempotency, _) => {
                (seal::ALGORITHM, Zeroizing::new(random::bytes::<32>(&*self.random)?.to_vec()))
            }
            _ => (ring_state::HMAC, Zeroizing::new(random::bytes::<32>(&*self.random)?.to_vec())),
        };
        let sealed = self.roots.seal(&bytes, &associated(&kid.to_string(), purpose), &*self.random)?;
        Ok(Fresh { kid, alg, sealed })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A key that was made and not stored yet.
#[derive(Clone)]
struct Fresh {
    kid: KeyId,
    alg: &'static str,
    sealed: Vec<u8>,
}

/// A sealed key moved to another row does not open.
fn associated(kid: &str, purpose: KeyPurpose) -> Vec<u8> {
    format!("authkit key {kid} {}", purpose.name()).into_bytes()
}

async fn read(conn: &mut Conn<'_>) -> Result<(i64, Vec<store::KeyRow>)> {
    // Head before rows: a change in between is seen again at the next look, never missed.
    let heads: HashMap<String, i64> = feed::heads(conn).await?.into_iter().collect();
    Ok((heads.get(FEED).copied().unwrap_or(0), store::all(conn).await?))
}

fn covered(purpose: KeyPurpose, rows: &[store::KeyRow], algorithm: JwtAlgorithm) -> bool {
    rows.iter().any(|row| {
        row.purpose == purpose.name()
            && row.retires_at.is_none()
            && row.gone_at.is_none()
            && (purpose != KeyPurpose::Jwt || algorithm == JwtAlgorithm::Hs256 || row.alg == algorithm.name())
    })
}

/// Stores a key: at once active when it is the first of its ring or the ring needs no notice, else later.
async fn put(
    conn: &mut Conn<'_>,
    purpose: KeyPurpose,
    key: &Fresh,
    now: Timestamp,
    timing: KeyTiming,
) -> Result<()> {
    let others = store::all(conn).await?;
    let first = !others.iter().any(|row| row.purpose == purpose.name() && row.gone_at.is_none());
    let signing = purpose == KeyPurpose::Jwt;
    let activates_at = if first || !signing { now } else { now + timing.publish };
    // Only signing keys end by time: a session keeps its token key for life.
    let gone_at = signing.then_some(activates_at + timing.retire);
    store::retire(conn, purpose.name(), activates_at, gone_at).await?;
    store::insert(conn, &key.kid.to_string(), purpose.name(), key.alg, &key.sealed, now, activates_at).await
}
