//! Seeding: roles, accounts, organisations and memberships that should be there, made when they are missing.
//!
//! All in one transaction. It only adds: a role is defined as planned, an account that exists keeps its password
//! and whatever roles it has besides, and who has a role on a thing keeps that one. So a second run changes nothing.

use std::sync::Arc;

use serde::Serialize;

use super::accounts::PreparedUser;
use super::{Admin, NewUser, UserChange};
use crate::authz::members::store as members;
use crate::authz::orgs::store as orgs;
use crate::authz::store as roles;
use crate::authz::{NewOrganisation, Resource};
use crate::config::{Environment, RoleDefinition};
use crate::db::Tx;
use crate::error::{Error, ErrorKind, FieldCode, FieldError, Result};
use crate::events::Action;
use crate::flows::authority::By;
use crate::flows::memberships::Grant;
use crate::flows::{Ctx, Ruling};
use crate::meta::RequestMeta;
use crate::secret::SecretString;
use crate::users::{Email, User, UserStatus, check_name, store as users};

/// One transaction must end within the time of a request.
const MAX_ENTRIES: usize = 500;

/// Roles and accounts that should be there.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SeedPlan {
    /// Defined before the accounts.
    pub roles: Vec<RoleDefinition>,
    /// Made when their e-mail is free.
    pub users: Vec<NewUser>,
    /// Made when their owner is in none of that name.
    pub organisations: Vec<SeedOrganisation>,
    /// Given to accounts that have no role there.
    pub memberships: Vec<SeedMembership>,
}

/// An organisation that should be there.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SeedOrganisation {
    /// Its facts. [`NewOrganisation::admin_email`] names its owner: an account whose address is proved.
    pub organisation: NewOrganisation,
    /// E-mails of accounts, and their roles in it.
    pub members: Vec<(String, String)>,
}

/// A role on a resource that should be held.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SeedMembership {
    /// E-mail of an account.
    pub email: String,
    /// On what.
    pub resource: Resource,
    /// As what.
    pub role: String,
}

impl SeedPlan {
    /// These roles and accounts, 500 at the most.
    pub fn new(roles: Vec<RoleDefinition>, users: Vec<NewUser>) -> Self {
        Self { roles, users, ..Self::default() }
    }

    /// The demo of the exam platform: roles `ADMIN` (may everything, as `super_admin`), `REVIEWER` and `STUDENT`,
    /// and two accounts whose passwords everybody knows. Refused outside of development (ASVS 6.3.2).
    pub fn demo() -> Self {
        let role = |name: &str, permissions: &[&str], description: &str| {
            let mut role = RoleDefinition::new(name, permissions.iter().copied());
            description.clone_into(&mut role.description);
            role
        };
        let user = |email: &str, name: &str, password: &str, role: &str| {
            let password = SecretString::from(password);
            let mut user = NewUser::new(email, name).with_password(password).with_roles([role]).verified();
            user.demo = true;
            user
        };
        Self {
            roles: vec![
                role("ADMIN", &["*"], "May do everything"),
                role("REVIEWER", &["exams:review"], "Reviews exams"),
                role("STUDENT", &["exams:take"], "Takes exams"),
            ],
            users: vec![
                user("admin@example.com", "Demo Admin", "Admin123!", "ADMIN"),
                user("student@example.com", "Demo Student", "Student123!", "STUDENT"),
            ],
            ..Self::default()
        }
    }
}

/// What became of one entry of a [`SeedPlan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SeedOutcome {
    /// It was missing.
    Created,
    /// It was there and lacked something.
    Updated,
    /// It was there.
    Unchanged,
    /// Its account is deleted, and was left so.
    Skipped,
}

/// One entry of a [`SeedPlan`] and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SeedItem {
    /// `role`, `user`, `organisation` or `membership`.
    pub kind: &'static str,
    /// The name of a role or organisation, the account's e-mail, or `EMAIL on TYPE:ID`.
    pub name: String,
    /// What became of it.
    pub outcome: SeedOutcome,
}

/// What seeding did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SeedReport {
    /// How many entries were created or updated.
    pub changes: usize,
    /// Every entry, in order.
    pub items: Vec<SeedItem>,
}

/// An account of the plan, ready for the transaction.
struct Entry {
    email: Email,
    name: String,
    email_verified: bool,
    roles: Vec<String>,
    /// Hashed, when the account was missing.
    new: Option<PreparedUser>,
}

