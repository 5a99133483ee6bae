//! Rotation of refresh tokens.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use crate::error::ErrorKind;
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::Meta;
use crate::http::axum::input::RefreshInput;
use crate::http::axum::state::AuthState;

/// Exchange a refresh token for a new pair.
///
/// The old token is used up. When it comes again after its successor was used, or later than the grace, the
/// session ends.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/refresh", operation_id = "refresh", tag = "auth",
    request_body = crate::http::axum::input::RefreshBody,
    responses((status = 200, description = "A new pair of tokens.", body = answers::TokenAnswer)),
))]
pub(in crate::http::axum) async fn refresh(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    headers: HeaderMap,
    RefreshInput(token): RefreshInput,
) -> Result<Response, ApiError> {
    let token = token.ok_or(ErrorKind::RefreshInvalid)?;
    let device = state.device_cookie(&headers)?;
    let tokens = state.kit().refresh(&token, &meta).await?;
    Ok(answers::tokens(&state, &tokens, device))
}
