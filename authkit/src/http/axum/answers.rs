//! Success bodies.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::state::AuthState;
use crate::flows::Tokens;
use crate::http::cookies;
use crate::mfa::{FactorKind, PendingSignIn};
use crate::secret::ExposeSecret;

/// A pair of tokens. In cookie mode the tokens travel in cookies and are left out here.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct TokenAnswer<'a> {
    /// Always `authenticated`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^authenticated$", example = "authenticated"))]
    status: &'static str,
    /// JWT for `Authorization: Bearer`. Absent in cookie mode.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    /// Rotates with each use. Absent in cookie mode.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    /// Always `Bearer`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^Bearer$", example = "Bearer"))]
    token_type: &'static str,
    /// Life of the access token, in seconds.
    expires_in: u64,
    /// Life of the refresh token unless it is used, in seconds.
    refresh_expires_in: u64,
    /// To be kept as long as possible and sent with later sign-ins to this account from this device: then strangers who
    /// guess cannot keep it out. Absent in cookie mode, after a refresh, and where the device has one already.
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<&'a str>,
}

/// 200 with the tokens, in the body or in cookies. `shown` is the device's cookie as the request had it: it is kept for
/// as long again.
pub(super) fn tokens(state: &AuthState, tokens: &Tokens, shown: Option<&str>) -> Response {
    let (access, refresh) = (tokens.access_token.expose_secret(), tokens.refresh_token.expose_secret());
    let device = tokens.device_token.as_ref().map(ExposeSecret::expose_secret);
    let visible = !state.uses_cookies();
    let answer = TokenAnswer {
        status: "authenticated",
        access_token: visible.then_some(access),
        refresh_token: visible.then_some(refresh),
        token_type: "Bearer",
        expires_in: tokens.expires_in,
        refresh_expires_in: tokens.refresh_expires_in,
        device_token: device.filter(|_| visible),
    };
    let mut response = Json(answer).into_response();
    if state.uses_cookies() {
        add_cookie(&mut response, cookies::set(cookies::ACCESS, access, tokens.expires_in));
        add_cookie(&mut response, cookies::set(cookies::REFRESH, refresh, tokens.refresh_expires_in));
        if let Some(device) = device.or(shown) {
            add_cookie(&mut response, cookies::set(cookies::DEVICE, device, cookies::DEVICE_MAX_AGE));
        }
    }
    response
}

/// A sign-in whose second factor is outstanding.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct PendingAnswer<'a> {
    /// Always `mfa_required`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^mfa_required$", example = "mfa_required"))]
    status: &'static str,
    /// For `auth/mfa/complete` and nothing else.
    mfa_token: &'a str,
    /// What the account has: totp, `backup_code`, passkey.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<super::schemas::FactorKind>))]
    factors: &'a [FactorKind],
    /// Life of the token, in seconds.
    expires_in: u64,
}

/// 200 without tokens. In cookie mode the pending token travels in the body, too: it opens nothing.
pub(super) fn pending(pending: &PendingSignIn) -> Response {
    Json(PendingAnswer {
        status: "mfa_required",
        mfa_token: pending.mfa_token.expose_secret(),
        factors: &pending.factors,
        expires_in: pending.expires_in,
    })
    .into_response()
}

/// 204.
pub(super) fn done() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// 202.
pub(super) fn accepted() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// 204 that takes the cookies away in cookie mode.
pub(super) fn signed_out(state: &AuthState) -> Response {
    let mut response = done();
    if state.uses_cookies() {
        add_cookie(&mut response, cookies::clear(cookies::ACCESS));
        add_cookie(&mut response, cookies::clear(cookies::REFRESH));
    }
    response
}

/// As [`signed_out`]; the device is forgotten, too.
pub(super) fn signed_out_everywhere(state: &AuthState) -> Response {
    let mut response = signed_out(state);
    if state.uses_cookies() {
        add_cookie(&mut response, cookies::clear(cookies::DEVICE));
    }
    response
}

fn add_cookie(response: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}
