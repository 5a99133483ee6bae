//! What mailed links are for: proving an address, a new password, another address.

use super::AuthKit;
use crate::error::Result;
use crate::flows::Authenticated;
use crate::links::LinkProof;
use crate::meta::RequestMeta;
use crate::secret::SecretString;

impl AuthKit {
    /// Proves an address by its mailed link or code, and does nothing else: it begins no session.
    ///
    /// # Errors
    /// [`crate::ErrorKind::LinkInvalid`] for whatever is wrong with the link: one answer, the audit tells.
    pub async fn verify_email(&self, proof: LinkProof, meta: &RequestMeta) -> Result<()> {
        self.ctx.verify_email(proof, meta).await
    }

    /// Mails another link that proves an address, if an account waits for one. The answer is the same for all (R5).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Validation`] for what is no e-mail; [`crate::ErrorKind::Unavailable`] without a mailer, for
    /// everyone.
    pub async fn resend_verification(&self, email: &str, meta: &RequestMeta) -> Result<()> {
        self.ctx.resend_verification(email, meta).await
    }

    /// Mails a link that sets a new password, to the address as stored. Answer, rows and time are the same for an
    /// address without an account (R5).
    ///
    /// # Errors
    /// As [`Self::resend_verification`].
    pub async fn request_password_reset(&self, email: &str, meta: &RequestMeta) -> Result<()> {
        self.ctx.request_password_reset(email, meta).await
    }

    /// Sets a new password by a mailed link or code, and ends all sessions and links of the account. Begins no session
    /// and skips no factor. Where nobody had proved the address, whoever made the account loses it (contract 4.6).
    ///
    /// # Errors
    /// [`crate::ErrorKind::LinkInvalid`]; [`crate::ErrorKind::Validation`] for a password that the policy refuses, which
    /// does not use the link up.
    pub async fn reset_password(
        &self,
        proof: LinkProof,
        new_password: &SecretString,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.ctx.reset_password(proof, new_password, meta).await
    }

    /// Mails a link to a new address of the caller. Until it is used he signs in by the old one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::StepUpRequired`] when he signed in more than 5 minutes ago; else as
    /// [`Self::resend_verification`]. Whether the address belongs to somebody else is not told.
    pub async fn request_email_change(
        &self,
        auth: &Authenticated,
        new_email: &str,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.ctx.request_email_change(auth, new_email, meta).await
    }

    /// Makes a new address the account's by the link that was mailed there. All sessions end but the one that asked.
    /// The old address gets a link that undoes it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::LinkInvalid`]; [`crate::ErrorKind::Unavailable`] without a mailer, for everyone.
    pub async fn confirm_email_change(&self, proof: LinkProof, meta: &RequestMeta) -> Result<()> {
        self.ctx.confirm_email_change(proof, meta).await
    }

    /// Gives an account back to its former address: that is its address again, its password, sessions and links are
    /// gone, and a link that sets a new password is mailed there.
    ///
    /// # Errors
    /// As [`Self::confirm_email_change`].
    pub async fn undo_email_change(&self, proof: LinkProof, meta: &RequestMeta) -> Result<()> {
        self.ctx.undo_email_change(proof, meta).await
    }

    /// Ends the lock of an account's e-mail by the link in the news of it. Locks of addresses, devices and second
    /// factors stay.
    ///
    /// # Errors
    /// [`crate::ErrorKind::LinkInvalid`].
    pub async fn unlock(&self, proof: LinkProof, meta: &RequestMeta) -> Result<()> {
        self.ctx.unlock(proof, meta).await
    }
}
