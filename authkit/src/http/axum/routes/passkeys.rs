//! Passkeys: one's own, and sign-in by one.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::crypto::keys::KeyPurpose;
use crate::db::Listing;
use crate::db::page::Cursors;
use crate::flows::{Authenticated, Enrolling, Login, PasskeyFor, PasskeyOptions, PasskeyProof};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::{Meta, PathId};
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::http::query;
use crate::ids::{PasskeyChallengeId, PasskeyId};
use crate::passkeys::Passkey;
use crate::secret::SecretString;

/// A passkey to be.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct PasskeyNameBody {
    /// What to call it.
    #[cfg_attr(
        feature = "openapi",
        schema(nullable, max_length = 100, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")
    )]
    name: Option<String>,
}

impl FromFields for PasskeyNameBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { name: fields.nullable_string("name") }
    }
}

/// What a passkey is to be used for.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct PasskeyLoginBody {
    /// Of a sign-in whose second factor the passkey is to be.
    #[cfg_attr(feature = "openapi", schema(nullable, value_type = Option<String>, pattern = r"^[^\u0000]*$"))]
    mfa_token: Option<SecretString>,
}

impl FromFields for PasskeyLoginBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { mfa_token: fields.nullable_string("mfa_token").map(SecretString::from) }
    }
}

/// A browser's answer.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct PasskeyBody {
    /// As it came with the options.
    #[cfg_attr(feature = "openapi", schema(pattern = r"^[^\u0000]*$"))]
    challenge_id: String,
    /// What `navigator.credentials` gave, as its `toJSON()` writes it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    credential: Value,
}

impl FromFields for PasskeyBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { challenge_id: fields.string("challenge_id"), credential: fields.object("credential") }
    }
}

impl From<PasskeyBody> for PasskeyProof {
    fn from(body: PasskeyBody) -> Self {
        Self::new(body.challenge_id, body.credential)
    }
}

/// What a page asks its browser for a passkey with.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct PasskeyOptionsAnswer {
    /// To be sent back with the answer, once and within 5 minutes.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    challenge_id: PasskeyChallengeId,
    /// As `PublicKeyCredential.parseCreationOptionsFromJSON` or `PublicKeyCredential.parseRequestOptionsFromJSON` take it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    options: Value,
}

impl From<PasskeyOptions> for Json<PasskeyOptionsAnswer> {
    fn from(begun: PasskeyOptions) -> Self {
        Self(PasskeyOptionsAnswer { challenge_id: begun.challenge_id, options: begun.options })
    }
}

/// Begin to register a passkey.
///
/// Needs a sign-in within the last 5 minutes, with a second factor where the account has one.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/passkeys/register", operation_id = "begin_passkey_registration", tag = "passkeys",
    security(("bearer" = []), ("cookie" = [])),
    request_body = PasskeyNameBody,
    responses((status = 200, description = "For `navigator.credentials.create`.", body = PasskeyOptionsAnswer)),
))]
pub(in crate::http::axum) async fn begin_registration(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Enrolling,
    Input(body): Input<PasskeyNameBody>,
) -> Result<Json<PasskeyOptionsAnswer>, ApiError> {
    let begun = state.kit().passkeys().begin_registration(&caller, body.name.as_deref(), &meta).await?;
    Ok(begun.into())
}

/// Register a passkey.
///
/// Ends all other sessions, and the access token that asks: go on by refresh.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/passkeys/register/verify", operation_id = "finish_passkey_registration", tag = "passkeys",
    security(("bearer" = []), ("cookie" = [])),
    request_body = PasskeyBody,
    responses((status = 201, description = "The passkey.", body = crate::http::axum::schemas::Passkey)),
))]
pub(in crate::http::axum) async fn finish_registration(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Enrolling,
    Input(body): Input<PasskeyBody>,
) -> Result<Response, ApiError> {
    let passkey = state.kit().passkeys().finish_registration(&caller, body.into(), &meta).await?;
    Ok((StatusCode::CREATED, Json(passkey)).into_response())
}

/// Begin to use a passkey.
///
/// With an `mfa_token` as the second factor of that sign-in; without one, but signed in, for a step-up; else to sign in,
/// without a password, by whichever passkey the browser finds.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/passkeys/login", operation_id = "begin_passkey_login", tag = "passkeys",
    security((), ("bearer" = []), ("cookie" = [])),
    request_body = PasskeyLoginBody,
    responses((status = 200, description = "For `navigator.credentials.get`.", body = PasskeyOptionsAnswer)),
))]
pub(in crate::http::axum) async fn begin_login(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Option<Enrolling>,
    Input(body): Input<PasskeyLoginBody>,
) -> Result<Json<PasskeyOptionsAnswer>, ApiError> {
    let purpose = match (&body.mfa_token, &caller) {
        (Some(token), _) => PasskeyFor::SecondFactor(token),
        (None, Some(caller)) => PasskeyFor::StepUp(caller),
        (None, None) => PasskeyFor::SignIn,
    };
    Ok(state.kit().passkeys().begin(purpose, &meta).await?.into())
}

/// Sign in by a passkey.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/passkeys/login/verify", operation_id = "finish_passkey_login", tag = "passkeys",
    request_body = PasskeyBody,
    responses((status = 200, description = "Signed in.", body = answers::TokenAnswer)),
))]
pub(in crate::http::axum) async fn finish_login(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    headers: HeaderMap,
    Input(body): Input<PasskeyBody>,
) -> Result<Response, ApiError> {
    let cookie = state.device_cookie(&headers)?;
    let device = cookie.map(|token| SecretString::from(token.to_owned()));
    match state.kit().passkeys().login(body.into(), device, &meta).await? {
        Login::Complete(tokens) => Ok(answers::tokens(&state, &tokens, cookie)),
        Login::SecondFactor(pending) => Ok(answers::pending(&pending)),
    }
}

/// The caller's passkeys, oldest first.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/auth/passkeys", operation_id = "list_passkeys", tag = "passkeys",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The passkeys.", body = crate::http::axum::schemas::PasskeyList)),
))]
pub(in crate::http::axum) async fn list(
    State(state): State<AuthState>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Passkey>>, ApiError> {
    let page = query::page(query.as_deref())?;
    let (key, _) = state.kit().ctx.keys.active_bytes(KeyPurpose::Cursor)?;
    let cursors = Cursors::new(&key, format!("passkeys-of:{}", caller.user_id()));
    let after = cursors.start(&page)?;
    // At most ten: paging in the store would not pay.
    let mut passkeys = state.kit().passkeys().own(&caller).await?;
    passkeys.sort_unstable_by_key(|passkey| passkey.id);
    passkeys.retain(|passkey| after.is_none_or(|after| passkey.id.as_uuid() > after));
    Ok(Json(cursors.page(passkeys, &page, |passkey| passkey.id.as_uuid())))
}

/// Remove one of the caller's passkeys.
///
/// Needs a sign-in within the last 5 minutes, with a second factor. Ends all other sessions, and the access token that
/// asks: go on by refresh. The only way to sign in stays, and so does the only second factor where one is needed.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/auth/passkeys/{id}", operation_id = "remove_passkey", tag = "passkeys",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The passkey.")),
    responses((status = 204, description = "The passkey is gone.")),
))]
pub(in crate::http::axum) async fn remove(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathId(passkey): PathId<PasskeyId>,
) -> Result<Response, ApiError> {
    state.kit().passkeys().remove(&caller, passkey, &meta).await?;
    Ok(answers::done())
}
