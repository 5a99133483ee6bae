//! `GET /`: what this is, and where to go on.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::AppState;

/// What this is. No version (ASVS 13.4.6).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Root {
    /// Always `authkit`.
    name: &'static str,
    links: Links,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Links {
    health: &'static str,
    ready: &'static str,
    openapi: &'static str,
    jwks: &'static str,
    /// Absent in production.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    docs: Option<&'static str>,
}

/// What this is, and where to go on.
#[utoipa::path(
    get, path = "/", operation_id = "root", tag = "server",
    responses((status = 200, description = "Name and links.", body = Root)),
)]
pub(crate) async fn root(State(state): State<AppState>) -> Json<Root> {
    Json(Root {
        name: "authkit",
        links: Links {
            health: "/health",
            ready: "/ready",
            openapi: "/openapi.json",
            jwks: "/.well-known/jwks.json",
            docs: state.settings.docs.then_some("/docs"),
        },
    })
}
