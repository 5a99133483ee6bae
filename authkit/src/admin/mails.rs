//! Mails: look at the outbox, try again, drop, send a test.

use super::{Admin, Changed};
use crate::audit::Entry;
use crate::crypto::keys::KeyPurpose;
use crate::db::page::Cursors;
use crate::db::{Listing, Page, Tx};
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::MailId;
use crate::mail::{MailFilter, MailState, QueuedMail, RenderedMail, Template, queue};
use crate::meta::RequestMeta;
use crate::users::Email;

/// What to do with a mail that waits.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Now,
    Never,
}

impl Admin {
    /// The outbox, newest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn mails(&self, filter: &MailFilter, page: &Page) -> Result<Listing<QueuedMail>> {
        let (key, _) = self.ctx.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, format!("mails:{filter:?}"));
        let (before, limit, filter) = (cursors.start(page)?, i64::from(page.limit) + 1, filter.clone());
        let rows = self
            .ctx
            .db
            .read(move |conn| Box::pin(async move { queue::list(conn, &filter, before, limit).await }))
            .await?;
        Ok(cursors.page(rows, page, |mail| mail.id.as_uuid()))
    }

    /// A mail of the outbox.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id.
    pub async fn mail(&self, id: MailId) -> Result<QueuedMail> {
        let found =
            self.ctx.db.read(move |conn| Box::pin(async move { queue::by_id(conn, id).await })).await?;
        found.ok_or_else(no_mail)
    }

    /// Makes a waiting mail due now.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] when it is being sent, or done with: then its content is wiped,
    /// and a new one must be asked for.
    pub async fn retry_mail(&self, id: MailId) -> Result<Changed<QueuedMail>> {
        self.run(Action::MailRetry, None, move |ctx, tx, meta| {
            Box::pin(async move { ctx.change_mail_in(tx, id, Wanted::Now, meta).await })
        })
        .await
    }

    /// Takes a waiting mail out of the outbox and wipes it. Of a mail that was dropped before nothing changes.
    ///
    /// # Errors
    /// As [`Self::retry_mail`].
    pub async fn drop_mail(&self, id: MailId) -> Result<Changed<QueuedMail>> {
        self.run(Action::MailDrop, None, move |ctx, tx, meta| {
            Box::pin(async move { ctx.change_mail_in(tx, id, Wanted::Never, meta).await })
        })
        .await
    }

    /// Sends a test to `address` now, past the outbox. Returns its `Message-ID`.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] for what is no address; [`ErrorKind::Unavailable`] without a mailer, and when the mail
    /// was not taken: its text says why.
    pub async fn send_test_mail(&self, address: &str, language: &str) -> Result<String> {
        let email = Email::parse(address, "/address").map_err(|fault| Error::validation(vec![fault]))?;
        if self.dry_run {
            self.ctx.outbox.require()?;
            return Ok(String::new());
        }
        self.ctx.courier.send_now(Template::Test, email.address(), language).await
    }

    /// A mail of that kind with invented facts, in the language nearest to the wanted one.
    pub fn preview_mail(&self, template: Template, language: &str) -> Result<RenderedMail> {
        self.ctx.courier.texts().preview(template, language)
    }
}

impl Ctx {
    async fn change_mail_in(
        &self,
        tx: &mut Tx<'_>,
        id: MailId,
        wanted: Wanted,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<QueuedMail>>> {
        let Some(before) = queue::by_id(tx.conn(), id).await? else { return Ok(Err(no_mail())) };
        if before.state == MailState::Dropped && matches!(wanted, Wanted::Never) {
            return Ok(Ok(Changed::new(false, before)));
        }
        let now = self.now();
        let (action, done) = match wanted {
            Wanted::Now => (Action::MailRetry, queue::due_now(tx, id, now).await?),
            Wanted::Never => (Action::MailDrop, queue::drop_mail(tx, id, now).await?),
        };
        if !done {
            let text = match before.state {
                MailState::Waiting => "the mail is being sent right now",
                _ => "the mail is done with, and its content is wiped",
            };
            return Ok(Err(Error::new(ErrorKind::Conflict, text)));
        }
        let mut entry =
            Entry::system(action).detail("mail", id.to_string()).detail("template", before.template);
        entry.user = before.user_id;
        self.audit.grant(tx, meta, entry).await?;
        self.outbox.wake_after(tx);
        let after = queue::by_id(tx.conn(), id).await?;
        Ok(Ok(Changed::new(true, after.ok_or_else(no_mail)?)))
    }
}

fn no_mail() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such mail").with_public("There is no such mail.")
}
