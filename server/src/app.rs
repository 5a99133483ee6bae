//! The whole application as a router.

use std::sync::Arc;

use authkit::http::axum::{ApiError, AuthState, router};
use authkit::http::status::Code;
use authkit::{AuthKit, ErrorKind};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::middleware::{Edge, edge};
use crate::routes::{AppState, docs, health, metrics, openapi, ready, root, well_known};
use crate::settings::Settings;

/// All routes, with logs, limits, headers and error bodies around them.
///
/// Serve it with connect info, as [`crate::serve`] does, so that sessions and audit know addresses.
pub fn app(kit: AuthKit, settings: Settings) -> Router {
    let auth = AuthState::new(kit.clone());
    let edge_state = Arc::new(Edge::new(auth.clone(), &settings));
    let config = kit.config();
    let (prefix, with_docs) = (config.server.api_prefix.clone(), settings.docs);
    let with_metrics = settings.metrics.is_some();
    let document = openapi::document(config);
    let page = with_docs.then(|| docs::page(&document, config));
    let state = AppState::new(kit, settings, &document, page);

    let mut routes = Router::new()
        .route("/", get(root::root))
        .route("/health", get(health::health))
        .route("/ready", get(ready::ready))
        .route("/openapi.json", get(openapi::openapi))
        .route("/.well-known/jwks.json", get(well_known::jwks))
        .route("/.well-known/openid-configuration", get(well_known::openid_configuration));
    if with_metrics {
        routes = routes.route("/metrics", get(metrics::metrics));
    }
    if with_docs {
        routes = routes.route("/docs", get(docs::docs)).route("/docs/style.css", get(docs::style));
    }
    #[cfg(feature = "pages")]
    {
        routes = routes.merge(crate::pages::router(&auth));
    }
    routes = if prefix.is_empty() {
        routes.merge(router(auth))
    } else {
        let probes = Router::new().route("/health", get(health::health)).route("/ready", get(ready::ready));
        routes.nest(&prefix, router(auth).merge(probes))
    };
    routes
        .method_not_allowed_fallback(|| async { ApiError::new(Code::MethodNotAllowed) })
        .fallback(|| async { ApiError::new(ErrorKind::NotFound) })
        .layer(from_fn_with_state(edge_state, edge))
        .with_state(state)
}
