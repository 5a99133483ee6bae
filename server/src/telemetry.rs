//! Logs and figures of the process. Both are installed once, and by binaries only.

mod json_lines;

use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use authkit::{Error, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry};

pub use json_lines::JsonLines;

/// Answers, by route, method and status.
pub(crate) const REQUESTS: &str = "authkit_http_requests_total";
/// Seconds from the first byte of a request to its answer, by route.
pub(crate) const DURATION: &str = "authkit_http_request_duration_seconds";
/// A cached answer takes microseconds, a sign-in some 20 ms, a shed one up to 10 s.
const BUCKETS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// How often samples are folded into buckets, so that they do not pile up when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Writes one JSON line an event to stdout, from `level` on (`tracing` directives), panics too.
///
/// # Errors
/// [`authkit::ErrorKind::Config`] when `level` cannot be read; [`authkit::ErrorKind::Internal`] when logs are
/// installed already.
pub fn install_logs(level: &str) -> Result<()> {
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|error| Error::config(format!("LOG_LEVEL cannot be read: {error}")))?;
    let subscriber = Registry::default().with(filter).with(JsonLines::new(std::io::stdout()));
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Error::internal("logs are installed already").with_source(error))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Where, and no more: a panic's text may repeat input (R15).
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(event_type = "panic", "a task panicked at {place}");
}

/// The process's recorder of figures; installed with the first call.
///
/// # Errors
/// [`authkit::ErrorKind::Internal`] when another recorder is installed.
pub fn install_metrics() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(DURATION.into()), BUCKETS)
        .map_err(|error| Error::internal("buckets are refused").with_source(error))?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| Error::internal("another recorder of metrics is installed already"))?;
    describe();
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// Folds samples into buckets, for ever.
pub(crate) async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(REQUESTS, "Answers by route template, method and status.");
    describe_histogram!(DURATION, "Seconds a request took, by route template.");
    describe_counter!("authkit_logins_total", "Sign-ins by outcome.");
    describe_counter!("authkit_refreshes_total", "Rotations of refresh tokens by outcome.");
    describe_gauge!("authkit_db_connections", "Open connections to the store.");
    describe_gauge!("authkit_db_connections_idle", "Open connections that are not in use.");
    describe_gauge!("authkit_hash_slots", "Password hashes that can run at the same time.");
    describe_gauge!("authkit_hash_slots_busy", "Password hashes that run now.");
    describe_gauge!("authkit_hash_queue", "Requests that wait for a hash slot.");
    describe_counter!("authkit_hashes_total", "Password hashes computed, dummies included.");
    describe_counter!("authkit_hashes_shed_total", "Requests refused because the queue was full.");
}
