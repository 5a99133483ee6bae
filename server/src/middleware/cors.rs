//! Which pages' scripts may read answers: those of listed origins, compared exactly (ASVS 3.4.2).

use authkit::config::{ServerConfig, TokenTransport};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, PUT, DELETE");
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("accept, authorization, content-type, idempotency-key, x-request-id");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("ratelimit, ratelimit-policy, retry-after, x-request-id");
/// How long a browser may keep the answer to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

#[derive(Debug)]
pub(super) struct Cors {
    origins: Vec<String>,
    credentials: bool,
}

impl Cors {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self {
            origins: config.cors_origins.clone(),
            credentials: config.token_transport == TokenTransport::Cookie,
        }
    }

    /// The request's origin when it is listed.
    pub(super) fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return None;
        }
        let mut values = headers.get_all(ORIGIN).into_iter();
        let (Some(origin), None) = (values.next(), values.next()) else { return None };
        self.origins.iter().any(|listed| origin == listed.as_str()).then(|| origin.clone())
    }

    /// The answer to a preflight of a listed origin. All others see the plain 405 of OPTIONS.
    pub(super) fn preflight(request: &Request, origin: Option<&HeaderValue>) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && origin.is_some();
        asks.then(|| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            response
        })
    }

    pub(super) fn add(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if self.origins.is_empty() {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(transport: TokenTransport) -> Cors {
        let mut config = ServerConfig::default();
        config.cors_origins = vec!["https://a.example".into()];
        config.token_transport = transport;
        Cors::new(&config)
    }

    fn headers(origins: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_static(origin));
        }
        headers
    }

    #[test]
    fn only_listed_origins_are_allowed() {
        let cors = cors(TokenTransport::Bearer);
        assert!(cors.origin(&headers(&["https://a.example"])).is_some());
        for origin in [
            "null",
            "*",
            "",
            "http://a.example",
            "https://a.example.evil.example",
            "https://evil-a.example",
            "https://A.example",
            "https://a.example:443",
            "https://a.example/",
        ] {
            assert!(cors.origin(&headers(&[origin])).is_none(), "{origin}");
        }
        assert!(cors.origin(&headers(&[])).is_none());
        assert!(cors.origin(&headers(&["https://a.example", "https://a.example"])).is_none());
    }

    #[test]
    fn credentials_are_for_cookies_only() {
        for (transport, expected) in [(TokenTransport::Bearer, false), (TokenTransport::Cookie, true)] {
            let mut answer = HeaderMap::new();
            cors(transport).add(&mut answer, Some(HeaderValue::from_static("https://a.example")));
            assert_eq!(answer.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS), expected);
            assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        }
    }

    #[test]
    fn others_learn_nothing() {
        let mut answer = HeaderMap::new();
        cors(TokenTransport::Cookie).add(&mut answer, None);
        assert_eq!(answer.len(), 1);
        assert_eq!(answer[VARY], "origin");
    }
}
