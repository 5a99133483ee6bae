//! Figures by the name of the limit.

#[cfg(feature = "metrics")]
pub(super) fn decided(limit: &str, allowed: bool) {
    let outcome = if allowed { "passed" } else { "limited" };
    metrics::counter!("authkit_limits_total", "limit" => limit.to_owned(), "outcome" => outcome).increment(1);
}

/// Asked while Redis did not answer.
#[cfg(all(feature = "metrics", feature = "redis"))]
pub(super) fn degraded(limit: &str) {
    metrics::counter!("authkit_limits_degraded_total", "limit" => limit.to_owned()).increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(super) fn decided(_limit: &str, _allowed: bool) {}

#[cfg(all(not(feature = "metrics"), feature = "redis"))]
pub(super) fn degraded(_limit: &str) {}
