//! Who calls: judging what callers show, and what callers must be.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api_keys;
use crate::authz::{Decision, Grants, Resource, covers, scope_on};
use crate::crypto::jwt::{AccessClaims, TokenError};
use crate::error::{Error, ErrorKind, Result};
use crate::flows::Ctx;
use crate::ids::{ApiKeyId, SessionId, UserId};
use crate::meta::RequestMeta;
use crate::sessions::{SessionRecord, store};
use crate::time::Timestamp;
use crate::users::{Record, UserStatus, store as users};

/// A caller whose access token or API key was judged good. Checks on it are values: [`Self::require`].
///
/// An API key is no sign-in: it holds permissions, as far as its scopes and its owner go, but no role, and it never
/// meets an [`crate::Assurance`].
#[derive(Debug, Clone)]
pub struct Authenticated {
    shown: Shown,
    at: Timestamp,
    /// To ask the store, where a role is held on one thing only.
    ctx: Arc<Ctx>,
}

/// What a caller shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// An access token of this session.
    Session(SessionId),
    /// This API key.
    ApiKey(ApiKeyId),
}

#[derive(Debug, Clone)]
enum Shown {
    Token { claims: Arc<AccessClaims>, grants: Arc<Grants> },
    Key(Arc<KeyHolder>),
}

/// An API key as it was found at the moment of its use.
#[derive(Debug)]
pub(crate) struct KeyHolder {
    pub(crate) id: ApiKeyId,
    pub(crate) owner: UserId,
    pub(crate) scopes: Vec<String>,
    /// What the owner may do.
    pub(crate) permissions: Vec<String>,
    pub(crate) expires_at: Timestamp,
}

impl Authenticated {
    pub(crate) fn by_key(holder: KeyHolder, at: Timestamp, ctx: Arc<Ctx>) -> Self {
        Self { shown: Shown::Key(Arc::new(holder)), at, ctx }
    }

    /// Who; of an API key, its owner.
    pub fn user_id(&self) -> UserId {
        match &self.shown {
            Shown::Token { claims, .. } => claims.sub,
            Shown::Key(holder) => holder.owner,
        }
    }

    /// By what.
    pub fn credential(&self) -> Credential {
        match &self.shown {
            Shown::Token { claims, .. } => Credential::Session(claims.sid),
            Shown::Key(holder) => Credential::ApiKey(holder.id),
        }
    }

    /// In which session; `None` for an API key.
    pub fn session_id(&self) -> Option<SessionId> {
        self.claimed().map(|claims| claims.sid)
    }

    /// Roles as the token states them; a change of roles voids the token. An API key holds none: see [`Self::may`].
    pub fn roles(&self) -> &[String] {
        self.claimed().map_or(&[], |claims| &claims.roles)
    }

