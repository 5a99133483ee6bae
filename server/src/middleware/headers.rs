//! Headers that every answer carries (ASVS 3.4.1 to 3.4.6, 14.3.2).

use authkit::http::origin::origin_of;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue};

/// For answers that are data: nothing may be loaded, nobody may frame them.
const CSP: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Two years, as browsers ask for.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000; includeSubDomains");

#[derive(Debug)]
pub(super) struct SecurityHeaders {
    https: bool,
}

impl SecurityHeaders {
    pub(super) fn new(public_url: &str) -> Self {
        Self { https: origin_of(public_url).is_some_and(|origin| origin.starts_with("https:")) }
    }

    /// A route's own cache, content and referrer policy stand.
    pub(super) fn add(&self, headers: &mut HeaderMap) {
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        if self.https {
            headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
        }
        headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(CSP);
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_insisted_on_only_where_it_is_served() {
        for (url, expected) in [("https://a.example", true), ("http://localhost:8000", false)] {
            let mut headers = HeaderMap::new();
            SecurityHeaders::new(url).add(&mut headers);
            assert_eq!(headers.contains_key(STRICT_TRANSPORT_SECURITY), expected);
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[CACHE_CONTROL], "no-store");
        }
    }

    #[test]
    fn what_a_route_says_about_caching_stands() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        SecurityHeaders::new("http://localhost").add(&mut headers);
        assert_eq!(headers[CACHE_CONTROL], "public, max-age=300");
    }
}
