//! Accounts: make, change, forbid, delete, restore, purge.

use serde_json::Value;

use super::Changed;
use crate::api_keys::store as api_keys;
use crate::audit::{Audit, Entry};
use crate::authz::{SUPER_ADMIN, store as roles};
use crate::crypto::password::{HashKind, recognise};
use crate::db::{Tx, is_constraint};
use crate::devices;
use crate::error::{Error, ErrorKind, FieldCode, Result};
use crate::events::Action;
use crate::flows::signup::taken;
use crate::flows::{Ctx, Ruling};
use crate::ids::UserId;
use crate::invitations::store as invitations;
use crate::links::{EndReason as LinkEnd, LinkPurpose, store as links};
use crate::mail::Outbox;
use crate::meta::RequestMeta;
use crate::passwords::store as passwords;
use crate::precondition::Precondition;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::sessions::revocations::Revocation;
use crate::sessions::{EndReason, store as sessions};
use crate::time::Timestamp;
use crate::users::{
    Email, NewRecord, Record, User, UserStatus, check_name, check_profile, empty_profile, store as users,
};

/// The facts of an account that an operator makes.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NewUser {
    /// As typed.
    pub email: String,
    /// What to call the person.
    pub name: String,
    /// Without one the account has no sign-in by password.
    pub password: Option<SecretString>,
    /// A hash from another system instead of a password; upgraded at the first sign-in. See [`crate::HashKind`].
    pub password_hash: Option<SecretString>,
    /// `None` gives the roles of a sign-up.
    pub roles: Option<Vec<String>>,
    /// Whether the address counts as proved.
    pub email_verified: bool,
    /// A JSON object of at most 16 KiB.
    pub profile: Option<Value>,
    /// Mails a link that sets a password: for accounts that are made without one.
    pub mail_reset: bool,
    /// Skips the password policy. Only for the documented demo accounts, refused outside of development.
    pub demo: bool,
}

impl NewUser {
    /// An account of that e-mail and name; set the other fields as wanted.
    pub fn new(email: impl Into<String>, name: impl Into<String>) -> Self {
        Self { email: email.into(), name: name.into(), ..Self::default() }
    }

    /// With a password, as typed.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<SecretString>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// With a hash made elsewhere.
    #[must_use]
    pub fn with_password_hash(mut self, hash: impl Into<SecretString>) -> Self {
        self.password_hash = Some(hash.into());
        self
    }

    /// With these roles instead of those of a sign-up.
    #[must_use]
    pub fn with_roles<R: Into<String>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        self.roles = Some(roles.into_iter().map(Into::into).collect());
        self
    }

    /// With a mailed link by which the owner sets a password of his own.
    #[must_use]
    pub fn with_mailed_reset(mut self) -> Self {
        self.mail_reset = true;
        self
    }

    /// With the address counting as proved.
    #[must_use]
    pub fn verified(mut self) -> Self {
        self.email_verified = true;
        self
    }
}

/// What an operator changes; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct UserChange {
    /// What to call the person.
    pub name: Option<String>,
    /// Replaces the whole profile.
    pub profile: Option<Value>,
    /// A new address, not proved. Ends all sessions.
    pub email: Option<String>,
    /// Which versions of the account may be changed.
    pub only_if: Precondition,
}

#[derive(Debug)]
pub(crate) struct CheckedChange {
    name: Option<String>,
    profile: Option<Value>,
    email: Option<Email>,
    only_if: Precondition,
}

impl UserChange {
    /// All faults at once.
    pub(crate) fn checked(self) -> Result<CheckedChange> {
        let mut faults = Vec::new();
        let name = self.name.map(|name| check_name(&name, &mut faults));
        if let Some(profile) = &self.profile {
            check_profile(profile, &mut faults);
        }
        let email = match self.email.map(|email| Email::parse(&email, "/email")).transpose() {
            Ok(email) => email,
            Err(fault) => {
                faults.push(fault);
                None
            }
        };
        if faults.is_empty() {
            Ok(CheckedChange { name, profile: self.profile, email, only_if: self.only_if })
        } else {
            Err(Error::validation(faults))
        }
    }
}

