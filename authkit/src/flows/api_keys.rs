//! API keys: making, revoking, and the use of one.

use std::sync::Arc;
use std::time::Duration;

use crate::api_keys::{
    ApiKey, ApiKeyFilter, ApiKeyToken, Checked, MAX_PER_USER, NOTED_EVERY, NewApiKey, Owned,
    store as api_keys,
};
use crate::audit::Entry;
use crate::crypto::keys::KeyPurpose;
use crate::crypto::mac;
use crate::db::page::Cursors;
use crate::db::{Listing, Page, Tx};
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::authenticate::KeyHolder;
use crate::flows::doors::Door;
use crate::flows::gate::{Gate, gate};
use crate::flows::{Authenticated, Ctx, Ruling};
use crate::ids::{ApiKeyId, UserId};
use crate::meta::RequestMeta;
use crate::time::Timestamp;
use crate::users::UserStatus;

/// What a user wants of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKeyRequest {
    /// For people: 1 to 200 characters.
    pub name: String,
    /// Permissions such as `documents:review` or `documents:*`, at most 50, none that the owner has not. Without any the
    /// key only says who it is.
    pub scopes: Vec<String>,
    /// How long it lives: a minute to `API_KEY_MAX_EXPIRE_DAYS`; `None` is `API_KEY_EXPIRE_DAYS`.
    pub expires_in: Option<Duration>,
}

impl ApiKeyRequest {
    /// A key of that name and scopes.
    pub fn new<S: Into<String>>(name: impl Into<String>, scopes: impl IntoIterator<Item = S>) -> Self {
        Self { name: name.into(), scopes: scopes.into_iter().map(Into::into).collect(), expires_in: None }
    }

    /// Lives so long.
    #[must_use]
    pub fn with_expires_in(mut self, span: Duration) -> Self {
        self.expires_in = Some(span);
        self
    }
}

impl Ctx {
    /// Judges an API key: its MAC before anything else, then in one read the key, its owner, and what both may do.
    pub(crate) async fn authenticate_key(
        self: &Arc<Self>,
        shown: &str,
        meta: &RequestMeta,
    ) -> Result<Authenticated> {
        // One answer for all that may be wrong.
        let bad = || Error::new(ErrorKind::Unauthenticated, "the API key is not good");
        let token = ApiKeyToken::parse(shown).ok_or_else(bad)?;
        let ring_key = self.keys.by_kid(&self.db, token.key_id).await?.ok_or_else(bad)?;
        let ring_key = ring_key.bytes32().map_err(|_| bad())?;
        let (id, hash) = token.prove(&ring_key).ok_or_else(bad)?;
        self.limit(Door::ApiKey { key: id }, meta).await?;
        let found =
            self.db.read(move |conn| Box::pin(async move { api_keys::owned(conn, id).await })).await?;
        let now = self.now();
        let owned = found.filter(|owned| self.opens(owned, &hash, now)).ok_or_else(bad)?;
        let Owned { record, permissions, .. } = owned;
        self.note_use(id, record.last_used_at, now);
        let holder = KeyHolder {
            id,
            owner: record.user,
            scopes: record.scopes,
            permissions,
            expires_at: record.expires_at,
        };
        Ok(Authenticated::by_key(holder, now, Arc::clone(self)))
    }

    fn opens(&self, owned: &Owned, hash: &[u8; 32], now: Timestamp) -> bool {
        let live = owned.record.revoked_at.is_none() && now < owned.record.expires_at;
        let genuine = mac::constant_time_eq(&owned.hash, hash);
        let owner = UserStatus::from_name(&owned.status)
            .map(|status| gate(status, owned.verified, self.unverified_may()));
        live && genuine && owner == Some(Gate::Open)
    }

    /// Notes a use, once a minute and beside the request: nobody waits for it, and it may fail.
    fn note_use(self: &Arc<Self>, id: ApiKeyId, last: Option<Timestamp>, now: Timestamp) {
        let due = last.is_none_or(|last| now >= last + NOTED_EVERY || last > now);
        if !due || !self.touches.is_due(id, now, NOTED_EVERY) {
            return;
        }
        let ctx = Arc::clone(self);
        let under_way = self.db.under_way();
        tokio::spawn(async move {
            let _under_way = under_way;
            let noted = ctx.db.write_statement(move |tx| {
                Box::pin(async move { api_keys::touch(tx.conn(), id, now, now - NOTED_EVERY).await })
            });
            if let Err(error) = noted.await {
                tracing::debug!(%error, "the use of an API key was not noted");
            }
        });
    }

    /// What a caller must be to make a key: signed in, a short time ago, with a second factor where there is one. Asks the store.
    pub(crate) async fn require_key_maker(self: &Arc<Self>, auth: &Authenticated) -> Result<UserId> {
        let record = self.require_current(auth).await?;
        self.require_fresh(auth).await?;
        Ok(record.user.id)
    }

    /// Makes a key of the caller's own.
    pub(crate) async fn create_api_key(
        self: &Arc<Self>,
        auth: &Authenticated,
        request: ApiKeyRequest,
        meta: &RequestMeta,
    ) -> Result<NewApiKey> {
        let checked = self.check_api_key(request)?;
        self.limit(Door::Other, meta).await?;
        let user = self.require_key_maker(auth).await?;
        let meta_in = meta.clone();
        self.decide(meta, Action::ApiKeyCreate, Some(user), move |ctx, tx| {
            let (checked, meta) = (checked.clone(), meta_in.clone());
            Box::pin(async move { ctx.create_api_key_in(tx, user, &checked, &meta).await })
        })
        .await
    }

