//! The routes: parse, call the kit, answer.

pub(super) mod admin;
pub(super) mod admin_users;
pub(super) mod api_keys;
#[cfg(feature = "openapi")]
pub(super) mod authz_schemas;
pub(super) mod internal;
pub(super) mod invitations;
#[cfg(feature = "openapi")]
pub(super) mod link_schemas;
pub(super) mod links;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod me;
pub(super) mod memberships;
pub(super) mod mfa;
#[cfg(feature = "openapi")]
pub(super) mod mfa_schemas;
pub(super) mod orgs;
pub(super) mod passkeys;
pub(super) mod password;
pub(super) mod refresh;
pub(super) mod sessions;
pub(super) mod signup;
pub(super) mod step_up;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, patch, post, put};
use http::HeaderValue;
use http::header::CACHE_CONTROL;

use super::context::request_context;
use super::error::ApiError;
use super::state::AuthState;
use crate::http::status::Code;

/// All routes, to be mounted under any prefix with `Router::nest`.
///
/// Takes the kit, or an [`AuthState`]. Serve with `into_make_service_with_connect_info::<SocketAddr>()`, so that
/// sessions and audit know addresses.
pub fn router<S: Clone + Send + Sync + 'static>(state: impl Into<AuthState>) -> Router<S> {
    let state = state.into();
    Router::new()
        .route("/auth/signup", post(signup::signup))
        .route("/auth/login", post(login::login))
        .route("/auth/refresh", post(refresh::refresh))
        .route("/auth/logout", post(logout::logout))
        .route("/auth/logout-all", post(logout::logout_all))
        .route("/auth/me", get(me::show).patch(me::update).delete(me::remove))
        .route("/auth/password", post(password::change))
        .route("/auth/password-reset/request", post(links::request_reset))
        .route("/auth/password-reset/confirm", post(links::confirm_reset))
        .route("/auth/email/verify", post(links::verify))
        .route("/auth/email/resend", post(links::resend))
        .route("/auth/email/change", post(links::request_change))
        .route("/auth/email/change/confirm", post(links::confirm_change))
        .route("/auth/email/change/undo", post(links::undo_change))
        .route("/auth/unlock", post(links::unlock))
        .route("/auth/step-up", post(step_up::step_up))
        .route("/auth/mfa", get(mfa::show))
        .route("/auth/mfa/complete", post(mfa::complete))
        .route("/auth/mfa/totp", post(mfa::add_totp))
        .route("/auth/mfa/totp/confirm", post(mfa::confirm_totp))
        .route("/auth/mfa/backup-codes/regenerate", post(mfa::regenerate))
        .route("/auth/mfa/disable", post(mfa::disable))
        .route("/auth/passkeys", get(passkeys::list))
        .route("/auth/passkeys/{id}", delete(passkeys::remove))
        .route("/auth/passkeys/register", post(passkeys::begin_registration))
        .route("/auth/passkeys/register/verify", post(passkeys::finish_registration))
        .route("/auth/passkeys/login", post(passkeys::begin_login))
        .route("/auth/passkeys/login/verify", post(passkeys::finish_login))
        .route("/auth/sessions", get(sessions::list))
        .route("/auth/sessions/{id}", delete(sessions::end))
        .route("/admin/lockouts", get(admin::lockouts))
        .route("/admin/lockouts/{id}", delete(admin::clear_lockout))
        .route("/admin/users/{id}/unlock", post(admin::unlock_user))
        .route("/admin/users/{id}/mfa/reset", post(admin::reset_mfa))
        .route("/admin/users", get(admin_users::list).post(admin_users::create))
        .route(
            "/admin/users/{id}",
            get(admin_users::show).patch(admin_users::update).delete(admin_users::remove),
        )
        .route("/admin/users/{id}/disable", post(admin_users::disable))
        .route("/admin/users/{id}/enable", post(admin_users::enable))
        .route("/admin/users/{id}/roles", put(admin_users::set_roles))
        .route("/admin/users/{id}/sessions", get(admin_users::sessions).delete(admin_users::end_sessions))
        .route("/api-keys", get(api_keys::list).post(api_keys::create))
        .route("/api-keys/{id}", delete(api_keys::revoke))
        .route("/orgs", get(orgs::list).post(orgs::create))
        .route("/orgs/{id}", get(orgs::show).patch(orgs::update).delete(orgs::remove))
        .route("/orgs/{id}/members", get(orgs::members).post(orgs::add_member))
        .route("/orgs/{id}/members/{user_id}", patch(orgs::change_member).delete(orgs::remove_member))
        .route("/memberships", get(memberships::list).post(memberships::create))
        .route("/memberships/{id}", delete(memberships::remove))
        .route("/invitations", get(invitations::list).post(invitations::create))
        .route("/invitations/accept", post(invitations::accept))
        .route("/invitations/{id}/resend", post(invitations::resend))
        .route("/invitations/{id}", delete(invitations::revoke))
        .method_not_allowed_fallback(|| async { ApiError::new(Code::MethodNotAllowed) })
        .layer(middleware::from_fn_with_state(state.clone(), guard))
        .merge(internal())
        .layer(middleware::from_fn_with_state(state.clone(), request_context))
        .with_state(state)
}

/// Called by machines, which send no `Origin` and no cookie.
fn internal() -> Router<AuthState> {
    Router::new()
        .route("/internal/cleanup", post(internal::cleanup))
        .method_not_allowed_fallback(|| async { ApiError::new(Code::MethodNotAllowed) })
        .layer(middleware::from_fn(async |request: Request, next: Next| no_store(next.run(request).await)))
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What all other routes share: the check of origins in cookie mode, and that nothing is kept by caches (ASVS
/// 14.3.2).
async fn guard(State(state): State<AuthState>, request: Request, next: Next) -> Response {
    no_store(match state.check_origin(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => ApiError::from(refusal).into_response(),
    })
}
