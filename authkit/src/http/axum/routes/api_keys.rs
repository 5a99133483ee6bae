//! One's own API keys.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::request::Parts;

use crate::api_keys::ApiKey;
use crate::db::Listing;
use crate::flows::{ApiKeyRequest, Authenticated};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::{Meta, PathId};
use crate::http::axum::idempotency::Once;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::http::query;
use crate::ids::ApiKeyId;

/// What a key is to be.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct ApiKeyBody {
    /// What to call it.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$")
    )]
    name: String,
    /// Permissions that it may use as long as the caller has them, such as `documents:review` or `documents:*`.
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    scopes: Vec<String>,
    /// How long it lives; without it `API_KEY_EXPIRE_DAYS`.
    #[cfg_attr(feature = "openapi", schema(nullable = false, minimum = 60))]
    expires_in_seconds: Option<u64>,
}

impl FromFields for ApiKeyBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            name: fields.string("name"),
            scopes: fields.strings("scopes"),
            expires_in_seconds: fields.optional_whole("expires_in_seconds"),
        }
    }
}

/// A caller who may make keys: signed in, a short time ago. Judged before an answer is given again, which may hold a key.
pub(in crate::http::axum) struct KeyMaker(Authenticated);

impl FromRequestParts<AuthState> for KeyMaker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, ApiError> {
        let caller = <Authenticated as FromRequestParts<AuthState>>::from_request_parts(parts, state).await?;
        state.kit().ctx.require_key_maker(&caller).await?;
        Ok(Self(caller))
    }
}

/// The caller's API keys that are not over, newest first.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/api-keys", operation_id = "list_api_keys", tag = "api-keys",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The keys, without their text.",
        body = crate::http::axum::schemas::ApiKeyList)),
))]
pub(in crate::http::axum) async fn list(
    State(state): State<AuthState>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<ApiKey>>, ApiError> {
    Ok(Json(state.kit().api_keys().own(&caller, &query::page(query.as_deref())?).await?))
}

/// Make an API key.
///
/// The member `key` is shown this once. Needs a sign-in within the last 5 minutes; no API key can make another.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/api-keys", operation_id = "create_api_key", tag = "api-keys",
    security(("bearer" = []), ("cookie" = [])),
    request_body = ApiKeyBody,
    responses((status = 201, description = "The key.", body = crate::http::axum::schemas::NewApiKey)),
))]
pub(in crate::http::axum) async fn create(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    KeyMaker(caller): KeyMaker,
    once: Once<ApiKeyBody>,
) -> Response {
    once.answer(meta, async move |meta, body| {
        let mut request = ApiKeyRequest::new(body.name, body.scopes);
        request.expires_in = body.expires_in_seconds.map(Duration::from_secs);
        let made = state.kit().api_keys().create(&caller, request, &meta).await?;
        Ok((StatusCode::CREATED, Json(made.shown())).into_response())
    })
    .await
}

/// Revoke one of the caller's API keys.
///
/// From this moment on nothing opens by it.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/api-keys/{id}", operation_id = "revoke_api_key", tag = "api-keys",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The key.")),
    responses((status = 204, description = "The key is revoked.")),
))]
pub(in crate::http::axum) async fn revoke(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathId(key): PathId<ApiKeyId>,
) -> Result<Response, ApiError> {
    state.kit().api_keys().revoke(&caller, key, &meta).await?;
    Ok(answers::done())
}
