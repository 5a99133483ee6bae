//! One log line and two figures for each request.

use std::net::IpAddr;
use std::time::Duration;

use authkit::http::request_id::RequestId;
use axum::extract::Request;
use http::{Method, StatusCode};
use metrics::{SharedString, counter, histogram};
use tracing::Span;

use crate::telemetry::{DURATION, REQUESTS};

const TARGET: &str = "authkit_server::request";
/// Bytes of a path that are logged.
const MAX_PATH: usize = 256;

/// The span that gives every log line of a request its id, method and path. The path is without the query, which
/// people put tokens into.
pub(super) fn span(request: &Request, id: &RequestId) -> Span {
    let path = request.uri().path();
    // Clients can send 64 KiB of it; a character of more than one byte may sit at the cut.
    let path = path.get(..path.floor_char_boundary(MAX_PATH)).unwrap_or(path);
    // Of the highest level, so that warnings carry the id too when nothing else is logged.
    tracing::error_span!(
        target: TARGET, "request",
        request_id = id.as_str(), method = known(request.method()), path
    )
}

/// Counts and logs an answer, with the address that limits, sessions and audit use too. `route` is a template, so that
/// labels stay few and hold no id.
pub(super) fn done(route: &str, method: &Method, client: Option<IpAddr>, status: StatusCode, took: Duration) {
    let shared = SharedString::from_owned(route.to_owned());
    let (method, code) = (known(method), status.as_str().to_owned());
    counter!(REQUESTS, "route" => shared.clone(), "method" => method, "status" => code).increment(1);
    histogram!(DURATION, "route" => shared).record(took.as_secs_f64());
    let latency_ms = took.as_secs_f64() * 1000.0;
    let status_code = status.as_u16();
    let ip = client.map(tracing::field::display);
    if status.is_server_error() {
        tracing::warn!(target: TARGET, event_type = "request", function = route, status_code, latency_ms, ip, "answered");
    } else {
        tracing::info!(target: TARGET, event_type = "request", function = route, status_code, latency_ms, ip, "answered");
    }
}

/// Clients may invent methods; labels are few.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
