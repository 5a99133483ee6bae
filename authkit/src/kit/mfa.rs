//! Second factors.

use std::sync::Arc;

use super::AuthKit;
use crate::error::Result;
use crate::flows::{Ctx, DisableProof, Enrolling, SecondFactor, Tokens};
use crate::ids::FactorId;
use crate::meta::RequestMeta;
use crate::mfa::{BackupCodes, MfaStatus, TotpEnrolment};
use crate::secret::SecretString;

impl AuthKit {
    /// Completes a sign-in by its second factor.
    ///
    /// # Errors
    /// [`crate::ErrorKind::MfaInvalid`] for a wrong or used factor, and for a token that is unknown, used, or out of tries
    /// or time: one answer, the audit tells. [`crate::ErrorKind::Locked`] after ten wrong ones of the account in 15
    /// minutes, over all tokens and doors; [`crate::ErrorKind::RateLimited`].
    pub async fn complete_mfa(
        &self,
        mfa_token: &SecretString,
        factor: SecondFactor,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        let out = self.ctx.complete_mfa(mfa_token, factor, meta).await;
        super::count("authkit_second_factors_total", out.as_ref().err().map(crate::Error::kind));
        out
    }

    /// Setting up and removing second factors.
    pub fn mfa(&self) -> Mfa<'_> {
        Mfa { ctx: &self.ctx }
    }
}

/// Second factors of callers. Made by [`AuthKit::mfa`].
///
/// Whatever changes them ends all other sessions of the caller, and his pending sign-ins and links; his own session goes
/// on by a refresh.
#[derive(Debug, Clone, Copy)]
pub struct Mfa<'k> {
    ctx: &'k Arc<Ctx>,
}

impl Mfa<'_> {
    /// What the caller has.
    pub async fn status(&self, caller: impl Into<Enrolling>) -> Result<MfaStatus> {
        self.ctx.mfa_status(caller.into().caller().signed_in()?.sub).await
    }

    /// Begins to set up an authenticator app. Counts for nothing before [`Self::confirm_totp`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::StepUpRequired`] unless the caller proved himself within 5 minutes, with a second factor once
    /// he has one; [`crate::ErrorKind::Conflict`] at ten of them; [`crate::ErrorKind::Forbidden`] with `MFA_POLICY=off`;
    /// [`crate::ErrorKind::Unavailable`] without `MFA_ENCRYPTION_KEY`.
    pub async fn add_totp(
        &self,
        caller: impl Into<Enrolling>,
        name: Option<&str>,
        meta: &RequestMeta,
    ) -> Result<TotpEnrolment> {
        self.ctx.enrol_totp(caller.into().caller(), name, meta).await
    }

    /// Makes an authenticator app a second factor by one of its codes. Backup codes come with the first one.
    ///
    /// # Errors
    /// As [`Self::add_totp`]; [`crate::ErrorKind::MfaInvalid`] for a wrong code; [`crate::ErrorKind::NotFound`] when no
    /// such app is being set up.
    pub async fn confirm_totp(
        &self,
        caller: impl Into<Enrolling>,
        code: &SecretString,
        id: Option<FactorId>,
        meta: &RequestMeta,
    ) -> Result<BackupCodes> {
        self.ctx.confirm_totp(caller.into().caller(), code, id, meta).await
    }

    /// Makes a new set of backup codes, for a code of an authenticator app or a backup code. The old set is gone.
    ///
    /// # Errors
    /// [`crate::ErrorKind::MfaInvalid`], [`crate::ErrorKind::Locked`], [`crate::ErrorKind::RateLimited`] as for
    /// [`AuthKit::complete_mfa`].
    pub async fn regenerate_backup_codes(
        &self,
        caller: impl Into<Enrolling>,
        code: SecretString,
        meta: &RequestMeta,
    ) -> Result<BackupCodes> {
        self.ctx.regenerate_backup_codes(caller.into().caller(), code, meta).await
    }

    /// Removes authenticator apps and backup codes. Passkeys stay.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] where the policy asks for a second factor and no passkey is there;
    /// [`crate::ErrorKind::StepUpRequired`] for the password alone; a wrong proof as at its other doors.
    pub async fn disable(
        &self,
        caller: impl Into<Enrolling>,
        proof: DisableProof,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.ctx.disable_mfa(caller.into().caller(), proof, meta).await
    }
}