impl Admin {
    /// Makes whatever of `plan` is missing: all of it or, when something is wrong, nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] with the place of the faulty entry; [`ErrorKind::Conflict`] for demo accounts
    /// outside of development and for a built-in role; [`ErrorKind::NotFound`] for an unknown role.
    pub async fn seed(&self, plan: &SeedPlan) -> Result<SeedReport> {
        if plan.users.iter().any(|user| user.demo) && self.ctx.config.env != Environment::Dev {
            let text = "demo accounts have passwords that everybody knows: only for ENV=dev";
            return Err(Error::new(ErrorKind::Conflict, text).with_public(text));
        }
        let members: usize = plan.organisations.iter().map(|org| 1 + org.members.len()).sum();
        if plan.roles.len() + plan.users.len() + plan.memberships.len() + members > MAX_ENTRIES {
            return Err(Error::field(
                "/",
                FieldCode::TooLong,
                format!("has more than {MAX_ENTRIES} entries"),
            ));
        }
        let entries = self.ctx.seed_entries(plan, &self.meta).await?;
        let job = Arc::new((plan.clone(), entries));
        let report = self
            .run(Action::UserCreate, None, move |ctx, tx, meta| {
                let job = Arc::clone(&job);
                // An error, not a refusal: what was done before it must not stay.
                Box::pin(async move { ctx.seed_in(tx, &job.0, &job.1, meta).await.map(Ok) })
            })
            .await?;
        self.ctx.roles.load(&self.ctx.db).await?;
        Ok(report)
    }
}

impl Ctx {
    /// Judges all accounts and hashes passwords of those that are missing.
    async fn seed_entries(&self, plan: &SeedPlan, meta: &RequestMeta) -> Result<Vec<Entry>> {
        let mut faults = Vec::new();
        let mut entries: Vec<Entry> = Vec::with_capacity(plan.users.len());
        for (index, user) in plan.users.iter().enumerate() {
            match self.seed_entry(user, meta).await {
                Ok(entry) if entries.iter().any(|other| other.email.key() == entry.email.key()) => {
                    let pointer = format!("/users/{index}/email");
                    faults.push(FieldError::new(pointer, FieldCode::Unknown, "stands there twice"));
                }
                Ok(entry) => entries.push(entry),
                Err(error) if error.kind() == ErrorKind::Validation => {
                    let at = |fault: &FieldError| FieldError {
                        pointer: format!("/users/{index}{}", fault.pointer),
                        ..fault.clone()
                    };
                    faults.extend(error.fields().iter().map(at));
                }
                Err(error) => return Err(error),
            }
        }
        if faults.is_empty() { Ok(entries) } else { Err(Error::validation(faults)) }
    }

    async fn seed_entry(&self, user: &NewUser, meta: &RequestMeta) -> Result<Entry> {
        let roles = user.roles.clone().unwrap_or_else(|| self.config.accounts.default_roles.clone());
        let email = Email::parse(&user.email, "/email").map_err(|fault| Error::validation(vec![fault]))?;
        let wanted = email.clone();
        let known = self
            .db
            .read(move |conn| Box::pin(async move { users::by_email(conn, &wanted).await }))
            .await?
            .is_some();
        let mut faults = Vec::new();
        let name = check_name(&user.name, &mut faults);
        if !faults.is_empty() {
            return Err(Error::validation(faults));
        }
        let new = if known { None } else { Some(self.prepare_user(user.clone(), meta).await?) };
        Ok(Entry { email, name, email_verified: user.email_verified, roles, new })
    }

    async fn seed_in(
        &self,
        tx: &mut Tx<'_>,
        plan: &SeedPlan,
        entries: &[Entry],
        meta: &RequestMeta,
    ) -> Result<SeedReport> {
        let mut items = Vec::with_capacity(plan.roles.len() + entries.len());
        for role in &plan.roles {
            let known = roles::by_name(tx.conn(), &role.name).await?.is_some();
            let changed = self.define_role_in(tx, role, meta).await??.changed;
            let outcome = match (known, changed) {
                (false, _) => SeedOutcome::Created,
                (true, true) => SeedOutcome::Updated,
                (true, false) => SeedOutcome::Unchanged,
            };
            items.push(SeedItem { kind: "role", name: role.name.clone(), outcome });
        }
        for entry in entries {
            let outcome = self.seed_user_in(tx, entry, meta).await??;
            items.push(SeedItem { kind: "user", name: entry.email.address().to_owned(), outcome });
        }
        for (index, org) in plan.organisations.iter().enumerate() {
            self.seed_org_in(tx, org, (&format!("/organisations/{index}"), &mut items), meta).await?;
        }
        for (index, entry) in plan.memberships.iter().enumerate() {
            let pointer = format!("/memberships/{index}/user");
            let wanted = (entry.email.as_str(), &entry.resource, entry.role.as_str());
            items.push(self.seed_member_in(tx, wanted, &pointer, meta).await?);
        }
        let written = |item: &&SeedItem| matches!(item.outcome, SeedOutcome::Created | SeedOutcome::Updated);
        let changes = items.iter().filter(written).count();
        Ok(SeedReport { changes, items })
    }

