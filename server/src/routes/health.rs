//! `GET /health`: whether the process is alive. Touches nothing that could be slow.

use authkit::time::Timestamp;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::AppState;

/// The process is alive.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
    /// The server's clock.
    #[schema(value_type = String, format = "date-time")]
    timestamp: Timestamp,
}

/// Whether the process is alive.
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = "server",
    responses((status = 200, description = "It is.", body = Health)),
)]
pub(crate) async fn health(State(state): State<AppState>) -> Json<Health> {
    Json(Health { status: "ok", timestamp: state.kit.now() })
}
