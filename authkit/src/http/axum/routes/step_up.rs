//! Proving oneself again.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::mfa::ProofBody;
use crate::flows::Enrolling;
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::Meta;
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;

/// Prove oneself again.
///
/// By a second factor, or by the password where there is none. A new session with new tokens takes the place of the present
/// one.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/step-up", operation_id = "step_up", tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    request_body = super::mfa_schemas::AnyProof,
    responses((status = 200, description = "The tokens of the new session.", body = answers::TokenAnswer)),
))]
pub(in crate::http::axum) async fn step_up(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    headers: HeaderMap,
    caller: Enrolling,
    Input(ProofBody(proof)): Input<ProofBody>,
) -> Result<Response, ApiError> {
    let device = state.device_cookie(&headers)?;
    let tokens = state.kit().step_up(&caller, proof, &meta).await?;
    Ok(answers::tokens(&state, &tokens, device))
}
