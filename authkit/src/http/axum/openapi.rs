//! The OpenAPI 3.1 document of [`super::router`], made from the handlers.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::routes::{
    admin, admin_users, api_keys, authz_schemas, internal, invitations, link_schemas, links, login, logout,
    me, memberships, mfa, mfa_schemas, orgs, passkeys, password, refresh, sessions, signup, step_up,
};
use super::{answers, input, schemas};
use crate::config::TokenTransport;
use crate::error::ErrorKind::{
    self, Conflict, EmailUnverified, InvalidCredentials, LinkInvalid, Locked, MfaInvalid, NotFound,
    RateLimited, RefreshInvalid, StepUpRequired, Unauthenticated, Validation,
};
use crate::http::body::{JSON, PROBLEM_JSON};
use crate::http::cookies;
use crate::http::status::Code;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "authkit",
        version = "1",
        description = "Accounts, sign-in, rotating sessions and access tokens.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        orgs::create,
        orgs::list,
        orgs::show,
        orgs::update,
        orgs::remove,
        orgs::members,
        orgs::add_member,
        orgs::change_member,
        orgs::remove_member,
        memberships::list,
        memberships::create,
        memberships::remove,
        invitations::create,
        invitations::list,
        invitations::resend,
        invitations::revoke,
        invitations::accept,
        signup::signup,
        login::login,
        refresh::refresh,
        logout::logout,
        logout::logout_all,
        me::show,
        me::update,
        me::remove,
        password::change,
        step_up::step_up,
        mfa::complete,
        mfa::show,
        mfa::add_totp,
        mfa::confirm_totp,
        mfa::regenerate,
        mfa::disable,
        links::verify,
        links::resend,
        links::request_reset,
        links::confirm_reset,
        links::request_change,
        links::confirm_change,
        links::undo_change,
        links::unlock,
        passkeys::begin_registration,
        passkeys::finish_registration,
        passkeys::begin_login,
        passkeys::finish_login,
        passkeys::list,
        passkeys::remove,
        sessions::list,
        sessions::end,
        admin::lockouts,
        admin::clear_lockout,
        admin::unlock_user,
        admin::reset_mfa,
        admin_users::list,
        admin_users::create,
        admin_users::show,
        admin_users::update,
        admin_users::remove,
        admin_users::disable,
        admin_users::enable,
        admin_users::set_roles,
        admin_users::sessions,
        admin_users::end_sessions,
        api_keys::list,
        api_keys::create,
        api_keys::revoke,
        internal::cleanup
    ),
    components(schemas(
        orgs::NewOrgBody,
        orgs::OrgChangeBody,
        orgs::MemberBody,
        orgs::MemberRoleBody,
        memberships::MembershipBody,
        invitations::InvitationBody,
        authz_schemas::AcceptBody,
        authz_schemas::Organisation,
        authz_schemas::OrganisationList,
        authz_schemas::Membership,
        authz_schemas::MembershipList,
        authz_schemas::Invitation,
        authz_schemas::InvitationList,
        signup::SignUpBody,
        signup::VerificationAnswer,
        login::LoginBody,
        input::RefreshBody,
        me::ProfileBody,
        password::PasswordBody,
        mfa::TotpBody,
        mfa::ConfirmBody,
        mfa::FactorCodeBody,
        mfa::EnrolmentAnswer,
        mfa::BackupCodesAnswer,
        mfa_schemas::CompleteByCodeOrPasskey,
        mfa_schemas::CompleteByCodeBody,
        mfa_schemas::CompleteByPasskeyBody,
        mfa_schemas::PasskeyProofBody,
        mfa_schemas::PasswordOrCode,
        mfa_schemas::AnyProof,
        mfa_schemas::PasswordProofBody,
        mfa_schemas::CodeProofBody,
        mfa_schemas::PasskeyOnlyBody,
        mfa_schemas::LoginAnswer,
        links::AddressBody,
        links::NewAddressBody,
        link_schemas::LinkOrCode,
        link_schemas::TokenBody,
        link_schemas::CodeBody,
        link_schemas::ResetByLinkOrCode,
        link_schemas::ResetByTokenBody,
        link_schemas::ResetByCodeBody,
        passkeys::PasskeyNameBody,
        passkeys::PasskeyLoginBody,
        passkeys::PasskeyBody,
        passkeys::PasskeyOptionsAnswer,
        schemas::PasskeyList,
        answers::TokenAnswer,
        answers::PendingAnswer,
        schemas::User,
        schemas::MfaStatus,
        schemas::SessionList,
        schemas::LockoutList,
        admin_users::NewUserBody,
        admin_users::RolesBody,
        api_keys::ApiKeyBody,
        schemas::UserList,
        schemas::NewApiKey,
        schemas::ApiKeyList,
        schemas::CleanupReport,
        schemas::ErrorBody,
        schemas::Problem
    )),
    tags(
        (name = "auth", description = "Accounts and sessions."),
        (name = "mfa", description = "Second factors."),
        (name = "passkeys", description = "Sign-in without a password, and a second factor beside one."),
        (name = "api-keys", description = "How scripts show who they are."),
        (name = "mail", description = "What mailed links are for."),
        (name = "organisations", description = "Organisations, roles on resources, invitations."),
        (name = "admin", description = "What operators do."),
        (name = "internal", description = "What the operator's own machines call.")
    ),
    modifiers(&Bodies, &Headers, &Errors, &Security)
)]
struct Document;