    /// When the user last proved who he is; `None` for an API key.
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.claimed().map(|claims| claims.auth_time)
    }

    /// How he proved it (RFC 8176); nothing for an API key.
    pub fn amr(&self) -> &[String] {
        self.claimed().map_or(&[], |claims| &claims.amr)
    }

    /// When the token or key ends.
    pub fn expires_at(&self) -> Timestamp {
        match &self.shown {
            Shown::Token { claims, .. } => claims.exp,
            Shown::Key(holder) => holder.expires_at,
        }
    }

    /// The host's own claims, as its source made them.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the token carries none, or others than `C`; [`ErrorKind::Forbidden`] for an API key,
    /// which carries none.
    pub fn claims<C: DeserializeOwned>(&self) -> Result<C> {
        let value = self.signed_in()?.ext.clone().unwrap_or(Value::Null);
        serde_json::from_value(value)
            .map_err(|e| Error::internal("a token does not carry the claims asked for").with_source(e))
    }

    /// Whether one of the caller's roles permits `permission`. By an API key, whether a role of its owner does at this
    /// moment, and one of the key's scopes too.
    pub fn may(&self, permission: &str) -> bool {
        match &self.shown {
            Shown::Token { claims, grants } => grants.permit(&claims.roles, permission),
            Shown::Key(holder) => [&holder.scopes, &holder.permissions]
                .iter()
                .all(|granted| granted.iter().any(|grant| covers(grant, permission))),
        }
    }

    /// Gives the caller back when he meets `requirement`.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] or [`ErrorKind::StepUpRequired`].
    #[expect(clippy::needless_pass_by_value, reason = "requirements are made where they are asked for")]
    pub fn require(&self, requirement: impl Requirement) -> Result<&Self> {
        requirement.check(self).map(|()| self)
    }

    fn claimed(&self) -> Option<&AccessClaims> {
        match &self.shown {
            Shown::Token { claims, .. } => Some(claims),
            Shown::Key(_) => None,
        }
    }

    /// What the access token says: the only way to it, so that no door that needs a sign-in opens to an API key.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for an API key.
    pub(crate) fn signed_in(&self) -> Result<&AccessClaims> {
        self.claimed().ok_or_else(|| {
            forbidden("an API key is no sign-in".to_owned())
                .with_public("An API key cannot do this. Sign in.")
        })
    }

    /// Gives the decision when the caller may do `permission` on `resource` now. The store is asked, and not the token: a
    /// role that is given or taken acts at once. Of an API key a scope must cover it too, by the name
    /// `KIND:PERMISSION`, such as `project:review`.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for a caller who belongs to the resource or its organisation, and for a key without that
    /// scope; [`ErrorKind::NotFound`] for anybody else: another tenant's things are not there.
    pub async fn require_on(&self, resource: &Resource, permission: &str) -> Result<Decision> {
        if let Shown::Key(holder) = &self.shown {
            let wanted = scope_on(resource.kind(), permission);
            if !holder.scopes.iter().any(|scope| covers(scope, &wanted)) {
                return Err(forbidden(format!("no scope of the API key covers {wanted}")));
            }
        }
        self.ctx.require_on(self.user_id(), resource, permission).await
    }

    /// When the token was judged.
    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }
}

/// A caller who may at least set up and give a second factor: anybody who is signed in, also where the policy allows
/// him nothing else before he did. Made by [`crate::AuthKit::authenticate_enrolling`], or of an [`Authenticated`].
#[derive(Debug, Clone)]
pub struct Enrolling(Authenticated);

impl Enrolling {
    /// Who.
    pub fn user_id(&self) -> UserId {
        self.0.user_id()
    }

    /// For the flows that take such callers, and for no other.
    pub(crate) fn caller(&self) -> &Authenticated {
        &self.0
    }
}

impl From<&Authenticated> for Enrolling {
    fn from(caller: &Authenticated) -> Self {
        Self(caller.clone())
    }
}

impl From<&Enrolling> for Enrolling {
    fn from(caller: &Enrolling) -> Self {
        caller.clone()
    }
}

/// Something that a caller must be.
pub trait Requirement {
    /// `Ok` when `caller` is it.
    fn check(&self, caller: &Authenticated) -> Result<()>;
}

/// Holding a role. `super_admin` does not stand in for other roles; ask for a [`Permission`] to let it pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role(String);

impl Role {
    /// The role of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl Requirement for Role {
    fn check(&self, caller: &Authenticated) -> Result<()> {
        let held = caller.roles().contains(&self.0);
        if held { Ok(()) } else { Err(forbidden(format!("the role {} is missing", self.0))) }
    }
}

/// Holding one of several roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnyRole(Vec<String>);

