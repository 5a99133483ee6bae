//! The kit: what an application holds.

mod api_keys;
mod authz;
mod cleanup;
mod limits;
mod links;
mod mfa;
mod passkeys;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast;

use crate::admin::Admin;
use crate::audit::AuditFilter;
use crate::authz::RoleInfo;
use crate::builder::AuthKitBuilder;
use crate::config::{Config, Secrets};
use crate::crypto::keys::{JWKS_MAX_AGE, KeyInfo, KeyPurpose};
use crate::crypto::password::HashSlotStats;
use crate::db::page::Cursors;
use crate::db::{Db, Listing, Page, PoolStats};
use crate::error::{ErrorKind, Result};
use crate::events::{Action, Event};
use crate::flows::doors::Door;
use crate::flows::{
    Authenticated, Credentials, Ctx, Enrolling, Login, PasswordChange, ProfileChange, SignUp, SignedUp,
    StepUp, Tokens,
};
use crate::ids::{SessionId, UserId};
use crate::mail::{Delivery, MailHealth};
use crate::meta::RequestMeta;
use crate::sessions::{EndReason, Session, store as session_store};
use crate::users::{Email, User, UserFilter, store as user_store};

pub use api_keys::ApiKeys;
pub use authz::{Authz, Invitations, Memberships, Organisations};
pub use cleanup::Cleanup;
pub use limits::Limits;
pub use mfa::Mfa;
pub use passkeys::Passkeys;

/// Accounts, sign-in, sessions and tokens on one store. Cheap to clone.
#[derive(Clone)]
pub struct AuthKit {
    pub(crate) ctx: Arc<Ctx>,
}

/// Whether a part works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Check {
    /// It works.
    Ok,
    /// It works in part.
    Degraded,
    /// It does not work.
    Down,
    /// It is not set up.
    Off,
}

/// Whether requests can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Readiness {
    /// The store answers.
    pub database: Check,
    /// Keys are there and the view of revocations is young enough.
    pub keys: Check,
    /// Mails go out: degraded when the mail server could not be reached or mails are stuck. Requests do not need it.
    pub mail: Check,
    /// Redis answers. Without it limits are stricter (degraded), or requests are refused (down) when it is required.
    pub redis: Check,
}

impl Readiness {
    /// Whether something that requests need is down.
    pub fn is_down(&self) -> bool {
        [self.database, self.keys, self.redis].contains(&Check::Down)
    }
}

/// Figures for metrics.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Stats {
    /// Slots for password hashes.
    pub hashes: HashSlotStats,
    /// Connections to the store.
    pub pool: PoolStats,
}

/// The public keys that verify access tokens: a JWK set (RFC 7517 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwks {
    keys: Vec<serde_json::Value>,
}

impl Jwks {
    /// The keys.
    pub fn keys(&self) -> &[serde_json::Value] {
        &self.keys
    }
}

impl AuthKit {
    /// Starts to put a kit together.
    pub fn builder(db: Db, secrets: Secrets) -> AuthKitBuilder {
        AuthKitBuilder::new(db, secrets)
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.ctx.config
    }

    /// The store.
    pub fn db(&self) -> &Db {
        &self.ctx.db
    }

    /// The kit's clock.
    pub fn now(&self) -> crate::time::Timestamp {
        self.ctx.now()
    }

    /// Makes an account for somebody who signs up.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] with all faults at once; [`ErrorKind::Conflict`] when the e-mail is taken, unless
    /// verification is required: then the answer is the same for all.
    pub async fn signup(&self, input: SignUp, meta: &RequestMeta) -> Result<SignedUp> {
        self.ctx.signup(input, meta).await
    }

    /// Signs in by e-mail and password.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidCredentials`] for an unknown account, a wrong password, a disabled or deleted account:
    /// one answer, at one cost (R5). [`ErrorKind::Locked`] after too many of them, alike for accounts that do not exist
    /// and for the right password; [`ErrorKind::RateLimited`] while as many are being judged as may fail.
    /// [`ErrorKind::EmailUnverified`] only after the right password.
    pub async fn login(&self, credentials: Credentials, meta: &RequestMeta) -> Result<Login> {
        let out = self.ctx.login(credentials, meta).await;
        count("authkit_logins_total", out.as_ref().err().map(crate::Error::kind));
        out
    }

    /// Exchanges a refresh token for a new pair.
    ///
    /// # Errors
    /// [`ErrorKind::RefreshInvalid`] for whatever reason; the audit tells which. A replay outside of the grace has
    /// ended the session.
    pub async fn refresh(&self, refresh_token: &str, meta: &RequestMeta) -> Result<Tokens> {
        let out = self.ctx.refresh(refresh_token, meta).await;
        count("authkit_refreshes_total", out.as_ref().err().map(crate::Error::kind));
        out
    }

