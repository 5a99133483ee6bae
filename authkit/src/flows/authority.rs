//! Who may do what on which thing: one read of the store at the moment of use (R14), by whatever door it is asked.

use std::sync::Arc;

use crate::authz::{Access, Decision, MEMBERS_WRITE, ORG, Resource, covers, members::store as members};
use crate::db::Conn;
use crate::error::{Error, ErrorKind, Result};
use crate::flows::doors::Door;
use crate::flows::{Authenticated, Ctx, Ruling};
use crate::ids::UserId;
use crate::meta::RequestMeta;

/// To act on the accounts of an organisation.
const USERS_MANAGE: &str = "users:manage";

/// Who wants something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Somebody at the server itself, or the host's own code.
    Operator,
    /// A signed-in user, who may what his roles permit.
    User(UserId),
}

impl By {
    /// As it stands in rows: an operator has no account.
    pub(crate) fn user(self) -> Option<UserId> {
        match self {
            Self::Operator => None,
            Self::User(user) => Some(user),
        }
    }
}

/// What somebody may do on a thing, as the store said it a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    permissions: Vec<String>,
    /// What his own roles permit, wherever.
    platform: Vec<String>,
    visible: bool,
    /// Whether he may do everything everywhere.
    pub(crate) operator: bool,
}

impl Authority {
    fn all() -> Self {
        let all = vec!["*".to_owned()];
        Self { permissions: all.clone(), platform: all, visible: true, operator: true }
    }

    fn none() -> Self {
        Self { permissions: Vec::new(), platform: Vec::new(), visible: false, operator: false }
    }

    pub(crate) fn permits(&self, permission: &str) -> bool {
        self.permissions.iter().any(|grant| covers(grant, permission))
    }

    /// Whether he may give or take a role on the thing that permits `wanted`: nobody gives what he has not.
    pub(crate) fn may_give(&self, wanted: &[String]) -> bool {
        self.permits(MEMBERS_WRITE) && crate::authz::cover_all(&self.permissions, wanted)
    }

    /// The same for a role of accounts.
    pub(crate) fn may_give_platform(&self, wanted: &[String]) -> bool {
        let invites = self.platform.iter().any(|grant| covers(grant, "platform:invite"));
        invites && crate::authz::cover_all(&self.platform, wanted)
    }

    /// The refusal of somebody who may not: another tenant's things are not there.
    pub(crate) fn refusal(&self, why: &'static str) -> Error {
        if self.visible { Error::new(ErrorKind::Forbidden, why) } else { hidden() }
    }

    /// `Ok` when it is permitted.
    pub(crate) fn require(&self, permission: &'static str) -> Ruling<()> {
        if self.permits(permission) { Ok(()) } else { Err(self.refusal("a permission there is missing")) }
    }
}

fn nobody() -> Decision {
    Decision::refused("there is no such account")
}

/// One answer for what is not there and what is another tenant's.
pub(crate) fn hidden() -> Error {
    ErrorKind::NotFound.into()
}

impl Ctx {
    /// Whether the user may do `permission` on the resource now, why, and by which row. One indexed read.
    pub(crate) async fn can(
        &self,
        conn: &mut Conn<'_>,
        user: UserId,
        permission: &str,
        resource: &Resource,
    ) -> Result<Decision> {
        Ok(match members::access(conn, user, resource).await? {
            Some(access) => access.decide(&self.types, resource, permission),
            None => nobody(),
        })
    }

    /// [`Self::can`] on a connection of its own.
    pub(crate) async fn can_now(
        &self,
        user: UserId,
        permission: &str,
        resource: &Resource,
    ) -> Result<Decision> {
        let access = self.access_now(user, resource).await?;
        Ok(match access {
            Some(access) => access.decide(&self.types, resource, permission),
            None => nobody(),
        })
    }

    async fn access_now(&self, user: UserId, resource: &Resource) -> Result<Option<Access>> {
        let resource = resource.clone();
        self.db.read(move |conn| Box::pin(async move { members::access(conn, user, &resource).await })).await
    }

    /// The decision that lets a caller pass.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] where he may know of the resource, else [`ErrorKind::NotFound`].
    pub(crate) async fn require_on(
        &self,
        user: UserId,
        resource: &Resource,
        permission: &str,
    ) -> Result<Decision> {
        let decision = self.can_now(user, permission, resource).await?;
        if decision.allowed {
            return Ok(decision);
        }
        Err(if decision.visible { Error::new(ErrorKind::Forbidden, decision.why) } else { hidden() })
    }

    /// What somebody may do on a resource. In a transaction that holds the resource's row it stays so until the end.
    pub(crate) async fn authority(
        &self,
        conn: &mut Conn<'_>,
        by: By,
        resource: &Resource,
    ) -> Result<Authority> {
        let By::User(user) = by else { return Ok(Authority::all()) };
        let Some(access) = members::access(conn, user, resource).await? else {
            return Ok(Authority::none());
        };
        Ok(self.authority_of(&access, resource))
    }

