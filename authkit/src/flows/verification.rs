//! Proving the address of one's account.

use std::sync::Arc;

use crate::audit::Entry;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::{Ctx, Ruling};
use crate::links::{LinkProof, LinkPurpose};
use crate::meta::RequestMeta;
use crate::users::{Email, UserStatus, store as users};

impl Ctx {
    /// Proves an address by its mailed link, and does nothing else: no sign-in, no password set (contract 4.6).
    pub(crate) async fn verify_email(self: &Arc<Self>, proof: LinkProof, meta: &RequestMeta) -> Result<()> {
        self.limit(Door::Link, meta).await?;
        let link = self.open_link(LinkPurpose::VerifyEmail, &proof, meta).await?;
        let (user, meta_in) = (link.user, meta.clone());
        self.decide(meta, Action::EmailVerify, Some(user), move |ctx, tx| {
            let (meta, link) = (meta_in.clone(), link.clone());
            Box::pin(async move {
                if let Err(refusal) = ctx.redeem(tx, &meta, &link).await? {
                    return Ok(Err(refusal));
                }
                // An operator may have been faster: then there is nothing to tell.
                if users::verify_email(tx.conn(), user, ctx.now()).await?.is_some() {
                    ctx.audit.grant(tx, &meta, Entry::success(Action::EmailVerify, user)).await?;
                }
                Ok(Ok(()))
            })
        })
        .await
    }

    /// Mails another link to an account that waits for one. The answer is the same for every address.
    pub(crate) async fn resend_verification(self: &Arc<Self>, email: &str, meta: &RequestMeta) -> Result<()> {
        self.outbox.require()?;
        let email = Email::parse(email, "/email").map_err(|fault| Error::validation(vec![fault]))?;
        self.limit(Door::Resend { email: &email }, meta).await?;
        let meta_in = meta.clone();
        self.decide(meta, Action::EmailVerifyRequest, None, move |ctx, tx| {
            let (meta, email) = (meta_in.clone(), email.clone());
            Box::pin(async move { ctx.resend_in(tx, &email, &meta).await })
        })
        .await
    }

    async fn resend_in(&self, tx: &mut Tx<'_>, email: &Email, meta: &RequestMeta) -> Result<Ruling<()>> {
        let action = Action::EmailVerifyRequest;
        let found = users::by_email(tx.conn(), email).await?;
        let why = match &found {
            None => "unknown",
            Some(record) if record.user.status != UserStatus::Active => record.user.status.name(),
            Some(record) if record.user.email_verified => "verified",
            Some(_) if !self.verifies() => "off",
            Some(record) => {
                let user = &record.user;
                self.send_link(tx, LinkPurpose::VerifyEmail, user, record.version.epoch).await?;
                self.audit.grant(tx, meta, Entry::success(action, user.id).unproved()).await?;
                return Ok(Ok(()));
            }
        };
        self.send_nothing(tx, LinkPurpose::VerifyEmail, email).await?;
        self.nothing_sent(tx, meta, action, email, found.as_ref().map(|record| record.user.id), why).await?;
        Ok(Ok(()))
    }

    /// Audits that a mail was asked for and none was sent.
    pub(crate) async fn nothing_sent(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        action: Action,
        email: &Email,
        user: Option<crate::ids::UserId>,
        why: &str,
    ) -> Result<()> {
        let mut entry = Entry::failure(action, user, why);
        if user.is_none() {
            entry = entry.detail("email_hash", self.email_fingerprint(email)?);
        }
        self.audit.record(tx, meta, entry).await.map(|_| ())
    }
}