    /// Ends the session of a refresh token, an older one too. Anything else does nothing.
    pub async fn logout(&self, refresh_token: &str, meta: &RequestMeta) -> Result<()> {
        self.ctx.logout(refresh_token, meta).await
    }

    /// Ends all sessions of the caller and forgets his devices. Returns how many sessions there were.
    pub async fn logout_all(&self, auth: &Authenticated, meta: &RequestMeta) -> Result<u64> {
        self.ctx.logout_all(auth, meta).await
    }

    /// Changes the caller's password and ends his other sessions. His own goes on by refresh.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidCredentials`] for a wrong present password, which counts like a failed sign-in;
    /// [`ErrorKind::Locked`], [`ErrorKind::RateLimited`] as for [`Self::login`]; [`ErrorKind::Validation`] for a bad new
    /// one.
    pub async fn change_password(
        &self,
        auth: &Authenticated,
        change: PasswordChange,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.ctx.change_password(auth, change, meta).await
    }

    /// Proves the caller again: a new session takes the place of his present one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidCredentials`] for a wrong password, which counts like a failed sign-in;
    /// [`ErrorKind::MfaInvalid`] for a wrong second factor; [`ErrorKind::Locked`], [`ErrorKind::RateLimited`] as for
    /// [`Self::login`]; [`ErrorKind::StepUpRequired`] for the password of an account that has a second factor, unless that
    /// was given in this session within 5 minutes.
    pub async fn step_up(
        &self,
        caller: impl Into<Enrolling>,
        proof: StepUp,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        self.ctx.step_up(caller.into().caller(), proof, meta).await
    }

    /// Changes the caller's name or profile.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] with all faults at once.
    pub async fn update_profile(
        &self,
        auth: &Authenticated,
        change: ProfileChange,
        meta: &RequestMeta,
    ) -> Result<User> {
        self.ctx.update_profile(auth, change, meta).await
    }

    /// The soft delete of the caller's account.
    ///
    /// # Errors
    /// [`ErrorKind::StepUpRequired`] when he signed in more than 5 minutes ago; [`ErrorKind::Conflict`] for the last
    /// `super_admin`.
    pub async fn delete_account(&self, auth: &Authenticated, meta: &RequestMeta) -> Result<()> {
        self.ctx.delete_account(auth, meta).await
    }

    /// Judges an access token (signature, claims, revocation, network, and whether the session has the second factor that
    /// the policy asks of its user) or an API key, which asks the store each time.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`]; [`ErrorKind::StepUpRequired`] where the policy asks for a second factor that was
    /// not given, or is not set up yet; [`ErrorKind::Unavailable`] when revocations could not be read for 10 s;
    /// [`ErrorKind::RateLimited`] for an API key that is used too often.
    pub async fn authenticate(&self, token_or_key: &str, meta: &RequestMeta) -> Result<Authenticated> {
        self.ctx.authenticate(token_or_key, meta).await
    }

    /// As [`Self::authenticate`], also for a caller whom the policy allows nothing but to set up a second factor, or to
    /// give it: for the doors that do that.
    ///
    /// # Errors
    /// As [`Self::authenticate`], without [`ErrorKind::StepUpRequired`].
    pub async fn authenticate_enrolling(&self, access_token: &str, meta: &RequestMeta) -> Result<Enrolling> {
        self.ctx.authenticate_enrolling(access_token, meta).await
    }

    /// The public keys that verify access tokens. Empty with HS256.
    pub fn jwks(&self) -> Jwks {
        Jwks { keys: self.ctx.keys.jwks() }
    }

    /// How long the answer of [`Self::jwks`] may be kept.
    pub fn jwks_max_age(&self) -> Duration {
        JWKS_MAX_AGE
    }

    /// The `iss` of access tokens.
    pub fn issuer(&self) -> &str {
        &self.ctx.issuer
    }

