//! A small HTTP client that shows answers as they came: no redirects, no cookies of its own, no proxy.

use std::net::IpAddr;
use std::sync::Once;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// A client of one server. Clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    headers: HeaderMap,
}

impl Client {
    /// A client of `http://HOST:PORT`.
    pub fn new(base: &str) -> Self {
        Self::connecting_from(base, None)
    }

    /// A client that connects from that address of this machine, such as 127.0.0.5.
    pub fn from(ip: IpAddr, base: &str) -> Self {
        Self::connecting_from(base, Some(ip))
    }

    fn connecting_from(base: &str, from: Option<IpAddr>) -> Self {
        static PROVIDER: Once = Once::new();
        // The HTTP library wants one even though nothing here speaks TLS. A host may have installed it already.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .local_address(from)
            .timeout(Duration::from_mins(1))
            .build()
            .expect("an HTTP client");
        Self { http, base: base.trim_end_matches('/').into(), headers: HeaderMap::new() }
    }

    /// The same client with a header on every request, replacing one of that name.
    #[must_use]
    pub fn header(&self, name: &str, value: &str) -> Self {
        let mut with = self.clone();
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        with.headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
        with
    }

    /// The same client with an access token.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// The same client with these cookies.
    #[must_use]
    pub fn cookies(&self, cookies: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.header("cookie", &pairs.join("; "))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string().into_bytes())).await
    }

    /// POST without a body.
    pub async fn post_empty(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body.to_string().into_bytes())).await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body.to_string().into_bytes())).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Any method by name, with a body of any bytes; `content-type` is JSON unless set by [`Client::header`].
    pub async fn request(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Answer {
        self.send(Method::from_bytes(method.as_bytes()).expect("a method"), path, body).await
    }

    /// The same, as an error instead of a panic when the server cannot be reached or breaks off.
    ///
    /// # Errors
    /// Whatever kept the answer from coming.
    pub async fn try_request(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Answer> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.try_send(method, path, body.map(|b| b.to_string().into_bytes())).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        let shown = format!("{method} {path}");
        self.try_send(method, path, body).await.unwrap_or_else(|e| panic!("{shown}: {e:?}"))
    }

    async fn try_send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        // After the default above, so that the test's own header stands.
        let response = request.headers(self.headers.clone()).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, body, text })
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body when it is JSON, else `null`.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// Checks the status and returns the answer.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "often only the check is wanted")]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A header's value, empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A text in the body by JSON pointer, such as `/access_token`.
    #[track_caller]
    pub fn str(&self, pointer: &str) -> &str {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer}: {}", self.text))
    }

    /// The cookies it sets: name, value and the attributes in lower case.
    pub fn set_cookies(&self) -> Vec<(String, String, Vec<String>)> {
        let values = self.headers.get_all("set-cookie").iter().filter_map(|v| v.to_str().ok());
        values
            .filter_map(|value| {
                let mut parts = value.split(';').map(str::trim);
                let (name, content) = parts.next()?.split_once('=')?;
                Some((name.into(), content.into(), parts.map(str::to_lowercase).collect()))
            })
            .collect()
    }

    /// The code in the error body; panics when there is none.
    #[track_caller]
    pub fn error_code(&self) -> &str {
        self.str("/error/code")
    }

    /// Checks status, code and the whole shape of the one error body.
    #[track_caller]
    pub fn assert_error(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status, self.error_code()), (status, code), "{}", self.text);
        self.assert_error_shape()
    }

    /// Checks the one error body: exactly its members, their types, the request id also in the header, `no-store`,
    /// a `Retry-After` that agrees with the body, the challenge of a 401 for a bad access token.
    #[track_caller]
    pub fn assert_error_shape(&self) -> &Self {
        let shown = &self.text;
        assert!((400..600).contains(&self.status), "status {}: {shown}", self.status);
        let mime = self.header("content-type");
        assert!(mime == "application/json" || mime.starts_with("application/json;"), "{mime}: {shown}");
        assert_eq!(members(&self.body), ["error"], "{shown}");
        let error = &self.body["error"];
        assert_eq!(members(error), ["code", "details", "message", "request_id"], "{shown}");
        let code = self.error_code();
        assert!(code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') && !code.is_empty(), "{shown}");
        assert!(!self.str("/error/message").is_empty(), "{shown}");
        assert!(error["details"].is_object(), "{shown}");
        let request_id = self.str("/error/request_id");
        let plain = request_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        assert!(plain && (8..=64).contains(&request_id.len()), "{shown}");
        assert_eq!(self.header("x-request-id"), request_id, "{shown}");
        assert_eq!(self.header("cache-control"), "no-store", "{shown}");
        if matches!(self.status, 429 | 503) {
            let seconds: u64 = self.header("retry-after").parse().expect("an integer Retry-After");
            assert!(seconds >= 1, "{shown}");
            if self.status == 429 {
                assert_eq!(error["details"]["retry_after_seconds"], seconds, "{shown}");
            }
        }
        if code == "UNAUTHENTICATED" {
            assert!(self.header("www-authenticate").starts_with("Bearer"), "{shown}");
        }
        for field in error["details"]["errors"].as_array().into_iter().flatten() {
            assert_eq!(members(field), ["code", "message", "pointer"], "{shown}");
            assert!(field["pointer"].as_str().is_some_and(|p| p.starts_with('/')), "{shown}");
        }
        self
    }

    /// The field errors of a 400 or 422: (pointer, code), sorted.
    pub fn field_errors(&self) -> Vec<(String, String)> {
        let errors = self.body.pointer("/error/details/errors").and_then(Value::as_array);
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let mut all: Vec<_> =
            errors.into_iter().flatten().map(|e| (text(&e["pointer"]), text(&e["code"]))).collect();
        all.sort();
        all
    }
}

/// The names in an object, sorted; none for anything else.
fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        value.as_object().map(Map::keys).into_iter().flatten().map(String::as_str).collect();
    names.sort_unstable();
    names
}
