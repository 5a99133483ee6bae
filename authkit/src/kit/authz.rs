//! Organisations, roles on resources, invitations: what signed-in users do, and what anybody may ask.

use std::sync::Arc;

use crate::authz::orgs::store as org_store;
use crate::authz::{
    Decision, MEMBERS_READ, Membership, NewOrganisation, Organisation, OrganisationChange, Resource,
};
use crate::config::ResourceType;
use crate::db::{Listing, Page};
use crate::error::{ErrorKind, Result};
use crate::flows::authority::{By, hidden};
use crate::flows::memberships::{Grant, WhichMembership};
use crate::flows::{AcceptInvitation, Authenticated, Ctx, Login};
use crate::ids::{InvitationId, MembershipId, OrgId, UserId};
use crate::invitations::store::Which;
use crate::invitations::{Invitation, NewInvitation};
use crate::kit::AuthKit;
use crate::meta::RequestMeta;

impl AuthKit {
    /// Who may do what on which resource.
    pub fn authz(&self) -> Authz<'_> {
        Authz { ctx: &self.ctx }
    }

    /// Organisations and their members.
    pub fn organisations(&self) -> Organisations<'_> {
        Organisations { ctx: &self.ctx }
    }

    /// Roles on resources.
    pub fn memberships(&self) -> Memberships<'_> {
        Memberships { ctx: &self.ctx }
    }

    /// Invitations.
    pub fn invitations(&self) -> Invitations<'_> {
        Invitations { ctx: &self.ctx }
    }
}

/// Who may do what on which resource. Made by [`AuthKit::authz`].
#[derive(Debug, Clone, Copy)]
pub struct Authz<'k> {
    ctx: &'k Arc<Ctx>,
}

impl Authz<'_> {
    /// Whether the user may do `permission` on the resource now, why, and by which row of the store. One indexed read; the
    /// store is asked and nothing is remembered, so that a change acts at once.
    pub async fn can(&self, user: UserId, permission: &str, resource: &Resource) -> Result<Decision> {
        self.ctx.can_now(user, permission, resource).await
    }

    /// Lets a caller pass who may do `permission` on the resource.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for one who belongs to the resource or its organisation, [`ErrorKind::NotFound`] for
    /// anybody else: another tenant's things are not there.
    pub async fn require(
        &self,
        caller: &Authenticated,
        resource: &Resource,
        permission: &str,
    ) -> Result<Decision> {
        caller.require_on(resource, permission).await
    }

    /// Lets a caller pass who may do to an account what admins of its organisation may: one who may do everything, or who
    /// holds, in every organisation of that account, a role that permits `users:manage` and all that the account's role
    /// there permits (`owner` and `admin` do; the account role `admin` counts as one in the own organisation). The account
    /// must have been made for the organisation: one that its owner brought along is not its admins' to act on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an account that shares no organisation with the caller, as for one that is not there;
    /// [`ErrorKind::Forbidden`] otherwise.
    pub async fn require_admin_over(&self, caller: &Authenticated, user: UserId) -> Result<()> {
        caller.signed_in()?;
        let (ctx, by) = (Arc::clone(self.ctx), By::User(caller.user_id()));
        let read = self
            .ctx
            .db
            .read(move |conn| Box::pin(async move { ctx.require_admin_over(conn, by, user).await }));
        read.await?
    }

    /// The kinds of resources that are declared, organisations included.
    pub fn resource_types(&self) -> Vec<ResourceType> {
        self.ctx.types.all().cloned().collect()
    }
}

/// Organisations and their members. Made by [`AuthKit::organisations`].
#[derive(Debug, Clone, Copy)]
pub struct Organisations<'k> {
    ctx: &'k Arc<Ctx>,
}

