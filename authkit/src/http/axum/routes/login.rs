//! Sign-in by password.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

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
    /// As an earlier sign-in on this device gave it. One that is unknown, or another account's, counts as absent. In
    /// cookie mode it comes in its cookie.
    #[cfg_attr(feature = "openapi", schema(nullable, pattern = r"^[^\u0000]*$"))]
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
    responses((status = 200, description = "Signed in, or the second factor is outstanding.",
        body = super::mfa_schemas::LoginAnswer)),
))]
pub(in crate::http::axum) async fn login(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    headers: HeaderMap,
    Input(body): Input<LoginBody>,
) -> Result<Response, ApiError> {
    let cookie = state.device_cookie(&headers)?;
    let mut credentials = Credentials::new(body.email, body.password);
    if let Some(token) = body.device_token.or_else(|| cookie.map(str::to_owned)) {
        credentials = credentials.with_device_token(token);
    }
    match state.kit().login(credentials, &meta).await? {
        Login::Complete(tokens) => Ok(answers::tokens(&state, &tokens, None)),
        Login::SecondFactor(pending) => Ok(answers::pending(&pending)),
    }
}
