//! `GET /metrics` in Prometheus' text format.

use authkit::AuthKit;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use metrics::{counter, gauge};

use super::AppState;

/// Figures in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "server",
    responses((status = 200, description = "Figures.", body = String, content_type = "text/plain")),
)]
pub(crate) async fn metrics(State(state): State<AppState>) -> Response {
    observe(&state.kit);
    let text = state.settings.metrics.as_ref().map(metrics_exporter_prometheus::PrometheusHandle::render);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.unwrap_or_default()).into_response()
}

/// What is not counted as it happens.
fn observe(kit: &AuthKit) {
    let stats = kit.stats();
    let (hashes, pool) = (stats.hashes, stats.pool);
    gauge!("authkit_db_connections").set(pool.size);
    gauge!("authkit_db_connections_idle").set(pool.idle);
    gauge!("authkit_hash_slots").set(whole(hashes.slots));
    gauge!("authkit_hash_slots_busy").set(whole(hashes.busy));
    gauge!("authkit_hash_queue").set(whole(hashes.queued));
    counter!("authkit_hashes_total").absolute(hashes.hashes);
    counter!("authkit_hashes_shed_total").absolute(hashes.shed);
}

fn whole(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