impl Organisations<'_> {
    /// Makes an organisation, for a caller who may do everything, or with `ORG_SELF_SERVICE` for anybody. Its first owner
    /// is who [`NewOrganisation::admin_email`] names, for operators; else the caller.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]; [`ErrorKind::Validation`] with all faults at once; [`ErrorKind::Unavailable`] when an
    /// owner is to be invited and no mail can be sent.
    pub async fn create(
        &self,
        auth: &Authenticated,
        new: NewOrganisation,
        meta: &RequestMeta,
    ) -> Result<Organisation> {
        auth.signed_in()?;
        self.ctx.create_org(auth, new, meta).await
    }

    /// The organisation, for its members.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for anybody else.
    pub async fn get(&self, auth: &Authenticated, id: OrgId) -> Result<Organisation> {
        auth.signed_in()?;
        self.require(auth, id, "read").await?;
        let found = self.ctx.db.read(move |conn| Box::pin(async move { org_store::by_id(conn, id).await }));
        found.await?.ok_or_else(hidden)
    }

    /// The caller's organisations; for one who may do everything all there are.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn list(&self, auth: &Authenticated, page: &Page) -> Result<Listing<Organisation>> {
        auth.signed_in()?;
        let by = By::User(auth.user_id());
        if self.ctx.authority_now(by, &Resource::platform()).await?.operator {
            return self.ctx.all_orgs(page).await;
        }
        self.ctx.orgs_of(auth.user_id(), page).await
    }

    /// Changes an organisation.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for strangers, [`ErrorKind::Forbidden`] for members who may not, and for seats and state
    /// for all but operators; [`ErrorKind::Validation`].
    pub async fn update(
        &self,
        auth: &Authenticated,
        id: OrgId,
        change: OrganisationChange,
        meta: &RequestMeta,
    ) -> Result<Organisation> {
        auth.signed_in()?;
        self.ctx.update_org(auth, id, change, meta).await
    }

    /// Ends an organisation: all roles in it and on its resources, and all invitations to them. Accounts stay.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn delete(&self, auth: &Authenticated, id: OrgId, meta: &RequestMeta) -> Result<()> {
        auth.signed_in()?;
        self.ctx.delete_org(auth, id, meta).await
    }

    /// Its members, for those who may see them.
    ///
    /// # Errors
    /// As [`Self::update`]; [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn members(&self, auth: &Authenticated, id: OrgId, page: &Page) -> Result<Listing<Membership>> {
        auth.signed_in()?;
        self.require(auth, id, MEMBERS_READ).await?;
        self.ctx.members_of(&Resource::org(id), page).await
    }

    /// Makes somebody a member who is none.
    ///
    /// # Errors
    /// As [`Self::update`]; [`ErrorKind::Conflict`] for a member, and when no seat is free; [`ErrorKind::Forbidden`] for
    /// a role above the caller's.
    pub async fn add_member(
        &self,
        auth: &Authenticated,
        id: OrgId,
        (user, role): (UserId, &str),
        meta: &RequestMeta,
    ) -> Result<Membership> {
        auth.signed_in()?;
        self.give(auth, id, (user, role), false, meta).await
    }

    /// Gives a member another role. What he loses by it he loses at once.
    ///
    /// # Errors
    /// As [`Self::add_member`]; [`ErrorKind::Forbidden`] for one's own role; [`ErrorKind::Conflict`] for the last owner.
    pub async fn change_member(
        &self,
        auth: &Authenticated,
        id: OrgId,
        (user, role): (UserId, &str),
        meta: &RequestMeta,
    ) -> Result<Membership> {
        auth.signed_in()?;
        self.give(auth, id, (user, role), true, meta).await
    }

    /// Takes a member out, with his roles on the organisation's resources and his invitations to them. Members may leave by
    /// themselves.
    ///
    /// # Errors
    /// As [`Self::change_member`].
    pub async fn remove_member(
        &self,
        auth: &Authenticated,
        id: OrgId,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<()> {
        auth.signed_in()?;
        let which = WhichMembership::in_org(id, user);
        self.ctx.revoke_membership(auth, which, meta).await.map(|_| ())
    }

    async fn give(
        &self,
        auth: &Authenticated,
        id: OrgId,
        (user, role): (UserId, &str),
        exists: bool,
        meta: &RequestMeta,
    ) -> Result<Membership> {
        let (resource, role) = (Resource::org(id), role.to_owned());
        let grant = Grant { user, resource, role, exists: Some(exists) };
        self.ctx.grant_membership(auth, grant, meta).await.map(|(_, membership)| membership)
    }

    async fn require(&self, auth: &Authenticated, id: OrgId, permission: &'static str) -> Result<()> {
        self.ctx.require_on(auth.user_id(), &Resource::org(id), permission).await.map(|_| ())
    }
}

/// Roles on resources. Made by [`AuthKit::memberships`].
#[derive(Debug, Clone, Copy)]
pub struct Memberships<'k> {
    ctx: &'k Arc<Ctx>,
}

