//! Schemas of the bodies that carry a link or a code, for the OpenAPI document.
#![expect(dead_code, reason = "read by the derive only")]

use std::borrow::Cow;

use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The secret of a mailed link.
#[derive(ToSchema)]
pub(in crate::http::axum) struct TokenBody {
    /// What stands after `token=` in the link.
    #[schema(pattern = r"^[^\u0000]*$")]
    token: String,
}

/// A code out of a mail.
#[derive(ToSchema)]
pub(in crate::http::axum) struct CodeBody {
    /// The address that the mail went to.
    #[schema(format = "email", max_length = 254)]
    email: String,
    /// Eight digits; spaces and hyphens do not count.
    #[schema(pattern = "^[0-9]{8}$", example = "01234567")]
    code: String,
}

/// The secret of a mailed link, and the password to be.
#[derive(ToSchema)]
pub(in crate::http::axum) struct ResetByTokenBody {
    /// What stands after `token=` in the link.
    #[schema(pattern = r"^[^\u0000]*$")]
    token: String,
    /// At least 8 characters, at most 128 and 512 bytes, not easy to guess.
    #[schema(format = Password, min_length = 8, max_length = 128, pattern = r"^[^\u0000]*$")]
    new_password: String,
}

/// A code out of a mail, and the password to be.
#[derive(ToSchema)]
pub(in crate::http::axum) struct ResetByCodeBody {
    /// The address that the mail went to.
    #[schema(format = "email", max_length = 254)]
    email: String,
    /// Eight digits; spaces and hyphens do not count.
    #[schema(pattern = "^[0-9]{8}$", example = "01234567")]
    code: String,
    /// At least 8 characters, at most 128 and 512 bytes, not easy to guess.
    #[schema(format = Password, min_length = 8, max_length = 128, pattern = r"^[^\u0000]*$")]
    new_password: String,
}

/// Either of two bodies.
fn either(first: &str, second: &str) -> RefOr<Schema> {
    let one = OneOfBuilder::new();
    one.item(Ref::from_schema_name(first)).item(Ref::from_schema_name(second)).into()
}

/// The secret of a link, or a code.
pub(in crate::http::axum) struct LinkOrCode;

impl PartialSchema for LinkOrCode {
    fn schema() -> RefOr<Schema> {
        either("TokenBody", "CodeBody")
    }
}

impl ToSchema for LinkOrCode {
    fn name() -> Cow<'static, str> {
        "LinkOrCode".into()
    }
}

/// The secret of a link, or a code; and the password to be.
pub(in crate::http::axum) struct ResetByLinkOrCode;

impl PartialSchema for ResetByLinkOrCode {
    fn schema() -> RefOr<Schema> {
        either("ResetByTokenBody", "ResetByCodeBody")
    }
}

impl ToSchema for ResetByLinkOrCode {
    fn name() -> Cow<'static, str> {
        "ResetByLinkOrCode".into()
    }
}
