//! Everything that stands around a route, in one layer: one future a request instead of eight.
//!
//! From outside to inside: request id and log, security headers, CORS, body size, bounded number of requests, time
//! limit, panics.

mod cors;
mod headers;
mod limits;
mod watch;

use std::sync::Arc;

use authkit::http::axum::{ApiError, AuthState, RequestContext};
use authkit::time::{Clock as _, SystemClock};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use tracing::Instrument as _;

use crate::settings::Settings;
use cors::Cors;
use headers::SecurityHeaders;
use limits::Limits;

/// What the layer works with.
#[derive(Debug)]
pub(crate) struct Edge {
    auth: AuthState,
    clock: SystemClock,
    cors: Cors,
    headers: SecurityHeaders,
    limits: Limits,
}

impl Edge {
    pub(crate) fn new(auth: AuthState, settings: &Settings) -> Self {
        let config = auth.kit().config();
        Self {
            clock: SystemClock::new(),
            cors: Cors::new(&config.server),
            headers: SecurityHeaders::new(&config.server.public_url),
            limits: Limits::new(settings),
            auth,
        }
    }
}

/// The layer.
pub(crate) async fn edge(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let started = edge.clock.monotonic();
    let context = RequestContext::begin(&edge.auth, &request);
    request.extensions_mut().insert(context.clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let span = watch::span(&request, context.id());
    async move {
        let origin = edge.cors.origin(request.headers());
        let response = match Cors::preflight(&request, origin.as_ref()) {
            Some(response) => response,
            None => edge
                .limits
                .run(request, next)
                .await
                .unwrap_or_else(|refusal| ApiError::from(refusal).into_response()),
        };
        let mut response = context.finish(response);
        edge.headers.add(response.headers_mut());
        edge.cors.add(response.headers_mut(), origin);
        if chunked {
            // A Content-Length may have stood beside it: whatever others on the way believed to be a second request
            // is not read (RFC 9112 section 6.1).
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
        let took = edge.clock.monotonic().saturating_sub(started);
        watch::done(route, &method, context.client(), response.status(), took);
        response
    }
    .instrument(span)
    .await
}
