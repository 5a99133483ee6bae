//! How a limit stands, in headers: draft-ietf-httpapi-ratelimit-headers-11, in the syntax of RFC 9651.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::LimitState;

/// What is left of a limit.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limit itself.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Adds `RateLimit` and `RateLimit-Policy`.
///
/// `t` is the time within which no more than `r` requests are possible. `Retry-After` says the same of `r=0` and never
/// less, as the draft wants it (section 6).
pub fn add_headers(headers: &mut HeaderMap, state: &LimitState) {
    let name = quoted(&state.policy);
    let (remaining, reset) = (state.remaining, seconds(state.reset));
    let (limit, window) = (state.limit, seconds(state.window));
    for (header, text) in [
        (RATE_LIMIT, format!("{name};r={remaining};t={reset}")),
        (RATE_LIMIT_POLICY, format!("{name};q={limit};w={window}")),
    ] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.append(header, value);
        }
    }
}

/// Whole seconds, never too few, at least one.
fn seconds(span: Duration) -> u64 {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).max(1)
}

/// A string (RFC 9651 section 3.3.3); what cannot stand in one is left out.
fn quoted(name: &str) -> String {
    let mut out = String::from("\"");
    for c in name.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::http::Refusal;

    fn state(policy: &'static str) -> LimitState {
        let times = (Duration::from_millis(29_001), Duration::from_mins(10));
        LimitState::new(policy.into(), (20, 0), times)
    }

    #[test]
    fn a_refusal_tells_limit_and_wait() {
        let mut headers = HeaderMap::new();
        Refusal::from(&Error::rate_limited(state("login_ip"))).add_headers(&mut headers);
        assert_eq!(headers["ratelimit"], "\"login_ip\";r=0;t=30");
        assert_eq!(headers["ratelimit-policy"], "\"login_ip\";q=20;w=600");
        assert_eq!(headers["retry-after"], "30");
    }

    #[test]
    fn a_name_cannot_break_out() {
        let mut headers = HeaderMap::new();
        add_headers(&mut headers, &state("a\"b\\c\r\nx: y\u{e9}"));
        assert_eq!(headers["ratelimit"], "\"a\\\"b\\\\cx: y\";r=0;t=30");
    }
}
