//! What the operator's own machines call.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;

use crate::cleanup::{CleanupOptions, CleanupReport};
use crate::http::axum::error::ApiError;
use crate::http::axum::extract::Meta;
use crate::http::axum::state::AuthState;
use crate::http::bearer::{Bearer, bearer};

/// A request is answered within ten seconds; what is left is for the next run.
const LONGEST: Duration = Duration::from_secs(6);

/// Remove rows that are of no more use.
///
/// By `Authorization: Bearer` with `INTERNAL_CLEANUP_TOKEN`; without that setting there is no such route. Takes a few
/// seconds at the most: `complete` tells whether something is left.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/internal/cleanup", operation_id = "cleanup", tag = "internal",
    security(("cleanup" = [])),
    responses((status = 200, description = "What was done.",
        body = crate::http::axum::schemas::CleanupReport)),
))]
pub(in crate::http::axum) async fn cleanup(
    State(state): State<AuthState>,
    Meta(meta): Meta,
    headers: HeaderMap,
) -> Result<Json<CleanupReport>, ApiError> {
    let shown = match bearer(&headers) {
        Bearer::Token(token) => Some(token),
        _ => None,
    };
    state.kit().ctx.require_cleanup_token(shown, &meta).await?;
    Ok(Json(state.kit().cleanup().run(&CleanupOptions::default().within(LONGEST)).await?))
}
