//! Changing one's own password; the checks that every door which sets a password shares.

use std::sync::Arc;

use crate::audit::Entry;
use crate::authz::orgs::store as orgs;
use crate::crypto::password::{Admission, Verification};
use crate::devices::Presented;
use crate::error::{Error, ErrorKind, FieldCode, Result};
use crate::events::Action;
use crate::flows::attempt::{Factor, Reservation, Target};
use crate::flows::doors::Door;
use crate::flows::{Authenticated, Ctx};
use crate::ids::{SessionId, UserId};
use crate::meta::RequestMeta;
use crate::passwords::breach::BreachCheck;
use crate::passwords::policy::{self, normalise};
use crate::passwords::store as passwords;
use crate::secret::SecretString;
use crate::sessions::SessionRecord;
use crate::users::Email;

/// The old password and the new one, as typed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PasswordChange {
    /// The present password.
    pub current_password: SecretString,
    /// The one to be.
    pub new_password: SecretString,
}

impl PasswordChange {
    /// The old password and the new one.
    pub fn new(current: impl Into<SecretString>, new: impl Into<SecretString>) -> Self {
        Self { current_password: current.into(), new_password: new.into() }
    }
}

impl Ctx {
    pub(crate) async fn change_password(
        self: &Arc<Self>,
        auth: &Authenticated,
        input: PasswordChange,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.limit(Door::Other, meta).await?;
        let (current, session) = self.require_current_session(auth).await?;
        let user = auth.user_id();
        let factors = self.factors_of(user).await?;
        if factors.any() {
            // The present password counts for itself only while there is nothing stronger (contract 4.14).
            self.require_fresh_with(auth, factors)?;
        }
        let email = &current.user.email;
        let new =
            self.check_new_password(&input.new_password, email, "/new_password", Some(user), meta).await?;
        let (target, stored) = self.own_password(email, &session, meta).await?;
        let admission = self.hasher.admit().await?;
        let (ctx, epoch, meta) = (Arc::clone(self), current.version.epoch, meta.clone());
        self.detached(async move {
            let password = normalise(&input.current_password);
            let of = (Action::PasswordChange, session.id);
            let proved = ctx.prove_own(&admission, target, &password, stored, of, &meta).await?;
            let hash = ctx.hasher.hash_admitted(&admission, &new).await;
            let hash = ctx.unsettled(&proved, hash, &meta).await?;
            let out = ctx.put_password(user, epoch, session.id, hash, &proved, &meta).await;
            ctx.unsettled(&proved, out, &meta).await
        })
        .await
    }

    /// The new password, and the end of all other sessions. It is no full sign-in: what failed before still counts.
    async fn put_password(
        self: &Arc<Self>,
        user: UserId,
        epoch: i64,
        session: SessionId,
        hash: String,
        proved: &Reservation,
        meta: &RequestMeta,
    ) -> Result<()> {
        let job = Arc::new((hash, proved.clone(), meta.clone()));
        self.decide(meta, Action::PasswordChange, Some(user), move |ctx, tx| {
            let job = Arc::clone(&job);
            Box::pin(async move {
                let (hash, proved, meta) = &*job;
                let Some((_, ended)) = ctx.change_credentials(tx, user, Some(epoch), Some(session)).await?
                else {
                    return Ok(Err(ErrorKind::Unauthenticated.into()));
                };
                passwords::set(tx.conn(), user, hash, ctx.now()).await?;
                ctx.give_back_in(tx, proved).await?;
                let entry = Entry::success(Action::PasswordChange, user)
                    .session(session)
                    .detail("sessions_ended", ended);
                ctx.audit.grant(tx, meta, entry).await?;
                Ok(Ok(()))
            })
        })
        .await
    }

    /// What is needed to judge the password of somebody who is signed in: unless it is locked, the stored hash. The
    /// device that began his session counts for him, so that strangers who guess his password cannot lock him out.
    pub(crate) async fn own_password(
        self: &Arc<Self>,
        email: &str,
        session: &SessionRecord,
        meta: &RequestMeta,
    ) -> Result<(Target, Option<String>)> {
        let email = Email::parse(email, "/email").map_err(|_| Error::internal("a stored e-mail is none"))?;
        let device = session.device.map(Presented::of_session);
        let user = session.user_id;
        let target = self.target(Factor::Password, &email, device, meta)?.of(Some(user));
        self.unless_locked(target, meta, move |conn| {
            Box::pin(async move { passwords::of_user(conn, user).await })
        })
        .await
    }

    /// Judges the password of somebody who is signed in. A wrong one counts (ASVS 6.2.3); the right one is still to be
    /// settled.
    pub(crate) async fn prove_own(
        self: &Arc<Self>,
        admission: &Admission,
        target: Target,
        password: &SecretString,
        stored: Option<String>,
        (action, session): (Action, SessionId),
        meta: &RequestMeta,
    ) -> Result<Reservation> {
        let user = target.user();
        let reservation = self.reserve(target, meta).await?;
        let out = self.hasher.verify_admitted(admission, password, stored).await;
        if self.unsettled(&reservation, out, meta).await? == Verification::Mismatch {
            let entry = Entry::failure(action, user, "wrong_password").own().session(session);
            self.fail(&reservation, entry, meta).await?;
            return Err(ErrorKind::InvalidCredentials.into());
        }
        Ok(reservation)
    }

    /// Policy and breach check of a new password for an account. Gives it back in the form that is hashed.
    pub(crate) async fn check_new_password(
        &self,
        password: &SecretString,
        email: &str,
        pointer: &str,
        user: Option<UserId>,
        meta: &RequestMeta,
    ) -> Result<SecretString> {
        let email = Email::parse(email, "/email").ok();
        let names = match user {
            Some(user) => {
                let read =
                    self.db.read(move |conn| Box::pin(async move { orgs::names_of_user(conn, user).await }));
                read.await?
            }
            None => Vec::new(),
        };
        let words: Vec<&str> = names.iter().map(String::as_str).collect();
        let context = policy::Context { email_local: email.as_ref().map(Email::local_part), words: &words };
        let password =
            policy::check(&self.config.passwords, password, &context, pointer).map_err(Error::validation)?;
        self.check_breach(password, pointer, user, meta).await
    }

    /// Refuses a password known from breaches. When that cannot be asked, the local list must do; that is audited.
    pub(crate) async fn check_breach(
        &self,
        password: SecretString,
        pointer: &str,
        user: Option<UserId>,
        meta: &RequestMeta,
    ) -> Result<SecretString> {
        let Some(lookup) = &self.breach else { return Ok(password) };
        match crate::passwords::breach::check(&**lookup, &password).await {
            BreachCheck::NotFound => Ok(password),
            BreachCheck::Found => Err(Error::field(
                pointer,
                FieldCode::Breached,
                "This password is in a collection of leaked ones. Choose another.",
            )),
            BreachCheck::Unknown => {
                let (audit, meta) = (self.audit.clone(), meta.clone());
                self.db
                    .write(move |tx| {
                        let (audit, meta) = (audit.clone(), meta.clone());
                        Box::pin(async move {
                            let entry = Entry::failure(Action::BreachUnknown, user, "lookup_failed");
                            audit.record(tx, &meta, entry).await.map(|_| ())
                        })
                    })
                    .await?;
                Ok(password)
            }
        }
    }
}
