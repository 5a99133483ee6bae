//! Organisations, roles on resources and invitations, as operators and hosts handle them.

use std::sync::Arc;

use serde::Serialize;

use super::{Admin, AdminIn, Changed};
use crate::authz::{
    Decision, Membership, NewOrganisation, Organisation, OrganisationChange, Resource,
    orgs::store as org_store,
};
use crate::db::{Listing, Page};
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::Ctx;
use crate::flows::authority::By;
use crate::flows::invitations::Invited;
use crate::flows::memberships::{Grant, WhichMembership};
use crate::ids::{InvitationId, MembershipId, OrgId, UserId};
use crate::invitations::store::Which;
use crate::invitations::{Invitation, NewInvitation};
use crate::secret::SecretString;

/// An invitation that an operator made or had mailed again.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SentInvitation {
    /// The invitation.
    #[serde(flatten)]
    pub invitation: Invitation,
    /// Whether it is on its way by mail.
    pub mailed: bool,
    /// The link itself, only where no mail can be sent. Whoever has it can use it.
    #[serde(skip)]
    pub link: Option<SecretString>,
}

/// An organisation that an operator made.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CreatedOrganisation {
    /// The organisation.
    #[serde(flatten)]
    pub organisation: Organisation,
    /// The invitation of its first owner, where that had no account.
    #[serde(skip)]
    pub invitation: Option<SentInvitation>,
}

impl Ctx {
    fn sent(&self, invited: Invited) -> SentInvitation {
        let link = (!invited.mailed).then(|| self.link_url(&invited.link));
        SentInvitation { invitation: invited.invitation, mailed: invited.mailed, link }
    }
}

impl Admin {
    /// Makes an organisation. [`NewOrganisation::admin_email`] is needed: an organisation has an owner.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] with all faults at once.
    pub async fn create_org(&self, new: NewOrganisation) -> Result<Changed<CreatedOrganisation>> {
        let new = Arc::new(new.checked()?);
        self.run(Action::OrgCreate, None, move |ctx, tx, meta| {
            let new = Arc::clone(&new);
            Box::pin(async move {
                let made = ctx.create_org_in(tx, By::Operator, &new, meta).await?;
                Ok(made.map(|(organisation, invited)| {
                    let invitation = invited.map(|invited| ctx.sent(invited));
                    Changed::new(true, CreatedOrganisation { organisation, invitation })
                }))
            })
        })
        .await
    }

    /// Changes an organisation.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Validation`].
    pub async fn update_org(&self, id: OrgId, change: OrganisationChange) -> Result<Changed<Organisation>> {
        let change = Arc::new(change.checked()?);
        self.run(Action::OrgUpdate, None, move |ctx, tx, meta| {
            let change = (*change).clone();
            Box::pin(async move {
                let done = ctx.update_org_in(tx, By::Operator, id, Ok(change), meta).await?;
                Ok(done.map(|(changed, org)| Changed::new(changed, org)))
            })
        })
        .await
    }

