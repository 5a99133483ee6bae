//! `GET /openapi.json`: the library's document under the prefix, and the server's own routes.

use authkit::config::Config;
use authkit::http::axum::openapi_for;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use utoipa::OpenApi as _;

use super::{AppState, health, metrics, openapi, ready, root, well_known};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "authkit", version = "1"),
    paths(
        root::root,
        health::health,
        ready::ready,
        metrics::metrics,
        openapi::openapi,
        well_known::jwks,
        well_known::openid_configuration
    ),
    tags((name = "server", description = "Health, figures and keys."))
)]
struct Own;

/// The whole document.
pub(crate) fn document(config: &Config) -> Value {
    let library = openapi_for(config.server.token_transport);
    let (info, prefix) = (library.info.clone(), config.server.api_prefix.as_str());
    let mut whole = if prefix.is_empty() {
        let mut own = Own::openapi();
        own.merge(library);
        own
    } else {
        Own::openapi().nest(prefix, library)
    };
    whole.info = info;
    let mut document = serde_json::to_value(whole).unwrap_or_default();
    for path in ["/", "/health", "/ready", "/metrics", "/openapi.json"]
        .into_iter()
        .chain(["/.well-known/jwks.json", "/.well-known/openid-configuration"])
    {
        add_errors(&mut document, path);
    }
    document
}

/// What may go wrong with each of the server's own routes.
fn add_errors(document: &mut Value, path: &str) {
    let Some(responses) = document.pointer_mut(&format!("/paths/{}/get/responses", path.replace('/', "~1")))
    else {
        return;
    };
    for (status, codes) in [
        ("405", "`METHOD_NOT_ALLOWED`"),
        ("413", "`PAYLOAD_TOO_LARGE`"),
        ("500", "`INTERNAL_ERROR`"),
        ("503", "`UNAVAILABLE`"),
    ] {
        let content = |name: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
        let answer = json!({
            "description": codes,
            "content": {
                "application/json": content("ErrorBody"),
                "application/problem+json": content("Problem"),
            },
        });
        if let Some(responses) = responses.as_object_mut() {
            responses.insert(status.to_owned(), answer);
        }
    }
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
)]
pub(crate) async fn openapi(State(state): State<AppState>) -> Response {
    ([(CONTENT_TYPE, "application/json")], state.document.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_stand_under_the_prefix_and_probes_outside() {
        let document = document(&Config::default());
        for path in ["/v1/auth/login", "/v1/auth/sessions/{id}", "/health", "/.well-known/jwks.json"] {
            assert!(document["paths"][path].is_object(), "{path}");
        }
        assert!(document["components"]["schemas"]["ErrorBody"].is_object());
        assert!(document["components"]["securitySchemes"]["bearer"].is_object());
        assert!(document["paths"]["/ready"]["get"]["responses"]["503"].is_object());
        let mut bare = Config::default();
        bare.server.api_prefix = String::new();
        assert!(super::document(&bare)["paths"]["/auth/login"].is_object());
    }
}
