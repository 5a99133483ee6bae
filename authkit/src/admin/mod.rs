//! What operators do: the operations behind `authctl` and admin routes, without HTTP.
//!
//! [`Admin`] gives each operation a transaction of its own; [`AdminIn`] runs it in the host's.

mod accounts;
mod api_keys;
mod erase;
mod keys;
mod limits;
mod links;
mod lockouts;
mod mails;
mod mfa;
mod orgs;
mod passkeys;
mod roles;
mod seed;
mod seed_file;
mod sessions;
mod tokens;

use std::sync::Arc;

use serde::Serialize;

use crate::config::RoleDefinition;
use crate::crypto::keys::{KeyInfo, KeyPurpose};
use crate::db::{Job, Listing, Page, Tx};
use crate::error::Result;
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::{SessionId, UserId};
use crate::meta::RequestMeta;
use crate::precondition::Precondition;
use crate::secret::SecretString;
use crate::sessions::{EndReason, Session};
use crate::users::User;

pub use accounts::{NewUser, UserChange};
pub use limits::{LimitInfo, LimitSubject, LimitsReport};
pub use links::SentLink;
pub use mfa::{MfaReport, ReencryptFrom, Reencrypted};
pub use orgs::{CreatedOrganisation, SentInvitation};
pub use seed::{SeedItem, SeedOutcome, SeedPlan, SeedReport};
pub use seed::{SeedMembership, SeedOrganisation};
pub use seed_file::{SeedFile, SeedPassword};
pub use sessions::AllEnded;
pub use tokens::{TokenReport, TokenStatus};

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Changed<T> {
    /// `false` when things were so already.
    pub changed: bool,
    /// The thing as it is now.
    pub resource: T,
}

impl<T> Changed<T> {
    pub(crate) fn new(changed: bool, resource: T) -> Self {
        Self { changed, resource }
    }
}

/// An operation on the caller's transaction.
type Effect<'a, T> = Job<'a, Ruling<T>>;

/// Operations of an operator, each in a transaction of its own. Made by [`crate::AuthKit::admin`].
#[derive(Debug, Clone)]
pub struct Admin {
    ctx: Arc<Ctx>,
    meta: RequestMeta,
    dry_run: bool,
}

impl Admin {
    pub(crate) fn new(ctx: Arc<Ctx>, meta: RequestMeta) -> Self {
        Self { ctx, meta, dry_run: false }
    }

    /// The same operations, each in a transaction that is rolled back: they judge and answer as if they had been
    /// done, and leave nothing behind. Identifiers and keys in the answer are those of the rehearsal.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// The same operations for a request that came with an idempotency key.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "keys come by HTTP"))]
    #[must_use]
    pub(crate) fn for_request(mut self, meta: &RequestMeta) -> Self {
        self.meta.claim = meta.claim;
        self
    }

    /// The same operations inside the host's own transaction; see [`Tx::of_host`].
    pub fn within<'t, 'c>(&self, tx: &'t mut Tx<'c>) -> AdminIn<'t, 'c> {
        AdminIn { ctx: Arc::clone(&self.ctx), meta: self.meta.clone(), tx }
    }

