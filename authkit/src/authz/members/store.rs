//! Statements on `authkit_resources` and `authkit_memberships`, and the one read that decides.

use uuid::Uuid;

use super::Membership;
use crate::authz::Resource;
use crate::authz::decision::Access;
use crate::db::{Conn, on_db, row};
use crate::error::{Error, Result};
use crate::ids::{MembershipId, OrgId, UserId};
use crate::time::Timestamp;
use crate::users::UserStatus;

macro_rules! columns {
    () => {
        "id, user_id, resource_type, resource_id, role, managed, created_at, updated_at"
    };
}

/// One row by primary and unique keys: the account, its roles and what they permit, its membership on the resource, and
/// the one in the resource's organisation. Names of roles and JSON of permissions have no space.
const ACCESS: &str = "SELECT u.status,
        (SELECT string_agg(h.role || '=' || d.permissions, ' ') FROM authkit_user_roles h
            JOIN authkit_roles d ON d.name = h.role WHERE h.user_id = u.id) AS platform,
        m.id AS direct_id, m.role AS direct_role, r.resource_id AS known, r.org,
        o.id AS org_member_id, o.role AS org_role, g.status AS org_status
    FROM authkit_users u
    LEFT JOIN authkit_memberships m
        ON m.user_id = u.id AND m.resource_type = $2 AND m.resource_id = $3
    LEFT JOIN authkit_resources r ON r.resource_type = $2 AND r.resource_id = $3
    LEFT JOIN authkit_memberships o
        ON o.user_id = u.id AND o.resource_type = 'org' AND o.resource_id = r.org
    LEFT JOIN authkit_organisations g ON g.id = r.org
    WHERE u.id = $1";

/// Makes the resource's row, or leaves it as it is.
const REGISTER: &str =
    "INSERT INTO authkit_resources (resource_type, resource_id, org, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $4) ON CONFLICT DO NOTHING";
/// Takes the resource's row, so that guards on its members hold until the transaction ends.
const TAKE: &str = "UPDATE authkit_resources SET updated_at = updated_at
    WHERE resource_type = $1 AND resource_id = $2 RETURNING org";
/// Memberships and invitations go with the row.
const UNREGISTER: &str = "DELETE FROM authkit_resources WHERE resource_type = $1 AND resource_id = $2";

const INSERT: &str = concat!(
    "INSERT INTO authkit_memberships
        (id, user_id, resource_type, resource_id, role, managed, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT DO NOTHING RETURNING ",
    columns!()
);
const SET_ROLE: &str = "UPDATE authkit_memberships SET role = $2, updated_at = $3 WHERE id = $1";
const DELETE: &str = "DELETE FROM authkit_memberships WHERE id = $1";
const DELETE_OF_USER: &str = "DELETE FROM authkit_memberships WHERE user_id = $1";
const DELETE_OF_USER_IN: &str = "DELETE FROM authkit_memberships WHERE user_id = $1
    AND EXISTS (SELECT 1 FROM authkit_resources r WHERE r.resource_type = authkit_memberships.resource_type
        AND r.resource_id = authkit_memberships.resource_id AND r.org = $2)";
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM authkit_memberships WHERE id = $1");
const OF: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_memberships WHERE user_id = $1 AND resource_type = $2 AND resource_id = $3"
);
const OF_USER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_memberships WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3"
);
const OF_USER_AND_TYPE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_memberships WHERE user_id = $1 AND resource_type = $2 AND id > $3 ORDER BY id LIMIT $4"
);
const OF_RESOURCE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_memberships WHERE resource_type = $1 AND resource_id = $2 AND id > $3 ORDER BY id LIMIT $4"
);
/// Counts no further than the limit that is asked about.
const SEATS: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM (SELECT 1 FROM authkit_memberships
    WHERE resource_type = $1 AND resource_id = $2 LIMIT $3) AS taken";
/// Whether somebody else who can sign in holds the role.
const OTHER_HOLDER: &str = "SELECT EXISTS (SELECT 1 FROM authkit_memberships m
    JOIN authkit_users u ON u.id = m.user_id
    WHERE m.resource_type = $1 AND m.resource_id = $2 AND m.role = $3 AND m.user_id <> $4
      AND u.status = 'active')";
