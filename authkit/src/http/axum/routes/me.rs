//! One's own account.

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;

use crate::error::ErrorKind;
use crate::flows::{Authenticated, ProfileChange};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::etag::{IfMatch, tagged};
use crate::http::axum::extract::Meta;
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::users::UserStatus;

/// What is to change; what is left out stays.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct ProfileBody {
    /// What to call the person.
    #[cfg_attr(
        feature = "openapi",
        schema(
            nullable = false,
            min_length = 1,
            max_length = 200,
            pattern = r"^[^\u0000-\u001F\u007F-\u009F]+$"
        )
    )]
    name: Option<String>,
    /// Replaces the whole profile; at most 16 KiB.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>, nullable = false))]
    profile: Option<Value>,
}

impl ProfileBody {
    pub(super) fn into_parts(self) -> (Option<String>, Option<Value>) {
        (self.name, self.profile)
    }
}

impl FromFields for ProfileBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { name: fields.optional_string("name"), profile: fields.optional_object("profile") }
    }
}

/// The caller's account.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/auth/me", operation_id = "me", tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "The account.", body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn show(
    State(state): State<AuthState>,
    caller: Authenticated,
) -> Result<Response, ApiError> {
    let found = state.kit().users().get(caller.user_id()).await?;
    let active = found.filter(|user| user.status == UserStatus::Active);
    Ok(tagged(&active.ok_or(ErrorKind::Unauthenticated)?))
}

/// Change the caller's name or profile.
#[cfg_attr(feature = "openapi", utoipa::path(
    patch, path = "/auth/me", operation_id = "update_me", tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    request_body = ProfileBody,
    responses((status = 200, description = "The account as it is now.",
        body = crate::http::axum::schemas::User)),
))]
pub(in crate::http::axum) async fn update(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    IfMatch(only_if): IfMatch,
    Input(body): Input<ProfileBody>,
) -> Result<Response, ApiError> {
    let change = ProfileChange::new(body.name, body.profile).only_if(only_if);
    Ok(tagged(&state.kit().update_profile(&caller, change, &meta).await?))
}

/// Delete the caller's account.
///
/// Needs a sign-in within the last 5 minutes. Operators can restore the account until it is purged.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/auth/me", operation_id = "delete_me", tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 204, description = "The account is deleted.")),
))]
pub(in crate::http::axum) async fn remove(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
) -> Result<Response, ApiError> {
    state.kit().delete_account(&caller, &meta).await?;
    Ok(answers::signed_out(&state))
}
