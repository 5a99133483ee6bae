//! Idempotency keys: a request that is sent again gets the answer of the first one, and does nothing.
//!
//! A row stands for caller, route and key. Who made it, or took it over, holds a lease and carries the request out. The
//! transaction of the effect notes that there was one, and is refused when the lease went to somebody else: so the effect
//! comes about once, whatever dies in between, and nobody has to wait for a dead process longer than a lease. The answer is
//! sealed with the row's id bound in, since it may hold a secret that is shown once, and goes with the row after a day.

pub(crate) mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{Context, SHA256};
use zeroize::Zeroizing;

use crate::crypto::key_id::KeyId;
use crate::crypto::keys::{KeyPurpose, Keys};
use crate::crypto::{mac, seal};
use crate::db::{Db, Tx, is_constraint};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ApiKeyId, IdempotencyId, UserId};
use crate::meta::{Claim, RequestMeta};
use crate::random::{self, SharedRandom};
use crate::time::{SharedClock, Timestamp};

/// How long an answer is kept.
pub(crate) const KEPT: Duration = Duration::from_hours(24);
/// How long a request is waited for that gives no sign of life. One that still runs then has lost: its effect is refused.
const LEASE: Duration = Duration::from_secs(20);
/// Tries to find a row that others make and remove at the same time.
const TRIES: usize = 3;

/// A request that carries a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeatable<'a> {
    /// Whose; `None` for somebody who is not signed in.
    pub(crate) caller: Option<UserId>,
    /// By which API key, if by one.
    pub(crate) api_key: Option<ApiKeyId>,
    /// Method and path, as routed.
    pub(crate) route: &'a str,
    /// As the client gave it.
    pub(crate) key: &'a str,
    /// Byte by byte.
    pub(crate) body: &'a [u8],
}

impl Repeatable<'_> {
    fn scope(&self) -> Vec<u8> {
        let caller = self.caller.map(|id| *id.as_uuid().as_bytes()).unwrap_or_default();
        let api_key = self.api_key.map(|id| *id.as_uuid().as_bytes()).unwrap_or_default();
        let mut context = Context::new(&SHA256);
        for part in [&caller[..], &api_key[..], self.route.as_bytes(), self.key.as_bytes()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    }
}

/// What was answered.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may hold a secret.
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What is to be done with a request.
#[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "asked for over HTTP"))]
#[derive(Debug)]
pub(crate) enum Begun {
    /// Carry it out.
    Mine(Claim),
    /// Give this answer again.
    Replay(Answer),
}

/// Knows which requests were carried out.
#[derive(Clone)]
pub(crate) struct Idempotency {
    clock: SharedClock,
    random: SharedRandom,
    keys: Arc<Keys>,
}

impl Idempotency {
    pub(crate) fn new(clock: SharedClock, random: SharedRandom, keys: Arc<Keys>) -> Self {
        Self { clock, random, keys }
    }

    /// Whether a request is to be carried out, or was.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] while it is being carried out, and when its answer was lost;
    /// [`ErrorKind::Validation`] when the key came with another body.
    pub(crate) async fn begin(&self, db: &Db, request: Repeatable<'_>) -> Result<Begun> {
        let scope = request.scope();
        for _ in 0..TRIES {
            let now = self.clock.now();
            if let Some(claim) = self.claim(db, &scope, request, now).await? {
                return Ok(Begun::Mine(claim));
            }
            let wanted = scope.clone();
            let found =
                db.read(move |conn| Box::pin(async move { store::by_scope(conn, &wanted).await })).await?;
            let Some(row) = found.filter(|row| now < row.expires_at) else { continue };
            let key = self.key(db, row.key_id).await?;
            if !mac::constant_time_eq(&body_tag(&key, request.body), &row.body_tag) {
                return Err(other_body());
            }
            if let Some(sealed) = &row.answer {
                return Ok(Begun::Replay(self.open(db, row.id, sealed).await?));
            }
            if now < row.lease_until {
                return Err(in_flight());
            }
            if row.effected {
                return Err(lost());
            }
            let (claim, former) = (self.new_lease(row.id)?, row.lease);
            let until = now + LEASE;
            let taken = db.write_statement(move |tx| {
                Box::pin(async move { store::take_over(tx.conn(), claim, former, now, until).await })
            });
            if taken.await? {
                return Ok(Begun::Mine(claim));
            }
        }
        Err(in_flight())
    }

    async fn claim(
        &self,
        db: &Db,
        scope: &[u8],
        request: Repeatable<'_>,
        now: Timestamp,
    ) -> Result<Option<Claim>> {
        let claim = self.new_lease(IdempotencyId::generate(now, &*self.random)?)?;
        let (key, kid) = self.keys.active_bytes(KeyPurpose::Idempotency)?;
        let row = Arc::new(store::NewRow {
            claim,
            scope: scope.to_vec(),
            user: request.caller,
            key_id: kid,
            body_tag: body_tag(&key, request.body),
            lease_until: now + LEASE,
            now,
            expires_at: now + KEPT,
        });
        let made = db
            .write_statement(move |tx| {
                let row = Arc::clone(&row);
                Box::pin(async move { store::claim(tx.conn(), &row).await })
            })
            .await;
        match made {
            Ok(mine) => Ok(mine.then_some(claim)),
            // The caller's account went in this moment.
            Err(error) if is_constraint(&error) => Err(ErrorKind::Unauthenticated.into()),
            Err(error) => Err(error),
        }
    }