    pub(crate) fn check_api_key(&self, request: ApiKeyRequest) -> Result<Checked> {
        Checked::new(&request.name, request.scopes, request.expires_in, &self.config.api_keys)
    }

    /// Makes a key of `user`'s. What he may do is read from the store, with his row held: no more than that goes into the
    /// key's scopes.
    pub(crate) async fn create_api_key_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        new: &Checked,
        meta: &RequestMeta,
    ) -> Result<Ruling<NewApiKey>> {
        let Some(record) = self.take(tx, user).await? else {
            return Ok(Err(ErrorKind::Unauthenticated.into()));
        };
        if gate(record.user.status, record.user.email_verified, self.unverified_may()) != Gate::Open {
            let refusal = Error::new(ErrorKind::Conflict, "the account cannot sign in");
            return Ok(Err(refusal.with_public("This account cannot sign in.")));
        }
        let mut held = self.permissions_of(tx, &record.user.roles).await?;
        // On a thing a scope only narrows what its owner may there, which is asked at each use.
        held.extend(self.types.scopes());
        let beyond = new.beyond(&held);
        if !beyond.is_empty() {
            let refusal = Error::new(ErrorKind::Forbidden, "the owner of the key has not all of its scopes");
            let entry = Entry::failure(Action::ApiKeyCreate, Some(user), "beyond_owner").own();
            self.audit.record(tx, meta, entry).await?;
            return Ok(Err(refusal.with_fields(beyond)));
        }
        let now = self.now();
        if api_keys::live(tx.conn(), user, now).await? >= MAX_PER_USER {
            let refusal = Error::new(ErrorKind::Conflict, format!("the account has {MAX_PER_USER} API keys"));
            return Ok(Err(refusal.with_public("There are too many API keys. Revoke one first.")));
        }
        let id = ApiKeyId::generate(now, &*self.random)?;
        let (ring_key, kid) = self.keys.active_bytes(KeyPurpose::ApiKey)?;
        let token = ApiKeyToken::generate(kid, &ring_key, id, &*self.random)?;
        api_keys::insert(tx.conn(), id, user, new, (kid, &token.hash(&ring_key)), now).await?;
        let made = api_keys::by_id(tx.conn(), id).await?;
        let made = made.ok_or_else(|| Error::internal("a new API key is not there"))?;
        let entry = Entry::success(Action::ApiKeyCreate, user)
            .detail("api_key", id.to_string())
            .detail("scopes", new.scopes.clone())
            .detail("expires_at", made.expires_at.to_string());
        self.audit.grant(tx, meta, entry).await?;
        let made = NewApiKey { api_key: made.describe(now), key: token.text() };
        // The key could not be told again.
        self.idempotency.keep_in(tx, meta, 201, &made.shown()).await?;
        Ok(Ok(made))
    }

    /// Ends a key of the caller's own. One answer for a key of another and for one that is over.
    pub(crate) async fn revoke_own_api_key(
        self: &Arc<Self>,
        auth: &Authenticated,
        id: ApiKeyId,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.limit(Door::Other, meta).await?;
        let user = self.require_current(auth).await?.user.id;
        let meta_in = meta.clone();
        self.decide(meta, Action::ApiKeyRevoke, Some(user), move |ctx, tx| {
            let meta = meta_in.clone();
            Box::pin(async move {
                let revoked = ctx.revoke_api_key_in(tx, Some(user), id, &meta).await?;
                Ok(match revoked {
                    Some((_, true)) => Ok(()),
                    _ => Err(no_such_key()),
                })
            })
        })
        .await
    }

    /// Ends a key: the key as it is now, and whether that was news. `None` when there is none of that id, or none of
    /// `owner`.
    pub(crate) async fn revoke_api_key_in(
        &self,
        tx: &mut Tx<'_>,
        owner: Option<UserId>,
        id: ApiKeyId,
        meta: &RequestMeta,
    ) -> Result<Option<(ApiKey, bool)>> {
        let now = self.now();
        let found = api_keys::by_id(tx.conn(), id).await?;
        let Some(record) = found.filter(|record| owner.is_none_or(|owner| owner == record.user)) else {
            return Ok(None);
        };
        let user = record.user;
        let changed = api_keys::revoke(tx.conn(), id, now).await?;
        if changed {
            let entry = Entry::success(Action::ApiKeyRevoke, user).detail("api_key", id.to_string());
            self.audit.grant(tx, meta, entry).await?;
        }
        let record = api_keys::by_id(tx.conn(), id).await?.unwrap_or(record);
        Ok(Some((record.describe(now), changed)))
    }

    /// What these roles permit, as the store says now.
    pub(crate) async fn permissions_of(&self, tx: &mut Tx<'_>, roles: &[String]) -> Result<Vec<String>> {
        let defined = crate::authz::store::all(tx.conn()).await?;
        let held = defined.into_iter().filter(|role| roles.contains(&role.name));
        Ok(held.flat_map(|role| role.permissions).collect())
    }

    /// A page of keys, newest first.
    pub(crate) async fn api_keys_of(&self, filter: &ApiKeyFilter, page: &Page) -> Result<Listing<ApiKey>> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, format!("api_keys:{filter:?}"));
        let (before, limit, filter) = (cursors.start(page)?, i64::from(page.limit) + 1, filter.clone());
        let now = self.now();
        let rows = self
            .db
            .read(move |conn| {
                Box::pin(async move { api_keys::list(conn, &filter, before, now, limit).await })
            })
            .await?;
        let rows: Vec<ApiKey> = rows.into_iter().map(|row| row.describe(now)).collect();
        Ok(cursors.page(rows, page, |key| key.id.as_uuid()))
    }
}

pub(crate) fn no_such_key() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such API key").with_public("There is no such API key.")
}