    /// Accounts, to look at.
    pub fn users(&self) -> Users<'_> {
        Users { ctx: &self.ctx }
    }

    /// Sessions, to look at and to end.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { ctx: &self.ctx }
    }

    /// Roles, to look at.
    pub fn roles(&self) -> Roles<'_> {
        Roles { ctx: &self.ctx }
    }

    /// The limiter, for the host's own routes.
    pub fn limits(&self) -> Limits {
        Limits::new(Arc::clone(&self.ctx))
    }

    /// Data keys, to look at.
    pub fn keys(&self) -> Vec<KeyInfo> {
        self.ctx.keys.infos()
    }

    /// The audit log, newest first.
    pub async fn audit(&self, filter: &AuditFilter, page: &Page) -> Result<Listing<Event>> {
        let (key, _) = self.ctx.keys.active_bytes(KeyPurpose::Cursor)?;
        self.ctx.audit.list(&self.ctx.db, &key, filter, page).await
    }

    /// What operators do. `meta` names the operator for the audit.
    pub fn admin(&self, meta: RequestMeta) -> Admin {
        Admin::new(Arc::clone(&self.ctx), meta)
    }

    /// What operators do, for a signed-in caller who may do everything (`*`), as `super_admin` may. The store is asked
    /// now, and not the token (R14); the audit names the caller.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for anybody else, [`ErrorKind::Unauthenticated`] when account or session no longer
    /// stand as the token says; [`ErrorKind::RateLimited`].
    pub async fn admin_as(&self, caller: &Authenticated, meta: RequestMeta) -> Result<Admin> {
        // Each call asks the store, whoever makes it.
        self.ctx.limit(Door::Other, &meta).await?;
        self.ctx.require_operator(caller).await?;
        Ok(self.admin(meta.with_acting(caller.user_id())))
    }

    /// What operators do to one account, for a signed-in caller who may do everything, or who is an admin of the
    /// organisation that the account was made for: see [`Authz::require_admin_over`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an account that shares no organisation with the caller; else as [`Self::admin_as`].
    pub async fn admin_over(&self, caller: &Authenticated, user: UserId, meta: RequestMeta) -> Result<Admin> {
        self.ctx.limit(Door::Other, &meta).await?;
        self.ctx.require_current(caller).await?;
        self.authz().require_admin_over(caller, user).await?;
        Ok(self.admin(meta.with_acting(caller.user_id())))
    }

    /// Events from now on, after their commit. A slow receiver misses some and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.ctx.audit.publisher().subscribe()
    }

    /// Whether requests can be served. Asks the store, and Redis where it is set up.
    pub async fn readiness(&self) -> Readiness {
        // Side by side: each waits for its own dependency, and a probe must be answered in two seconds.
        let (fresh, mail, redis) = tokio::join!(
            Box::pin(self.ctx.refresh_views()),
            Box::pin(self.ctx.courier.health()),
            self.ctx.limiter.redis_answers()
        );
        let database = if fresh.is_ok() { Check::Ok } else { Check::Down };
        let young = self.ctx.revocations.is_trusted();
        let keys = if young && self.ctx.keys.signing().is_ok() { Check::Ok } else { Check::Down };
        let mail = match mail {
            MailHealth::Off => Check::Off,
            MailHealth::Ok => Check::Ok,
            MailHealth::Degraded => Check::Degraded,
        };
        let redis = match redis {
            None => Check::Off,
            Some(true) => Check::Ok,
            Some(false) if self.ctx.limiter.is_redis_required() => Check::Down,
            Some(false) => Check::Degraded,
        };
        Readiness { database, keys, mail, redis }
    }

    /// Figures for metrics.
    pub fn stats(&self) -> Stats {
        Stats { hashes: self.ctx.hasher.stats(), pool: self.ctx.db.pool_stats() }
    }

    /// Follows what other processes change, until `shutdown` is done. Optional: without it the request path does
    /// the same when it is due, and one request in each interval waits for it.
    pub async fn maintain(&self, shutdown: impl Future<Output = ()> + Send) {
        // A little sooner than due, so that the request path finds nothing to do.
        let every = self.ctx.config.sessions.revocation_poll.mul_f32(0.8);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.ctx.refresh_views().await {
                tracing::warn!(%error, "what other processes changed could not be read");
            }
        }
    }

    /// Whether mails can be sent.
    pub fn has_mailer(&self) -> bool {
        self.ctx.outbox.is_on()
    }

    /// Sends what is in the outbox, until `shutdown` is done; then mails under way get ten seconds. One process at
    /// least must run it, and several may: no mail is in two hands at the same time. See [`crate::manual::mail`] for
    /// what is promised.
    pub async fn deliver(&self, shutdown: impl Future<Output = ()> + Send) {
        self.ctx.courier.run(shutdown).await;
    }

    /// Sends what is due now: for tests, and for hosts that wake up now and then instead of running
    /// [`Self::deliver`]. Ends early when the mail server cannot be reached.
    pub async fn deliver_due(&self) -> Result<Delivery> {
        self.ctx.courier.run_once().await
    }

    /// Mails that wait to be sent.
    pub async fn waiting_mails(&self) -> Result<u64> {
        self.ctx.courier.waiting().await
    }

    /// Reads at once what other processes changed: for tests, and for hosts without [`Self::maintain`].
    pub async fn refresh_views(&self) -> Result<()> {
        self.ctx.refresh_views().await
    }
}

impl fmt::Debug for AuthKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthKit").field("db", &self.ctx.db).finish_non_exhaustive()
    }
}

#[cfg(feature = "metrics")]
fn count(name: &'static str, refused: Option<ErrorKind>) {
    metrics::counter!(name, "outcome" => refused.map_or("success", ErrorKind::code)).increment(1);
}