/// The document of [`super::router`] with tokens in bodies. Paths start with `/auth`; use
/// [`utoipa::openapi::OpenApi::nest`] for the prefix that the router is mounted under.
pub fn openapi() -> utoipa::openapi::OpenApi {
    openapi_for(TokenTransport::Bearer)
}

/// The document of [`super::router`] for that transport of tokens.
pub fn openapi_for(transport: TokenTransport) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    if transport == TokenTransport::Cookie
        && let Some(components) = &mut document.components
        && let Some(RefOr::T(Schema::Object(body))) = components.schemas.get_mut("RefreshBody")
    {
        body.required.clear();
    }
    for operation in operations(&mut document) {
        let id = operation.operation_id.clone().unwrap_or_default();
        let takes_token = ["refresh", "logout"].contains(&id.as_str());
        if transport == TokenTransport::Cookie
            && takes_token
            && let Some(RefOr::T(body)) = &mut operation.request_body
        {
            body.required = None;
        }
    }
    document
}

/// What may go wrong with each operation, besides what may go wrong with all.
const ERRORS: &[(&str, &[ErrorKind])] = &[
    ("create_org", &[Unauthenticated, RateLimited]),
    ("list_orgs", &[Unauthenticated, Validation]),
    ("show_org", &[Unauthenticated, NotFound]),
    ("update_org", &[Unauthenticated, NotFound, RateLimited]),
    ("delete_org", &[Unauthenticated, NotFound, RateLimited]),
    ("list_members", &[Unauthenticated, NotFound, Validation]),
    ("add_member", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("change_member", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("remove_member", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("list_memberships", &[Unauthenticated, NotFound, Validation]),
    ("grant_membership", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("revoke_membership", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("create_invitation", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("list_invitations", &[Unauthenticated, NotFound, Validation]),
    ("resend_invitation", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("revoke_invitation", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("accept_invitation", &[LinkInvalid, Unauthenticated, InvalidCredentials, Conflict, RateLimited]),
    ("signup", &[Conflict, RateLimited]),
    ("login", &[InvalidCredentials, EmailUnverified, RateLimited, Locked]),
    ("refresh", &[RefreshInvalid, Validation, RateLimited]),
    ("logout", &[Validation, RateLimited]),
    ("logout_all", &[Unauthenticated, RateLimited]),
    ("me", &[Unauthenticated]),
    ("update_me", &[Unauthenticated, RateLimited]),
    ("delete_me", &[Unauthenticated, StepUpRequired, Conflict, RateLimited]),
    ("change_password", &[Unauthenticated, InvalidCredentials, StepUpRequired, RateLimited, Locked]),
    ("step_up", &[Unauthenticated, InvalidCredentials, MfaInvalid, StepUpRequired, RateLimited, Locked]),
    ("complete_mfa", &[MfaInvalid, RateLimited, Locked]),
    ("mfa", &[Unauthenticated]),
    ("add_totp", &[Unauthenticated, StepUpRequired, Conflict, RateLimited]),
    ("confirm_totp", &[Unauthenticated, StepUpRequired, MfaInvalid, NotFound, RateLimited]),
    ("regenerate_backup_codes", &[Unauthenticated, MfaInvalid, RateLimited, Locked]),
    (
        "disable_mfa",
        &[Unauthenticated, InvalidCredentials, MfaInvalid, StepUpRequired, Conflict, RateLimited, Locked],
    ),
    ("reset_mfa", &[Unauthenticated, NotFound, RateLimited]),
    ("verify_email", &[LinkInvalid, RateLimited]),
    ("resend_verification", &[RateLimited]),
    ("request_password_reset", &[RateLimited]),
    ("reset_password", &[LinkInvalid, RateLimited]),
    ("request_email_change", &[Unauthenticated, StepUpRequired, RateLimited]),
    ("confirm_email_change", &[LinkInvalid, RateLimited]),
    ("undo_email_change", &[LinkInvalid, RateLimited]),
    ("unlock", &[LinkInvalid, RateLimited]),
    ("begin_passkey_registration", &[Unauthenticated, StepUpRequired, Conflict, RateLimited]),
    ("finish_passkey_registration", &[Unauthenticated, StepUpRequired, Conflict, RateLimited]),
    ("begin_passkey_login", &[Unauthenticated, MfaInvalid, RateLimited]),
    ("finish_passkey_login", &[InvalidCredentials, EmailUnverified, RateLimited]),
    ("list_passkeys", &[Unauthenticated, StepUpRequired, Validation]),
    ("remove_passkey", &[Unauthenticated, StepUpRequired, NotFound, Conflict, RateLimited]),
    ("list_sessions", &[Unauthenticated, Validation]),
    ("end_session", &[Unauthenticated, NotFound, RateLimited]),
    ("list_lockouts", &[Unauthenticated, Validation, RateLimited]),
    ("clear_lockout", &[Unauthenticated, NotFound, RateLimited]),
    ("unlock_user", &[Unauthenticated, NotFound, RateLimited]),
    ("list_users", &[Unauthenticated, Validation, RateLimited]),
    ("create_user", &[Unauthenticated, Conflict, RateLimited]),
    ("show_user", &[Unauthenticated, NotFound, RateLimited]),
    ("update_user", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("delete_user", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("disable_user", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("enable_user", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("set_roles", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("list_sessions_of_user", &[Unauthenticated, NotFound, Validation, RateLimited]),
    ("end_sessions_of_user", &[Unauthenticated, NotFound, RateLimited]),
    ("list_api_keys", &[Unauthenticated, Validation, RateLimited]),
    ("create_api_key", &[Unauthenticated, StepUpRequired, Conflict, RateLimited]),
    ("cleanup", &[Unauthenticated, NotFound, Conflict, RateLimited]),
    ("revoke_api_key", &[Unauthenticated, NotFound, RateLimited]),
];

/// Operations that take an `Idempotency-Key`.
const ONCE: &[&str] = &["signup", "create_user", "create_api_key", "create_org", "create_invitation"];
/// Operations that take `If-Match`.
const CONDITIONAL: &[&str] = &["update_me", "update_user", "set_roles", "update_org"];

/// Headers that several operations share.
struct Headers;

impl Modify for Headers {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let header = |name: &str, description: &str, pattern: &str| {
            let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build();
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(text))
                .build()
        };
        for operation in operations(document) {
            let id = operation.operation_id.clone().unwrap_or_default();
            let parameters = operation.parameters.get_or_insert_default();
            if ONCE.contains(&id.as_str()) {
                let what = "Carries the request out once in 24 hours: sent again, it gets the same answer.";
                parameters.push(RefOr::T(header("Idempotency-Key", what, "^[!-~]{1,255}$")));
            }
            if CONDITIONAL.contains(&id.as_str()) {
                let what = "Changes nothing unless this is still the `ETag`.";
                parameters.push(RefOr::T(header("If-Match", what, "^\"[0-9a-f]{32}\"$")));
            }
        }
    }
}

struct Errors;

impl Modify for Errors {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for operation in operations(document) {
            let id = operation.operation_id.clone().unwrap_or_default();
            let own = ERRORS.iter().find(|(name, _)| *name == id).map_or(&[][..], |(_, kinds)| *kinds);
            let mut codes: Vec<Code> = own.iter().copied().map(Code::from).collect();
            codes.extend([
                ErrorKind::InvalidRequest.into(),
                Code::MethodNotAllowed,
                Code::PayloadTooLarge,
                Code::RequestTimeout,
                ErrorKind::Forbidden.into(),
                ErrorKind::Unavailable.into(),
                ErrorKind::Internal.into(),
            ]);
            if ONCE.contains(&id.as_str()) {
                codes.push(ErrorKind::Conflict.into());
            }
            if CONDITIONAL.contains(&id.as_str()) {
                codes.push(ErrorKind::PreconditionFailed.into());
            }
            if operation.request_body.is_some() {
                // U+0000 may stand in any body.
                codes.extend([Code::UnsupportedMediaType, ErrorKind::Validation.into()]);
            }
            add_errors(operation, &codes);
        }
    }
}

/// One answer a status, which names its codes.
fn add_errors(operation: &mut Operation, codes: &[Code]) {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(code.name());
    }
    for (status, names) in by_status {
        let content =
            |schema: &str| ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
        let response = ResponseBuilder::new()
            .description(format!("`{}`", names.join("`, `")))
            .content(JSON, content("ErrorBody"))
            .content(PROBLEM_JSON, content("Problem"))
            .build();
        operation.responses.responses.insert(status.to_string(), RefOr::T(response));
    }
}

/// Bodies of requests take no member that is not named, and no U+0000.
struct Bodies;

impl Modify for Bodies {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let Some(components) = &mut document.components else { return };
        for (name, schema) in &mut components.schemas {
            if name.ends_with("Body")
                && name != "ErrorBody"
                && let RefOr::T(Schema::Object(object)) = schema
            {
                object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
    }
}

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("JWT".to_owned());
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let mut cleanup = Http::new(HttpAuthScheme::Bearer);
        cleanup.description = Some("`INTERNAL_CLEANUP_TOKEN`.".to_owned());
        components.add_security_scheme("cleanup", SecurityScheme::Http(cleanup));
        let cookie = ApiKeyValue::with_description(cookies::ACCESS, "With `TOKEN_TRANSPORT=cookie`.");
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

fn operations(document: &mut utoipa::openapi::OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten()
    })
}

#[cfg(test)]
mod tests;
