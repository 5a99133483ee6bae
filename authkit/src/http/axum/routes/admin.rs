//! What operators do over HTTP.

use axum::Json;
use axum::extract::RawQuery;
use axum::response::Response;

use crate::db::Listing;
use crate::error::{Error, FieldCode};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::{Operator, OperatorOver, PathId};
use crate::http::body::Refusal;
use crate::http::query;
use crate::ids::LockoutId;
use crate::lockout::{LockKind, Lockout, LockoutFilter};
use crate::users::User;

/// Counters of failed attempts, and what they lock.
///
/// Newest first. An entry says neither e-mail nor address: they are kept as keyed hashes only.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/admin/lockouts", operation_id = "list_lockouts", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("kind" = Option<crate::http::axum::schemas::LockKind>, Query, description = "Only of this kind.",
            nullable = false),
        ("user" = Option<uuid::Uuid>, Query, description = "Only of this account.", nullable = false),
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The lockouts.",
        body = crate::http::axum::schemas::LockoutList)),
))]
pub(in crate::http::axum) async fn lockouts(
    Operator(admin): Operator,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Lockout>>, ApiError> {
    let query = query.as_deref();
    Ok(Json(admin.lockouts(&filter(query)?, &query::page(query)?).await?))
}

fn filter(query: Option<&str>) -> Result<LockoutFilter, Refusal> {
    let bad = |pointer, message| Refusal::from(&Error::field(pointer, FieldCode::Format, message));
    let mut filter = LockoutFilter::default();
    if let Some(name) = query::value(query, "kind")? {
        let kind = LockKind::from_name(name);
        let message = "must be email, ip, network, device or second_factor";
        filter.kind = Some(kind.ok_or_else(|| bad("/kind", message))?);
    }
    if let Some(id) = query::value(query, "user")? {
        filter.user_id = Some(id.parse().map_err(|_| bad("/user", "must be the id of an account"))?);
    }
    Ok(filter)
}

/// End a lock and forget its failures.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/admin/lockouts/{id}", operation_id = "clear_lockout", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The lockout.")),
    responses((status = 204, description = "Nothing is locked or counted there any more.")),
))]
pub(in crate::http::axum) async fn clear_lockout(
    Operator(admin): Operator,
    PathId(lockout): PathId<LockoutId>,
) -> Result<Response, ApiError> {
    admin.clear_lockout(lockout).await?;
    Ok(answers::done())
}

/// End all locks of an account.
///
/// Those of its e-mail, its devices and its second factor. Locks of addresses stay.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/admin/users/{id}/unlock", operation_id = "unlock_user", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    responses((status = 200, description = "The account.", body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn unlock_user(
    OperatorOver(admin, user): OperatorOver,
) -> Result<Json<User>, ApiError> {
    Ok(Json(admin.unlock_user(user).await?.resource))
}

/// Remove all second factors of an account.
///
/// Authenticator apps, backup codes and passkeys. The lock of its second factor is forgotten, and all of its sessions end.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/admin/users/{id}/mfa/reset", operation_id = "reset_mfa", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    responses((status = 200, description = "The account.", body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn reset_mfa(
    OperatorOver(admin, user): OperatorOver,
) -> Result<Json<User>, ApiError> {
    Ok(Json(admin.reset_mfa(user).await?.resource))
}
