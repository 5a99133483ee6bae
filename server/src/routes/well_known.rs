//! What verifiers of our tokens fetch.

use authkit::Jwks;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CACHE_CONTROL;
use serde::Serialize;

use super::AppState;

/// A JWK set (RFC 7517 section 5).
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "the shape of authkit::Jwks for the document")]
pub(crate) struct JwkSet {
    keys: Vec<Jwk>,
}

/// A public key (RFC 7517 section 4).
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "the shape of a key for the document")]
struct Jwk {
    kty: String,
    kid: String,
    alg: String,
    r#use: String,
}

/// The public keys that verify access tokens; none with HS256.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", operation_id = "jwks", tag = "server",
    responses((status = 200, description = "The keys.", body = JwkSet)),
)]
pub(crate) async fn jwks(State(state): State<AppState>) -> Response {
    let keys: Jwks = state.kit.jwks();
    cacheable(&state, Json(keys))
}

/// Where to find what; only what is true (OpenID Connect Discovery section 3).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Discovery {
    /// The `iss` of access tokens.
    issuer: String,
    jwks_uri: String,
}

/// Where to find what.
#[utoipa::path(
    get, path = "/.well-known/openid-configuration", operation_id = "openid_configuration", tag = "server",
    responses((status = 200, description = "Issuer and keys.", body = Discovery)),
)]
pub(crate) async fn openid_configuration(State(state): State<AppState>) -> Response {
    let base = &state.kit.config().server.public_url;
    let answer = Discovery {
        issuer: state.kit.issuer().to_owned(),
        jwks_uri: format!("{base}/.well-known/jwks.json"),
    };
    cacheable(&state, Json(answer))
}

fn cacheable<T: Serialize>(state: &AppState, body: Json<T>) -> Response {
    let age = state.kit.jwks_max_age().as_secs();
    ([(CACHE_CONTROL, format!("public, max-age={age}"))], body).into_response()
}
