//! The id that ties answer, error body, log lines and audit together.

use std::fmt;
use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

/// `X-Request-ID`, in requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id: taken over from the client when it has the form `[A-Za-z0-9-]{8,64}`, else made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The client's own id, when there is exactly one and it has the form.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(HEADER).into_iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok().and_then(Self::parse),
            _ => None,
        }
    }

    /// An id of that text, when it has the form.
    pub fn parse(text: &str) -> Option<Self> {
        let good =
            (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        good.then(|| Self(text.into()))
    }

    /// Stands for an id that could not be made.
    pub(super) fn unknown() -> Self {
        Self("00000000".into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the answer's header.
    pub fn header_value(&self) -> HeaderValue {
        // Cannot fail: the form allows only visible ASCII.
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("invalid-id"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_is_taken_over() {
        for good in ["abcdefgh", "01890a5d-ac96-774b-bcce-b302099a8057", &"a".repeat(64)] {
            assert_eq!(RequestId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "abcdefg", &"a".repeat(65), "abcdefg_", "abcdefgh\n", "abcdefg\u{e9}", "abc efgh"] {
            assert!(RequestId::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn two_ids_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(HEADER, HeaderValue::from_static("abcdefgh"));
        assert!(RequestId::from_headers(&headers).is_some());
        headers.append(HEADER, HeaderValue::from_static("abcdefgh"));
        assert!(RequestId::from_headers(&headers).is_none());
    }
}