    async fn run<T, F>(&self, action: Action, user: Option<UserId>, effect: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(&'a Arc<Ctx>, &'a mut Tx<'c>, &'a RequestMeta) -> Effect<'a, T>
            + Send
            + Sync
            + 'static,
    {
        let job = Arc::new((effect, self.meta.clone()));
        if self.dry_run {
            let ctx = Arc::clone(&self.ctx);
            return self
                .ctx
                .db
                .rehearse(move |tx| {
                    let (ctx, job) = (Arc::clone(&ctx), Arc::clone(&job));
                    Box::pin(async move { (job.0)(&ctx, tx, &job.1).await })
                })
                .await?;
        }
        self.ctx
            .decide(&self.meta, action, user, move |ctx, tx| {
                let job = Arc::clone(&job);
                Box::pin(async move { (job.0)(ctx, tx, &job.1).await })
            })
            .await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Validation`] for bad facts, [`crate::ErrorKind::Conflict`] when the e-mail is taken,
    /// [`crate::ErrorKind::NotFound`] for an unknown role; [`crate::ErrorKind::Unavailable`] when a link is to be mailed
    /// and no mail can be sent.
    pub async fn create_user(&self, new: NewUser) -> Result<Changed<User>> {
        let new = Arc::new(self.ctx.prepare_user(new, &self.meta).await?);
        self.run(Action::UserCreate, None, move |ctx, tx, meta| {
            let new = Arc::clone(&new);
            Box::pin(async move { ctx.create_user_in(tx, &new, meta).await })
        })
        .await
    }

    /// Changes name, profile or e-mail.
    ///
    /// # Errors
    /// As [`Self::create_user`]; [`crate::ErrorKind::NotFound`] for an unknown account.
    pub async fn update_user(&self, user: UserId, change: UserChange) -> Result<Changed<User>> {
        let change = Arc::new(change.checked()?);
        self.run(Action::UserUpdate, Some(user), move |ctx, tx, meta| {
            let change = Arc::clone(&change);
            Box::pin(async move { ctx.update_user_in(tx, user, &change, meta).await })
        })
        .await
    }

    /// Forbids sign-in and ends all sessions. Refuses to disable the last `super_admin`.
    pub async fn disable_user(&self, user: UserId) -> Result<Changed<User>> {
        self.run(Action::UserDisable, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.disable_in(tx, user, meta).await })
        })
        .await
    }

    /// Allows sign-in again.
    pub async fn enable_user(&self, user: UserId) -> Result<Changed<User>> {
        self.run(Action::UserEnable, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.enable_in(tx, user, meta).await })
        })
        .await
    }

    /// Soft delete: ends all sessions; [`Self::restore_user`] undoes it. Refuses for the last `super_admin`.
    pub async fn delete_user(&self, user: UserId) -> Result<Changed<User>> {
        self.run(Action::UserDelete, Some(user), move |ctx, tx, meta| {
            Box::pin(async move {
                match ctx.delete_in(tx, user, meta).await {
                    Err(error) if error.kind() == crate::ErrorKind::Conflict => Ok(Err(error)),
                    out => out.map(Ok),
                }
            })
        })
        .await
    }

    /// Undoes a soft delete. An account that was disabled before is so again.
    pub async fn restore_user(&self, user: UserId) -> Result<Changed<User>> {
        self.run(Action::UserRestore, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.restore_in(tx, user, meta).await })
        })
        .await
    }

    /// Removes a deleted account and all that hangs on it, for good. Audit rows stay without personal data.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when it was not deleted before.
    pub async fn purge_user(&self, user: UserId) -> Result<()> {
        self.run(Action::UserPurge, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.purge_in(tx, user, meta).await })
        })
        .await
    }

    /// Sets a password and ends all sessions.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Validation`] when the policy refuses it.
    pub async fn set_password(&self, user: UserId, password: &SecretString) -> Result<Changed<User>> {
        let hash = Arc::new(self.ctx.prepare_password(user, password, &self.meta).await?);
        self.run(Action::PasswordSet, Some(user), move |ctx, tx, meta| {
            let hash = Arc::clone(&hash);
            Box::pin(async move { ctx.set_password_in(tx, user, &hash, meta).await })
        })
        .await
    }

    /// Marks the e-mail as proved.
    pub async fn verify_email(&self, user: UserId) -> Result<Changed<User>> {
        self.run(Action::EmailVerify, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.verify_email_in(tx, user, meta).await })
        })
        .await
    }

    /// Gives a role. Access tokens made before are void.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown account or role.
    pub async fn grant_role(&self, user: UserId, role: &str) -> Result<Changed<User>> {
        let role: Arc<str> = role.into();
        self.run(Action::RoleGrant, Some(user), move |ctx, tx, meta| {
            let role = Arc::clone(&role);
            Box::pin(async move { ctx.grant_role_in(tx, user, &role, meta).await })
        })
        .await
    }

    /// Takes a role. Access tokens made before are void.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] for the last `super_admin` who may sign in.
    pub async fn revoke_role(&self, user: UserId, role: &str) -> Result<Changed<User>> {
        let role: Arc<str> = role.into();
        self.run(Action::RoleRevoke, Some(user), move |ctx, tx, meta| {
            let role = Arc::clone(&role);
            Box::pin(async move { ctx.revoke_role_in(tx, user, &role, meta).await })
        })
        .await
    }

    /// Gives and takes roles until the account has these and no other. Access tokens made before are void.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown account; [`crate::ErrorKind::Validation`] for an unknown role;
    /// [`crate::ErrorKind::Forbidden`] when the operator is a user and the roles are his own, or one permits more than
    /// his; [`crate::ErrorKind::Conflict`] for the last `super_admin` who may sign in;
    /// [`crate::ErrorKind::PreconditionFailed`] when the account is not what `only_if` asks for.
    pub async fn set_roles(
        &self,
        user: UserId,
        roles: Vec<String>,
        only_if: Precondition,
    ) -> Result<Changed<User>> {
        let wanted = Arc::new((roles, only_if));
        self.run(Action::RoleGrant, Some(user), move |ctx, tx, meta| {
            let wanted = Arc::clone(&wanted);
            Box::pin(async move { ctx.set_roles_in(tx, user, &wanted.0, &wanted.1, meta).await })
        })
        .await
    }

    /// Defines or changes a role. Running servers follow within about a second.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] for a built-in role, [`crate::ErrorKind::Validation`] for a bad form.
    pub async fn define_role(&self, role: RoleDefinition) -> Result<Changed<crate::authz::RoleInfo>> {
        let role = Arc::new(role);
        let out = self
            .run(Action::RoleDefine, None, move |ctx, tx, meta| {
                let role = Arc::clone(&role);
                Box::pin(async move { ctx.define_role_in(tx, &role, meta).await })
            })
            .await?;
        self.ctx.roles.load(&self.ctx.db).await?;
        Ok(out)
    }

    /// Ends a session, whoever's it is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is none of that id.
    pub async fn end_session(&self, session: SessionId) -> Result<Changed<Session>> {
        let record = self.ctx.any_session(session).await?;
        let user = record.user_id;
        let changed = self
            .run(Action::SessionEnd, Some(user), move |ctx, tx, meta| {
                let (reason, action) = (EndReason::Revoked, Action::SessionEnd);
                Box::pin(async move { ctx.end_session_in(tx, user, session, reason, action, meta).await })
            })
            .await?;
        Ok(Changed::new(changed, self.ctx.describe(&record, None)))
    }

    /// The live sessions of a user, newest first.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown account; [`crate::ErrorKind::InvalidRequest`] for a cursor of
    /// another list.
    pub async fn sessions_of(&self, user: UserId, page: &Page) -> Result<Listing<Session>> {
        self.ctx.require_account(user).await?;
        self.ctx.sessions_of(user, None, page).await
    }

    /// Ends all sessions of a user. Returns how many there were.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown account.
    pub async fn end_sessions_of(&self, user: UserId) -> Result<u64> {
        self.ctx.require_account(user).await?;
        self.run(Action::SessionEnd, Some(user), move |ctx, tx, meta| {
            let (reason, action) = (EndReason::Revoked, Action::SessionEnd);
            Box::pin(async move { ctx.end_sessions_of_in(tx, user, reason, action, meta).await })
        })
        .await
    }

    /// Ends every session and token there is, for good: the first step after a restore from backup (contract 4.13).
    pub async fn end_all_sessions(&self) -> Result<AllEnded> {
        let out = self
            .run(Action::SessionEnd, None, move |ctx, tx, meta| {
                Box::pin(async move { ctx.end_everything_in(tx, meta).await.map(Ok) })
            })
            .await?;
        self.ctx.keys.load(&self.ctx.db).await?;
        self.ctx.revocations.refresh(&self.ctx.db).await?;
        Ok(out)
    }

    /// Replaces the active key of a purpose. The new one comes back.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] for the signing key with HS256: it stands in the settings.
    pub async fn rotate_key(&self, purpose: KeyPurpose) -> Result<KeyInfo> {
        let made = self
            .run(Action::KeyRotate, None, move |ctx, tx, meta| {
                Box::pin(async move { ctx.rotate_key_in(tx, purpose, meta).await })
            })
            .await?;
        self.ctx.keys.load(&self.ctx.db).await?;
        Ok(made)
    }
}

