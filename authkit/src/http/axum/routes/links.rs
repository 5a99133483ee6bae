//! What mailed links are for. None of these routes has a GET: opening a link, as scanners of mail do, uses nothing up.

use axum::extract::State;
use axum::response::Response;

use crate::flows::Authenticated;
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::Meta;
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::links::LinkProof;
use crate::secret::SecretString;

/// An address to which something may be mailed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct AddressBody {
    /// In any spelling.
    #[cfg_attr(feature = "openapi", schema(format = "email", max_length = 254))]
    email: String,
}

impl FromFields for AddressBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { email: fields.string("email") }
    }
}

/// The address to be.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct NewAddressBody {
    /// One that is not the caller's already.
    #[cfg_attr(feature = "openapi", schema(format = "email", max_length = 254))]
    new_email: String,
}

impl FromFields for NewAddressBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { new_email: fields.string("new_email") }
    }
}

/// The secret of a mailed link. Where the mail carries a code too: that, and the address that the mail went to.
pub(in crate::http::axum) struct LinkBody(LinkProof);

impl FromFields for LinkBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self(fields.link_proof())
    }
}

/// The secret of a mailed link. No code goes with it.
pub(in crate::http::axum) struct TokenBody(SecretString);

impl FromFields for TokenBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self(fields.secret("token"))
    }
}

/// A link or a code, and the password to be.
pub(in crate::http::axum) struct ResetBody {
    proof: LinkProof,
    new_password: SecretString,
}

impl FromFields for ResetBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { proof: fields.link_proof(), new_password: fields.secret("new_password") }
    }
}

/// Prove one's address.
///
/// By the mailed link or its code. Begins no session.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/email/verify", operation_id = "verify_email", tag = "mail",
    request_body = super::link_schemas::LinkOrCode,
    responses((status = 204, description = "The address is proved.")),
))]
pub(in crate::http::axum) async fn verify(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    Input(LinkBody(proof)): Input<LinkBody>,
) -> Result<Response, ApiError> {
    state.kit().verify_email(proof, &meta).await?;
    Ok(answers::done())
}

/// Have another link mailed that proves an address.
///
/// The answer is the same for every address.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/email/resend", operation_id = "resend_verification", tag = "mail",
    request_body = AddressBody,
    responses((status = 202, description = "If an account waits for it, a mail is on its way.")),
))]
pub(in crate::http::axum) async fn resend(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    Input(body): Input<AddressBody>,
) -> Result<Response, ApiError> {
    state.kit().resend_verification(&body.email, &meta).await?;
    Ok(answers::accepted())
}

/// Have a link mailed that sets a new password.
///
/// The answer is the same for every address.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/password-reset/request", operation_id = "request_password_reset", tag = "mail",
    request_body = AddressBody,
    responses((status = 202, description = "If there is an account, a mail is on its way.")),
))]
pub(in crate::http::axum) async fn request_reset(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    Input(body): Input<AddressBody>,
) -> Result<Response, ApiError> {
    state.kit().request_password_reset(&body.email, &meta).await?;
    Ok(answers::accepted())
}

/// Set a new password by a mailed link.
///
/// By the link or its code. Ends all sessions of the account and begins none.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/password-reset/confirm", operation_id = "reset_password", tag = "mail",
    request_body = super::link_schemas::ResetByLinkOrCode,
    responses((status = 204, description = "The password is set.")),
))]
pub(in crate::http::axum) async fn confirm_reset(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    Input(body): Input<ResetBody>,
) -> Result<Response, ApiError> {
    state.kit().reset_password(body.proof, &body.new_password, &meta).await?;
    Ok(answers::done())
}

/// Ask for another address.
///
/// A link goes there; nothing changes before it is used. Needs a sign-in within the last 5 minutes.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/email/change", operation_id = "request_email_change", tag = "mail",
    security(("bearer" = []), ("cookie" = [])),
    request_body = NewAddressBody,
    responses((status = 202, description = "If the address is free, a mail is on its way.")),
))]
pub(in crate::http::axum) async fn request_change(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    Input(body): Input<NewAddressBody>,
) -> Result<Response, ApiError> {
    state.kit().request_email_change(&caller, &body.new_email, &meta).await?;
    Ok(answers::accepted())
}

/// Make the new address the account's.
///
/// By the link that was mailed there, or its code. Ends all sessions but the one that asked for the change.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/email/change/confirm", operation_id = "confirm_email_change", tag = "mail",
    request_body = super::link_schemas::LinkOrCode,
    responses((status = 204, description = "The address is changed.")),
))]
pub(in crate::http::axum) async fn confirm_change(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    Input(LinkBody(proof)): Input<LinkBody>,
) -> Result<Response, ApiError> {
    state.kit().confirm_email_change(proof, &meta).await?;
    Ok(answers::done())
}

/// Give an account its former address back.
///
/// By the link in the notice that went there. Password, sessions and links are gone; a link that sets a new password is
/// mailed to that address.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/email/change/undo", operation_id = "undo_email_change", tag = "mail",
    request_body = super::link_schemas::TokenBody,
    responses((status = 204, description = "The former address is back.")),
))]
pub(in crate::http::axum) async fn undo_change(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    Input(TokenBody(token)): Input<TokenBody>,
) -> Result<Response, ApiError> {
    state.kit().undo_email_change(LinkProof::Token(token), &meta).await?;
    Ok(answers::done())
}

/// End the lock of one's account.
///
/// By the link in the mail about the lock, or its code. Locks of addresses stay.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/unlock", operation_id = "unlock", tag = "mail",
    request_body = super::link_schemas::LinkOrCode,
    responses((status = 204, description = "The account is not locked any more.")),
))]
pub(in crate::http::axum) async fn unlock(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    Input(LinkBody(proof)): Input<LinkBody>,
) -> Result<Response, ApiError> {
    state.kit().unlock(proof, &meta).await?;
    Ok(answers::done())
}