impl AnyRole {
    /// One of these roles.
    pub fn new<R: Into<String>>(names: impl IntoIterator<Item = R>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

impl Requirement for AnyRole {
    fn check(&self, caller: &Authenticated) -> Result<()> {
        let held = caller.roles().iter().any(|role| self.0.contains(role));
        if held { Ok(()) } else { Err(forbidden(format!("none of the roles {:?} is held", self.0))) }
    }
}

/// Being permitted something by one of one's roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission(String);

impl Permission {
    /// The permission of that name, such as `documents:review`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl Requirement for Permission {
    fn check(&self, caller: &Authenticated) -> Result<()> {
        let granted = caller.may(&self.0);
        if granted { Ok(()) } else { Err(forbidden(format!("the permission {} is missing", self.0))) }
    }
}

fn forbidden(why: String) -> Error {
    Error::new(ErrorKind::Forbidden, why)
}

impl Ctx {
    /// Judges an API key, or an access token and whether the policy lets its session do everything: a session without
    /// the second factor that its user's roles need may only set one up or give it.
    pub(crate) async fn authenticate(
        self: &Arc<Self>,
        shown: &str,
        meta: &RequestMeta,
    ) -> Result<Authenticated> {
        if shown.starts_with(api_keys::PREFIX) {
            // Apart, so that the path of access tokens stays as small as it is.
            return Box::pin(self.authenticate_key(shown, meta)).await;
        }
        let caller = self.judge_token(shown, meta).await?;
        if self.is_restricted(&caller) { Err(self.restricted(&caller).await) } else { Ok(caller) }
    }

    /// As [`Self::authenticate`], for the doors where second factors are set up and given. No API key passes.
    pub(crate) async fn authenticate_enrolling(
        self: &Arc<Self>,
        shown: &str,
        meta: &RequestMeta,
    ) -> Result<Enrolling> {
        if shown.starts_with(api_keys::PREFIX) {
            Box::pin(self.authenticate_key(shown, meta)).await?.signed_in()?;
        }
        self.judge_token(shown, meta).await.map(Enrolling)
    }

    /// Signature and claims (or the memory of having judged them), revocation, network.
    async fn judge_token(self: &Arc<Self>, token: &str, meta: &RequestMeta) -> Result<Authenticated> {
        let at = self.now();
        let mut claims = self.verified.verify(token, &self.keys.key_set(), at);
        if matches!(claims, Err(TokenError::UnknownKey)) {
            // Another node may just have made the key.
            self.keys.reload_rarely(&self.db).await?;
            claims = self.verified.verify(token, &self.keys.key_set(), at);
        }
        let mut claims = claims?;
        let generation = self.keys.snapshot().generation();
        self.revocations.follow(|| Box::pin(self.refresh_views())).await?;
        if self.keys.snapshot().generation() != generation {
            // The key may be gone since.
            claims = self.verified.verify(token, &self.keys.key_set(), at)?;
        }
        if self.revocations.is_void(&self.db, claims.sid, claims.sub, claims.ver).await? {
            return Err(Error::new(ErrorKind::Unauthenticated, "the token was revoked"));
        }
        if let Some(cip) = &claims.cip
            && !self.network_matches(cip, claims.sid, meta).await?
        {
            return Err(Error::new(ErrorKind::Unauthenticated, "the token came from another network"));
        }
        Ok(Authenticated {
            shown: Shown::Token { claims, grants: self.roles.grants() },
            at,
            ctx: Arc::clone(self),
        })
    }

    /// Asks the store whether session and account still stand as the token says: before anything that changes a
    /// credential or grants something (R14). No API key passes.
    pub(crate) async fn require_current(&self, auth: &Authenticated) -> Result<Record> {
        self.require_current_session(auth).await.map(|(record, _)| record)
    }

    /// As [`Self::require_current`], with the session that asks.
    pub(crate) async fn require_current_session(
        &self,
        auth: &Authenticated,
    ) -> Result<(Record, SessionRecord)> {
        let claims = auth.signed_in()?;
        let (user, session, limits) = (claims.sub, claims.sid, self.limits());
        let (record, view) = self
            .db
            .read(move |conn| {
                Box::pin(async move {
                    let record = users::by_id(conn, user).await?;
                    let view = store::view(conn, session, limits).await?;
                    Ok((record, view))
                })
            })
            .await?;
        let stands = view.filter(|view| view.alive && view.session.user_id == user);
        match (record, stands) {
            (Some(record), Some(view))
                if record.user.status == UserStatus::Active && record.version.ver == claims.ver =>
            {
                Ok((record, view.session))
            }
            _ => Err(Error::new(ErrorKind::Unauthenticated, "the token is no longer current")),
        }
    }
}