    fn new_lease(&self, id: IdempotencyId) -> Result<Claim> {
        let lease = uuid::Builder::from_random_bytes(random::bytes(&*self.random)?).into_uuid();
        Ok(Claim { id, lease })
    }

    /// Notes, in the transaction of an effect, that there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the request took so long that another one has taken its place: undoes the effect.
    pub(crate) async fn effected(&self, tx: &mut Tx<'_>, claim: Option<Claim>) -> Result<()> {
        let Some(claim) = claim else { return Ok(()) };
        let held = store::effected(tx.conn(), claim, self.clock.now()).await?;
        if held { Ok(()) } else { Err(in_flight()) }
    }

    /// Keeps an answer in the transaction of its effect, when the request may be repeated: for answers that could not be
    /// given again, since they hold what is shown once.
    pub(crate) async fn keep_in(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        status: u16,
        body: &impl serde::Serialize,
    ) -> Result<()> {
        let Some(claim) = meta.claim else { return Ok(()) };
        let body = serde_json::to_vec(body)
            .map_err(|e| Error::internal("an answer cannot be written").with_source(e))?;
        let sealed = self.seal(claim.id, &Answer { status, body })?;
        store::keep(tx.conn(), claim, &sealed).await
    }

    /// Keeps the answer to a request, unless that was done in the transaction of its effect.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "asked for over HTTP"))]
    pub(crate) async fn keep(&self, db: &Db, claim: Claim, answer: &Answer) -> Result<()> {
        let sealed = Arc::new(self.seal(claim.id, answer)?);
        db.write_statement(move |tx| {
            let sealed = Arc::clone(&sealed);
            Box::pin(async move { store::keep(tx.conn(), claim, &sealed).await })
        })
        .await
    }

    /// Forgets a request that had no effect: it can be sent again at once.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "asked for over HTTP"))]
    pub(crate) async fn release(&self, db: &Db, claim: Claim) -> Result<()> {
        db.write_statement(move |tx| Box::pin(async move { store::release(tx.conn(), claim).await })).await
    }

    /// The key's name stands before what is sealed, since it need not be the one that the row names.
    fn seal(&self, id: IdempotencyId, answer: &Answer) -> Result<Vec<u8>> {
        let (key, kid) = self.keys.active_bytes(KeyPurpose::Idempotency)?;
        let key = Zeroizing::new(key);
        let plain = Zeroizing::new([&answer.status.to_be_bytes()[..], &answer.body].concat());
        let sealed = seal::seal_with(&key, &plain, &associated(id), &*self.random)?;
        Ok([kid.as_bytes().as_slice(), &sealed].concat())
    }

    async fn open(&self, db: &Db, id: IdempotencyId, sealed: &[u8]) -> Result<Answer> {
        let damaged = || Error::internal("a kept answer is damaged");
        let (kid, sealed) = sealed.split_first_chunk::<8>().ok_or_else(damaged)?;
        let key = self.key(db, KeyId::from_bytes(*kid)).await?;
        let plain = seal::open_with(&key, sealed, &associated(id))?;
        let (status, body) = plain.split_first_chunk::<2>().ok_or_else(damaged)?;
        Ok(Answer { status: u16::from_be_bytes(*status), body: body.to_vec() })
    }

    async fn key(&self, db: &Db, kid: KeyId) -> Result<Zeroizing<[u8; 32]>> {
        let key = self.keys.by_kid(db, kid).await?;
        let key = key.ok_or_else(|| Error::internal("the key of an idempotency key's row is gone"))?;
        Ok(Zeroizing::new(key.bytes32()?))
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Idempotency")
    }
}

/// A body may hold a password: its hash must not be open to guesses.
fn body_tag(key: &[u8; 32], body: &[u8]) -> Vec<u8> {
    mac::mac(key, &[b"authkit idempotent body v1", body]).to_vec()
}

/// A sealed answer moved to another row does not open.
fn associated(id: IdempotencyId) -> Vec<u8> {
    format!("authkit answer {id}").into_bytes()
}

fn in_flight() -> Error {
    Error::new(ErrorKind::Conflict, "a request with this idempotency key is under way")
        .with_public("A request with this Idempotency-Key is being carried out. Try again in a moment.")
}

fn lost() -> Error {
    Error::new(ErrorKind::Conflict, "the answer to a request with this idempotency key was lost").with_public(
        "The first request with this Idempotency-Key took effect, but its answer was lost. Look what is there before \
         you send another one.",
    )
}

fn other_body() -> Error {
    Error::new(ErrorKind::Validation, "an idempotency key came with another body")
        .with_public("This Idempotency-Key was sent before with another body.")
}
