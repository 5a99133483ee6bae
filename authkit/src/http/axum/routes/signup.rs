//! Sign-up.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;

use crate::flows::{SignUp, SignedUp};
use crate::http::axum::extract::Meta;
use crate::http::axum::idempotency::Once;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::secret::SecretString;

/// Who signs up.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct SignUpBody {
    /// What to call the person.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$")
    )]
    name: String,
    /// An address; one account each.
    #[cfg_attr(feature = "openapi", schema(format = "email", max_length = 254))]
    email: String,
    /// At least 8 characters, at most 128 and 512 bytes, not easy to guess.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = String, format = Password, min_length = 8, max_length = 128, pattern = r"^[^\u0000]*$")
    )]
    password: SecretString,
}

impl FromFields for SignUpBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            name: fields.string("name"),
            email: fields.string("email"),
            password: fields.secret("password"),
        }
    }
}

/// The address must be proved first.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct VerificationAnswer {
    /// Always `verification_required`.
    #[cfg_attr(
        feature = "openapi",
        schema(pattern = "^verification_required$", example = "verification_required")
    )]
    status: &'static str,
}

/// Make an account.
///
/// With required verification the answer is the same whether or not the address is known.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/signup", operation_id = "signup", tag = "auth",
    request_body = SignUpBody,
    responses(
        (status = 201, description = "The account exists and may sign in.",
            body = crate::http::axum::schemas::User),
        (status = 202, description = "With required verification: the address must be proved first.",
            body = VerificationAnswer),
    ),
))]
pub(in crate::http::axum) async fn signup(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    once: Once<SignUpBody>,
) -> Response {
    once.answer(meta, async move |meta, body| {
        let input = SignUp::new(body.name, body.email, body.password);
        Ok(match state.kit().signup(input, &meta).await? {
            SignedUp::Created(user) => (StatusCode::CREATED, Json(user)).into_response(),
            SignedUp::VerificationRequired => {
                let answer = VerificationAnswer { status: "verification_required" };
                (StatusCode::ACCEPTED, Json(answer)).into_response()
            }
        })
    })
    .await
}
