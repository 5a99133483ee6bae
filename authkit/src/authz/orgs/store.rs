//! Statements on `authkit_organisations`.

use uuid::Uuid;

use super::{OrgStatus, Organisation, OrganisationChange};
use crate::db::{Conn, on_db, row};
use crate::error::{Error, Result};
use crate::ids::{MembershipId, OrgId, UserId};
use crate::time::Timestamp;

macro_rules! columns {
    () => {
        "g.id, g.name, g.domain, g.seat_limit, g.status, g.created_at, g.updated_at"
    };
}

const INSERT: &str =
    "INSERT INTO authkit_organisations (id, name, domain, seat_limit, status, created_at, updated_at)
    VALUES ($1, $2, $3, $4, 'active', $5, $5)";
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM authkit_organisations g WHERE g.id = $1");
const UPDATE: &str = "UPDATE authkit_organisations
    SET name = $2, domain = $3, seat_limit = $4, status = $5, updated_at = $6 WHERE id = $1";
const DELETE: &str = "DELETE FROM authkit_organisations WHERE id = $1";
/// Oldest first: ids sort by time, as text, too.
const ALL: &str =
    concat!("SELECT ", columns!(), " FROM authkit_organisations g WHERE g.id > $1 ORDER BY g.id LIMIT $2");
/// In the order in which the user came to them.
const OF_USER: &str = concat!(
    "SELECT m.id AS membership, ",
    columns!(),
    " FROM authkit_memberships m JOIN authkit_organisations g ON g.id = m.resource_id
    WHERE m.user_id = $1 AND m.resource_type = 'org' AND m.id > $2 ORDER BY m.id LIMIT $3"
);
const NAMES_OF_USER: &str = "SELECT g.name FROM authkit_memberships m
    JOIN authkit_organisations g ON g.id = m.resource_id
    WHERE m.user_id = $1 AND m.resource_type = 'org' ORDER BY m.id LIMIT 20";

row! {
    struct OrgRow {
        id: String, name: String, domain: Option<String>, seat_limit: Option<i64>, status: String, created_at: i64,
        updated_at: i64,
    }
}

row! {
    struct MineRow {
        membership: Uuid, id: String, name: String, domain: Option<String>, seat_limit: Option<i64>, status: String,
        created_at: i64, updated_at: i64,
    }
}

impl OrgRow {
    fn into_org(self) -> Result<Organisation> {
        let garbled = || Error::internal("an organisation's row is garbled");
        Ok(Organisation {
            id: self.id.parse().map_err(|_| garbled())?,
            name: self.name,
            domain: self.domain,
            seat_limit: self.seat_limit,
            status: OrgStatus::from_name(&self.status).ok_or_else(garbled)?,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}

pub(crate) async fn insert(
    conn: &mut Conn<'_>,
    id: OrgId,
    name: &str,
    domain: Option<&str>,
    seat_limit: Option<i64>,
    now: Timestamp,
) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(INSERT)
        .bind(id.to_string())
        .bind(name)
        .bind(domain)
        .bind(seat_limit)
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(crate) async fn by_id(conn: &mut Conn<'_>, id: OrgId) -> Result<Option<Organisation>> {
    let row: Option<OrgRow> =
        on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.to_string()).fetch_optional(c).await)?;
    row.map(OrgRow::into_org).transpose()
}

/// The organisation as it is from now on. Its row is held.
pub(crate) async fn update(
    conn: &mut Conn<'_>,
    before: Organisation,
    change: &OrganisationChange,
    now: Timestamp,
) -> Result<Organisation> {
    let after = Organisation {
        name: change.name.clone().unwrap_or(before.name),
        domain: change.domain.clone().unwrap_or(before.domain),
        seat_limit: change.seat_limit.unwrap_or(before.seat_limit),
        status: change.status.unwrap_or(before.status),
        updated_at: now,
        ..before
    };
    let () = on_db!(conn, |c| sqlx::query(UPDATE)
        .bind(after.id.to_string())
        .bind(after.name.as_str())
        .bind(after.domain.as_deref())
        .bind(after.seat_limit)
        .bind(after.status.name())
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(after)
}

/// Its resources, all memberships on them and all invitations to them go with the row.
pub(crate) async fn delete(conn: &mut Conn<'_>, id: OrgId) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(DELETE)
        .bind(id.to_string())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

pub(crate) async fn all(conn: &mut Conn<'_>, after: Option<Uuid>, limit: i64) -> Result<Vec<Organisation>> {
    let after = after.map(|id| OrgId::from_uuid(id).to_string()).unwrap_or_default();
    let rows: Vec<OrgRow> = on_db!(conn, |c| sqlx::query_as(ALL).bind(after).bind(limit).fetch_all(c).await)?;
    rows.into_iter().map(OrgRow::into_org).collect()
}

/// Each with the membership by which the user is in it.
pub(crate) async fn of_user(
    conn: &mut Conn<'_>,
    user: UserId,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<(MembershipId, Organisation)>> {
    let rows: Vec<MineRow> = on_db!(conn, |c| sqlx::query_as(OF_USER)
        .bind(user.as_uuid())
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(c)
        .await)?;
    let org = |row: MineRow| {
        let MineRow { membership, id, name, domain, seat_limit, status, created_at, updated_at } = row;
        let org = OrgRow { id, name, domain, seat_limit, status, created_at, updated_at }.into_org()?;
        Ok((MembershipId::from_uuid(membership), org))
    };
    rows.into_iter().map(org).collect()
}

/// Names of the user's organisations, the first twenty.
pub(crate) async fn names_of_user(conn: &mut Conn<'_>, user: UserId) -> Result<Vec<String>> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(NAMES_OF_USER).bind(user.as_uuid()).fetch_all(c).await)?)
}
