//! Passkeys: one's own, and sign-in by one.

use std::sync::Arc;

use super::{AuthKit, count};
use crate::error::{Error, Result};
use crate::flows::{Authenticated, Ctx, Enrolling, Login, PasskeyFor, PasskeyOptions, PasskeyProof};
use crate::ids::{PasskeyId, UserId};
use crate::meta::RequestMeta;
use crate::passkeys::Passkey;
use crate::secret::SecretString;

impl AuthKit {
    /// Passkeys (WebAuthn level 3). See [`crate::manual::passkeys`].
    pub fn passkeys(&self) -> Passkeys<'_> {
        Passkeys { ctx: &self.ctx }
    }
}

/// Passkeys: keys of browsers, phones and security keys that sign in without a password, or as a second factor. Made by
/// [`AuthKit::passkeys`].
///
/// Everything that needs a check is [`crate::ErrorKind::Unavailable`] in a build without the feature `webauthn`, and
/// where `PUBLIC_URL` has an IP address and `WEBAUTHN_RP_ID` is not set.
#[derive(Debug, Clone, Copy)]
pub struct Passkeys<'k> {
    ctx: &'k Arc<Ctx>,
}

impl Passkeys<'_> {
    /// The options by which the caller's browser makes a passkey, for `navigator.credentials.create`. It is to be called
    /// `name`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::StepUpRequired`] unless the caller proved himself within 5 minutes, with a second factor where
    /// he has one; [`crate::ErrorKind::Conflict`] when he has 10 passkeys; [`crate::ErrorKind::Validation`] for a bad name.
    pub async fn begin_registration(
        &self,
        caller: impl Into<Enrolling>,
        name: Option<&str>,
        meta: &RequestMeta,
    ) -> Result<PasskeyOptions> {
        self.ctx.begin_passkey(&caller.into(), name, meta).await
    }

    /// Judges what the browser made, and keeps it. From now on it signs the caller in, and is asked for as a second factor
    /// where he gives his password. All his other sessions end; his own goes on by refresh.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidRequest`] for whatever is wrong with it: one answer, the audit tells. Its challenge is
    /// used up then. Else as [`Self::begin_registration`].
    pub async fn finish_registration(
        &self,
        caller: impl Into<Enrolling>,
        proof: PasskeyProof,
        meta: &RequestMeta,
    ) -> Result<Passkey> {
        self.ctx.add_passkey(&caller.into(), proof, meta).await
    }

    /// The options by which a browser uses a passkey, for `navigator.credentials.get`. Its answer is taken where the
    /// purpose says, once, within 5 minutes, and nowhere else.
    ///
    /// # Errors
    /// [`crate::ErrorKind::MfaInvalid`] when the sign-in of an `mfa_token` is over; [`crate::ErrorKind::Unauthenticated`]
    /// when the session of a step-up is; [`crate::ErrorKind::RateLimited`].
    pub async fn begin(&self, purpose: PasskeyFor<'_>, meta: &RequestMeta) -> Result<PasskeyOptions> {
        self.ctx.passkey_options(purpose, meta).await
    }

    /// Signs in by a passkey and nothing else; that counts as two factors, since the passkey verified its user. `device` is
    /// [`crate::Tokens::device_token`] of an earlier sign-in, if there is one.
    ///
    /// No lock of the e-mail keeps a passkey out: what it signs cannot be guessed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidCredentials`] for whatever is wrong, an account that is disabled or deleted included: one
    /// answer, the audit tells. The challenge is used up then. [`crate::ErrorKind::EmailUnverified`] only after the right
    /// passkey; [`crate::ErrorKind::RateLimited`].
    pub async fn login(
        &self,
        proof: PasskeyProof,
        device: Option<SecretString>,
        meta: &RequestMeta,
    ) -> Result<Login> {
        let out = self.ctx.passkey_login(proof, device, meta).await;
        count("authkit_logins_total", out.as_ref().err().map(Error::kind));
        out
    }

    /// The caller's passkeys, oldest first.
    pub async fn own(&self, auth: &Authenticated) -> Result<Vec<Passkey>> {
        self.of(auth.signed_in()?.sub).await
    }

    /// A user's passkeys, oldest first.
    pub async fn of(&self, user: UserId) -> Result<Vec<Passkey>> {
        self.ctx.passkeys_of(user).await
    }

    /// Removes a passkey of the caller. All his other sessions end; his own goes on by refresh.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when he has none of that id; [`crate::ErrorKind::Conflict`] for the only way to sign
    /// in, and for the only second factor where the policy asks for one; [`crate::ErrorKind::StepUpRequired`].
    pub async fn remove(&self, auth: &Authenticated, id: PasskeyId, meta: &RequestMeta) -> Result<()> {
        self.ctx.remove_passkey(auth, id, meta).await
    }
}
