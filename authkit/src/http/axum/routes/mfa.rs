//! Second factors.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::flows::{DisableProof, Enrolling, SecondFactor, StepUp};
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::Meta;
use crate::http::axum::input::Input;
use crate::http::axum::state::AuthState;
use crate::http::json::{Fields, FromFields};
use crate::ids::FactorId;
use crate::mfa::{BackupCodes, MfaStatus, TotpEnrolment};
use crate::secret::{ExposeSecret as _, SecretString};

/// A pending token and a second factor.
pub(in crate::http::axum) struct CompleteBody {
    mfa_token: SecretString,
    factor: SecondFactor,
}

impl FromFields for CompleteBody {
    fn from_fields(fields: &mut Fields) -> Self {
        let mfa_token = fields.secret("mfa_token");
        let factor = match fields.passkey() {
            Some(proof) => SecondFactor::Passkey(proof),
            None => SecondFactor::Code(fields.secret("code")),
        };
        Self { mfa_token, factor }
    }
}

/// What proves the caller again: a password, a code, or a passkey.
pub(in crate::http::axum) struct ProofBody(pub(in crate::http::axum) StepUp);

impl FromFields for ProofBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self(match fields.passkey() {
            Some(proof) => StepUp::Passkey(proof),
            None if fields.has("code") => StepUp::Code(fields.secret("code")),
            None => StepUp::Password(fields.secret("password")),
        })
    }
}

/// A password or a code.
pub(in crate::http::axum) struct DisableBody(DisableProof);

impl FromFields for DisableBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self(if fields.has("code") {
            DisableProof::Code(fields.secret("code"))
        } else {
            DisableProof::Password(fields.secret("password"))
        })
    }
}

/// An authenticator app to be.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct TotpBody {
    /// What to call it: 1 to 64 characters.
    #[cfg_attr(feature = "openapi", schema(nullable, max_length = 64, pattern = r"^[^\u0000]*$"))]
    name: Option<String>,
}

impl FromFields for TotpBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { name: fields.nullable_string("name") }
    }
}

/// A code of an authenticator app that is being set up.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct ConfirmBody {
    /// Spaces and hyphens do not count.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[^\u0000]*$", example = "123456"))]
    code: SecretString,
    /// Which app, where several are being set up.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<uuid::Uuid>, nullable))]
    id: Option<String>,
}

impl FromFields for ConfirmBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { code: fields.secret("code"), id: fields.nullable_string("id") }
    }
}

/// A code of an authenticator app, or a backup code.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct FactorCodeBody {
    /// Case, spaces and hyphens do not count.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[^\u0000]*$", example = "123456"))]
    code: SecretString,
}

impl FromFields for FactorCodeBody {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { code: fields.secret("code") }
    }
}

/// A secret, shown once.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct EnrolmentAnswer<'a> {
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    id: FactorId,
    /// For typing in: base32.
    secret: &'a str,
    /// For a link on the same device.
    otpauth_uri: &'a str,
    /// For a camera: an SVG element.
    qr_svg: &'a str,
}

/// Backup codes, shown once. Empty where those from before are still good.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::http::axum) struct BackupCodesAnswer<'a> {
    backup_codes: Vec<&'a str>,
}

fn enrolment(made: &TotpEnrolment) -> Response {
    let answer = EnrolmentAnswer {
        id: made.id,
        secret: made.secret.expose_secret(),
        otpauth_uri: made.otpauth_uri.expose_secret(),
        qr_svg: made.qr_svg.expose_secret(),
    };
    (StatusCode::CREATED, Json(answer)).into_response()
}

fn backup_codes(made: &BackupCodes) -> Response {
    let backup_codes = made.codes.iter().map(secrecy::ExposeSecret::expose_secret).collect();
    Json(BackupCodesAnswer { backup_codes }).into_response()
}

