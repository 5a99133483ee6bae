//! Roles: define, give, take.

use super::Changed;
use crate::audit::Entry;
use crate::authz::{
    FEED, RoleInfo, SUPER_ADMIN, check_description, check_permission, check_role_name, store as roles,
};
use crate::config::RoleDefinition;
use crate::db::{Tx, feed};
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::UserId;
use crate::meta::RequestMeta;
use crate::sessions::revocations::Revocation;
use crate::users::{User, store as users};

pub(super) fn unknown_role(role: &str) -> Error {
    let text = format!("there is no role {role:?}");
    Error::new(ErrorKind::NotFound, text.clone()).with_public(text)
}

fn no_account() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such account").with_public("There is no such account.")
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

    /// Tokens made with the roles before are void.
    async fn role_changed(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        role: &str,
        action: Action,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let version = users::bump_ver(tx.conn(), user, self.now()).await?;
        let version = version.ok_or_else(|| Error::internal("a held account is gone"))?;
        self.revocations.revoke(tx, Revocation::User(user, version.ver)).await?;
        self.audit.grant(tx, meta, Entry::success(action, user).detail("role", role)).await?;
        Ok(Ok(Changed::new(true, self.user_in(tx, user).await?)))
    }
}