/// Operations of an operator inside the host's transaction: they commit, or not, with the host's rows.
///
/// Passwords are not set here: hashing takes time, and a transaction should not wait for it.
#[derive(Debug)]
pub struct AdminIn<'t, 'c> {
    ctx: Arc<Ctx>,
    meta: RequestMeta,
    tx: &'t mut Tx<'c>,
}

impl AdminIn<'_, '_> {
    /// As [`Admin::create_user`], for accounts without a password.
    ///
    /// # Errors
    /// As there; [`crate::ErrorKind::Validation`] when a password is given.
    pub async fn create_user(&mut self, new: NewUser) -> Result<Changed<User>> {
        if new.password.is_some() {
            let message = "is not set inside a host's transaction";
            return Err(crate::Error::field("/password", crate::error::FieldCode::Unknown, message));
        }
        let new = self.ctx.prepare_user(new, &self.meta).await?;
        self.ctx.create_user_in(self.tx, &new, &self.meta).await?
    }

    /// As [`Admin::update_user`].
    pub async fn update_user(&mut self, user: UserId, change: UserChange) -> Result<Changed<User>> {
        let change = change.checked()?;
        self.ctx.update_user_in(self.tx, user, &change, &self.meta).await?
    }

    /// As [`Admin::disable_user`].
    pub async fn disable_user(&mut self, user: UserId) -> Result<Changed<User>> {
        self.ctx.disable_in(self.tx, user, &self.meta).await?
    }