/// What both are members of, as the store has it of each.
const SHARED: &str = "SELECT t.resource_id AS org, t.role AS role, t.managed AS managed, c.role AS other
    FROM authkit_memberships t
    LEFT JOIN authkit_memberships c
        ON c.user_id = $2 AND c.resource_type = 'org' AND c.resource_id = t.resource_id
    WHERE t.user_id = $1 AND t.resource_type = 'org' LIMIT 1000";

row! {
    struct AccessRow {
        status: String, platform: Option<String>, direct_id: Option<Uuid>, direct_role: Option<String>,
        known: Option<String>, org: Option<String>, org_member_id: Option<Uuid>, org_role: Option<String>,
        org_status: Option<String>,
    }
}

row! {
    struct MemberRow {
        id: Uuid, user_id: Uuid, resource_type: String, resource_id: String, role: String, managed: bool,
        created_at: i64, updated_at: i64,
    }
}

row! {
    /// An organisation of somebody, and the role of somebody else in it.
    pub(crate) struct Shared {
        pub(crate) org: String, pub(crate) role: String, pub(crate) managed: bool, pub(crate) other: Option<String>,
    }
}

impl From<MemberRow> for Membership {
    fn from(row: MemberRow) -> Self {
        Self {
            id: MembershipId::from_uuid(row.id),
            user_id: UserId::from_uuid(row.user_id),
            resource: Resource::stored(row.resource_type, row.resource_id),
            role: row.role,
            managed: row.managed,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        }
    }
}

impl AccessRow {
    fn into_access(self) -> Result<Access> {
        let status = UserStatus::from_name(&self.status);
        let mut platform = Vec::new();
        for part in self.platform.as_deref().unwrap_or_default().split(' ').filter(|part| !part.is_empty()) {
            let garbled = || Error::internal("a role's permissions are not JSON");
            let (role, granted) = part.split_once('=').ok_or_else(garbled)?;
            let granted = serde_json::from_str(granted).map_err(|e| garbled().with_source(e))?;
            platform.push((role.to_owned(), granted));
        }
        Ok(Access {
            status: status.ok_or_else(|| Error::internal("an unknown status"))?,
            platform,
            direct: self.direct_id.zip(self.direct_role),
            known: self.known.is_some(),
            org: self.org,
            in_org: self.org_member_id.zip(self.org_role),
            org_disabled: self.org_status.as_deref() == Some("disabled"),
        })
    }
}

/// What the store says about a user and a resource; `None` when there is no such user.
pub(crate) async fn access(conn: &mut Conn<'_>, user: UserId, resource: &Resource) -> Result<Option<Access>> {
    let row: Option<AccessRow> = on_db!(conn, |c| sqlx::query_as(ACCESS)
        .bind(user.as_uuid())
        .bind(resource.kind())
        .bind(resource.id())
        .fetch_optional(c)
        .await)?;
    row.map(AccessRow::into_access).transpose()
}

/// `false` when it was there already.
pub(crate) async fn register(
    conn: &mut Conn<'_>,
    resource: &Resource,
    org: Option<OrgId>,
    now: Timestamp,
) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(REGISTER)
        .bind(resource.kind())
        .bind(resource.id())
        .bind(org.map(|org| org.to_string()))
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// `None` when there is no such resource; else its organisation.
pub(crate) async fn take(conn: &mut Conn<'_>, resource: &Resource) -> Result<Option<Option<OrgId>>> {
    let row: Option<Option<String>> = on_db!(conn, |c| sqlx::query_scalar(TAKE)
        .bind(resource.kind())
        .bind(resource.id())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(|org| org.and_then(|org| org.parse().ok())))
}

