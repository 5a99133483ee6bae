//! Strict JSON bodies.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use futures_util::TryStreamExt as _;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http::request::Parts;

use super::error::ApiError;
use super::state::AuthState;
use crate::error::ErrorKind;
use crate::http::body::Refusal;
use crate::http::json::{self, FromFields, MAX_BODY};
use crate::http::status::Code;

/// How long a body of 64 KiB may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(8);

/// A JSON body of known members; see [`crate::http::json`]. Wrong content type 415, over 64 KiB 413, too slow 408,
/// anything else that is wrong 400 with all faults at once.
#[derive(Debug)]
pub struct Input<T>(pub T);

impl<S, T> FromRequest<S> for Input<T>
where
    S: Send + Sync,
    T: FromFields,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        Ok(Self(json::read(&body_of(&parts, body).await?)?))
    }
}

/// The bytes of a body that says to be JSON.
pub(super) async fn body_of(parts: &Parts, body: Body) -> Result<Vec<u8>, ApiError> {
    if !json::is_json(&parts.headers) {
        return Err(ApiError::new(Code::UnsupportedMediaType));
    }
    read_body(&parts.headers, body).await
}

/// The refresh token of a request: from its body, or in cookie mode from its cookie.
pub(super) struct RefreshInput(pub(super) Option<String>);

impl FromRequest<AuthState> for RefreshInput {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AuthState) -> Result<Self, ApiError> {
        if !state.uses_cookies() {
            let Input(body) = Input::<RefreshBody>::from_request(request, state).await?;
            return Ok(Self(Some(body.refresh_token)));
        }
        let (parts, body) = request.into_parts();
        let cookie = state.refresh_cookie(&parts.headers)?;
        let bytes = read_body(&parts.headers, body).await?;
        if bytes.is_empty() {
            return Ok(Self(cookie.map(str::to_owned)));
        }
        if !json::is_json(&parts.headers) {
            return Err(ApiError::new(Code::UnsupportedMediaType));
        }
        let CookieBody(token) = json::read(&bytes)?;
        if cookie.is_some() && token.is_some() {
            let refusal = Refusal::new(ErrorKind::InvalidRequest);
            return Err(refusal
                .with_message("Send the token in a cookie or in the body, not in both.")
                .into());
        }
        Ok(Self(token.or_else(|| cookie.map(str::to_owned))))
    }
}

/// In cookie mode the member may be missing.
struct CookieBody(Option<String>);

impl FromFields for CookieBody {
    fn from_fields(fields: &mut json::Fields) -> Self {
        Self(fields.optional_string("refresh_token"))
    }
}

/// A refresh token.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct RefreshBody {
    /// As login or refresh gave it.
    #[cfg_attr(feature = "openapi", schema(pattern = r"^[^\u0000]*$"))]
    refresh_token: String,
}

impl FromFields for RefreshBody {
    fn from_fields(fields: &mut json::Fields) -> Self {
        Self { refresh_token: fields.string("refresh_token") }
    }
}

/// A body of at most 64 KiB ([`MAX_BODY`]), whole.
///
/// # Errors
/// 413 when it is longer, 408 when it takes more than 8 seconds to arrive, 400 when it breaks off.
pub async fn read_body(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, ApiError> {
    if declared(headers).is_some_and(|length| length > MAX_BODY) {
        return Err(ApiError::new(Code::PayloadTooLarge));
    }
    tokio::time::timeout(ARRIVAL, collect(body)).await.map_err(|_| ApiError::new(Code::RequestTimeout))?
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut out = Vec::new();
    loop {
        match chunks.try_next().await {
            Ok(None) => return Ok(out),
            Ok(Some(chunk)) if out.len() + chunk.len() > MAX_BODY => {
                return Err(ApiError::new(Code::PayloadTooLarge));
            }
            Ok(Some(chunk)) => out.extend_from_slice(&chunk),
            Err(_) => {
                let refusal = Refusal::new(ErrorKind::InvalidRequest);
                return Err(refusal.with_message("The body could not be read.").into());
            }
        }
    }
}
