//! Invitations.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::memberships::resource_of;
use crate::authz::Resource;
use crate::db::Listing;
use crate::error::{Error, ErrorKind, FieldCode, FieldError};
use crate::flows::{AcceptInvitation, Authenticated, Login};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::{Meta, PathId};
use crate::http::axum::idempotency::Once;
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::body::Refusal;
use crate::http::json::{Fields, FromFields};
use crate::http::query;
use crate::ids::{InvitationId, OrgId};
use crate::invitations::{Invitation, NewInvitation};
use crate::secret::SecretString;

/// Whom to ask, where to and as what. Without a target: to the platform itself, as holder of a role of accounts.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct InvitationBody {
    /// Where the invitation goes. Whoever accepts it has that address.
    #[cfg_attr(feature = "openapi", schema(format = "email", max_length = 254))]
    email: String,
    /// A role there.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    role: String,
    /// To this organisation.
    #[cfg_attr(feature = "openapi", schema(nullable, format = "uuid", pattern = r"^[^\u0000]*$"))]
    org_id: Option<String>,
    /// Or to a thing of this kind.
    #[cfg_attr(feature = "openapi", schema(nullable, pattern = "^[a-z][a-z0-9_-]{0,63}$"))]
    resource_type: Option<String>,
    /// Which one.
    #[cfg_attr(feature = "openapi", schema(nullable, pattern = "^[A-Za-z0-9._~-]{1,128}$"))]
    resource_id: Option<String>,
}

impl FromFields for InvitationBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            email: fields.string("email"),
            role: fields.string("role"),
            org_id: fields.nullable_string("org_id"),
            resource_type: fields.nullable_string("resource_type"),
            resource_id: fields.nullable_string("resource_id"),
        }
    }
}

impl InvitationBody {
    fn target(&self) -> Result<Option<Resource>, Error> {
        match (&self.org_id, &self.resource_type, &self.resource_id) {
            (None, None, None) => Ok(None),
            (Some(id), None, None) => org(id).map(Some),
            (None, Some(kind), Some(id)) => Resource::new(kind, id).map(Some),
            (Some(_), ..) => {
                let message = "cannot be given together with an org_id";
                Err(Error::field("/resource_type", FieldCode::Unknown, message))
            }
            (None, None, Some(_)) => {
                Err(Error::field("/resource_type", FieldCode::Required, "belongs to a resource_id"))
            }
            (None, Some(_), None) => {
                Err(Error::field("/resource_id", FieldCode::Required, "belongs to a resource_type"))
            }
        }
    }
}

fn org(text: &str) -> Result<Resource, Error> {
    let fault = || Error::field("/org_id", FieldCode::Format, "must be the id of an organisation");
    text.parse::<OrgId>().map(Resource::org).map_err(|_| fault())
}

/// The secret of an invitation, and perhaps a new account.
pub(in crate::http::axum) struct AcceptFields {
    token: SecretString,
    name: Option<String>,
    password: Option<String>,
}

impl FromFields for AcceptFields {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            token: fields.secret("token"),
            name: fields.optional_string("name"),
            password: fields.optional_string("password"),
        }
    }
}

impl AcceptFields {
    /// With a caller the account is his, without one it must be named: all faults at once.
    fn read(self, signed_in: bool) -> Result<AcceptInvitation, Refusal> {
        let faults: Vec<FieldError> =
            [("/name", self.name.is_some()), ("/password", self.password.is_some())]
                .into_iter()
                .filter(|(_, given)| *given == signed_in)
                .map(|(pointer, given)| match given {
                    true => FieldError::new(
                        pointer,
                        FieldCode::Unknown,
                        "is not known to a caller with an account",
                    ),
                    false => FieldError::new(pointer, FieldCode::Required, "is missing"),
                })
                .collect();
        if !faults.is_empty() {
            return Err(Refusal::new(ErrorKind::InvalidRequest).with_fields(&faults));
        }
        Ok(match (self.name, self.password) {
            (Some(name), Some(password)) => AcceptInvitation::new_account(self.token, name, password),
            _ => AcceptInvitation::signed_in(self.token),
        })
    }
}

/// Invite somebody by mail.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/invitations", operation_id = "create_invitation", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    request_body = InvitationBody,
    responses((status = 201, description = "The invitation is on its way.",
        body = super::authz_schemas::Invitation)),
))]
pub(in crate::http::axum) async fn create(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    once: Once<InvitationBody>,
) -> Response {
    once.answer(meta, async move |meta, body| {
        let target = body.target()?;
        let mut new = NewInvitation::new(body.email, body.role);
        new.resource = target;
        let made = state.kit().invitations().create(&caller, new, &meta).await?;
        Ok((StatusCode::CREATED, Json(made)).into_response())
    })
    .await
}

/// Invitations, newest first.
///
/// Those to an organisation or resource, for who may see its members; else the caller's own, and for callers who may do
/// everything all there are.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/invitations", operation_id = "list_invitations", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("org_id" = Option<uuid::Uuid>, Query, description = "To this organisation.", nullable = false),
        ("resource_type" = Option<String>, Query, description = "To a thing of this kind.",
            pattern = "^[a-z][a-z0-9_-]{0,63}$", nullable = false),
        ("resource_id" = Option<String>, Query, description = "To this one.",
            pattern = "^[A-Za-z0-9._~-]{1,128}$", nullable = false),
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The invitations.", body = super::authz_schemas::InvitationList)),
))]
pub(in crate::http::axum) async fn list(
    State(state): State<AuthState>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Invitation>>, ApiError> {
    let query = query.as_deref();
    let page = query::page(query)?;
    let to = match query::value(query, "org_id")? {
        Some(id) => Some(org(id)?),
        None => resource_of(query)?,
    };
    Ok(Json(state.kit().invitations().list(&caller, to.as_ref(), &page).await?))
}

/// Mail an invitation once more.
///
/// With another link; the one before is dead.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/invitations/{id}/resend", operation_id = "resend_invitation", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The invitation.")),
    responses((status = 202, description = "A mail is on its way.")),
))]
pub(in crate::http::axum) async fn resend(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathId(id): PathId<InvitationId>,
) -> Result<Response, ApiError> {
    state.kit().invitations().resend(&caller, id, &meta).await?;
    Ok(answers::accepted())
}

/// Take an invitation back.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/invitations/{id}", operation_id = "revoke_invitation", tag = "organisations",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The invitation.")),
    responses((status = 204, description = "It cannot be accepted any more.")),
))]
pub(in crate::http::axum) async fn revoke(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathId(id): PathId<InvitationId>,
) -> Result<Response, ApiError> {
    state.kit().invitations().revoke(&caller, id, &meta).await?;
    Ok(answers::done())
}

/// Accept an invitation.
///
/// With an access token by the account that is signed in, whose e-mail must be the invited one; without one by a new
/// account. Whatever is wrong with the invitation, the answer is the same.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/invitations/accept", operation_id = "accept_invitation", tag = "organisations",
    security((), ("bearer" = []), ("cookie" = [])),
    request_body = super::authz_schemas::AcceptBody,
    responses((status = 200, description = "Accepted and signed in.",
        body = super::mfa_schemas::LoginAnswer)),
))]
pub(in crate::http::axum) async fn accept(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Option<Authenticated>,
    Input(body): Input<AcceptFields>,
) -> Result<Response, ApiError> {
    let input = body.read(caller.is_some())?;
    match state.kit().invitations().accept(caller.as_ref(), input, &meta).await? {
        Login::Complete(tokens) => Ok(answers::tokens(&state, &tokens, None)),
        Login::SecondFactor(pending) => Ok(answers::pending(&pending)),
    }
}