/// A checked account whose password is hashed.
#[derive(Debug)]
pub(crate) struct PreparedUser {
    record: NewRecord,
    roles: Vec<String>,
    hash: Option<String>,
    mail_reset: bool,
}

pub(super) fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such account").with_public("There is no such account.")
}

/// Only hashes that a sign-in could check: any other would lock its owner out in silence.
fn check_hash(hash: &SecretString) -> Result<String> {
    match recognise(hash.expose_secret()) {
        None | Some(HashKind::Unsupported) => {
            let message = "is not a hash of a known kind, or its parameters are out of bounds";
            Err(Error::field("/password_hash", FieldCode::Format, message))
        }
        Some(_) => Ok(hash.expose_secret().to_owned()),
    }
}

impl Ctx {
    pub(crate) async fn prepare_user(&self, new: NewUser, meta: &RequestMeta) -> Result<PreparedUser> {
        if new.mail_reset {
            self.outbox.require()?;
        }
        let mut faults = Vec::new();
        let name = check_name(&new.name, &mut faults);
        let email = Email::parse(&new.email, "/email").map_err(|fault| faults.push(fault)).ok();
        let profile = new.profile.unwrap_or_else(empty_profile);
        check_profile(&profile, &mut faults);
        let Some(email) = email.filter(|_| faults.is_empty()) else {
            return Err(Error::validation(faults));
        };
        let hash = match (new.password, new.password_hash) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let message = "cannot be given together with a password";
                return Err(Error::field("/password_hash", FieldCode::Unknown, message));
            }
            (None, Some(hash)) => Some(check_hash(&hash)?),
            (Some(password), None) => {
                let demo = new.demo && self.config.env == crate::config::Environment::Dev;
                let password = if demo {
                    crate::passwords::policy::normalise(&password)
                } else {
                    self.check_new_password(&password, email.address(), "/password", None, meta).await?
                };
                Some(self.hasher.hash(&password).await?)
            }
        };
        let id = UserId::generate(self.now(), &*self.random)?;
        let record = NewRecord { id, email, name, email_verified: new.email_verified, profile };
        let roles = new.roles.unwrap_or_else(|| self.config.accounts.default_roles.clone());
        Ok(PreparedUser { record, roles, hash, mail_reset: new.mail_reset })
    }

    pub(crate) async fn create_user_in(
        &self,
        tx: &mut Tx<'_>,
        new: &PreparedUser,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let (id, now) = (new.record.id, self.now());
        for role in &new.roles {
            if roles::by_name(tx.conn(), role).await?.is_none() {
                return Ok(Err(super::roles::unknown_role(role)));
            }
        }
        if let Err(refusal) = self.may_give(tx, None, &new.roles, meta).await? {
            return Ok(Err(refusal));
        }
        if self.is_reserved(tx, &new.record.email, None).await?
            || !users::insert(tx.conn(), &new.record, now).await?
        {
            return Ok(Err(taken()));
        }
        if let Some(hash) = &new.hash {
            passwords::set(tx.conn(), id, hash, now).await?;
        }
        for role in &new.roles {
            users::grant(tx.conn(), id, role, now).await?;
        }
        let user = self.user_in(tx, id).await?;
        let mut entry = Entry::success(Action::UserCreate, id).detail("roles", new.roles.clone());
        if new.mail_reset {
            // A new account is at its first epoch.
            self.send_link(tx, LinkPurpose::ResetPassword, &user, 1).await?;
            entry = entry.detail("mailed", true);
        }
        self.audit.grant(tx, meta, entry).await?;
        self.idempotency.keep_in(tx, meta, 201, &user).await?;
        Ok(Ok(Changed::new(true, user)))
    }

    pub(crate) async fn update_user_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        change: &CheckedChange,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let now = self.now();
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(not_found())) };
        let before = record.user;
        if let Err(refusal) = change.only_if.check(&before.version_tag()) {
            return Ok(Err(refusal));
        }
        let name = change.name.clone().unwrap_or_else(|| before.name.clone());
        let profile = change.profile.clone().unwrap_or_else(|| before.profile.clone());
        let email = change.email.as_ref().filter(|email| email.address() != before.email);
        if name == before.name && profile == before.profile && email.is_none() {
            return Ok(Ok(Changed::new(false, before)));
        }
        let mut fields = Vec::new();
        if let Some(email) = email {
            let other = users::by_email(tx.conn(), email).await?;
            if other.is_some_and(|other| other.user.id != user)
                || self.is_reserved(tx, email, Some(user)).await?
            {
                return Ok(Err(taken()));
            }
            match users::set_email(tx.conn(), user, email, false, now).await {
                Err(error) if is_constraint(&error) => return Err(taken()),
                out => out?,
            };
            // The address is a credential: whoever holds it can have the password reset.
            self.change_credentials(tx, user, None, None).await?;
            // What an operator says about the address is the last word on it.
            let beginning = Timestamp::from_micros(i64::MIN);
            links::end_undo_since(tx.conn(), user, beginning, LinkEnd::CredentialChange, now).await?;
            fields.push("email");
        }
        if before.status != UserStatus::Deleted {
            users::set_profile(tx.conn(), user, &name, &profile, now).await?;
        } else if name != before.name || profile != before.profile {
            let deleted = Error::new(ErrorKind::Conflict, "the account is deleted: restore it first");
            return Ok(Err(deleted.with_public("The account is deleted.")));
        }
        fields.extend((name != before.name).then_some("name"));
        fields.extend((profile != before.profile).then_some("profile"));
        let mut entry = Entry::success(Action::UserUpdate, user).detail("fields", fields);
        if email.is_some() {
            entry = entry.told_at(&before.email);
        }
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(Changed::new(true, self.user_in(tx, user).await?)))
    }

    pub(crate) async fn disable_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        self.set_status(tx, user, UserStatus::Active, UserStatus::Disabled, Action::UserDisable, meta).await
    }

    pub(crate) async fn enable_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        self.set_status(tx, user, UserStatus::Disabled, UserStatus::Active, Action::UserEnable, meta).await
    }

    pub(crate) async fn restore_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(not_found())) };
        let Some(version) = users::restore(tx.conn(), user, self.now()).await? else {
            return Ok(Ok(Changed::new(false, record.user)));
        };
        self.revocations.revoke(tx, Revocation::User(user, version.ver)).await?;
        self.audit.grant(tx, meta, Entry::success(Action::UserRestore, user)).await?;
        Ok(Ok(Changed::new(true, self.user_in(tx, user).await?)))
    }

    /// Guards come first, so that a refusal has changed nothing.
    pub(crate) async fn delete_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<Changed<User>> {
        let Some(record) = self.take(tx, user).await? else { return Err(not_found()) };
        let from = record.user.status;
        if from == UserStatus::Deleted {
            return Ok(Changed::new(false, record.user));
        }
        if from == UserStatus::Active {
            self.keep_a_super_admin(tx, &record).await??;
        }
        self.keep_organisations_owned(tx, user).await??;
        self.end_what_hangs(tx, user, meta).await?;
        self.set_status(tx, user, from, UserStatus::Deleted, Action::UserDelete, meta).await?
    }

    async fn set_status(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        from: UserStatus,
        to: UserStatus,
        action: Action,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(not_found())) };
        if record.user.status == to {
            return Ok(Ok(Changed::new(false, record.user)));
        }
        if record.user.status != from {
            let text = format!("the account is {}, not {}", record.user.status.name(), from.name());
            return Ok(Err(Error::new(ErrorKind::Conflict, text.clone()).with_public(text)));
        }
        if from == UserStatus::Active
            && let Err(refusal) = self.keep_a_super_admin(tx, &record).await?
        {
            return Ok(Err(refusal));
        }
        let now = self.now();
        let Some(version) = users::set_status(tx.conn(), user, from, to, now).await? else {
            return Err(Error::internal("a held account changed its state"));
        };
        let mut entry = Entry::success(action, user);
        if to != UserStatus::Active {
            let ended = sessions::end_of_user(tx.conn(), user, None, EndReason::AccountState, now).await?;
            entry = entry.detail("sessions_ended", ended.len());
        }
        if to == UserStatus::Deleted {
            api_keys::revoke_of_user(tx.conn(), user, now).await?;
        }
        self.revocations.revoke(tx, Revocation::User(user, version.ver)).await?;
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(Changed::new(true, self.user_in(tx, user).await?)))
    }

    /// Refuses what would leave nobody who may do everything. Holds the role's row, so that two operators who
    /// take it from each other at the same time cannot both succeed.
    pub(crate) async fn keep_a_super_admin(&self, tx: &mut Tx<'_>, record: &Record) -> Result<Ruling<()>> {
        if !record.user.roles.iter().any(|role| role == SUPER_ADMIN) {
            return Ok(Ok(()));
        }
        roles::take(tx.conn(), SUPER_ADMIN).await?;
        if users::other_holders(tx.conn(), SUPER_ADMIN, record.user.id).await? > 0 {
            return Ok(Ok(()));
        }
        let refusal = Error::new(ErrorKind::Conflict, "this is the last super_admin who can sign in");
        Ok(Err(refusal.with_public("This is the last super_admin who can sign in.")))
    }

    /// Roles, password and sessions go with the row; revocations outlive it; audit rows lose personal data.
    pub(crate) async fn purge_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<Ruling<()>> {
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(not_found())) };
        if record.user.status != UserStatus::Deleted {
            let refusal = Error::new(ErrorKind::Conflict, "only a deleted account can be purged");
            return Ok(Err(refusal.with_public("Delete the account first.")));
        }
        self.revocations.revoke(tx, Revocation::User(user, i64::MAX)).await?;
        self.forget_attempts_of(tx, user, &record.user.email).await?;
        devices::store::forget_of_user(tx.conn(), user).await?;
        if let Ok(email) = Email::parse(&record.user.email, "/email") {
            invitations::delete_of_email(tx.conn(), &email).await?;
        }
        users::delete(tx.conn(), user).await?;
        Outbox::forget(tx.conn(), user).await?;
        Audit::forget(tx.conn(), user).await?;
        self.audit.grant(tx, meta, Entry::success(Action::UserPurge, user)).await?;
        Ok(Ok(()))
    }

    pub(crate) async fn prepare_password(
        &self,
        user: UserId,
        password: &SecretString,
        meta: &RequestMeta,
    ) -> Result<String> {
        let record =
            self.db.read(move |conn| Box::pin(async move { users::by_id(conn, user).await })).await?;
        let record = record.ok_or_else(not_found)?;
        let checked =
            self.check_new_password(password, &record.user.email, "/password", Some(user), meta).await?;
        self.hasher.hash(&checked).await
    }

    pub(crate) async fn set_password_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        hash: &str,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let Some((_, ended)) = self.change_credentials(tx, user, None, None).await? else {
            return Ok(Err(not_found()));
        };
        passwords::set(tx.conn(), user, hash, self.now()).await?;
        let entry = Entry::success(Action::PasswordSet, user).detail("sessions_ended", ended);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(Changed::new(true, self.user_in(tx, user).await?)))
    }

    pub(crate) async fn verify_email_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(not_found())) };
        if users::verify_email(tx.conn(), user, self.now()).await?.is_none() {
            return Ok(Ok(Changed::new(false, record.user)));
        }
        self.audit.grant(tx, meta, Entry::success(Action::EmailVerify, user)).await?;
        Ok(Ok(Changed::new(true, self.user_in(tx, user).await?)))
    }

    /// Takes the account's row and reads it, so that what was read holds until the transaction ends.
    pub(crate) async fn take(&self, tx: &mut Tx<'_>, user: UserId) -> Result<Option<Record>> {
        if users::take(tx.conn(), user).await?.is_none() {
            return Ok(None);
        }
        users::by_id(tx.conn(), user).await
    }

    pub(crate) async fn user_in(&self, tx: &mut Tx<'_>, user: UserId) -> Result<User> {
        let record = users::by_id(tx.conn(), user).await?;
        record.map(|record| record.user).ok_or_else(not_found)
    }
}
