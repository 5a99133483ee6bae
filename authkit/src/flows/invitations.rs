//! Inviting somebody: to the platform, to an organisation, to a thing. Bound to an address, a target, a role and whoever
//! asks; what he may is asked again when it is accepted.

use std::sync::Arc;

use crate::audit::Entry;
use crate::authz::members::store as members;
use crate::authz::orgs::store as orgs;
use crate::authz::store as roles;
use crate::authz::{MEMBERS_WRITE, Resource};
use crate::db::Tx;
use crate::error::{Error, ErrorKind, FieldCode, Result};
use crate::events::Action;
use crate::flows::authority::{Authority, By, hidden};
use crate::flows::doors::Door;
use crate::flows::mailed::{IssuedLink, stored};
use crate::flows::{Authenticated, Ctx, Ruling};
use crate::ids::InvitationId;
use crate::invitations::{Ended, Invitation, InvitationState, NewInvitation, store as invitations};
use crate::links::{EndReason as LinkEnd, store as links};
use crate::meta::RequestMeta;
use crate::users::{Email, store as users};

/// An invitation that was made or mailed again, and its link.
#[derive(Debug)]
pub(crate) struct Invited {
    pub(crate) invitation: Invitation,
    pub(crate) link: IssuedLink,
    /// Whether it is on its way by mail.
    pub(crate) mailed: bool,
}

impl Ctx {
    pub(crate) async fn invite(
        self: &Arc<Self>,
        auth: &Authenticated,
        new: NewInvitation,
        meta: &RequestMeta,
    ) -> Result<Invitation> {
        self.outbox.require()?;
        let email = Email::parse(&new.email, "/email").map_err(|fault| Error::validation(vec![fault]))?;
        self.limit(Door::Invite { user: auth.user_id(), email: &email }, meta).await?;
        self.require_current(auth).await?;
        let by = By::User(auth.user_id());
        let meta = super::authority::acting_meta(auth, meta);
        let meta_in = meta.clone();
        self.decide(&meta, Action::InvitationCreate, None, move |ctx, tx| {
            let (meta, new) = (meta_in.clone(), new.clone());
            Box::pin(async move { ctx.invite_in(tx, by, &new, &meta).await })
        })
        .await
        .map(|invited| invited.invitation)
    }

    pub(crate) async fn invite_in(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        new: &NewInvitation,
        meta: &RequestMeta,
    ) -> Result<Ruling<Invited>> {
        let email = match Email::parse(&new.email, "/email") {
            Ok(email) => email,
            Err(fault) => return Ok(Err(Error::validation(vec![fault]))),
        };
        let target = new.resource.clone().unwrap_or_else(Resource::platform);
        let authority = match self.inviting(tx, by, &target).await? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = self.may_invite_as(tx, &authority, &target, &new.role).await? {
            if refusal.kind() == ErrorKind::Forbidden {
                let entry = self.invitation_failure(&email, &target, &new.role, "forbidden")?;
                self.audit.record(tx, meta, entry).await?;
            }
            return Ok(Err(refusal));
        }
        if let Some(known) = users::by_email(tx.conn(), &email).await? {
            if by == By::User(known.user.id) {
                return Ok(Err(Error::new(ErrorKind::Forbidden, "nobody invites himself")));
            }
            if !target.is_platform() && members::of(tx.conn(), known.user.id, &target).await?.is_some() {
                let text = "the user has a role there already";
                return Ok(Err(
                    Error::new(ErrorKind::Conflict, text).with_public("The user is there already.")
                ));
            }
        }
        if let Err(refusal) = self.seat(tx, &target).await? {
            return Ok(Err(refusal));
        }
        let now = self.now();
        let invitation = Invitation {
            id: InvitationId::generate(now, &*self.random)?,
            email: email.address().to_owned(),
            resource: (!target.is_platform()).then(|| target.clone()),
            role: new.role.clone(),
            inviter_id: by.user(),
            created_at: now,
            sent_at: now,
            expires_at: now + self.config.authz.invite_ttl,
            state: InvitationState::Pending,
        };
        if !invitations::insert(tx.conn(), &invitation, &email).await? {
            let text = "an invitation of that address to the same place is pending";
            let public = "There is an invitation already. Send it again, or take it back first.";
            return Ok(Err(Error::new(ErrorKind::Conflict, text).with_public(public)));
        }
        let entry = self.invitation_entry(Action::InvitationCreate, &invitation, &email)?;
        self.audit.grant(tx, meta, entry).await?;
        self.send_invitation(tx, invitation, &email).await.map(Ok)
    }