#[cfg(not(feature = "metrics"))]
fn count(_name: &'static str, _refused: Option<ErrorKind>) {}

/// Accounts, to look at. Made by [`AuthKit::users`].
#[derive(Debug, Clone, Copy)]
pub struct Users<'k> {
    ctx: &'k Arc<Ctx>,
}

impl Users<'_> {
    /// The account of that id, deleted ones too.
    pub async fn get(&self, id: UserId) -> Result<Option<User>> {
        let found =
            self.ctx.db.read(move |conn| Box::pin(async move { user_store::by_id(conn, id).await })).await?;
        Ok(found.map(|record| record.user))
    }

    /// The account of that e-mail in any spelling, deleted ones too; `None` also for what is no e-mail.
    pub async fn find_by_email(&self, email: &str) -> Result<Option<User>> {
        let Ok(email) = Email::parse(email, "/email") else { return Ok(None) };
        let found = self
            .ctx
            .db
            .read(move |conn| Box::pin(async move { user_store::by_email(conn, &email).await }))
            .await?;
        Ok(found.map(|record| record.user))
    }

    /// Accounts, oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn list(&self, filter: &UserFilter, page: &Page) -> Result<Listing<User>> {
        let (key, _) = self.ctx.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, format!("users:{filter:?}"));
        let (after, limit, filter) = (cursors.start(page)?, i64::from(page.limit) + 1, filter.clone());
        let rows = self
            .ctx
            .db
            .read(move |conn| Box::pin(async move { user_store::list(conn, &filter, after, limit).await }))
            .await?;
        Ok(cursors.page(rows, page, |user| user.id.as_uuid()))
    }
}

/// Sessions, to look at and to end. Made by [`AuthKit::sessions`].
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'k> {
    ctx: &'k Arc<Ctx>,
}

impl Sessions<'_> {
    /// Live sessions of the caller, the one last used first.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for an API key.
    pub async fn own(&self, auth: &Authenticated) -> Result<Vec<Session>> {
        let claims = auth.signed_in()?;
        self.live(claims.sub, Some(claims.sid)).await
    }

    /// A page of [`Self::own`], newest first.
    ///
    /// # Errors
    /// As [`Self::own`]; [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn own_page(&self, auth: &Authenticated, page: &Page) -> Result<Listing<Session>> {
        let claims = auth.signed_in()?;
        self.ctx.sessions_of(claims.sub, Some(claims.sid), page).await
    }

    /// Live sessions of a user, the one last used first.
    pub async fn of(&self, user: UserId) -> Result<Vec<Session>> {
        self.live(user, None).await
    }

    async fn live(&self, user: UserId, current: Option<SessionId>) -> Result<Vec<Session>> {
        let limits = self.ctx.limits();
        let rows = self
            .ctx
            .db
            .read(move |conn| Box::pin(async move { session_store::live_of_user(conn, user, limits).await }))
            .await?;
        Ok(rows.iter().map(|row| self.ctx.describe(row, current)).collect())
    }

    /// All live sessions, newest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn list(&self, page: &Page) -> Result<Listing<Session>> {
        let (key, _) = self.ctx.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, "sessions".into());
        let (before, limit, limits) = (cursors.start(page)?, i64::from(page.limit) + 1, self.ctx.limits());
        let rows = self
            .ctx
            .db
            .read(move |conn| Box::pin(async move { session_store::live(conn, limits, before, limit).await }))
            .await?;
        let rows: Vec<_> = rows.iter().map(|row| self.ctx.describe(row, None)).collect();
        Ok(cursors.page(rows, page, |session| session.id.as_uuid()))
    }

    /// Ends a session of the caller.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it is not his or over already: one answer (ASVS 8.2.2).
    pub async fn end_own(&self, auth: &Authenticated, session: SessionId, meta: &RequestMeta) -> Result<()> {
        self.ctx.limit(Door::Other, meta).await?;
        self.ctx.require_current(auth).await?;
        let (user, reason) = (auth.user_id(), EndReason::Revoked);
        let ended = self.ctx.end_session(user, session, reason, Action::SessionEnd, meta).await?;
        if ended { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }
}

/// Roles, to look at. Made by [`AuthKit::roles`].
#[derive(Debug, Clone, Copy)]
pub struct Roles<'k> {
    ctx: &'k Arc<Ctx>,
}

impl Roles<'_> {
    /// All roles, by name.
    pub async fn list(&self) -> Result<Vec<RoleInfo>> {
        self.ctx.db.read(|conn| Box::pin(async move { crate::authz::store::all(conn).await })).await
    }

    /// The role of that name.
    pub async fn get(&self, name: &str) -> Result<Option<RoleInfo>> {
        let name = name.to_owned();
        self.ctx
            .db
            .read(move |conn| Box::pin(async move { crate::authz::store::by_name(conn, &name).await }))
            .await
    }
}