/// Complete a sign-in.
///
/// By a code of an authenticator app, a backup code or a passkey.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/mfa/complete", operation_id = "complete_mfa", tag = "mfa",
    request_body = super::mfa_schemas::CompleteByCodeOrPasskey,
    responses((status = 200, description = "Signed in.", body = answers::TokenAnswer)),
))]
pub(in crate::http::axum) async fn complete(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    headers: HeaderMap,
    Input(body): Input<CompleteBody>,
) -> Result<Response, ApiError> {
    let device = state.device_cookie(&headers)?;
    let tokens = state.kit().complete_mfa(&body.mfa_token, body.factor, &meta).await?;
    Ok(answers::tokens(&state, &tokens, device))
}

/// One's second factors.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/auth/mfa", operation_id = "mfa", tag = "mfa",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "What there is.", body = crate::http::axum::schemas::MfaStatus)),
))]
pub(in crate::http::axum) async fn show(
    State(state): State<AuthState>,
    caller: Enrolling,
) -> Result<Json<MfaStatus>, ApiError> {
    Ok(Json(state.kit().mfa().status(&caller).await?))
}

/// Begin to set up an authenticator app.
///
/// It counts for nothing before it is confirmed. Needs a sign-in within the last 5 minutes, with a second factor once there
/// is one.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/mfa/totp", operation_id = "add_totp", tag = "mfa",
    security(("bearer" = []), ("cookie" = [])),
    request_body = TotpBody,
    responses((status = 201, description = "The secret, shown once.", body = EnrolmentAnswer)),
))]
pub(in crate::http::axum) async fn add_totp(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Enrolling,
    Input(body): Input<TotpBody>,
) -> Result<Response, ApiError> {
    Ok(enrolment(&state.kit().mfa().add_totp(&caller, body.name.as_deref(), &meta).await?))
}

/// Make an authenticator app a second factor.
///
/// By one of its codes, which is used up with it. Ends all other sessions. Backup codes come with the first app.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/mfa/totp/confirm", operation_id = "confirm_totp", tag = "mfa",
    security(("bearer" = []), ("cookie" = [])),
    request_body = ConfirmBody,
    responses((status = 200, description = "Backup codes, shown once.", body = BackupCodesAnswer)),
))]
pub(in crate::http::axum) async fn confirm_totp(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Enrolling,
    Input(body): Input<ConfirmBody>,
) -> Result<Response, ApiError> {
    let id = match body.id.as_deref().map(str::parse::<FactorId>) {
        None => None,
        Some(Ok(id)) => Some(id),
        // What is no id names nothing.
        Some(Err(_)) => return Err(crate::error::ErrorKind::NotFound.into()),
    };
    Ok(backup_codes(&state.kit().mfa().confirm_totp(&caller, &body.code, id, &meta).await?))
}

/// Make new backup codes.
///
/// For a code; the old set is gone. Ends all other sessions.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/mfa/backup-codes/regenerate", operation_id = "regenerate_backup_codes", tag = "mfa",
    security(("bearer" = []), ("cookie" = [])),
    request_body = FactorCodeBody,
    responses((status = 200, description = "The new set, shown once.", body = BackupCodesAnswer)),
))]
pub(in crate::http::axum) async fn regenerate(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Enrolling,
    Input(body): Input<FactorCodeBody>,
) -> Result<Response, ApiError> {
    Ok(backup_codes(&state.kit().mfa().regenerate_backup_codes(&caller, body.code, &meta).await?))
}

/// Remove one's authenticator apps and backup codes.
///
/// By a code, or by the password with a second factor given in this session within the last 5 minutes. Passkeys stay. Ends
/// all other sessions.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/auth/mfa/disable", operation_id = "disable_mfa", tag = "mfa",
    security(("bearer" = []), ("cookie" = [])),
    request_body = super::mfa_schemas::PasswordOrCode,
    responses((status = 204, description = "They are gone.")),
))]
pub(in crate::http::axum) async fn disable(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Enrolling,
    Input(DisableBody(proof)): Input<DisableBody>,
) -> Result<Response, ApiError> {
    state.kit().mfa().disable(&caller, proof, &meta).await?;
    Ok(answers::done())
}