pub(crate) async fn unregister(conn: &mut Conn<'_>, resource: &Resource) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(UNREGISTER)
        .bind(resource.kind())
        .bind(resource.id())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// `None` when the user has a role there already.
pub(crate) async fn insert(conn: &mut Conn<'_>, new: &Membership) -> Result<Option<Membership>> {
    let row: Option<MemberRow> = on_db!(conn, |c| sqlx::query_as(INSERT)
        .bind(new.id.as_uuid())
        .bind(new.user_id.as_uuid())
        .bind(new.resource.kind())
        .bind(new.resource.id())
        .bind(new.role.as_str())
        .bind(new.managed)
        .bind(new.created_at.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(Membership::from))
}

pub(crate) async fn set_role(
    conn: &mut Conn<'_>,
    id: MembershipId,
    role: &str,
    now: Timestamp,
) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(SET_ROLE)
        .bind(id.as_uuid())
        .bind(role)
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

pub(crate) async fn delete(conn: &mut Conn<'_>, id: MembershipId) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(DELETE)
        .bind(id.as_uuid())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// Returns how many.
pub(crate) async fn delete_of_user(conn: &mut Conn<'_>, user: UserId) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(DELETE_OF_USER)
        .bind(user.as_uuid())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Those on resources of one organisation. Returns how many.
pub(crate) async fn delete_of_user_in(conn: &mut Conn<'_>, user: UserId, org: OrgId) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(DELETE_OF_USER_IN)
        .bind(user.as_uuid())
        .bind(org.to_string())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(crate) async fn by_id(conn: &mut Conn<'_>, id: MembershipId) -> Result<Option<Membership>> {
    let row: Option<MemberRow> =
        on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.as_uuid()).fetch_optional(c).await)?;
    Ok(row.map(Membership::from))
}

pub(crate) async fn of(conn: &mut Conn<'_>, user: UserId, resource: &Resource) -> Result<Option<Membership>> {
    let row: Option<MemberRow> = on_db!(conn, |c| sqlx::query_as(OF)
        .bind(user.as_uuid())
        .bind(resource.kind())
        .bind(resource.id())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(Membership::from))
}

/// Oldest first, of one kind of resource or of all.
pub(crate) async fn of_user(
    conn: &mut Conn<'_>,
    user: UserId,
    kind: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Membership>> {
    let after = after.unwrap_or_default();
    let rows: Vec<MemberRow> = match kind {
        Some(kind) => on_db!(conn, |c| sqlx::query_as(OF_USER_AND_TYPE)
            .bind(user.as_uuid())
            .bind(kind)
            .bind(after)
            .bind(limit)
            .fetch_all(c)
            .await)?,
        None => on_db!(conn, |c| sqlx::query_as(OF_USER)
            .bind(user.as_uuid())
            .bind(after)
            .bind(limit)
            .fetch_all(c)
            .await)?,
    };
    Ok(rows.into_iter().map(Membership::from).collect())
}

/// Oldest first.
pub(crate) async fn of_resource(
    conn: &mut Conn<'_>,
    resource: &Resource,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Membership>> {
    let rows: Vec<MemberRow> = on_db!(conn, |c| sqlx::query_as(OF_RESOURCE)
        .bind(resource.kind())
        .bind(resource.id())
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(c)
        .await)?;
    Ok(rows.into_iter().map(Membership::from).collect())
}

/// Whether there is a seat left below `limit`. The organisation's resource row is held.
pub(crate) async fn has_seat(conn: &mut Conn<'_>, org: OrgId, limit: i64) -> Result<bool> {
    let taken: i64 = on_db!(conn, |c| sqlx::query_scalar(SEATS)
        .bind(crate::authz::ORG)
        .bind(org.to_string())
        .bind(limit)
        .fetch_one(c)
        .await)?;
    Ok(taken < limit)
}

/// Whether somebody other than `but`, able to sign in, holds one of `roles` there. The resource's row is held.
pub(crate) async fn has_other_holder(
    conn: &mut Conn<'_>,
    resource: &Resource,
    roles: &[&str],
    but: UserId,
) -> Result<bool> {
    for role in roles {
        let other: bool = on_db!(conn, |c| sqlx::query_scalar(OTHER_HOLDER)
            .bind(resource.kind())
            .bind(resource.id())
            .bind(*role)
            .bind(but.as_uuid())
            .fetch_one(c)
            .await)?;
        if other {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Organisations of `user`, and the role of `other` in each.
pub(crate) async fn shared(conn: &mut Conn<'_>, user: UserId, other: UserId) -> Result<Vec<Shared>> {
    Ok(on_db!(conn, |c| sqlx::query_as(SHARED)
        .bind(user.as_uuid())
        .bind(other.as_uuid())
        .fetch_all(c)
        .await)?)
}
