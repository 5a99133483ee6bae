//! Roles on resources: giving, changing, taking. Guards look at the store under the resource's row (R14): nobody gives
//! more than he has, nobody edits his own role, a thing keeps an owner, seats are counted exactly.
//!
//! Order of locks: the account, then the resource.

use std::sync::Arc;

use crate::audit::Entry;
use crate::authz::members::store as members;
use crate::authz::orgs::store as orgs;
use crate::authz::{Membership, Resource, cover_all};
use crate::db::Tx;
use crate::error::{Error, ErrorKind, FieldCode, Result};
use crate::events::Action;
use crate::flows::authority::{Authority, By, hidden};
use crate::flows::{Authenticated, Ctx, Ruling};
use crate::ids::{MembershipId, OrgId, UserId};
use crate::invitations::store as invitations;
use crate::meta::RequestMeta;
use crate::sessions::revocations::Revocation;
use crate::users::{UserStatus, store as users};

/// A role to be given.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) user: UserId,
    pub(crate) resource: Resource,
    pub(crate) role: String,
    /// Whether the user has a role there already: `None` for either.
    pub(crate) exists: Option<bool>,
}

impl Ctx {
    /// Gives a role, or another one to who has one there. The first of the pair tells whether something changed.
    pub(crate) async fn grant_membership(
        self: &Arc<Self>,
        auth: &Authenticated,
        grant: Grant,
        meta: &RequestMeta,
    ) -> Result<(bool, Membership)> {
        let (by, meta) = self.acting(auth, meta).await?;
        let meta_in = meta.clone();
        self.decide(&meta, Action::MembershipGrant, Some(grant.user), move |ctx, tx| {
            let (meta, grant) = (meta_in.clone(), grant.clone());
            Box::pin(async move { ctx.grant_membership_in(tx, by, &grant, &meta).await })
        })
        .await
    }

    /// Takes a role; one's own, too, which is leaving.
    pub(crate) async fn revoke_membership(
        self: &Arc<Self>,
        auth: &Authenticated,
        which: WhichMembership,
        meta: &RequestMeta,
    ) -> Result<Membership> {
        let (by, meta) = self.acting(auth, meta).await?;
        let meta_in = meta.clone();
        self.decide(&meta, Action::MembershipRevoke, None, move |ctx, tx| {
            let (meta, which) = (meta_in.clone(), which.clone());
            Box::pin(async move { ctx.revoke_membership_in(tx, by, &which, &meta).await })
        })
        .await
    }