    /// As [`Admin::enable_user`].
    pub async fn enable_user(&mut self, user: UserId) -> Result<Changed<User>> {
        self.ctx.enable_in(self.tx, user, &self.meta).await?
    }

    /// As [`Admin::delete_user`].
    pub async fn delete_user(&mut self, user: UserId) -> Result<Changed<User>> {
        self.ctx.delete_in(self.tx, user, &self.meta).await
    }

    /// As [`Admin::restore_user`].
    pub async fn restore_user(&mut self, user: UserId) -> Result<Changed<User>> {
        self.ctx.restore_in(self.tx, user, &self.meta).await?
    }

    /// As [`Admin::purge_user`].
    pub async fn purge_user(&mut self, user: UserId) -> Result<()> {
        self.ctx.purge_in(self.tx, user, &self.meta).await?
    }

    /// As [`Admin::verify_email`].
    pub async fn verify_email(&mut self, user: UserId) -> Result<Changed<User>> {
        self.ctx.verify_email_in(self.tx, user, &self.meta).await?
    }

    /// As [`Admin::grant_role`].
    pub async fn grant_role(&mut self, user: UserId, role: &str) -> Result<Changed<User>> {
        self.ctx.grant_role_in(self.tx, user, role, &self.meta).await?
    }

    /// As [`Admin::revoke_role`].
    pub async fn revoke_role(&mut self, user: UserId, role: &str) -> Result<Changed<User>> {
        self.ctx.revoke_role_in(self.tx, user, role, &self.meta).await?
    }
}
