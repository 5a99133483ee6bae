//! Change of one's own password.

use axum::extract::State;
use axum::response::Response;

use crate::flows::{Authenticated, PasswordChange};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::Meta;
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::secret::SecretString;

/// The old password and the new one.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct PasswordBody {
    /// The present password.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = String, format = Password, min_length = 1, max_length = 512, pattern = r"^[^\u0000]*$")
    )]
    current_password: SecretString,
    /// At least 8 characters, at most 128 and 512 bytes, not easy to guess.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = String, format = Password, min_length = 8, max_length = 128, pattern = r"^[^\u0000]*$")
    )]
    new_password: SecretString,
}

impl FromFields for PasswordBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            current_password: fields.secret("current_password"),
            new_password: fields.secret("new_password"),
        }
    }
}

/// Change the caller's password.
///
/// Ends his other sessions. His own access token dies with the rest; its refresh token works.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/password", operation_id = "change_password", tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    request_body = PasswordBody,
    responses((status = 204, description = "The password is changed.")),
))]
pub(in crate::http::axum) async fn change(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    Input(body): Input<PasswordBody>,
) -> Result<Response, ApiError> {
    let change = PasswordChange::new(body.current_password, body.new_password);
    state.kit().change_password(&caller, change, &meta).await?;
    Ok(answers::done())
}
