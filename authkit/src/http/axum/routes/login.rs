//! Sign-in by password.

use axum::extract::State;
use axum::response::Response;

use crate::flows::{Credentials, Login};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::Meta;
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::secret::SecretString;

/// An e-mail and a password.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct LoginBody {
    /// In any spelling.
    #[cfg_attr(feature = "openapi", schema(format = "email", max_length = 254))]
    email: String,
    /// At most 512 bytes.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = String, format = Password, min_length = 1, max_length = 512, pattern = r"^[^\u0000]*$")
    )]
    password: SecretString,
    /// Of a trusted device. An unknown one counts as absent, and this version makes none.
    #[cfg_attr(feature = "openapi", schema(nullable, pattern = r"^[^\u0000]*$"))]
    #[expect(dead_code, reason = "taken, so that clients may send what they were told to keep")]
    device_token: Option<String>,
}

impl FromFields for LoginBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            email: fields.string("email"),
            password: fields.secret("password"),
            device_token: fields.nullable_string("device_token"),
        }
    }
}

/// Sign in.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/login", operation_id = "login", tag = "auth",
    request_body = LoginBody,
    responses((status = 200, description = "Signed in.", body = answers::TokenAnswer)),
))]
pub(in crate::http::axum) async fn login(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    Input(body): Input<LoginBody>,
) -> Result<Response, ApiError> {
    let credentials = Credentials::new(body.email, body.password);
    match state.kit().login(credentials, &meta).await? {
        Login::Complete(tokens) => Ok(answers::tokens(&state, &tokens)),
    }
}
