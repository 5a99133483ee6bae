//! Figures by the name of the limit.

use std::borrow::Cow;

#[cfg(feature = "metrics")]
pub(super) fn decided(limit: &Cow<'static, str>, allowed: bool) {
    let outcome = if allowed { "passed" } else { "limited" };
    metrics::counter!("authkit_limits_total", "limit" => limit.clone(), "outcome" => outcome).increment(1);
}

/// Asked while Redis did not answer.
#[cfg(all(feature = "metrics", feature = "redis"))]
pub(super) fn degraded(limit: &Cow<'static, str>) {
    metrics::counter!("authkit_limits_degraded_total", "limit" => limit.clone()).increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(super) fn decided(_limit: &Cow<'static, str>, _allowed: bool) {}

#[cfg(all(not(feature = "metrics"), feature = "redis"))]
pub(super) fn degraded(_limit: &Cow<'static, str>) {}
