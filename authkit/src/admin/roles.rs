//! Roles: define, give, take.

use super::Changed;
use crate::audit::Entry;
use crate::authz::{
    FEED, RoleInfo, SUPER_ADMIN, check_description, check_permission, check_role_name, covers, store as roles,
};
use crate::config::RoleDefinition;
use crate::db::{Tx, feed};
use crate::error::{Error, ErrorKind, FieldCode, FieldError, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::UserId;
use crate::meta::RequestMeta;
use crate::precondition::Precondition;
use crate::sessions::revocations::Revocation;
use crate::users::{User, UserStatus, store as users};

pub(super) fn unknown_role(role: &str) -> Error {
    let text = format!("there is no role {role:?}");
    let fault = FieldError::new("/roles", FieldCode::Unknown, "names a role that there is not");
    Error::new(ErrorKind::NotFound, text.clone()).with_public(text).with_fields(vec![fault])
}

fn no_account() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such account").with_public("There is no such account.")
}

fn role_entry(action: Action, user: UserId, role: &str) -> Entry {
    Entry::success(action, user).detail("role", role)
}

impl Ctx {
    pub(crate) async fn define_role_in(
        &self,
        tx: &mut Tx<'_>,
        role: &RoleDefinition,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<RoleInfo>>> {
        check_role_name(&role.name)?;
        let mut faults: Vec<_> = role.permissions.iter().filter_map(|p| check_permission(p).err()).collect();
        faults.extend(check_description(&role.description).err());
        if !faults.is_empty() {
            return Ok(Err(Error::validation(faults)));
        }
        if roles::by_name(tx.conn(), &role.name).await?.is_some_and(|role| role.built_in) {
            let refusal = Error::new(ErrorKind::Conflict, format!("{} is a built-in role", role.name));
            return Ok(Err(refusal.with_public("A built-in role cannot be changed.")));
        }
        let changed =
            roles::define(tx.conn(), &role.name, &role.permissions, &role.description, self.now()).await?;
        if changed {
            feed::advance(tx.conn(), FEED).await?;
            let entry = Entry::system(Action::RoleDefine)
                .detail("role", role.name.clone())
                .detail("permissions", role.permissions.clone());
            self.audit.grant(tx, meta, entry).await?;
        }
        let info = roles::by_name(tx.conn(), &role.name).await?;
        Ok(info.map(|info| Changed::new(changed, info)).ok_or_else(|| unknown_role(&role.name)))
    }

    pub(crate) async fn grant_role_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        role: &str,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(no_account())) };
        if roles::by_name(tx.conn(), role).await?.is_none() {
            return Ok(Err(unknown_role(role)));
        }
        if let Err(refusal) = self.may_give(tx, Some(user), &[role.to_owned()], meta).await? {
            return Ok(Err(refusal));
        }
        if !users::grant(tx.conn(), user, role, self.now()).await? {
            return Ok(Ok(Changed::new(false, record.user)));
        }
        self.role_changed(tx, user, role, Action::RoleGrant, meta).await
    }

    pub(crate) async fn revoke_role_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        role: &str,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(no_account())) };
        if roles::by_name(tx.conn(), role).await?.is_none() {
            return Ok(Err(unknown_role(role)));
        }
        if let Err(refusal) = self.may_give(tx, Some(user), &[role.to_owned()], meta).await? {
            return Ok(Err(refusal));
        }
        if role == SUPER_ADMIN
            && let Err(refusal) = self.keep_a_super_admin(tx, &record).await?
        {
            return Ok(Err(refusal));
        }
        if !users::revoke(tx.conn(), user, role).await? {
            return Ok(Ok(Changed::new(false, record.user)));
        }
        self.role_changed(tx, user, role, Action::RoleRevoke, meta).await
    }

    /// Gives and takes roles until the account has these.
    pub(crate) async fn set_roles_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        wanted: &[String],
        only_if: &Precondition,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(no_account())) };
        if let Err(refusal) = only_if.check(&record.user.version_tag()) {
            return Ok(Err(refusal));
        }
        let defined = roles::all(tx.conn()).await?;
        let unknown = |name: &String| !defined.iter().any(|role| role.name == *name);
        let faults: Vec<FieldError> = wanted
            .iter()
            .enumerate()
            .filter(|(_, name)| unknown(name))
            .map(|(at, _)| FieldError::new(format!("/roles/{at}"), FieldCode::Unknown, "is no role"))
            .collect();
        if !faults.is_empty() {
            return Ok(Err(Error::validation(faults)));
        }
        let held = &record.user.roles;
        let mut given: Vec<String> = wanted.iter().filter(|role| !held.contains(role)).cloned().collect();
        given.sort_unstable();
        given.dedup();
        let taken: Vec<String> = held.iter().filter(|role| !wanted.contains(role)).cloned().collect();
        let moved: Vec<String> = given.iter().chain(&taken).cloned().collect();
        if moved.is_empty() {
            return Ok(Ok(Changed::new(false, record.user)));
        }
        if let Err(refusal) = self.may_give(tx, Some(user), &moved, meta).await? {
            return Ok(Err(refusal));
        }
        if taken.iter().any(|role| role == SUPER_ADMIN)
            && let Err(refusal) = self.keep_a_super_admin(tx, &record).await?
        {
            return Ok(Err(refusal));
        }
        let now = self.now();
        for role in &given {
            users::grant(tx.conn(), user, role, now).await?;
            self.audit.grant(tx, meta, role_entry(Action::RoleGrant, user, role)).await?;
        }
        for role in &taken {
            users::revoke(tx.conn(), user, role).await?;
            self.audit.grant(tx, meta, role_entry(Action::RoleRevoke, user, role)).await?;
        }
        self.void_tokens_of(tx, user).await?;
        Ok(Ok(Changed::new(true, self.user_in(tx, user).await?)))
    }

    /// Whether the operator may give these roles to `user`, or take them from him. One who signed in changes nobody's
    /// roles but others', and no role that permits what his own do not, as the store says now (R14). Whoever works on the
    /// store itself may do everything.
    pub(crate) async fn may_give(
        &self,
        tx: &mut Tx<'_>,
        user: Option<UserId>,
        moved: &[String],
        meta: &RequestMeta,
    ) -> Result<Ruling<()>> {
        let Some(acting) = meta.acting else { return Ok(Ok(())) };
        let why = if user == Some(acting) {
            "own_role"
        } else {
            let operator = users::by_id(tx.conn(), acting).await?;
            let operator = operator.filter(|record| record.user.status == UserStatus::Active);
            let own = operator.map(|record| record.user.roles).unwrap_or_default();
            let held = self.permissions_of(tx, &own).await?;
            let needed = self.permissions_of(tx, moved).await?;
            let above = needed.iter().any(|needed| !held.iter().any(|grant| covers(grant, needed)));
            if !above {
                return Ok(Ok(()));
            }
            "above_own_role"
        };
        let entry = Entry::failure(Action::RoleGrant, user, why).detail("roles", moved.to_vec());
        self.audit.record(tx, meta, entry).await?;
        let (text, public) = if why == "own_role" {
            ("nobody changes his own roles", "You cannot change your own roles.")
        } else {
            ("a role permits more than the operator's own", "A role permits more than your own.")
        };
        Ok(Err(Error::new(ErrorKind::Forbidden, text).with_public(public)))
    }

    /// Tokens made with the roles before are void.
    async fn void_tokens_of(&self, tx: &mut Tx<'_>, user: UserId) -> Result<()> {
        let version = users::bump_ver(tx.conn(), user, self.now()).await?;
        let version = version.ok_or_else(|| Error::internal("a held account is gone"))?;
        self.revocations.revoke(tx, Revocation::User(user, version.ver)).await
    }

    async fn role_changed(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        role: &str,
        action: Action,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        self.void_tokens_of(tx, user).await?;
        self.audit.grant(tx, meta, role_entry(action, user, role)).await?;
        Ok(Ok(Changed::new(true, self.user_in(tx, user).await?)))
    }
}