    pub(crate) async fn resend_invitation(
        self: &Arc<Self>,
        auth: &Authenticated,
        id: InvitationId,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.outbox.require()?;
        let found = self.invitation_now(id).await?.ok_or_else(hidden)?;
        let email = stored(&found.email)?;
        self.limit(Door::Invite { user: auth.user_id(), email: &email }, meta).await?;
        self.require_current(auth).await?;
        let (by, meta) = (By::User(auth.user_id()), super::authority::acting_meta(auth, meta));
        let meta_in = meta.clone();
        self.decide(&meta, Action::InvitationResend, None, move |ctx, tx| {
            let meta = meta_in.clone();
            Box::pin(async move { ctx.resend_invitation_in(tx, by, id, &meta).await })
        })
        .await
        .map(|_| ())
    }

    /// Mails it once more, with another link and another end. One whose time is over comes back to life; one that is
    /// used or taken back does not.
    pub(crate) async fn resend_invitation_in(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        id: InvitationId,
        meta: &RequestMeta,
    ) -> Result<Ruling<Invited>> {
        let now = self.now();
        let Some(found) = invitations::by_id(tx.conn(), id, now).await? else { return Ok(Err(hidden())) };
        let target = found.target();
        let authority = match self.inviting(tx, by, &target).await? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = self.may_invite_as(tx, &authority, &target, &found.role).await? {
            return Ok(Err(refusal));
        }
        let end = now + self.config.authz.invite_ttl;
        if !invitations::sent(tx.conn(), id, now, end).await? {
            return Ok(Err(over()));
        }
        let email = stored(&found.email)?;
        let invitation =
            Invitation { sent_at: now, expires_at: end, state: InvitationState::Pending, ..found };
        let entry = self.invitation_entry(Action::InvitationResend, &invitation, &email)?;
        self.audit.grant(tx, meta, entry).await?;
        self.send_invitation(tx, invitation, &email).await.map(Ok)
    }

    pub(crate) async fn revoke_invitation(
        self: &Arc<Self>,
        auth: &Authenticated,
        id: InvitationId,
        meta: &RequestMeta,
    ) -> Result<()> {
        let (by, meta) = self.acting(auth, meta).await?;
        let meta_in = meta.clone();
        self.decide(&meta, Action::InvitationRevoke, None, move |ctx, tx| {
            let meta = meta_in.clone();
            Box::pin(async move { ctx.revoke_invitation_in(tx, by, id, &meta).await })
        })
        .await
        .map(|_| ())
    }