    /// Ends an organisation: all roles in it and on its resources, and all invitations to them. Accounts stay.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn delete_org(&self, id: OrgId) -> Result<Changed<Organisation>> {
        self.run(Action::OrgDelete, None, move |ctx, tx, meta| {
            Box::pin(async move {
                let done = ctx.delete_org_in(tx, By::Operator, id, meta).await?;
                Ok(done.map(|org| Changed::new(true, org)))
            })
        })
        .await
    }

    /// The organisation of that id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn org(&self, id: OrgId) -> Result<Organisation> {
        let found = self.ctx.db.read(move |conn| Box::pin(async move { org_store::by_id(conn, id).await }));
        found.await?.ok_or_else(|| no_org(id))
    }

    /// All organisations, oldest first, or those of a user.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn orgs(&self, user: Option<UserId>, page: &Page) -> Result<Listing<Organisation>> {
        match user {
            Some(user) => self.ctx.orgs_of(user, page).await,
            None => self.ctx.all_orgs(page).await,
        }
    }

    /// Gives a role on a resource or in an organisation, or another one to who has one there. A resource that is not
    /// known becomes known.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown account or organisation; [`ErrorKind::Conflict`] for the last owner, and
    /// when no seat is free; [`ErrorKind::Validation`] for a role that is not declared.
    pub async fn grant_membership(
        &self,
        user: UserId,
        resource: &Resource,
        role: &str,
    ) -> Result<Changed<Membership>> {
        let grant = Arc::new(Grant { user, resource: resource.clone(), role: role.to_owned(), exists: None });
        self.run(Action::MembershipGrant, Some(user), move |ctx, tx, meta| {
            let grant = Arc::clone(&grant);
            Box::pin(async move {
                let done = ctx.grant_membership_in(tx, By::Operator, &grant, meta).await?;
                Ok(done.map(|(changed, membership)| Changed::new(changed, membership)))
            })
        })
        .await
    }

    /// Takes a role.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] for the last owner.
    pub async fn revoke_membership(&self, id: MembershipId) -> Result<Changed<Membership>> {
        self.run(Action::MembershipRevoke, None, move |ctx, tx, meta| {
            Box::pin(async move {
                let which = WhichMembership::Id(id);
                let done = ctx.revoke_membership_in(tx, By::Operator, &which, meta).await?;
                Ok(done.map(|membership| Changed::new(true, membership)))
            })
        })
        .await
    }

    /// As [`Self::revoke_membership`], by user and resource.
    pub async fn remove_member(&self, user: UserId, resource: &Resource) -> Result<Changed<Membership>> {
        let which = Arc::new(WhichMembership::Of(user, resource.clone()));
        self.run(Action::MembershipRevoke, Some(user), move |ctx, tx, meta| {
            let which = Arc::clone(&which);
            Box::pin(async move {
                let done = ctx.revoke_membership_in(tx, By::Operator, &which, meta).await?;
                Ok(done.map(|membership| Changed::new(true, membership)))
            })
        })
        .await
    }

    /// Roles of a user, oldest first, on one kind of resource or on all.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn memberships_of(
        &self,
        user: UserId,
        kind: Option<&str>,
        page: &Page,
    ) -> Result<Listing<Membership>> {
        self.ctx.memberships_of(user, kind, page).await
    }

    /// Who holds a role on a resource, oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn members_of(&self, resource: &Resource, page: &Page) -> Result<Listing<Membership>> {
        self.ctx.members_of(resource, page).await
    }

    /// Invites an address and mails it a link; without a mailer the link comes back instead.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown organisation; [`ErrorKind::Conflict`] when the address is there or invited
    /// already, or no seat is free; [`ErrorKind::Validation`].
    pub async fn invite(&self, new: NewInvitation) -> Result<Changed<SentInvitation>> {
        let new = Arc::new(new);
        self.run(Action::InvitationCreate, None, move |ctx, tx, meta| {
            let new = Arc::clone(&new);
            Box::pin(async move {
                let done = ctx.invite_in(tx, By::Operator, &new, meta).await?;
                Ok(done.map(|invited| Changed::new(true, ctx.sent(invited))))
            })
        })
        .await
    }

    /// Mails an invitation once more, with another link; without a mailer the link comes back instead.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] for one that is over.
    pub async fn resend_invitation(&self, id: InvitationId) -> Result<Changed<SentInvitation>> {
        self.run(Action::InvitationResend, None, move |ctx, tx, meta| {
            Box::pin(async move {
                let done = ctx.resend_invitation_in(tx, By::Operator, id, meta).await?;
                Ok(done.map(|invited| Changed::new(true, ctx.sent(invited))))
            })
        })
        .await
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// As [`Self::resend_invitation`].
    pub async fn revoke_invitation(&self, id: InvitationId) -> Result<Changed<Invitation>> {
        self.run(Action::InvitationRevoke, None, move |ctx, tx, meta| {
            Box::pin(async move {
                let done = ctx.revoke_invitation_in(tx, By::Operator, id, meta).await?;
                Ok(done.map(|invitation| Changed::new(true, invitation)))
            })
        })
        .await
    }

    /// Invitations, newest first: all, or those to a resource.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn invitations(&self, to: Option<&Resource>, page: &Page) -> Result<Listing<Invitation>> {
        let which = to.map_or(Which::All, |resource| Which::To(resource.clone()));
        self.ctx.invitations_of(which, page).await
    }

    /// Whether a user may do something on a resource, why, and by which row.
    pub async fn explain(&self, user: UserId, permission: &str, resource: &Resource) -> Result<Decision> {
        self.ctx.can_now(user, permission, resource).await
    }
}

