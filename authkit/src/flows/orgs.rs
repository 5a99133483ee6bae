//! Organisations: made, changed, ended. And the things that belong to them, as hosts tell.

use std::sync::Arc;

use crate::audit::Entry;
use crate::authz::members::store as members;
use crate::authz::orgs::{check_domain, check_org_name, check_seats, store as orgs};
use crate::authz::{NewOrganisation, Organisation, OrganisationChange, Resource};
use crate::config::EmailVerification;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, FieldCode, Result};
use crate::events::Action;
use crate::flows::authority::{By, hidden};
use crate::flows::invitations::Invited;
use crate::flows::{Authenticated, Ctx, Ruling};
use crate::ids::{OrgId, UserId};
use crate::invitations::NewInvitation;
use crate::meta::RequestMeta;
use crate::precondition::tag_of;
use crate::users::{Email, Record, UserStatus, store as users};

/// The role of who may do everything in an organisation.
pub(crate) const OWNER: &str = "owner";

/// An organisation to be, judged.
#[derive(Debug, Clone)]
pub(crate) struct CheckedOrganisation {
    name: String,
    domain: Option<String>,
    admin: Option<Email>,
    seat_limit: Option<i64>,
}

impl NewOrganisation {
    /// All faults at once.
    pub(crate) fn checked(self) -> Result<CheckedOrganisation> {
        let mut faults = Vec::new();
        let name = check_org_name(&self.name, &mut faults);
        let domain = self.domain.map(|domain| check_domain(&domain, &mut faults));
        let seat_limit = self.seat_limit.map(|limit| check_seats(limit, &mut faults));
        let admin = self.admin_email.map(|email| Email::parse(&email, "/admin_email"));
        let admin = admin.and_then(|email| email.map_err(|fault| faults.push(fault)).ok());
        if faults.is_empty() {
            Ok(CheckedOrganisation { name, domain, admin, seat_limit })
        } else {
            Err(Error::validation(faults))
        }
    }
}

impl Ctx {
    pub(crate) async fn create_org(
        self: &Arc<Self>,
        auth: &Authenticated,
        new: NewOrganisation,
        meta: &RequestMeta,
    ) -> Result<Organisation> {
        let new = new.checked()?;
        if new.admin.is_some() {
            self.outbox.require()?;
        }
        let (by, meta) = self.acting(auth, meta).await?;
        let meta_in = meta.clone();
        self.decide(&meta, Action::OrgCreate, None, move |ctx, tx| {
            let (meta, new) = (meta_in.clone(), new.clone());
            Box::pin(async move { ctx.create_org_in(tx, by, &new, &meta).await })
        })
        .await
        .map(|(org, _)| org)
    }

    /// The organisation, and the invitation of its first owner where one was made.
    pub(crate) async fn create_org_in(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        new: &CheckedOrganisation,
        meta: &RequestMeta,
    ) -> Result<Ruling<(Organisation, Option<Invited>)>> {
        let authority = self.authority(tx.conn(), by, &Resource::platform()).await?;
        if !authority.operator && !self.config.authz.org_self_service {
            return Ok(Err(Error::new(ErrorKind::Forbidden, "only operators make organisations here")));
        }
        let named = match &new.admin {
            Some(email) => users::by_email(tx.conn(), email).await?,
            None => None,
        };
        let owner = match by.user() {
            Some(caller) if new.admin.is_none() || !authority.operator => Some(caller),
            // Whoever only claims an address is no owner by it: he must take the invitation.
            _ => named.as_ref().filter(|record| self.is_proved(record)).map(|record| record.user.id),
        };
        if owner.is_none() && new.admin.is_none() {
            let message = "is missing: an organisation has an owner";
            return Ok(Err(Error::field("/admin_email", FieldCode::Required, message)));
        }
        if let Some(owner) = owner {
            self.take(tx, owner).await?;
        }
        let now = self.now();
        let id = OrgId::generate(now, &*self.random)?;
        let resource = Resource::org(id);
        orgs::insert(tx.conn(), id, &new.name, new.domain.as_deref(), new.seat_limit, now).await?;
        members::register(tx.conn(), &resource, Some(id), now).await?;
        let org = orgs::by_id(tx.conn(), id).await?;
        let org = org.ok_or_else(|| Error::internal("a new organisation is not there"))?;
        let entry = org_entry(Action::OrgCreate, id).detail("name", new.name.clone());
        self.audit.grant(tx, meta, entry).await?;
        if let Some(owner) = owner {
            self.add_member(
                tx,
                owner,
                &resource,
                OWNER,
                authority.operator && by.user() != Some(owner),
                meta,
            )
            .await?;
        }
        let named = named.map(|record| record.user.id);
        let other = new.admin.as_ref().filter(|_| owner.is_none() || named != owner);
        let Some(email) = other else { return Ok(Ok((org, None))) };
        let invitation = NewInvitation::new(email.address(), OWNER).to(resource);
        Ok(self.invite_in(tx, by, &invitation, meta).await?.map(|invited| (org, Some(invited))))
    }

    /// Whether an account may count as belonging to whoever has its address.
    fn is_proved(&self, record: &Record) -> bool {
        let proved = record.user.email_verified || self.verification() == EmailVerification::Off;
        proved && record.user.status == UserStatus::Active
    }