impl Memberships<'_> {
    /// The caller's own, of one kind of resource or of all, oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn own(
        &self,
        auth: &Authenticated,
        kind: Option<&str>,
        page: &Page,
    ) -> Result<Listing<Membership>> {
        auth.signed_in()?;
        self.ctx.memberships_of(auth.user_id(), kind, page).await
    }

    /// Another user's, for a caller who may do everything.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] for anybody else.
    pub async fn of_user(
        &self,
        auth: &Authenticated,
        user: UserId,
        kind: Option<&str>,
        page: &Page,
    ) -> Result<Listing<Membership>> {
        auth.signed_in()?;
        let by = By::User(auth.user_id());
        if user != auth.user_id() && !self.ctx.authority_now(by, &Resource::platform()).await?.operator {
            return Err(ErrorKind::Forbidden.into());
        }
        self.ctx.memberships_of(user, kind, page).await
    }

    /// Who holds a role on a resource, for those who may see it (`members:read`).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for strangers, [`ErrorKind::Forbidden`] for members who may not.
    pub async fn of_resource(
        &self,
        auth: &Authenticated,
        resource: &Resource,
        page: &Page,
    ) -> Result<Listing<Membership>> {
        auth.signed_in()?;
        self.ctx.require_on(auth.user_id(), resource, MEMBERS_READ).await?;
        self.ctx.members_of(resource, page).await
    }

    /// Gives a role on a resource, or another one to who has one there (`members:write`).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for strangers, and for an account that is not there; [`ErrorKind::Forbidden`] for members
    /// who may not, for a role above the caller's own, and for his own role; [`ErrorKind::Conflict`] for the last owner;
    /// [`ErrorKind::Validation`] for a role that is not declared.
    pub async fn grant(
        &self,
        auth: &Authenticated,
        (user, resource, role): (UserId, Resource, &str),
        meta: &RequestMeta,
    ) -> Result<Membership> {
        auth.signed_in()?;
        let grant = Grant { user, resource, role: role.to_owned(), exists: None };
        self.ctx.grant_membership(auth, grant, meta).await.map(|(_, membership)| membership)
    }

    /// Takes a role; one's own, too, which is leaving.
    ///
    /// # Errors
    /// As [`Self::grant`].
    pub async fn revoke(&self, auth: &Authenticated, id: MembershipId, meta: &RequestMeta) -> Result<()> {
        auth.signed_in()?;
        self.ctx.revoke_membership(auth, WhichMembership::Id(id), meta).await.map(|_| ())
    }
}

/// Invitations. Made by [`AuthKit::invitations`].
#[derive(Debug, Clone, Copy)]
pub struct Invitations<'k> {
    ctx: &'k Arc<Ctx>,
}

impl Invitations<'_> {
    /// Invites an address to an organisation or another resource (`members:write` there), or to the platform
    /// (`platform:invite` by a role of the account), and mails it a link.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for strangers, [`ErrorKind::Forbidden`] for members who may not and for a role above the
    /// caller's own; [`ErrorKind::Conflict`] when the address is there or invited already, or no seat is free;
    /// [`ErrorKind::Validation`]; [`ErrorKind::Unavailable`] without a mailer.
    pub async fn create(
        &self,
        auth: &Authenticated,
        new: NewInvitation,
        meta: &RequestMeta,
    ) -> Result<Invitation> {
        auth.signed_in()?;
        self.ctx.invite(auth, new, meta).await
    }

    /// Those to a resource, newest first, for who may see its members; without one those of the caller, and for a caller
    /// who may do everything all there are.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`]; [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn list(
        &self,
        auth: &Authenticated,
        to: Option<&Resource>,
        page: &Page,
    ) -> Result<Listing<Invitation>> {
        auth.signed_in()?;
        let user = auth.user_id();
        let which = match to {
            Some(resource) => {
                self.ctx.require_on(user, resource, MEMBERS_READ).await?;
                Which::To(resource.clone())
            }
            None if self.ctx.authority_now(By::User(user), &Resource::platform()).await?.operator => {
                Which::All
            }
            None => Which::By(user),
        };
        self.ctx.invitations_of(which, page).await
    }

    /// Mails it once more, with another link; the one before is dead.
    ///
    /// # Errors
    /// As [`Self::create`]; [`ErrorKind::Conflict`] for one that is over.
    pub async fn resend(&self, auth: &Authenticated, id: InvitationId, meta: &RequestMeta) -> Result<()> {
        auth.signed_in()?;
        self.ctx.resend_invitation(auth, id, meta).await
    }

    /// Takes it back.
    ///
    /// # Errors
    /// As [`Self::resend`].
    pub async fn revoke(&self, auth: &Authenticated, id: InvitationId, meta: &RequestMeta) -> Result<()> {
        auth.signed_in()?;
        self.ctx.revoke_invitation(auth, id, meta).await
    }

    /// Accepts an invitation: with the account that is signed in, whose e-mail must be the invited one, or with a new one.
    /// An account that nobody had proved the address of is handed over (contract 4.6).
    ///
    /// # Errors
    /// [`ErrorKind::LinkInvalid`] for whatever is wrong with the invitation: one answer, the audit tells;
    /// [`ErrorKind::Conflict`] when no seat is free, and without a caller when the address has an account: sign in first;
    /// [`ErrorKind::Validation`] for a password that the policy refuses, which does not use the link up.
    pub async fn accept(
        &self,
        auth: Option<&Authenticated>,
        input: AcceptInvitation,
        meta: &RequestMeta,
    ) -> Result<Login> {
        self.ctx.accept_invitation(auth, input, meta).await
    }
}
