//! Roles on resources.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::orgs::user_id;
use crate::authz::{Membership, Resource};
use crate::db::Listing;
use crate::error::{Error, FieldCode};
use crate::flows::Authenticated;
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::{Meta, PathId};
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::http::query;
use crate::ids::MembershipId;

/// Who is to hold which role on what.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct MembershipBody {
    /// An account.
    #[cfg_attr(feature = "openapi", schema(format = "uuid", pattern = r"^[^\u0000]*$"))]
    user_id: String,
    /// A kind of thing that the host declares.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z][a-z0-9_-]{0,63}$"))]
    resource_type: String,
    /// Which one.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._~-]{1,128}$"))]
    resource_id: String,
    /// A role that is declared for that kind.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    role: String,
}

impl FromFields for MembershipBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            user_id: fields.string("user_id"),
            resource_type: fields.string("resource_type"),
            resource_id: fields.string("resource_id"),
            role: fields.string("role"),
        }
    }
}

/// The resource that a query names, if it names one.
pub(super) fn resource_of(query: Option<&str>) -> Result<Option<Resource>, ApiError> {
    match (query::value(query, "resource_type")?, query::value(query, "resource_id")?) {
        (Some(kind), Some(id)) => Ok(Some(Resource::new(kind, id)?)),
        (None, Some(_)) => {
            Err(Error::field("/resource_type", FieldCode::Required, "belongs to a resource_id").into())
        }
        // A kind alone names nothing yet, but must be one.
        (Some(kind), None) => Resource::new(kind, "any").map(|_| None).map_err(ApiError::from),
        (None, None) => Ok(None),
    }
}

/// Roles on resources, oldest first.
///
/// The caller's own; of one type with `resource_type`; with `resource_id` all that are held on that one, for those who
/// may see them. `user_id` names another user, for callers who may do everything.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/memberships", operation_id = "list_memberships", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("user_id" = Option<uuid::Uuid>, Query, description = "Whose.", nullable = false),
        ("resource_type" = Option<String>, Query, description = "On this kind of thing.",
            pattern = "^[a-z][a-z0-9_-]{0,63}$", nullable = false),
        ("resource_id" = Option<String>, Query, description = "On this one.",
            pattern = "^[A-Za-z0-9._~-]{1,128}$", nullable = false),
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The memberships.", body = super::authz_schemas::MembershipList)),
))]
pub(in crate::http::axum) async fn list(
    State(state): State<AuthState>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Membership>>, ApiError> {
    let query = query.as_deref();
    let page = query::page(query)?;
    let memberships = state.kit().memberships();
    let user = query::value(query, "user_id")?.map(user_id).transpose()?;
    if let Some(resource) = resource_of(query)? {
        if user.is_some() {
            let message = "cannot be given together with a resource_id";
            return Err(Error::field("/user_id", FieldCode::Unknown, message).into());
        }
        return Ok(Json(memberships.of_resource(&caller, &resource, &page).await?));
    }
    let kind = query::value(query, "resource_type")?;
    // Judged as the kind of something.
    kind.map(|kind| Resource::new(kind, "x")).transpose()?;
    Ok(Json(match user {
        Some(user) => memberships.of_user(&caller, user, kind, &page).await?,
        None => memberships.own(&caller, kind, &page).await?,
    }))
}

/// Give a role on a resource, or another one to who has one there.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/memberships", operation_id = "grant_membership", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    request_body = MembershipBody,
    responses((status = 201, description = "The membership.", body = super::authz_schemas::Membership)),
))]
pub(in crate::http::axum) async fn create(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    Input(body): Input<MembershipBody>,
) -> Result<Response, ApiError> {
    let resource = Resource::new(body.resource_type, body.resource_id)?;
    let grant = (user_id(&body.user_id)?, resource, body.role.as_str());
    let made = state.kit().memberships().grant(&caller, grant, &meta).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Take a role on a resource, or give one's own up.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/memberships/{id}", operation_id = "revoke_membership", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The membership.")),
    responses((status = 204, description = "The role is gone.")),
))]
pub(in crate::http::axum) async fn remove(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathId(id): PathId<MembershipId>,
) -> Result<Response, ApiError> {
    state.kit().memberships().revoke(&caller, id, &meta).await?;
    Ok(answers::done())
}
