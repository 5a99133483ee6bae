//! One's own sessions.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;

use crate::db::Listing;
use crate::flows::Authenticated;
use crate::http::axum::answers;
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::{Meta, PathId};
use crate::http::axum::state::AuthState;
use crate::http::query;
use crate::ids::SessionId;
use crate::sessions::Session;

/// The caller's live sessions, newest first.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/auth/sessions", operation_id = "list_sessions", tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "How many at the most.",
            minimum = 1, maximum = 200, nullable = false),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.",
            pattern = "^[A-Za-z0-9_-]{43}$", nullable = false),
    ),
    responses((status = 200, description = "The sessions.",
        body = crate::http::axum::schemas::SessionList)),
))]
pub(in crate::http::axum) async fn list(
    State(state): State<AuthState>,
    caller: Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Json<Listing<Session>>, ApiError> {
    let page = query::page(query.as_deref())?;
    Ok(Json(state.kit().sessions().own_page(&caller, &page).await?))
}

/// End one of the caller's sessions.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/auth/sessions/{id}", operation_id = "end_session", tag = "auth",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The session.")),
    responses((status = 204, description = "The session is over.")),
))]
pub(in crate::http::axum) async fn end(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    caller: Authenticated,
    PathId(session): PathId<SessionId>,
) -> Result<Response, ApiError> {
    state.kit().sessions().end_own(&caller, session, &meta).await?;
    let own = caller.session_id() == Some(session);
    Ok(if own { answers::signed_out(&state) } else { answers::done() })
}
