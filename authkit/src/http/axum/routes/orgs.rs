//! Organisations and their members.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use crate::authz::{Membership, NewOrganisation, OrgStatus, Organisation, OrganisationChange};
use crate::db::Listing;
use crate::error::{Error, FieldCode};
use crate::flows::Authenticated;
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::etag::{IfMatch, tagged};
use crate::http::axum::extract::{Meta, PathId, PathIds};
use crate::http::axum::idempotency::Once;
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::http::query;
use crate::ids::{OrgId, UserId};

/// An organisation to be.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct NewOrgBody {
    /// For people.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$")
    )]
    name: String,
    /// The domain that it says it has; nothing follows from it.
    #[cfg_attr(
        feature = "openapi",
        schema(nullable, max_length = 253, pattern = r"^[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$")
    )]
    domain: Option<String>,
    /// Who shall be its first owner.
    #[cfg_attr(feature = "openapi", schema(nullable, format = "email", max_length = 254))]
    admin_email: Option<String>,
    /// How many members there may be.
    #[cfg_attr(feature = "openapi", schema(nullable, minimum = 1, maximum = 1_000_000))]
    seat_limit: Option<i64>,
}

impl FromFields for NewOrgBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            name: fields.string("name"),
            domain: fields.nullable_string("domain"),
            admin_email: fields.nullable_string("admin_email"),
            seat_limit: fields.changed_whole("seat_limit").flatten(),
        }
    }
}

/// What is to change; what is left out stays, `null` empties.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct OrgChangeBody {
    /// For people.
    #[cfg_attr(
        feature = "openapi",
        schema(
            nullable = false,
            min_length = 1,
            max_length = 200,
            pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$"
        )
    )]
    name: Option<String>,
    /// The domain that it says it has.
    #[cfg_attr(
        feature = "openapi",
        schema(
            value_type = Option<String>,
            nullable,
            max_length = 253,
            pattern = r"^[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"
        )
    )]
    domain: Option<Option<String>>,
    /// How many members there may be. For operators.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<i64>, nullable, minimum = 1, maximum = 1_000_000)
    )]
    seat_limit: Option<Option<i64>>,
    /// `active` or `disabled`. For operators.
    #[cfg_attr(feature = "openapi", schema(nullable = false, pattern = "^(active|disabled)$"))]
    status: Option<String>,
}

impl FromFields for OrgChangeBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            name: fields.optional_string("name"),
            domain: fields.changed_string("domain"),
            seat_limit: fields.changed_whole("seat_limit"),
            status: fields.optional_string("status"),
        }
    }
}

/// Who is to be a member, as what.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct MemberBody {
    /// An account.
    #[cfg_attr(feature = "openapi", schema(format = "uuid", pattern = r"^[^\u0000]*$"))]
    user_id: String,
    /// `owner`, `admin`, `member`, or a role that the host declares for organisations.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    role: String,
}

impl FromFields for MemberBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { user_id: fields.string("user_id"), role: fields.string("role") }
    }
}

/// As what.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct MemberRoleBody {
    /// `owner`, `admin`, `member`, or a role that the host declares for organisations.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    role: String,
}

impl FromFields for MemberRoleBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { role: fields.string("role") }
    }
}

/// The account that a body names.
pub(super) fn user_id(text: &str) -> Result<UserId, Error> {
    let fault = || Error::field("/user_id", FieldCode::Format, "must be the id of an account");
    text.parse().map_err(|_| fault())
}

/// Make an organisation.
///
/// For callers who may do everything, and with `ORG_SELF_SERVICE` for anybody, who is its owner then.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/orgs", operation_id = "create_org", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    request_body = NewOrgBody,
    responses((status = 201, description = "The organisation.", body = super::authz_schemas::Organisation)),
))]
pub(in crate::http::axum) async fn create(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    once: Once<NewOrgBody>,
) -> Response {
    once.answer(meta, async move |meta, body| {
        let mut new = NewOrganisation::new(body.name);
        (new.domain, new.admin_email, new.seat_limit) = (body.domain, body.admin_email, body.seat_limit);
        let made = state.kit().organisations().create(&caller, new, &meta).await?;
        Ok((StatusCode::CREATED, Json(made)).into_response())
    })
    .await
}

