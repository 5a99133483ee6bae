//! Another address for one's account: asked for inside, confirmed at the new address, told to the old one, which can
//! undo it for a week.

use std::sync::Arc;

use crate::audit::Entry;
use crate::db::{Tx, is_constraint};
use crate::error::{Error, ErrorKind, FieldCode, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::mailed::{For, stored};
use crate::flows::redeem::OpenLink;
use crate::flows::{Authenticated, Ctx, Ruling};
use crate::ids::{SessionId, UserId};
use crate::links::{EndReason, LinkProof, LinkPurpose, store as links};
use crate::meta::RequestMeta;
use crate::passkeys::store as passkeys;
use crate::passwords::store as passwords;
use crate::users::{Email, UserStatus, store as users};

impl Ctx {
    /// Mails a link to the new address. Nothing changes before it is used. The answer is the same when the address
    /// belongs to somebody else (R5): then no mail goes out.
    pub(crate) async fn request_email_change(
        self: &Arc<Self>,
        auth: &Authenticated,
        new_email: &str,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.outbox.require()?;
        let new = Email::parse(new_email, "/new_email").map_err(|fault| Error::validation(vec![fault]))?;
        let (record, session) = self.require_current_session(auth).await?;
        self.require_fresh(auth).await?;
        self.limit(Door::ChangeEmail { user: auth.user_id(), email: &new }, meta).await?;
        let (user, session, meta_in) = (record.user.id, session.id, meta.clone());
        self.decide(meta, Action::EmailChangeRequest, Some(user), move |ctx, tx| {
            let (new, meta) = (new.clone(), meta_in.clone());
            Box::pin(async move { ctx.request_email_change_in(tx, user, session, &new, &meta).await })
        })
        .await
    }

    async fn request_email_change_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        session: SessionId,
        new: &Email,
        meta: &RequestMeta,
    ) -> Result<Ruling<()>> {
        let record = match self.take(tx, user).await? {
            Some(record) if record.user.status == UserStatus::Active => record,
            _ => return Ok(Err(ErrorKind::Unauthenticated.into())),
        };
        if new.address() == record.user.email {
            let message = "is the address of this account already";
            return Ok(Err(Error::field("/new_email", FieldCode::Format, message)));
        }
        let free = self.is_free(tx, new, user).await?;
        // Made in both cases: else a former link of this kind that goes on living would tell that the address is
        // taken.
        let epoch = record.version.epoch;
        let whose = For { user, epoch, address: new, session: Some(session) };
        let link = self.issue_link(tx, LinkPurpose::ChangeEmail, whose).await?;
        if free {
            self.mail_link(tx, &record.user, new.address(), &link).await?;
        } else {
            self.outbox.enqueue_nothing(tx).await?;
        }
        let entry = Entry::success(Action::EmailChangeRequest, user).session(session).detail("mailed", free);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(()))
    }

    /// Whether no other account has the address or waits to get it back.
    async fn is_free(&self, tx: &mut Tx<'_>, email: &Email, user: UserId) -> Result<bool> {
        let other = users::by_email(tx.conn(), email).await?.is_some_and(|other| other.user.id != user);
        let reserved = self.is_reserved(tx, email, Some(user)).await?;
        Ok(!other && !reserved)
    }

    /// Makes the new address the account's, by the link that was mailed there. Ends all sessions but the one that asked
    /// for the change.
    pub(crate) async fn confirm_email_change(
        self: &Arc<Self>,
        proof: LinkProof,
        meta: &RequestMeta,
    ) -> Result<()> {
        // The notice to the old address is part of the change.
        self.outbox.require()?;
        self.limit(Door::Link, meta).await?;
        let link = self.open_link(LinkPurpose::ChangeEmail, &proof, meta).await?;
        let (user, meta_in) = (link.user, meta.clone());
        self.decide(meta, Action::EmailChange, Some(user), move |ctx, tx| {
            let (meta, link) = (meta_in.clone(), link.clone());
            Box::pin(async move { ctx.confirm_email_change_in(tx, &link, &meta).await })
        })
        .await
    }

    async fn confirm_email_change_in(
        &self,
        tx: &mut Tx<'_>,
        link: &OpenLink,
        meta: &RequestMeta,
    ) -> Result<Ruling<()>> {
        let record = match self.hold_account(tx, meta, link).await? {
            Ok(record) => record,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let user = link.user;
        let new = address_of(link)?;
        if !self.is_free(tx, &new, user).await? {
            return self.refuse_link(tx, meta, link, "address_taken").await;
        }
        if let Err(refusal) = self.use_link(tx, meta, link, &record).await? {
            return Ok(Err(refusal));
        }
        self.give_address(tx, user, &new).await?;
        let from = Some(record.version.epoch);
        let changed = self.change_credentials_sparing(tx, user, from, link.record.session).await?;
        let changed = changed.ok_or_else(|| Error::internal("a held account changed its epoch"))?;
        let old = stored(&record.user.email)?;
        let whose = For { user, epoch: changed.version.epoch, address: &old, session: None };
        let undo = self.issue_link(tx, LinkPurpose::UndoEmail, whose).await?;
        self.mail_link(tx, &record.user, old.address(), &undo).await?;
        let entry = Entry::success(Action::EmailChange, user).detail("sessions_ended", changed.sessions);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(()))
    }

    /// A race for the address is lost with one answer, and the link is not used up.
    async fn give_address(&self, tx: &mut Tx<'_>, user: UserId, email: &Email) -> Result<()> {
        match users::set_email(tx.conn(), user, email, true, self.now()).await {
            Err(error) if is_constraint(&error) => Err(ErrorKind::LinkInvalid.into()),
            out => out.map(|_| ()),
        }
    }

    /// Gives the account back to its former address, by the link in the notice. Whoever changed it may have set
    /// everything else too, so password, passkeys, sessions and links are gone, and a link that sets a new password goes
    /// to the address that was given back. Notices of changes before this one still work: else whoever took an account over
    /// could end the first one by a second change.
    pub(crate) async fn undo_email_change(
        self: &Arc<Self>,
        proof: LinkProof,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.outbox.require()?;
        self.limit(Door::Link, meta).await?;
        let link = self.open_link(LinkPurpose::UndoEmail, &proof, meta).await?;
        let (user, meta_in) = (link.user, meta.clone());
        self.decide(meta, Action::EmailUndo, Some(user), move |ctx, tx| {
            let (meta, link) = (meta_in.clone(), link.clone());
            Box::pin(async move { ctx.undo_email_change_in(tx, &link, &meta).await })
        })
        .await
    }

    async fn undo_email_change_in(
        &self,
        tx: &mut Tx<'_>,
        link: &OpenLink,
        meta: &RequestMeta,
    ) -> Result<Ruling<()>> {
        let record = match self.hold_account(tx, meta, link).await? {
            Ok(record) => record,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (user, now) = (link.user, self.now());
        let old = address_of(link)?;
        let other = users::by_email(tx.conn(), &old).await?;
        if other.is_some_and(|other| other.user.id != user) {
            return self.refuse_link(tx, meta, link, "address_taken").await;
        }
        if let Err(refusal) = self.use_link(tx, meta, link, &record).await? {
            return Ok(Err(refusal));
        }
        self.give_address(tx, user, &old).await?;
        passwords::remove(tx.conn(), user).await?;
        passkeys::remove_of_user(tx.conn(), user).await?;
        let changed = self.change_credentials(tx, user, Some(record.version.epoch), None).await?;
        let (version, ended) = changed.ok_or_else(|| Error::internal("a held account changed its epoch"))?;
        let since = link.record.created_at;
        links::end_undo_since(tx.conn(), user, since, EndReason::CredentialChange, now).await?;
        let mut owner = record.user;
        old.address().clone_into(&mut owner.email);
        self.send_link(tx, LinkPurpose::ResetPassword, &owner, version.epoch).await?;
        let entry = Entry::success(Action::EmailUndo, user).detail("sessions_ended", ended);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(()))
    }
}

/// The address that a link of a change is about.
fn address_of(link: &OpenLink) -> Result<Email> {
    let address = link.record.address.as_deref();
    stored(address.ok_or_else(|| Error::internal("a link of a change without an address"))?)
}