impl AdminIn<'_, '_> {
    /// Makes a thing of the host known, with its first member: call it where the host's row is made.
    ///
    /// `org` is the organisation that it belongs to, if any. Gives `false`, and changes nothing, when it is known already.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] for a kind or role that is not declared; [`ErrorKind::NotFound`] for an unknown account or
    /// organisation.
    pub async fn create_resource(
        &mut self,
        resource: &Resource,
        org: Option<OrgId>,
        first: Option<(UserId, &str)>,
    ) -> Result<bool> {
        self.ctx.create_resource_in(self.tx, resource, org, first, &self.meta).await?
    }

    /// Ends all roles on a thing that is gone, and all invitations to it: call it where the host's row is deleted. `false`
    /// when it was not known.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] for organisations: see [`Admin::delete_org`].
    pub async fn resource_deleted(&mut self, resource: &Resource) -> Result<bool> {
        self.ctx.delete_resource_in(self.tx, resource, &self.meta).await?
    }

    /// As [`Admin::create_org`].
    pub async fn create_org(&mut self, new: NewOrganisation) -> Result<Changed<CreatedOrganisation>> {
        let new = new.checked()?;
        let (organisation, invited) =
            self.ctx.create_org_in(self.tx, By::Operator, &new, &self.meta).await??;
        let invitation = invited.map(|invited| self.ctx.sent(invited));
        Ok(Changed::new(true, CreatedOrganisation { organisation, invitation }))
    }

    /// As [`Admin::grant_membership`].
    pub async fn grant_membership(
        &mut self,
        user: UserId,
        resource: &Resource,
        role: &str,
    ) -> Result<Changed<Membership>> {
        let grant = Grant { user, resource: resource.clone(), role: role.to_owned(), exists: None };
        let (changed, membership) =
            self.ctx.grant_membership_in(self.tx, By::Operator, &grant, &self.meta).await??;
        Ok(Changed::new(changed, membership))
    }

    /// As [`Admin::remove_member`].
    pub async fn remove_member(&mut self, user: UserId, resource: &Resource) -> Result<Changed<Membership>> {
        let which = WhichMembership::Of(user, resource.clone());
        let membership = self.ctx.revoke_membership_in(self.tx, By::Operator, &which, &self.meta).await??;
        Ok(Changed::new(true, membership))
    }

    /// Whether a user may do something on a resource, as the transaction sees it.
    pub async fn explain(&mut self, user: UserId, permission: &str, resource: &Resource) -> Result<Decision> {
        self.ctx.can(self.tx.conn(), user, permission, resource).await
    }
}

impl Admin {
    /// As [`AdminIn::create_resource`], in a transaction of its own.
    pub async fn create_resource(
        &self,
        resource: &Resource,
        org: Option<OrgId>,
        first: Option<(UserId, &str)>,
    ) -> Result<bool> {
        let first = first.map(|(user, role)| (user, role.to_owned()));
        let job = Arc::new((resource.clone(), first));
        self.run(Action::ResourceCreate, None, move |ctx, tx, meta| {
            let job = Arc::clone(&job);
            Box::pin(async move {
                let first = job.1.as_ref().map(|(user, role)| (*user, role.as_str()));
                ctx.create_resource_in(tx, &job.0, org, first, meta).await
            })
        })
        .await
    }

    /// As [`AdminIn::resource_deleted`], in a transaction of its own.
    pub async fn resource_deleted(&self, resource: &Resource) -> Result<bool> {
        let resource = Arc::new(resource.clone());
        self.run(Action::ResourceDelete, None, move |ctx, tx, meta| {
            let resource = Arc::clone(&resource);
            Box::pin(async move { ctx.delete_resource_in(tx, &resource, meta).await })
        })
        .await
    }
}

fn no_org(id: OrgId) -> Error {
    let text = format!("there is no organisation {id}");
    Error::new(ErrorKind::NotFound, text.clone()).with_public(text)
}
