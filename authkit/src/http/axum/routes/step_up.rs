//! Proving oneself again.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use crate::flows::{Authenticated, StepUp};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::Meta;
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::secret::SecretString;

/// What proves the caller again.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct StepUpBody {
    /// The password.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = String, format = Password, min_length = 1, max_length = 512, pattern = r"^[^\u0000]*$")
    )]
    password: SecretString,
}

impl FromFields for StepUpBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { password: fields.secret("password") }
    }
}

/// Prove oneself again.
///
/// A new session with new tokens takes the place of the present one.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/step-up", operation_id = "step_up", tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    request_body = StepUpBody,
    responses((status = 200, description = "The tokens of the new session.", body = answers::TokenAnswer)),
))]
pub(in crate::http::axum) async fn step_up(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    headers: HeaderMap,
    caller: Authenticated,
    Input(body): Input<StepUpBody>,
) -> Result<Response, ApiError> {
    let device = state.device_cookie(&headers)?;
    let tokens = state.kit().step_up(&caller, StepUp::Password(body.password), &meta).await?;
    Ok(answers::tokens(&state, &tokens, device))
}
