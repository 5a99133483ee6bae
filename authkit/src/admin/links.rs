//! Links that an operator sends, or reads out where no mail can be sent.

use serde::Serialize;

use super::accounts::not_found;
use super::{Admin, Changed};
use crate::audit::Entry;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::mailed::{For, stored};
use crate::flows::{Ctx, Ruling};
use crate::ids::UserId;
use crate::links::{LinkPurpose, store as links};
use crate::meta::RequestMeta;
use crate::secret::SecretString;
use crate::time::Timestamp;
use crate::users::UserStatus;

/// Rows in one go, so that nobody waits long for the writer.
const SWEPT: i64 = 1000;

/// A link that an operator had made.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SentLink {
    /// Whose it is.
    pub user_id: UserId,
    /// What it does.
    pub purpose: LinkPurpose,
    /// The address that it went to, or would have gone to.
    pub email: String,
    /// Whether it is on its way by mail.
    pub mailed: bool,
    /// From when on it does nothing; `None` when none was made.
    pub expires_at: Option<Timestamp>,
    /// The link itself, only where no mail can be sent. Whoever has it can use it.
    #[serde(skip)]
    pub link: Option<SecretString>,
}

impl Admin {
    /// Mails the user a link that sets a new password; without a mailer the link comes back instead. A link that was
    /// sent before is dead.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] for an account that is disabled or deleted.
    pub async fn send_reset(&self, user: UserId) -> Result<Changed<SentLink>> {
        self.run(Action::PasswordResetRequest, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.send_by_operator(tx, user, LinkPurpose::ResetPassword, meta).await })
        })
        .await
    }

    /// Mails the user a link that proves his address; without a mailer the link comes back instead. Nothing to do for
    /// an address that is proved.
    ///
    /// # Errors
    /// As [`Self::send_reset`].
    pub async fn send_verify(&self, user: UserId) -> Result<Changed<SentLink>> {
        self.run(Action::EmailVerifyRequest, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.send_by_operator(tx, user, LinkPurpose::VerifyEmail, meta).await })
        })
        .await
    }

    /// Removes links whose time is over, at most 1000 at a time. Nothing depends on it: an expired link is refused
    /// whether it is there or not (R6). Returns how many went.
    pub async fn sweep_links(&self) -> Result<u64> {
        let now = self.ctx.now();
        if self.dry_run {
            let sweep = self.ctx.db.rehearse(move |tx| Box::pin(links::sweep(tx.conn(), now, SWEPT)));
            return sweep.await;
        }
        self.ctx.db.write(move |tx| Box::pin(links::sweep(tx.conn(), now, SWEPT))).await
    }
}

impl Ctx {
    pub(super) async fn send_by_operator(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        purpose: LinkPurpose,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<SentLink>>> {
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(not_found())) };
        let (account, epoch) = (record.user, record.version.epoch);
        if account.status != UserStatus::Active {
            let text = format!("the account is {}", account.status.name());
            return Ok(Err(Error::new(ErrorKind::Conflict, text.clone()).with_public(text)));
        }
        let mut sent = SentLink {
            user_id: user,
            purpose,
            email: account.email.clone(),
            mailed: false,
            expires_at: None,
            link: None,
        };
        if purpose == LinkPurpose::VerifyEmail && account.email_verified {
            return Ok(Ok(Changed::new(false, sent)));
        }
        sent.mailed = self.outbox.is_on();
        let link = if sent.mailed {
            self.send_link(tx, purpose, &account, epoch).await?
        } else {
            let address = stored(&account.email)?;
            let whose = For { user, epoch, address: &address, session: None };
            let link = self.issue_link(tx, purpose, whose).await?;
            sent.link = Some(self.link_url(&link));
            link
        };
        sent.expires_at = Some(link.expires_at);
        let action = match purpose {
            LinkPurpose::VerifyEmail => Action::EmailVerifyRequest,
            _ => Action::PasswordResetRequest,
        };
        let entry = Entry::success(action, user).detail("mailed", sent.mailed);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(Changed::new(true, sent)))
    }
}
