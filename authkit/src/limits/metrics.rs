//! Figures by the name of the limit.

use super::Policy;

#[cfg(feature = "metrics")]
pub(super) fn decided(policy: &Policy, allowed: bool) {
    let outcome = if allowed { "passed" } else { "limited" };
    metrics::counter!("authkit_limits_total", "limit" => policy.name.clone(), "outcome" => outcome)
        .increment(1);
}

/// Asked while Redis did not answer.
#[cfg(feature = "metrics")]
pub(super) fn degraded(policy: &Policy) {
    metrics::counter!("authkit_limits_degraded_total", "limit" => policy.name.clone()).increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(super) fn decided(_policy: &Policy, _allowed: bool) {}

#[cfg(not(feature = "metrics"))]
pub(super) fn degraded(_policy: &Policy) {}
