//! Changing one's own password; the checks that every door which sets a password shares.

use std::sync::Arc;

use crate::audit::Entry;
use crate::crypto::password::Verification;
use crate::error::{Error, ErrorKind, FieldCode, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::{Authenticated, Ctx};
use crate::ids::UserId;
use crate::meta::RequestMeta;
use crate::passwords::breach::BreachCheck;
use crate::passwords::policy::{self, normalise};
use crate::passwords::store as passwords;
use crate::secret::SecretString;
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
        let current = self.require_current(auth).await?;
        let (user, session) = (auth.user_id(), auth.session_id());
        let email = &current.user.email;
        let new =
            self.check_new_password(&input.new_password, email, "/new_password", Some(user), meta).await?;
        let stored =
            self.db.read(move |conn| Box::pin(async move { passwords::of_user(conn, user).await })).await?;
        let verification = self.hasher.verify(&normalise(&input.current_password), stored).await?;
        if verification == Verification::Mismatch {
            let entry =
                Entry::failure(Action::PasswordChange, Some(user), "wrong_password").own().session(session);
            return self.refuse(meta, entry, ErrorKind::InvalidCredentials.into()).await;
        }
        let hash = self.hasher.hash(&new).await?;
        let meta_in = meta.clone();
        let epoch = current.version.epoch;
        self.decide(meta, Action::PasswordChange, Some(user), move |ctx, tx| {
            let (meta, hash) = (meta_in.clone(), hash.clone());
            Box::pin(async move {
                let Some((_, ended)) = ctx.change_credentials(tx, user, Some(epoch), Some(session)).await?
                else {
                    return Ok(Err(ErrorKind::Unauthenticated.into()));
                };
                passwords::set(tx.conn(), user, &hash, ctx.now()).await?;
                let entry = Entry::success(Action::PasswordChange, user)
                    .session(session)
                    .detail("sessions_ended", ended);
                ctx.audit.grant(tx, &meta, entry).await?;
                Ok(Ok(()))
            })
        })
        .await
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
        let context = policy::Context { email_local: email.as_ref().map(Email::local_part), words: &[] };
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
