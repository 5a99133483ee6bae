//! What only a server needs; everything else is in the kit's own settings.

use std::time::Duration;

use authkit::config::{Config, Environment};
use metrics_exporter_prometheus::PrometheusHandle;

/// Requests that are worked on at the same time; one more is shed with 503.
const MAX_IN_FLIGHT: usize = 2048;
/// How long a request may be worked on.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

/// What only a server needs.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where `/metrics` reads from; `None` means that there is no such route.
    pub metrics: Option<PrometheusHandle>,
    /// Whether `/docs` is served: not in production.
    pub docs: bool,
    /// Requests that are worked on at the same time; one more is shed with 503.
    pub max_in_flight: usize,
    /// How long a request may be worked on before it is answered 503.
    pub handler_timeout: Duration,
}

impl Settings {
    /// As the environment of `config` asks for; without metrics.
    pub fn new(config: &Config) -> Self {
        Self {
            metrics: None,
            docs: config.env != Environment::Prod,
            max_in_flight: MAX_IN_FLIGHT,
            handler_timeout: HANDLER_TIMEOUT,
        }
    }

    /// Serves `/metrics` from that recorder, see [`crate::telemetry::install_metrics`].
    #[must_use]
    pub fn with_metrics(mut self, metrics: PrometheusHandle) -> Self {
        self.metrics = Some(metrics);
        self
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("docs", &self.docs).finish_non_exhaustive()
    }
}
