//! Accounts, as operators see them.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use crate::admin::{NewUser, UserChange};
use crate::authz::check_role_name;
use crate::db::Listing;
use crate::error::{Error, ErrorKind, FieldCode};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::etag::{IfMatch, tagged};
use crate::http::axum::extract::{Meta, Operator, OperatorOver, PathId};
use crate::http::axum::idempotency::Once;
use crate::http::axum::input::Input;
use crate::http::axum::routes::me::ProfileBody;
use crate::http::axum::state::AuthState;
use crate::http::body::Refusal;
use crate::http::json::{Fields, FromFields};
use crate::http::query;
use crate::ids::UserId;
use crate::sessions::Session;
use crate::users::{User, UserFilter, UserStatus};

/// An account to be. Its owner sets a password of his own by a mailed link.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct NewUserBody {
    /// An address; one account each.
    #[cfg_attr(feature = "openapi", schema(format = "email", max_length = 254))]
    email: String,
    /// What to call the person.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$")
    )]
    name: String,
    /// Without them those of a sign-up.
    #[cfg_attr(feature = "openapi", schema(nullable = false, max_items = 50))]
    roles: Option<Vec<String>>,
    /// Whether the address counts as proved.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    email_verified: Option<bool>,
}

impl FromFields for NewUserBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            email: fields.string("email"),
            name: fields.string("name"),
            roles: fields.optional_strings("roles"),
            email_verified: fields.optional_bool("email_verified"),
        }
    }
}

/// All the roles that an account is to have.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct RolesBody {
    /// Names of roles.
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    roles: Vec<String>,
}

impl FromFields for RolesBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { roles: fields.strings("roles") }
    }
}