    fn authority_of(&self, access: &Access, resource: &Resource) -> Authority {
        let operator = access.operator().is_some();
        let active = access.status == crate::users::UserStatus::Active;
        Authority {
            permissions: access.permissions(&self.types, resource),
            platform: access
                .platform
                .iter()
                .filter(|_| active)
                .flat_map(|(_, granted)| granted.clone())
                .collect(),
            visible: operator || (active && access.belongs()),
            operator,
        }
    }

    /// [`Self::authority`] on a connection of its own, for reads.
    pub(crate) async fn authority_now(&self, by: By, resource: &Resource) -> Result<Authority> {
        let By::User(user) = by else { return Ok(Authority::all()) };
        let access = self.access_now(user, resource).await?;
        Ok(match access {
            Some(access) => self.authority_of(&access, resource),
            None => Authority::none(),
        })
    }

    /// First thing at every door that grants something: the limit, and whether account and session still stand as the
    /// token says. Gives who acts, and the request as the audit shall name him.
    pub(crate) async fn acting(
        self: &Arc<Self>,
        auth: &Authenticated,
        meta: &RequestMeta,
    ) -> Result<(By, RequestMeta)> {
        self.limit(Door::Other, meta).await?;
        self.require_current(auth).await?;
        Ok((By::User(auth.user_id()), acting_meta(auth, meta)))
    }

    /// Whether the caller may do to an account what admins of its organisation may: he may do everything, or holds, in
    /// every organisation of the account, a role that permits `users:manage` there and all that the account's role
    /// permits; the account was made for the organisation, and is not his own. In a
    /// transaction that holds the account's row it stays so until the end.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an account that shares no organisation with the caller, as for one that is not there;
    /// [`ErrorKind::Forbidden`] otherwise.
    pub(crate) async fn require_admin_over(
        &self,
        conn: &mut Conn<'_>,
        by: By,
        user: UserId,
    ) -> Result<Ruling<()>> {
        let By::User(caller) = by else { return Ok(Ok(())) };
        let platform = Resource::platform();
        let Some(own) = members::access(conn, caller, &platform).await? else { return Ok(Err(hidden())) };
        if own.operator().is_some() {
            return Ok(Ok(()));
        }
        let forbidden = |why| Ok(Err(Error::new(ErrorKind::Forbidden, why)));
        let by_account = own.permits_platform(USERS_MANAGE);
        if !by_account && !self.administers_any(conn, caller).await? {
            return forbidden("the caller is no admin");
        }
        let shared = members::shared(conn, user, caller).await?;
        let Some(theirs) = members::access(conn, user, &platform).await? else { return Ok(Err(hidden())) };
        if !shared.iter().any(|org| org.other.is_some()) {
            return Ok(Err(hidden()));
        }
        if caller == user {
            return forbidden("nobody administers his own account");
        }
        for org in &shared {
            let resource = Resource::stored(ORG.to_owned(), org.org.clone());
            let mut authority = self.authority(conn, by, &resource).await?;
            if by_account && authority.visible {
                // The role `admin` of an account makes its holder an admin of the organisation that he is in.
                let admin = self.types.permissions(ORG, "admin").unwrap_or_default();
                authority.permissions.extend_from_slice(admin);
            }
            let of_theirs = self.types.permissions(ORG, &org.role).unwrap_or_default();
            if !org.managed || !authority.permits(USERS_MANAGE) || !authority.may_give(of_theirs) {
                return forbidden(
                    "the account is not the caller's organisation's alone, or above the caller",
                );
            }
        }
        // An account that may do more on the platform than its admin is not his to change.
        let granted = |access: &Access| -> Vec<String> {
            access.platform.iter().flat_map(|(_, granted)| granted.clone()).collect()
        };
        let admin: Vec<String> = granted(&own).into_iter().chain(["users:*".to_owned()]).collect();
        if !crate::authz::cover_all(&admin, &granted(&theirs)) {
            return forbidden("the account may do more than the caller");
        }
        Ok(Ok(()))
    }

    /// Whether the user is an admin of any organisation.
    async fn administers_any(&self, conn: &mut Conn<'_>, user: UserId) -> Result<bool> {
        let own = members::shared(conn, user, user).await?;
        Ok(own.iter().any(|org| {
            let granted = self.types.permissions(ORG, &org.role).unwrap_or_default();
            granted.iter().any(|grant| covers(grant, USERS_MANAGE))
        }))
    }
}

/// The request as the audit shall name who acts on somebody else.
pub(crate) fn acting_meta(auth: &Authenticated, meta: &RequestMeta) -> RequestMeta {
    let reason = meta.reason.clone();
    meta.clone().with_operator(format!("user:{}", auth.user_id()), reason)
}