    async fn seed_user_in(
        &self,
        tx: &mut Tx<'_>,
        entry: &Entry,
        meta: &RequestMeta,
    ) -> Result<Ruling<SeedOutcome>> {
        let Some(record) = users::by_email(tx.conn(), &entry.email).await? else {
            let Some(new) = &entry.new else {
                let text = format!("the account {} was removed meanwhile", entry.email.address());
                return Ok(Err(Error::new(ErrorKind::Conflict, text.clone()).with_public(text)));
            };
            return Ok(self.create_user_in(tx, new, meta).await?.map(|_| SeedOutcome::Created));
        };
        let user = record.user;
        if user.status == UserStatus::Deleted {
            return Ok(Ok(SeedOutcome::Skipped));
        }
        let mut changed = false;
        if user.name != entry.name {
            let change = UserChange { name: Some(entry.name.clone()), ..UserChange::default() }.checked()?;
            changed |= self.update_user_in(tx, user.id, &change, meta).await??.changed;
        }
        if entry.email_verified && !user.email_verified {
            changed |= self.verify_email_in(tx, user.id, meta).await??.changed;
        }
        for role in entry.roles.iter().filter(|role| !user.roles.contains(role)) {
            changed |= self.grant_role_in(tx, user.id, role, meta).await??.changed;
        }
        Ok(Ok(if changed { SeedOutcome::Updated } else { SeedOutcome::Unchanged }))
    }

    async fn seed_org_in(
        &self,
        tx: &mut Tx<'_>,
        planned: &SeedOrganisation,
        (pointer, items): (&str, &mut Vec<SeedItem>),
        meta: &RequestMeta,
    ) -> Result<()> {
        let checked = planned.organisation.clone().checked()?;
        let email = planned.organisation.admin_email.clone().unwrap_or_default();
        let owner = self.seeded(tx, &email, &format!("{pointer}/owner")).await?;
        if !owner.email_verified {
            let message = "must be an account whose e-mail is proved";
            return Err(Error::field(format!("{pointer}/owner"), FieldCode::Format, message));
        }
        let name = planned.organisation.name.trim().to_owned();
        let known = orgs::of_user(tx.conn(), owner.id, None, 1000).await?;
        let known = known.into_iter().find(|(_, org)| org.name == name);
        let (id, outcome) = match known {
            Some((_, org)) => (org.id, SeedOutcome::Unchanged),
            None => {
                let (org, _) = self.create_org_in(tx, By::Operator, &checked, meta).await??;
                (org.id, SeedOutcome::Created)
            }
        };
        items.push(SeedItem { kind: "organisation", name, outcome });
        let resource = Resource::org(id);
        for (email, role) in &planned.members {
            let pointer = format!("{pointer}/members");
            items.push(self.seed_member_in(tx, (email, &resource, role), &pointer, meta).await?);
        }
        Ok(())
    }

    async fn seed_member_in(
        &self,
        tx: &mut Tx<'_>,
        (email, resource, role): (&str, &Resource, &str),
        pointer: &str,
        meta: &RequestMeta,
    ) -> Result<SeedItem> {
        let user = self.seeded(tx, email, pointer).await?;
        let outcome = if members::of(tx.conn(), user.id, resource).await?.is_some() {
            SeedOutcome::Unchanged
        } else {
            let grant =
                Grant { user: user.id, resource: resource.clone(), role: role.to_owned(), exists: None };
            self.grant_membership_in(tx, By::Operator, &grant, meta).await??;
            SeedOutcome::Created
        };
        Ok(SeedItem { kind: "membership", name: format!("{} on {resource}", user.email), outcome })
    }

    /// An account that the plan names.
    async fn seeded(&self, tx: &mut Tx<'_>, email: &str, pointer: &str) -> Result<User> {
        let missing = || Error::field(pointer, FieldCode::Unknown, "is not the e-mail of an account");
        let email = Email::parse(email, pointer).map_err(|fault| Error::validation(vec![fault]))?;
        let found = users::by_email(tx.conn(), &email).await?;
        let found = found.filter(|record| record.user.status != UserStatus::Deleted);
        found.map(|record| record.user).ok_or_else(missing)
    }
}
