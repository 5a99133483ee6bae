//! Asking the limiter, first thing at every door.

use std::net::IpAddr;

use crate::crypto::keys::KeyPurpose;
use crate::crypto::mac;
use crate::error::{Error, LimitState, Result};
use crate::flows::Ctx;
use crate::flows::doors::{Door, Limit, Subject};
use crate::ids::{SessionId, UserId};
use crate::limits::{Bucket, Key, Policy};
use crate::meta::{RequestMeta, network_of};
use crate::sessions::store;

impl Ctx {
    /// Asks every bucket of a door; one request of each is used up, or none of any.
    ///
    /// A request whose address is unknown is counted with all others of that kind: never let through for that.
    ///
    /// # Errors
    /// [`crate::ErrorKind::RateLimited`]; [`crate::ErrorKind::Unavailable`] when Redis is required and does not
    /// answer.
    pub(crate) async fn limit(&self, door: Door<'_>, meta: &RequestMeta) -> Result<()> {
        let asked = door.buckets();
        let buckets = asked.into_iter().map(|(limit, subject)| self.bucket(limit, subject, meta.ip));
        let buckets = buckets.collect::<Result<Vec<_>>>()?;
        self.limiter.take(&buckets).await.map(|_| ())
    }

    /// A limit of the host's own, by a key of its own.
    pub(crate) async fn limit_by(&self, policy: &Policy, kind: &str, key: &[u8]) -> Result<LimitState> {
        let key = self.keyed(&[b"host limit", policy.name.as_bytes(), kind.as_bytes(), key])?;
        let states = self.limiter.take(&[Bucket { policy: policy.clone(), key }]).await?;
        states.into_iter().next().ok_or_else(|| Error::internal("a bucket did not answer"))
    }

    /// [`Door::Refresh`] of a genuine token. The limit is the user's, the token names the session: its owner is
    /// remembered, and read once where this process has not seen the session yet.
    pub(crate) async fn limit_refresh(&self, session: SessionId, meta: &RequestMeta) -> Result<()> {
        let user = match self.owners.get(session) {
            Some(user) => Some(user),
            None => self.owner_of(session).await?,
        };
        self.limit(Door::Refresh { user, session }, meta).await
    }

    async fn owner_of(&self, session: SessionId) -> Result<Option<UserId>> {
        let row =
            self.db.read(move |conn| Box::pin(async move { store::by_id(conn, session).await })).await?;
        Ok(row.map(|row| {
            self.owners.remember(session, row.user_id);
            row.user_id
        }))
    }

    /// The bucket of a limit for somebody; `ip` is the client's address.
    pub(crate) fn bucket(&self, limit: Limit, subject: Subject<'_>, ip: Option<IpAddr>) -> Result<Bucket> {
        let of = |kind: &str, subject: &[u8]| {
            self.keyed(&[b"limit", limit.name.as_bytes(), kind.as_bytes(), subject])
        };
        let key = match subject {
            Subject::Client => of("address", &ip.map(network_of).unwrap_or_default()),
            Subject::Email(email) => of("email", email.key().as_bytes()),
            Subject::Device(id) => of("device", id.as_bytes()),
            Subject::User(user) => of("user", user.as_uuid().as_bytes()),
            Subject::Session(session) => of("session", session.as_uuid().as_bytes()),
            Subject::ApiKey(key) => of("api_key", key.as_uuid().as_bytes()),
        }?;
        Ok(Bucket { policy: Policy::new(limit.name, (limit.rate)(&self.config.limits)), key })
    }

    /// A keyed hash: no limiter learns whose requests it counts.
    fn keyed(&self, parts: &[&[u8]]) -> Result<Key> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Lookup)?;
        let tag = mac::mac(&key, parts);
        Ok(tag.first_chunk().copied().unwrap_or_default())
    }
}