/// The caller's organisations; for callers who may do everything all there are.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/orgs", operation_id = "list_orgs", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The organisations.",
        body = super::authz_schemas::OrganisationList)),
))]
pub(in crate::http::axum) async fn list(
    State(state): State<AuthState>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Organisation>>, ApiError> {
    let page = query::page(query.as_deref())?;
    Ok(Json(state.kit().organisations().list(&caller, &page).await?))
}

/// An organisation, for its members.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/orgs/{id}", operation_id = "show_org", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The organisation.")),
    responses((status = 200, description = "The organisation.", body = super::authz_schemas::Organisation)),
))]
pub(in crate::http::axum) async fn show(
    State(state): State<AuthState>,
    caller: Authenticated,
    PathId(id): PathId<OrgId>,
) -> Result<Response, ApiError> {
    Ok(tagged(&state.kit().organisations().get(&caller, id).await?))
}

/// Change an organisation.
///
/// Seats and state are for callers who may do everything.
#[cfg_attr(feature = "openapi", utoipa::path(
    patch, path = "/orgs/{id}", operation_id = "update_org", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The organisation.")),
    request_body = OrgChangeBody,
    responses((status = 200, description = "The organisation as it is now.",
        body = super::authz_schemas::Organisation)),
))]
pub(in crate::http::axum) async fn update(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathId(id): PathId<OrgId>,
    IfMatch(only_if): IfMatch,
    Input(body): Input<OrgChangeBody>,
) -> Result<Response, ApiError> {
    let status = body.status.map(|name| {
        let fault = || Error::field("/status", FieldCode::Format, "must be active or disabled");
        OrgStatus::from_name(&name).ok_or_else(fault)
    });
    let change = OrganisationChange {
        name: body.name,
        domain: body.domain,
        seat_limit: body.seat_limit,
        status: status.transpose()?,
        only_if,
    };
    Ok(tagged(&state.kit().organisations().update(&caller, id, change, &meta).await?))
}

/// End an organisation.
///
/// All roles in it and on its resources, and all invitations to them, end with it. Accounts stay.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/orgs/{id}", operation_id = "delete_org", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The organisation.")),
    responses((status = 204, description = "The organisation is gone.")),
))]
pub(in crate::http::axum) async fn remove(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathId(id): PathId<OrgId>,
) -> Result<Response, ApiError> {
    state.kit().organisations().delete(&caller, id, &meta).await?;
    Ok(answers::done())
}

/// Its members, oldest first.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/orgs/{id}/members", operation_id = "list_members", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = uuid::Uuid, Path, description = "The organisation."),
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The members.", body = super::authz_schemas::MembershipList)),
))]
pub(in crate::http::axum) async fn members(
    State(state): State<AuthState>,
    caller: Authenticated,
    PathId(id): PathId<OrgId>,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Membership>>, ApiError> {
    let page = query::page(query.as_deref())?;
    Ok(Json(state.kit().organisations().members(&caller, id, &page).await?))
}

/// Make somebody a member.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/orgs/{id}/members", operation_id = "add_member", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The organisation.")),
    request_body = MemberBody,
    responses((status = 201, description = "The membership.", body = super::authz_schemas::Membership)),
))]
pub(in crate::http::axum) async fn add_member(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathId(id): PathId<OrgId>,
    Input(body): Input<MemberBody>,
) -> Result<Response, ApiError> {
    let member = (user_id(&body.user_id)?, body.role.as_str());
    let made = state.kit().organisations().add_member(&caller, id, member, &meta).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Give a member another role.
///
/// Nobody changes his own, and nobody gives or takes a role above his own.
#[cfg_attr(feature = "openapi", utoipa::path(
    patch, path = "/orgs/{id}/members/{user_id}", operation_id = "change_member", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = uuid::Uuid, Path, description = "The organisation."),
        ("user_id" = uuid::Uuid, Path, description = "The member."),
    ),
    request_body = MemberRoleBody,
    responses((status = 200, description = "The membership as it is now.",
        body = super::authz_schemas::Membership)),
))]
pub(in crate::http::axum) async fn change_member(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathIds(id, user): PathIds<OrgId, UserId>,
    Input(body): Input<MemberRoleBody>,
) -> Result<Json<Membership>, ApiError> {
    let member = (user, body.role.as_str());
    Ok(Json(state.kit().organisations().change_member(&caller, id, member, &meta).await?))
}

/// Take a member out, or leave.
///
/// His roles on the organisation's resources, and his invitations to them, end with it.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/orgs/{id}/members/{user_id}", operation_id = "remove_member", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = uuid::Uuid, Path, description = "The organisation."),
        ("user_id" = uuid::Uuid, Path, description = "The member."),
    ),
    responses((status = 204, description = "He is no member any more.")),
))]
pub(in crate::http::axum) async fn remove_member(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathIds(id, user): PathIds<OrgId, UserId>,
) -> Result<Response, ApiError> {
    state.kit().organisations().remove_member(&caller, id, user, &meta).await?;
    Ok(answers::done())
}
