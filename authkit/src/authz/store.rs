//! Statements on `authkit_roles`.

use super::RoleInfo;
use crate::db::{Conn, on_db, row};
use crate::error::{Error, Result};
use crate::time::Timestamp;

const ALL: &str = "SELECT name, permissions, description, built_in, created_at, updated_at
    FROM authkit_roles ORDER BY name";
const BY_NAME: &str = "SELECT name, permissions, description, built_in, created_at, updated_at
    FROM authkit_roles WHERE name = $1";
/// Changes nothing, and returns nothing, when the role is so already or is built in.
const DEFINE: &str =
    "INSERT INTO authkit_roles (name, permissions, description, built_in, created_at, updated_at)
    VALUES ($1, $2, $3, FALSE, $4, $4)
    ON CONFLICT (name) DO UPDATE SET permissions = excluded.permissions, description = excluded.description,
        updated_at = excluded.updated_at
    WHERE NOT authkit_roles.built_in AND (authkit_roles.permissions <> excluded.permissions
        OR authkit_roles.description <> excluded.description)
    RETURNING name";
/// Takes the role's row, so that a guard on its holders holds until the transaction ends.
const TAKE: &str = "UPDATE authkit_roles SET updated_at = updated_at WHERE name = $1 RETURNING name";

row! {
    struct RoleRow {
        name: String, permissions: String, description: String, built_in: bool, created_at: i64,
        updated_at: i64,
    }
}

impl RoleRow {
    fn into_info(self) -> Result<RoleInfo> {
        let permissions = serde_json::from_str(&self.permissions)
            .map_err(|e| Error::internal("a role's permissions are not JSON").with_source(e))?;
        Ok(RoleInfo {
            name: self.name,
            permissions,
            description: self.description,
            built_in: self.built_in,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}

pub(crate) async fn all(conn: &mut Conn<'_>) -> Result<Vec<RoleInfo>> {
    let rows: Vec<RoleRow> = on_db!(conn, |c| sqlx::query_as(ALL).fetch_all(c).await)?;
    rows.into_iter().map(RoleRow::into_info).collect()
}

/// What cannot be a name is not asked for: PostgreSQL refuses U+0000 as an error.
pub(crate) async fn by_name(conn: &mut Conn<'_>, name: &str) -> Result<Option<RoleInfo>> {
    if super::check_role_name(name).is_err() {
        return Ok(None);
    }
    let row: Option<RoleRow> = on_db!(conn, |c| sqlx::query_as(BY_NAME).bind(name).fetch_optional(c).await)?;
    row.map(RoleRow::into_info).transpose()
}

/// `false` when nothing changed.
pub(crate) async fn define(
    conn: &mut Conn<'_>,
    name: &str,
    permissions: &[String],
    description: &str,
    now: Timestamp,
) -> Result<bool> {
    let permissions = serde_json::Value::from(permissions).to_string();
    let row: Option<String> = on_db!(conn, |c| sqlx::query_scalar(DEFINE)
        .bind(name)
        .bind(permissions)
        .bind(description)
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// `false` when there is no such role.
pub(crate) async fn take(conn: &mut Conn<'_>, name: &str) -> Result<bool> {
    let row: Option<String> = on_db!(conn, |c| sqlx::query_scalar(TAKE).bind(name).fetch_optional(c).await)?;
    Ok(row.is_some())
}
