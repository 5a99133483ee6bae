//! A new password for who lost the old one.

use std::sync::Arc;

use crate::audit::Entry;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::Ctx;
use crate::flows::Ruling;
use crate::flows::credential_change::ProvedBy;
use crate::flows::doors::Door;
use crate::flows::redeem::OpenLink;
use crate::links::{LinkProof, LinkPurpose};
use crate::meta::RequestMeta;
use crate::passwords::store as passwords;
use crate::secret::SecretString;
use crate::users::{Email, UserStatus, store as users};

impl Ctx {
    /// Mails a link that sets a new password. Answer, rows and time are the same for every address (R5); the mail goes
    /// to the address as stored, not as typed (R3). Works while the account is locked.
    pub(crate) async fn request_password_reset(
        self: &Arc<Self>,
        email: &str,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.outbox.require()?;
        let email = Email::parse(email, "/email").map_err(|fault| Error::validation(vec![fault]))?;
        self.limit(Door::Reset { email: &email }, meta).await?;
        let meta_in = meta.clone();
        self.decide(meta, Action::PasswordResetRequest, None, move |ctx, tx| {
            let (meta, email) = (meta_in.clone(), email.clone());
            Box::pin(async move { ctx.request_reset_in(tx, &email, &meta).await })
        })
        .await
    }

    async fn request_reset_in(
        &self,
        tx: &mut Tx<'_>,
        email: &Email,
        meta: &RequestMeta,
    ) -> Result<Ruling<()>> {
        let action = Action::PasswordResetRequest;
        let found = users::by_email(tx.conn(), email).await?;
        let why = match &found {
            None => "unknown",
            Some(record) if record.user.status != UserStatus::Active => record.user.status.name(),
            Some(record) => {
                let user = &record.user;
                self.send_link(tx, LinkPurpose::ResetPassword, user, record.version.epoch).await?;
                self.audit.grant(tx, meta, Entry::success(action, user.id).unproved()).await?;
                return Ok(Ok(()));
            }
        };
        self.send_nothing(tx, LinkPurpose::ResetPassword, email).await?;
        self.nothing_sent(tx, meta, action, email, found.as_ref().map(|record| record.user.id), why).await?;
        Ok(Ok(()))
    }

    /// Sets a new password by its mailed link. Ends all sessions and begins none: no factor is skipped. An address
    /// that nobody had proved is proved by it, see [`Ctx::prove_address`].
    pub(crate) async fn reset_password(
        self: &Arc<Self>,
        proof: LinkProof,
        new_password: &SecretString,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.limit(Door::Link, meta).await?;
        let link = self.open_link(LinkPurpose::ResetPassword, &proof, meta).await?;
        let user = link.user;
        let found = self.db.read(move |conn| Box::pin(async move { users::by_id(conn, user).await })).await?;
        let Some(record) = found else { return Err(ErrorKind::LinkInvalid.into()) };
        let email = &record.user.email;
        let new = self.check_new_password(new_password, email, "/new_password", Some(user), meta).await?;
        let hash = self.hasher.hash(&new).await?;
        let meta_in = meta.clone();
        self.decide(meta, Action::PasswordReset, Some(user), move |ctx, tx| {
            let (meta, link, hash) = (meta_in.clone(), link.clone(), hash.clone());
            Box::pin(async move { ctx.reset_password_in(tx, &link, &hash, &meta).await })
        })
        .await
    }

    async fn reset_password_in(
        &self,
        tx: &mut Tx<'_>,
        link: &OpenLink,
        hash: &str,
        meta: &RequestMeta,
    ) -> Result<Ruling<()>> {
        let record = match self.redeem(tx, meta, link).await? {
            Ok(record) => record,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let user = link.user;
        let ended = match self.prove_address(tx, meta, &record, ProvedBy::Reset).await? {
            Some(ended) => ended,
            None => match self.change_credentials(tx, user, Some(record.version.epoch), None).await? {
                Some((_, ended)) => ended,
                None => return Err(Error::internal("a held account changed its epoch")),
            },
        };
        passwords::set(tx.conn(), user, hash, self.now()).await?;
        // The failures were about a password that is gone, and the owner has just shown himself.
        self.clear_email_lock(tx, user, &record.user.email, meta).await?;
        let entry = Entry::success(Action::PasswordReset, user).detail("sessions_ended", ended);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(()))
    }
}