    pub(crate) async fn grant_membership_in(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        grant: &Grant,
        meta: &RequestMeta,
    ) -> Result<Ruling<(bool, Membership)>> {
        let Grant { user, resource, role, exists } = grant;
        let account = self.take(tx, *user).await?;
        let authority = match self.take_resource(tx, by, resource).await? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let wanted = match self.declared(resource, role) {
            Ok(wanted) if authority.may_give(wanted) => wanted,
            // What somebody may not do at all is said before what is wrong with it.
            Err(fault) if authority.permits(crate::authz::MEMBERS_WRITE) => return Ok(Err(fault)),
            _ => {
                return self
                    .refuse_role(tx, by, grant, authority.refusal("a role above one's own"), meta)
                    .await;
            }
        };
        let Some(record) = account.filter(|record| record.user.status != UserStatus::Deleted) else {
            return Ok(Err(no_account()));
        };
        let before = members::of(tx.conn(), *user, resource).await?;
        if exists.is_some_and(|exists| exists != before.is_some()) {
            return Ok(Err(if before.is_some() { is_member() } else { hidden() }));
        }
        if by == By::User(*user) {
            let refusal = Error::new(ErrorKind::Forbidden, "nobody edits his own role");
            return self.refuse_role(tx, by, grant, refusal, meta).await;
        }
        let Some(before) = before else {
            if let Err(refusal) = self.seat(tx, resource).await? {
                return self.refuse_role(tx, by, grant, refusal, meta).await;
            }
            let managed = authority.operator;
            let made = self.add_member(tx, *user, resource, role, managed, meta).await?;
            let made = made.ok_or_else(|| Error::internal("a membership came to be under a held row"))?;
            return Ok(Ok((true, made)));
        };
        if before.role == *role {
            return Ok(Ok((false, before)));
        }
        let held = self.types.permissions(resource.kind(), &before.role).unwrap_or_default();
        if !authority.may_give(held) {
            let refusal = authority.refusal("a role above one's own");
            return self.refuse_role(tx, by, grant, refusal, meta).await;
        }
        if let Err(refusal) = self.keep_an_owner(tx, &before, Some(role)).await? {
            return self.refuse_role(tx, by, grant, refusal, meta).await;
        }
        let now = self.now();
        members::set_role(tx.conn(), before.id, role, now).await?;
        // Who only gains needs no new token: what he may is read from the store.
        if !cover_all(wanted, held) {
            self.void_tokens(tx, record.user.id).await?;
        }
        let entry =
            membership_entry(Action::MembershipChange, &before, role).detail("from", before.role.clone());
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok((true, Membership { role: role.clone(), updated_at: now, ..before })))
    }

    /// Makes the row, and audits it. `None` when there is one already. The resource's row is held.
    pub(crate) async fn add_member(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        resource: &Resource,
        role: &str,
        managed: bool,
        meta: &RequestMeta,
    ) -> Result<Option<Membership>> {
        let now = self.now();
        let new = Membership {
            id: MembershipId::generate(now, &*self.random)?,
            user_id: user,
            resource: resource.clone(),
            role: role.to_owned(),
            managed,
            created_at: now,
            updated_at: now,
        };
        let Some(made) = members::insert(tx.conn(), &new).await? else { return Ok(None) };
        let entry = membership_entry(Action::MembershipGrant, &made, role);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Some(made))
    }

    pub(crate) async fn revoke_membership_in(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        which: &WhichMembership,
        meta: &RequestMeta,
    ) -> Result<Ruling<Membership>> {
        let found = match which {
            WhichMembership::Id(id) => members::by_id(tx.conn(), *id).await?,
            WhichMembership::Of(user, resource) => members::of(tx.conn(), *user, resource).await?,
        };
        // Without a row the answer still depends on whether the caller may know of the resource.
        let Some(found) = found else {
            let WhichMembership::Of(_, resource) = which else { return Ok(Err(hidden())) };
            let authority = self.authority(tx.conn(), by, resource).await?;
            let asked = authority.require(crate::authz::MEMBERS_WRITE);
            return Ok(asked.and_then(|()| Err(hidden())));
        };
        let (user, resource) = (found.user_id, found.resource);
        self.take(tx, user).await?;
        let authority = match self.take_resource(tx, by, &resource).await? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(before) = members::of(tx.conn(), user, &resource).await? else { return Ok(Err(hidden())) };
        let held = self.types.permissions(resource.kind(), &before.role).unwrap_or_default();
        let grant = Grant { user, resource, role: before.role.clone(), exists: Some(true) };
        if by != By::User(user) && !authority.may_give(held) {
            let refusal = authority.refusal("a role above one's own");
            return self.refuse_role(tx, by, &grant, refusal, meta).await;
        }
        if let Err(refusal) = self.keep_an_owner(tx, &before, None).await? {
            return self.refuse_role(tx, by, &grant, refusal, meta).await;
        }
        let now = self.now();
        members::delete(tx.conn(), before.id).await?;
        let mut entry = membership_entry(Action::MembershipRevoke, &before, &before.role);
        // What hangs on it ends with it: roles on the organisation's things, and whom he invited there.
        invitations::end_of_inviter(tx.conn(), user, Some(&before.resource), now).await?;
        if let Some(org) = before.resource.as_org() {
            let things = members::delete_of_user_in(tx.conn(), user, org).await?;
            invitations::end_of_inviter_in(tx.conn(), user, org, now).await?;
            entry = entry.detail("resources", things);
        }
        self.void_tokens(tx, user).await?;
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(before))
    }

    /// Takes the resource's row and asks what somebody may do there. An operator makes a resource known by naming it.
    pub(crate) async fn take_resource(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        resource: &Resource,
    ) -> Result<Ruling<Authority>> {
        if members::take(tx.conn(), resource).await?.is_some() {
            return Ok(Ok(self.authority(tx.conn(), by, resource).await?));
        }
        let authority = self.authority(tx.conn(), by, resource).await?;
        if !authority.operator || resource.is_ours() {
            return Ok(Err(hidden()));
        }
        if self.types.get(resource.kind()).is_none() {
            let message = "is no kind of resource that the settings declare";
            return Ok(Err(Error::field("/resource_type", FieldCode::Unknown, message)));
        }
        members::register(tx.conn(), resource, None, self.now()).await?;
        members::take(tx.conn(), resource).await?;
        Ok(Ok(authority))
    }

    /// What the role permits on such a thing.
    pub(crate) fn declared(&self, resource: &Resource, role: &str) -> Ruling<&[String]> {
        let unknown = || Error::field("/role", FieldCode::Unknown, "is no role on such a resource");
        self.types.permissions(resource.kind(), role).ok_or_else(unknown)
    }

    /// Whether an organisation has room for one more. Its resource row is held, so the count is exact.
    pub(crate) async fn seat(&self, tx: &mut Tx<'_>, resource: &Resource) -> Result<Ruling<()>> {
        let Some(id) = resource.as_org() else { return Ok(Ok(())) };
        let Some(org) = orgs::by_id(tx.conn(), id).await? else { return Ok(Err(hidden())) };
        let Some(limit) = org.seat_limit else { return Ok(Ok(())) };
        if members::has_seat(tx.conn(), id, limit).await? {
            return Ok(Ok(()));
        }
        let text = "the organisation has no free seat";
        Ok(Err(Error::new(ErrorKind::Conflict, text).with_public("The organisation has no free seat.")))
    }

    /// Refuses what would leave a thing without anybody who may do everything there. Its row is held, so that two owners
    /// who take it from each other cannot both succeed.
    pub(crate) async fn keep_an_owner(
        &self,
        tx: &mut Tx<'_>,
        before: &Membership,
        becomes: Option<&str>,
    ) -> Result<Ruling<()>> {
        let owning = self.types.owning(before.resource.kind());
        let stays = becomes.is_some_and(|role| owning.contains(&role));
        if stays || !owning.contains(&before.role.as_str()) {
            return Ok(Ok(()));
        }
        if members::has_other_holder(tx.conn(), &before.resource, &owning, before.user_id).await? {
            return Ok(Ok(()));
        }
        let text = format!("this is the last owner of {}", before.resource);
        Ok(Err(Error::new(ErrorKind::Conflict, text).with_public("This is the last owner there.")))
    }

    /// Tokens may repeat, in claims of the host's own, what their user has just lost.
    pub(crate) async fn void_tokens(&self, tx: &mut Tx<'_>, user: UserId) -> Result<()> {
        if let Some(version) = users::bump_ver(tx.conn(), user, self.now()).await? {
            self.revocations.revoke(tx, Revocation::User(user, version.ver)).await?;
        }
        Ok(())
    }

    /// Audits a refusal, which commits.
    async fn refuse_role<T>(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        grant: &Grant,
        refusal: Error,
        meta: &RequestMeta,
    ) -> Result<Ruling<T>> {
        let why = match refusal.kind() {
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::Conflict => "conflict",
            _ => "hidden",
        };
        let entry = Entry::failure(Action::MembershipGrant, Some(grant.user), why)
            .detail("resource", grant.resource.to_string())
            .detail("role", grant.role.clone());
        // Somebody who may not even know of the resource is told nothing, and fills no log of others.
        if by.user().is_some() && refusal.kind() != ErrorKind::NotFound {
            self.audit.record(tx, meta, entry).await?;
        }
        Ok(Err(refusal))
    }
}

/// Which membership.
#[derive(Debug, Clone)]
pub(crate) enum WhichMembership {
    Id(MembershipId),
    Of(UserId, Resource),
}

impl WhichMembership {
    pub(crate) fn in_org(org: OrgId, user: UserId) -> Self {
        Self::Of(user, Resource::org(org))
    }
}

fn membership_entry(action: Action, membership: &Membership, role: &str) -> Entry {
    Entry::success(action, membership.user_id)
        .detail("membership", membership.id.to_string())
        .detail("resource", membership.resource.to_string())
        .detail("role", role)
}

pub(crate) fn no_account() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such account").with_public("There is no such account.")
}

fn is_member() -> Error {
    let public = "The user has a role there already.";
    Error::new(ErrorKind::Conflict, "the user has a role there already").with_public(public)
}