    /// Takes it back: whoever made it may, and whoever may invite there.
    pub(crate) async fn revoke_invitation_in(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        id: InvitationId,
        meta: &RequestMeta,
    ) -> Result<Ruling<Invitation>> {
        let now = self.now();
        let Some(found) = invitations::by_id(tx.conn(), id, now).await? else { return Ok(Err(hidden())) };
        let own = by.user().is_some() && by.user() == found.inviter_id;
        if !own && let Err(refusal) = self.inviting(tx, by, &found.target()).await? {
            return Ok(Err(refusal));
        }
        if !invitations::end(tx.conn(), id, Ended::Revoked, now).await? {
            return Ok(Err(over()));
        }
        links::end_of_invitation(tx.conn(), id, LinkEnd::Revoked, now).await?;
        let entry = self.invitation_entry(Action::InvitationRevoke, &found, &stored(&found.email)?)?;
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(Invitation { state: InvitationState::Revoked, ..found }))
    }

    pub(crate) async fn invitation_now(&self, id: InvitationId) -> Result<Option<Invitation>> {
        let now = self.now();
        self.db.read(move |conn| Box::pin(async move { invitations::by_id(conn, id, now).await })).await
    }

    /// Takes the target's row, and asks whether somebody may invite there at all.
    async fn inviting(&self, tx: &mut Tx<'_>, by: By, target: &Resource) -> Result<Ruling<Authority>> {
        // The platform's row is everybody's: nothing is guarded by it.
        let authority = if target.is_platform() {
            self.authority(tx.conn(), by, target).await?
        } else {
            match self.take_resource(tx, by, target).await? {
                Ok(authority) => authority,
                Err(refusal) => return Ok(Err(refusal)),
            }
        };
        if target.is_platform() {
            let may = authority.may_give_platform(&[]);
            let refusal = || Error::new(ErrorKind::Forbidden, "the caller may invite nobody to the platform");
            return Ok(if may { Ok(authority) } else { Err(refusal()) });
        }
        Ok(authority.require(MEMBERS_WRITE).map(|()| authority))
    }

    /// Whether somebody may give that role by an invitation: it is there, and not above his own.
    pub(crate) async fn may_invite_as(
        &self,
        tx: &mut Tx<'_>,
        authority: &Authority,
        target: &Resource,
        role: &str,
    ) -> Result<Ruling<()>> {
        let above = || authority.refusal("a role above one's own");
        if target.is_platform() {
            let Some(found) = roles::by_name(tx.conn(), role).await? else {
                return Ok(Err(Error::field("/role", FieldCode::Unknown, "is no role of accounts")));
            };
            let may = authority.may_give_platform(&found.permissions);
            let refusal = Error::new(ErrorKind::Forbidden, "a role above one's own");
            return Ok(if may { Ok(()) } else { Err(refusal) });
        }
        Ok(self
            .declared(target, role)
            .and_then(|wanted| if authority.may_give(wanted) { Ok(()) } else { Err(above()) }))
    }

    /// Makes the link and mails it; without a mailer the link alone.
    async fn send_invitation(
        &self,
        tx: &mut Tx<'_>,
        invitation: Invitation,
        email: &Email,
    ) -> Result<Invited> {
        let link = self.issue_invitation(tx, invitation.id, email).await?;
        let mailed = self.outbox.is_on();
        if mailed {
            let org = match invitation.resource.as_ref().and_then(Resource::as_org) {
                Some(id) => orgs::by_id(tx.conn(), id).await?,
                None => None,
            };
            let name = org.as_ref().map(|org| org.name.as_str());
            self.mail_invitation(tx, &invitation.email, (&invitation.role, name), &link).await?;
        }
        Ok(Invited { invitation, link, mailed })
    }

    /// The address stands in the audit as a keyed hash: its owner may never come.
    pub(crate) fn invitation_entry(
        &self,
        action: Action,
        invitation: &Invitation,
        email: &Email,
    ) -> Result<Entry> {
        Ok(Entry::system(action)
            .detail("invitation", invitation.id.to_string())
            .detail("email_hash", self.email_fingerprint(email)?)
            .detail("resource", invitation.target().to_string())
            .detail("role", invitation.role.clone()))
    }

    fn invitation_failure(&self, email: &Email, target: &Resource, role: &str, why: &str) -> Result<Entry> {
        Ok(Entry::failure(Action::InvitationCreate, None, why)
            .detail("email_hash", self.email_fingerprint(email)?)
            .detail("resource", target.to_string())
            .detail("role", role))
    }
}

fn over() -> Error {
    let public = "The invitation is over already.";
    Error::new(ErrorKind::Conflict, "the invitation is over already").with_public(public)
}
