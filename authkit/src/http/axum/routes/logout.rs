//! Ending one's session, or all of them.

use axum::extract::State;
use axum::response::Response;

use crate::flows::Authenticated;
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::Meta;
use crate::http::axum::input::RefreshInput;
use crate::http::axum::state::AuthState;

/// End the session of a refresh token.
///
/// Any genuine token of the session will do, older ones too. Anything else does nothing, with the same answer.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/logout", operation_id = "logout", tag = "auth",
    request_body = crate::http::axum::input::RefreshBody,
    responses((status = 204, description = "The session is over.")),
))]
pub(in crate::http::axum) async fn logout(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    RefreshInput(token): RefreshInput,
) -> Result<Response, ApiError> {
    if let Some(token) = token {
        state.kit().logout(&token, &meta).await?;
    }
    Ok(answers::signed_out(&state))
}

/// End all sessions of the caller.
///
/// His devices are forgotten, too: their device tokens count no more.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/logout-all", operation_id = "logout_all", tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 204, description = "All sessions are over.")),
))]
pub(in crate::http::axum) async fn logout_all(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
) -> Result<Response, ApiError> {
    state.kit().logout_all(&caller, &meta).await?;
    Ok(answers::signed_out_everywhere(&state))
}