/// Accounts, oldest first.
///
/// Deleted ones are left out unless `status=deleted` asks for them.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/admin/users", operation_id = "list_users", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("status" = Option<crate::http::axum::schemas::Status>, Query, description = "Only in this state.",
            nullable = false),
        ("role" = Option<String>, Query, description = "Only those who hold this role.",
            pattern = "^[A-Za-z0-9_.:-]{1,64}$", nullable = false),
        ("email_prefix" = Option<String>, Query, description = "Only those whose e-mail starts so, in any case.",
            max_length = 254, nullable = false),
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The accounts.", body = crate::http::axum::schemas::UserList)),
))]
pub(in crate::http::axum) async fn list(
    State(state): State<AuthState>,
    Operator(_admin): Operator,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<User>>, ApiError> {
    let query = query.as_deref();
    Ok(Json(state.kit().users().list(&filter(query)?, &query::page(query)?).await?))
}

fn filter(query: Option<&str>) -> Result<UserFilter, Refusal> {
    let mut filter = UserFilter::default();
    if let Some(name) = query::value(query, "status")? {
        let status = UserStatus::from_name(name);
        let bad = || Error::field("/status", FieldCode::Format, "must be active, disabled or deleted");
        filter.status = Some(status.ok_or_else(|| Refusal::from(&bad()))?);
    }
    if let Some(role) = query::value(query, "role")? {
        check_role_name(role).map_err(|error| Refusal::from(&error))?;
        filter.role = Some(role.to_owned());
    }
    filter.email_prefix = query::decoded(query, "email_prefix")?;
    if filter.email_prefix.as_ref().is_some_and(|prefix| prefix.chars().count() > 254) {
        let long = Error::field("/email_prefix", FieldCode::TooLong, "must be at most 254 characters");
        return Err(Refusal::from(&long));
    }
    Ok(filter)
}

/// Make an account.
///
/// A link by which its owner sets a password is mailed to the address.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/admin/users", operation_id = "create_user", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    request_body = NewUserBody,
    responses((status = 201, description = "The account.", body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn create(
    Operator(admin): Operator,
    Meta(meta): Meta,
    once: Once<NewUserBody>,
) -> Response {
    once.answer(meta, async move |meta, body| {
        let mut new = NewUser::new(body.email, body.name).with_mailed_reset();
        new.roles = body.roles;
        new.email_verified = body.email_verified.unwrap_or(false);
        let made = admin.for_request(&meta).create_user(new).await.map_err(in_body)?;
        Ok((StatusCode::CREATED, Json(made.resource)).into_response())
    })
    .await
}

/// An unknown role stands in the body: no path names it.
fn in_body(error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound && !error.fields().is_empty() {
        return Error::validation(error.fields().to_vec());
    }
    error
}

/// One account.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/admin/users/{id}", operation_id = "show_user", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    responses((status = 200, description = "The account.", body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn show(
    State(state): State<AuthState>,
    OperatorOver(_admin, user): OperatorOver,
) -> Result<Response, ApiError> {
    let found = state.kit().users().get(user).await?;
    Ok(tagged(&found.ok_or(ErrorKind::NotFound)?))
}

/// Change name or profile of an account.
#[cfg_attr(feature = "openapi", utoipa::path(
    patch, path = "/admin/users/{id}", operation_id = "update_user", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    request_body = ProfileBody,
    responses((status = 200, description = "The account as it is now.",
        body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn update(
    OperatorOver(admin, user): OperatorOver,
    IfMatch(only_if): IfMatch,
    Input(body): Input<ProfileBody>,
) -> Result<Response, ApiError> {
    let (name, profile) = body.into_parts();
    let change = UserChange { name, profile, only_if, ..UserChange::default() };
    Ok(tagged(&admin.update_user(user, change).await?.resource))
}

/// Delete an account.
///
/// It can be restored until it is purged.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/admin/users/{id}", operation_id = "delete_user", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    responses((status = 204, description = "The account is deleted.")),
))]
pub(in crate::http::axum) async fn remove(
    OperatorOver(admin, user): OperatorOver,
) -> Result<Response, ApiError> {
    admin.delete_user(user).await?;
    Ok(answers::done())
}

/// Forbid sign-in.
///
/// Ends all sessions of the account; its API keys open nothing until it is enabled again.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/admin/users/{id}/disable", operation_id = "disable_user", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    responses((status = 200, description = "The account as it is now.",
        body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn disable(
    OperatorOver(admin, user): OperatorOver,
) -> Result<Response, ApiError> {
    Ok(tagged(&admin.disable_user(user).await?.resource))
}

/// Allow sign-in again.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/admin/users/{id}/enable", operation_id = "enable_user", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    responses((status = 200, description = "The account as it is now.",
        body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn enable(
    OperatorOver(admin, user): OperatorOver,
) -> Result<Response, ApiError> {
    Ok(tagged(&admin.enable_user(user).await?.resource))
}

/// Set the roles of an account.
///
/// Nobody gives or takes a role that permits more than his own, nor changes his own roles. Access tokens made before are
/// void.
#[cfg_attr(feature = "openapi", utoipa::path(
    put, path = "/admin/users/{id}/roles", operation_id = "set_roles", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    request_body = RolesBody,
    responses((status = 200, description = "The account as it is now.",
        body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn set_roles(
    Operator(admin): Operator,
    PathId(user): PathId<UserId>,
    IfMatch(only_if): IfMatch,
    Input(body): Input<RolesBody>,
) -> Result<Response, ApiError> {
    Ok(tagged(&admin.set_roles(user, body.roles, only_if).await?.resource))
}

/// The live sessions of an account, the one last used first.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/admin/users/{id}/sessions", operation_id = "list_sessions_of_user", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("id" = uuid::Uuid, Path, description = "The account."),
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The sessions.",
        body = crate::http::axum::schemas::SessionList)),
))]
pub(in crate::http::axum) async fn sessions(
    OperatorOver(admin, user): OperatorOver,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Session>>, ApiError> {
    Ok(Json(admin.sessions_of(user, &query::page(query.as_deref())?).await?))
}

/// End all sessions of an account.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/admin/users/{id}/sessions", operation_id = "end_sessions_of_user", tag = "admin",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The account.")),
    responses((status = 204, description = "All sessions are over.")),
))]
pub(in crate::http::axum) async fn end_sessions(
    OperatorOver(admin, user): OperatorOver,
) -> Result<Response, ApiError> {
    admin.end_sessions_of(user).await?;
    Ok(answers::done())
}
