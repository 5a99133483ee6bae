//! Schemas of the bodies that carry one of several proofs, for the OpenAPI document.
#![expect(dead_code, reason = "read by the derive only")]

use std::borrow::Cow;

use serde_json::Value;
use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A browser's answer to a passkey challenge.
#[derive(ToSchema)]
pub(in crate::http::axum) struct PasskeyProofBody {
    /// As it came with the challenge.
    #[schema(pattern = r"^[^\u0000]*$")]
    challenge_id: String,
    /// What `navigator.credentials.get()` gave, as its `toJSON()` writes it.
    #[schema(value_type = Object)]
    credential: Value,
}

/// A pending token and a code.
#[derive(ToSchema)]
pub(in crate::http::axum) struct CompleteByCodeBody {
    /// As login gave it.
    #[schema(pattern = r"^[^\u0000]*$")]
    mfa_token: String,
    /// Of an authenticator app, or a backup code. Case, spaces and hyphens do not count.
    #[schema(pattern = r"^[^\u0000]*$", example = "123456")]
    code: String,
}

/// A pending token and a passkey.
#[derive(ToSchema)]
pub(in crate::http::axum) struct CompleteByPasskeyBody {
    /// As login gave it.
    #[schema(pattern = r"^[^\u0000]*$")]
    mfa_token: String,
    passkey: PasskeyProofBody,
}

/// The password.
#[derive(ToSchema)]
pub(in crate::http::axum) struct PasswordProofBody {
    #[schema(format = Password, min_length = 1, max_length = 512, pattern = r"^[^\u0000]*$")]
    password: String,
}

/// A code of an authenticator app, or a backup code.
#[derive(ToSchema)]
pub(in crate::http::axum) struct CodeProofBody {
    /// Case, spaces and hyphens do not count.
    #[schema(pattern = r"^[^\u0000]*$", example = "123456")]
    code: String,
}

/// A passkey.
#[derive(ToSchema)]
pub(in crate::http::axum) struct PasskeyOnlyBody {
    passkey: PasskeyProofBody,
}

fn one_of(names: &[&str]) -> RefOr<Schema> {
    let one = names.iter().fold(OneOfBuilder::new(), |one, name| one.item(Ref::from_schema_name(*name)));
    one.into()
}

/// A pending token, and a code or a passkey.
pub(in crate::http::axum) struct CompleteByCodeOrPasskey;

impl PartialSchema for CompleteByCodeOrPasskey {
    fn schema() -> RefOr<Schema> {
        one_of(&["CompleteByCodeBody", "CompleteByPasskeyBody"])
    }
}

impl ToSchema for CompleteByCodeOrPasskey {
    fn name() -> Cow<'static, str> {
        "CompleteByCodeOrPasskey".into()
    }
}

/// A password or a code.
pub(in crate::http::axum) struct PasswordOrCode;

impl PartialSchema for PasswordOrCode {
    fn schema() -> RefOr<Schema> {
        one_of(&["PasswordProofBody", "CodeProofBody"])
    }
}

impl ToSchema for PasswordOrCode {
    fn name() -> Cow<'static, str> {
        "PasswordOrCode".into()
    }
}

/// A password, a code or a passkey.
pub(in crate::http::axum) struct AnyProof;

impl PartialSchema for AnyProof {
    fn schema() -> RefOr<Schema> {
        one_of(&["PasswordProofBody", "CodeProofBody", "PasskeyOnlyBody"])
    }
}

impl ToSchema for AnyProof {
    fn name() -> Cow<'static, str> {
        "AnyProof".into()
    }
}

/// Signed in, or the second factor is outstanding.
pub(in crate::http::axum) struct LoginAnswer;

impl PartialSchema for LoginAnswer {
    fn schema() -> RefOr<Schema> {
        one_of(&["TokenAnswer", "PendingAnswer"])
    }
}

impl ToSchema for LoginAnswer {
    fn name() -> Cow<'static, str> {
        "LoginAnswer".into()
    }
}