    pub(crate) async fn update_org(
        self: &Arc<Self>,
        auth: &Authenticated,
        id: OrgId,
        change: OrganisationChange,
        meta: &RequestMeta,
    ) -> Result<Organisation> {
        let (by, meta) = self.acting(auth, meta).await?;
        let (meta_in, change) = (meta.clone(), change.checked());
        self.decide(&meta, Action::OrgUpdate, None, move |ctx, tx| {
            let meta = meta_in.clone();
            // Whether the organisation is there for the caller is judged before what he wrote.
            let change =
                change.as_ref().map(Clone::clone).map_err(|e| Error::validation(e.fields().to_vec()));
            Box::pin(async move { ctx.update_org_in(tx, by, id, change, &meta).await })
        })
        .await
        .map(|(_, org)| org)
    }

    pub(crate) async fn update_org_in(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        id: OrgId,
        change: Ruling<OrganisationChange>,
        meta: &RequestMeta,
    ) -> Result<Ruling<(bool, Organisation)>> {
        let resource = Resource::org(id);
        let authority = match self.take_resource(tx, by, &resource).await? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(before) = orgs::by_id(tx.conn(), id).await? else { return Ok(Err(hidden())) };
        if let Err(refusal) = authority.require("update") {
            return Ok(Err(refusal));
        }
        let change = match change {
            Ok(change) => change,
            Err(fault) => return Ok(Err(fault)),
        };
        if let Err(refusal) = change.only_if.check(&tag_of(&before)) {
            return Ok(Err(refusal));
        }
        let operators = change.seat_limit.is_some_and(|limit| limit != before.seat_limit)
            || change.status.is_some_and(|status| status != before.status);
        if operators && !authority.operator {
            return Ok(Err(Error::new(ErrorKind::Forbidden, "seats and state are for operators")));
        }
        let after = orgs::update(tx.conn(), before.clone(), &change, self.now()).await?;
        let mut fields = Vec::new();
        fields.extend((after.name != before.name).then_some("name"));
        fields.extend((after.domain != before.domain).then_some("domain"));
        fields.extend((after.seat_limit != before.seat_limit).then_some("seat_limit"));
        fields.extend((after.status != before.status).then_some("status"));
        if fields.is_empty() {
            return Ok(Ok((false, before)));
        }
        let entry = org_entry(Action::OrgUpdate, id).detail("fields", fields);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok((true, after)))
    }

    pub(crate) async fn delete_org(
        self: &Arc<Self>,
        auth: &Authenticated,
        id: OrgId,
        meta: &RequestMeta,
    ) -> Result<()> {
        let (by, meta) = self.acting(auth, meta).await?;
        let meta_in = meta.clone();
        self.decide(&meta, Action::OrgDelete, None, move |ctx, tx| {
            let meta = meta_in.clone();
            Box::pin(async move { ctx.delete_org_in(tx, by, id, &meta).await })
        })
        .await
        .map(|_| ())
    }

    /// All roles in it and on its things, and all invitations there, go with the organisation. Accounts stay.
    pub(crate) async fn delete_org_in(
        &self,
        tx: &mut Tx<'_>,
        by: By,
        id: OrgId,
        meta: &RequestMeta,
    ) -> Result<Ruling<Organisation>> {
        let resource = Resource::org(id);
        let authority = match self.take_resource(tx, by, &resource).await? {
            Ok(authority) => authority,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(org) = orgs::by_id(tx.conn(), id).await? else { return Ok(Err(hidden())) };
        if let Err(refusal) = authority.require("delete") {
            return Ok(Err(refusal));
        }
        orgs::delete(tx.conn(), id).await?;
        self.audit.grant(tx, meta, org_entry(Action::OrgDelete, id)).await?;
        Ok(Ok(org))
    }

    /// Makes a thing of the host known, as that of an organisation or of nobody, with its first member. `false` when it
    /// was known already: then nothing changes.
    pub(crate) async fn create_resource_in(
        &self,
        tx: &mut Tx<'_>,
        resource: &Resource,
        org: Option<OrgId>,
        first: Option<(UserId, &str)>,
        meta: &RequestMeta,
    ) -> Result<Ruling<bool>> {
        if self.types.get(resource.kind()).is_none() || resource.is_ours() {
            let message = "is no kind of resource that the settings declare";
            return Ok(Err(Error::field("/resource_type", FieldCode::Unknown, message)));
        }
        if let Some((user, role)) = first {
            if let Err(fault) = self.declared(resource, role) {
                return Ok(Err(fault));
            }
            if self.take(tx, user).await?.is_none() {
                return Ok(Err(super::memberships::no_account()));
            }
        }
        if let Some(org) = org
            && members::take(tx.conn(), &Resource::org(org)).await?.is_none()
        {
            return Ok(Err(hidden()));
        }
        if !members::register(tx.conn(), resource, org, self.now()).await? {
            return Ok(Ok(false));
        }
        let entry = Entry::system(Action::ResourceCreate)
            .detail("resource", resource.to_string())
            .detail("org", org.map(|org| org.to_string()));
        self.audit.grant(tx, meta, entry).await?;
        if let Some((user, role)) = first {
            self.add_member(tx, user, resource, role, false, meta).await?;
        }
        Ok(Ok(true))
    }

    /// Ends all roles on a thing that is gone, and all invitations to it. `false` when it was not known.
    pub(crate) async fn delete_resource_in(
        &self,
        tx: &mut Tx<'_>,
        resource: &Resource,
        meta: &RequestMeta,
    ) -> Result<Ruling<bool>> {
        if resource.is_ours() {
            let message = "is not ended like this";
            return Ok(Err(Error::field("/resource_type", FieldCode::Unknown, message)));
        }
        if !members::unregister(tx.conn(), resource).await? {
            return Ok(Ok(false));
        }
        let entry = Entry::system(Action::ResourceDelete).detail("resource", resource.to_string());
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(true))
    }
}

fn org_entry(action: Action, id: OrgId) -> Entry {
    Entry::system(action).detail("org", id.to_string())
}
