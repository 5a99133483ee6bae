//! Whether an unsafe request in cookie mode comes from a page of our own (ASVS 3.5.1).
//!
//! Browsers send cookies along on their own, so the request itself must prove where it comes from, by an `Origin` that
//! is listed or by `Sec-Fetch-Site: same-origin`. With neither, or when the two contradict each other, it is refused.
//! Clients that are no browsers can send either.

use http::header::{HOST, HeaderName, ORIGIN};
use http::{HeaderMap, Method};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origin (RFC 6454) of an `http` or `https` URL; `None` for anything else.
pub fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let default_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let authority = authority.strip_suffix(default_port).unwrap_or(authority);
    Some(format!("{scheme}://{}", authority.to_ascii_lowercase()))
}

/// Whether requests of that method need the check: all but GET, HEAD, OPTIONS and TRACE (RFC 9110 section 9.2.1).
pub fn is_unsafe(method: &Method) -> bool {
    !method.is_safe()
}

/// Whether the request comes from a page of `own` (an exact origin) or of the host that it was sent to, or from one of
/// the `trusted` origins.
///
/// Pages that tell nobody where a request comes from (`Referrer-Policy: no-referrer`) send the origin `null` with their
/// forms (Fetch standard, "append a request `Origin` header"). `Sec-Fetch-Site`, which no script can write, then
/// speaks for them.
pub fn is_allowed(headers: &HeaderMap, own: &str, trusted: &[String]) -> bool {
    let (origin, site) = (only(headers, &ORIGIN), only(headers, &FETCH_SITE));
    match (origin, site) {
        // Another origin that is trusted is never the same one.
        (One::Value(origin), site) if trusted.iter().any(|known| known == origin) => site != One::Many,
        (One::Value(origin), One::Absent) => origin == own,
        (One::Value(origin), One::Value("same-origin")) => {
            origin == own || origin == "null" || is_of_host(headers, origin)
        }
        (One::Absent, site) => site == One::Value("same-origin"),
        _ => false,
    }
}

/// Whether the request was visibly made by a page of another site. For requests that carry a secret which no other site
/// knows, and that nothing authorises which browsers send on their own: what says nothing of where it comes from, as
/// older browsers do, may pass.
pub fn is_foreign(headers: &HeaderMap, own: &str) -> bool {
    if is_allowed(headers, own, &[]) {
        return false;
    }
    let silent = matches!(only(headers, &ORIGIN), One::Absent | One::Value("null"));
    // `none`: somebody used a bookmark or loaded the page again.
    let by_hand = matches!(only(headers, &FETCH_SITE), One::Absent | One::Value("none"));
    !(silent && by_hand)
}

/// The server may be reached under another name than its public one, as `127.0.0.1` in development.
fn is_of_host(headers: &HeaderMap, origin: &str) -> bool {
    let One::Value(host) = only(headers, &HOST) else { return false };
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum One<'a> {
    Absent,
    Value(&'a str),
    Many,
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> One<'a> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (None, _) => One::Absent,
        (Some(value), None) => value.to_str().map_or(One::Many, One::Value),
        _ => One::Many,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn same(pairs: &[(&'static str, &'static str)]) -> bool {
        is_allowed(&headers(pairs), "https://a.example", &["https://app.example".to_owned()])
    }

    #[test]
    fn own_pages_may() {
        assert!(same(&[("origin", "https://a.example")]));
        assert!(same(&[("sec-fetch-site", "same-origin")]));
        assert!(same(&[("origin", "https://a.example"), ("sec-fetch-site", "same-origin")]));
        assert!(same(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        assert!(same(&[
            ("origin", "http://127.0.0.1:8000"),
            ("sec-fetch-site", "same-origin"),
            ("host", "127.0.0.1:8000")
        ]));
    }

    #[test]
    fn trusted_pages_may() {
        assert!(same(&[("origin", "https://app.example")]));
        assert!(same(&[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")]));
        assert!(!same(&[("origin", "https://app.example.evil.example"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn other_pages_may_not() {
        assert!(!same(&[]));
        for origin in [
            "null",
            "http://a.example",
            "https://a.example.evil.example",
            "https://evila.example",
            "https://a.example:8443",
            "https://a.example/",
            "HTTPS://A.EXAMPLE",
            "",
        ] {
            assert!(!same(&[("origin", origin)]), "{origin}");
        }
        for site in ["same-site", "cross-site", "none", "same-origin, cross-site"] {
            assert!(!same(&[("sec-fetch-site", site)]), "{site}");
        }
        assert!(!same(&[("origin", "https://a.example"), ("sec-fetch-site", "cross-site")]));
        assert!(!same(&[("origin", "null"), ("sec-fetch-site", "cross-site")]));
        assert!(!same(&[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")]));
        assert!(!same(&[("origin", "https://evil.example"), ("host", "evil.example")]));
        assert!(!same(&[("origin", "https://a.example"), ("origin", "https://evil.example")]));
    }

    #[test]
    fn a_request_with_a_secret_of_its_own_may_say_nothing() {
        let foreign =
            |pairs: &[(&'static str, &'static str)]| is_foreign(&headers(pairs), "https://a.example");
        for own in [
            &[][..],
            &[("origin", "null")],
            &[("sec-fetch-site", "none")],
            &[("origin", "null"), ("sec-fetch-site", "same-origin")],
            &[("origin", "https://a.example")],
        ] {
            assert!(!foreign(own), "{own:?}");
        }
        for other in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "none")],
            &[("origin", "https://a.example"), ("sec-fetch-site", "cross-site")],
            &[("origin", "null"), ("origin", "null")],
        ] {
            assert!(foreign(other), "{other:?}");
        }
    }

    #[test]
    fn an_origin_has_no_path_and_no_default_port() {
        assert_eq!(origin_of("HTTPS://A.example:443/x").as_deref(), Some("https://a.example"));
        assert_eq!(origin_of("http://localhost:8000").as_deref(), Some("http://localhost:8000"));
        assert_eq!(origin_of("https://a:b@c"), None);
        assert_eq!(origin_of("file:///x"), None);
    }

    #[test]
    fn reading_needs_no_proof() {
        assert!(is_unsafe(&Method::POST) && is_unsafe(&Method::DELETE) && is_unsafe(&Method::PATCH));
        assert!(!is_unsafe(&Method::GET) && !is_unsafe(&Method::HEAD) && !is_unsafe(&Method::OPTIONS));
    }
}
