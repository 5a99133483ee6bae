//! Asking the limiter, first thing at every door.

use crate::crypto::keys::KeyPurpose;
use crate::crypto::mac;
use crate::error::Result;
use crate::flows::Ctx;
use crate::flows::doors::{Axis, Door};
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
        let asked = door.buckets(&self.config.limits);
        let bucket = |(name, rate, axis)| {
            let key = self.limit_key(name, axis, meta)?;
            Ok(Bucket { policy: Policy::new(name, rate), key })
        };
        let buckets = asked.into_iter().map(bucket).collect::<Result<Vec<_>>>()?;
        self.limiter.take(&buckets).await.map(|_| ())
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

    fn limit_key(&self, name: &str, axis: Axis<'_>, meta: &RequestMeta) -> Result<Key> {
        let of =
            |kind: &str, subject: &[u8]| self.keyed(&[b"limit", name.as_bytes(), kind.as_bytes(), subject]);
        match axis {
            Axis::Address => of("address", &meta.ip.map(network_of).unwrap_or_default()),
            Axis::Email(email) => of("email", email.key().as_bytes()),
            Axis::Device(id) => of("device", id.as_bytes()),
            Axis::User(user) => of("user", user.as_uuid().as_bytes()),
            Axis::Session(session) => of("session", session.as_uuid().as_bytes()),
        }
    }

    /// A keyed hash: no limiter learns whose requests it counts.
    pub(crate) fn keyed(&self, parts: &[&[u8]]) -> Result<Key> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Lookup)?;
        let tag = mac::mac(&key, parts);
        Ok(tag.first_chunk().copied().unwrap_or_default())
    }
}
