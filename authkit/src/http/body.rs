//! The one error body of all answers, and the same facts as RFC 9457.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ACCEPT, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::limit;
use super::status::Code;
use crate::error::{Error, ErrorKind, FieldError, LimitState};

/// Media type of the error body.
pub const JSON: &str = "application/json";
/// Media type of the same facts as RFC 9457 has them.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refused request, as its client will see it. Holds nothing that a client may not see.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    code: Code,
    message: Cow<'static, str>,
    // Boxed: a map that keeps its order, as a host may ask of serde_json, would make every refusal large.
    details: Box<Map<String, Value>>,
    retry_after: Option<u64>,
    limit: Option<Box<LimitState>>,
}

impl Refusal {
    /// A refusal with the message that belongs to its code.
    pub fn new(code: impl Into<Code>) -> Self {
        let code = code.into();
        Self { code, message: code.message().into(), details: Box::default(), retry_after: None, limit: None }
    }

    /// Replaces the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// Adds a member to `details`.
    #[must_use]
    pub fn with_detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Sets `details.errors`, one entry a fault; without faults it does nothing.
    #[must_use]
    pub fn with_fields(self, fields: &[FieldError]) -> Self {
        if fields.is_empty() {
            return self;
        }
        let errors = serde_json::to_value(fields).unwrap_or_default();
        self.with_detail("errors", errors)
    }

    /// Tells after which time a retry makes sense: whole seconds, at least one, never too few (RFC 9110 section
    /// 10.2.3).
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.retry_after = Some(seconds.max(1));
        self.with_detail("retry_after_seconds", seconds.max(1))
    }

    /// Tells which limit was hit.
    #[must_use]
    pub fn with_limit(mut self, state: LimitState) -> Self {
        self.limit = Some(Box::new(state));
        self
    }

    /// Which refusal it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Status of the answer.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// Adds what the refusal says in headers: `WWW-Authenticate`, `Retry-After`, `RateLimit`, `RateLimit-Policy`.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(challenge) = self.code.challenge() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(state) = &self.limit {
            limit::add_headers(headers, state);
        }
    }

    /// The body, and its media type: [`PROBLEM_JSON`] when `problem` was asked for, else [`JSON`].
    pub fn body(&self, request_id: &str, problem: bool) -> (&'static str, Vec<u8>) {
        let (code, message, details) = (self.code.name(), &*self.message, &*self.details);
        if problem {
            let title = self.status().canonical_reason().unwrap_or(code);
            let (status, details) = (self.status().as_u16(), Some(details).filter(|d| !d.is_empty()));
            let body =
                Problem { r#type: "about:blank", title, status, detail: message, code, request_id, details };
            (PROBLEM_JSON, serde_json::to_vec(&body).unwrap_or_default())
        } else {
            let body = Body { error: Facts { code, message, details, request_id } };
            (JSON, serde_json::to_vec(&body).unwrap_or_default())
        }
    }
}

impl From<ErrorKind> for Refusal {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let mut refusal = Self::new(error.kind())
            .with_message(error.public_message().to_owned())
            .with_fields(error.fields());
        refusal.limit = error.limit().cloned().map(Box::new);
        if !error.satisfied_by().is_empty() {
            refusal = refusal.with_detail("satisfied_by", error.satisfied_by().to_vec());
        }
        match error.retry_after() {
            Some(after) => refusal.with_retry_after(after),
            None => refusal,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Facts<'a>,
}

#[derive(Serialize)]
struct Facts<'a> {
    code: &'a str,
    message: &'a str,
    details: &'a Map<String, Value>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Map<String, Value>>,
}

/// Whether `Accept` names `application/problem+json` with a weight above zero (RFC 9110 section 12.5.1).
pub fn wants_problem(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(PROBLEM_JSON))
            && !parts.any(|part| {
                let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
                weight.and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldCode;

    fn value(refusal: &Refusal, problem: bool) -> (Value, &'static str) {
        let (media_type, bytes) = refusal.body("abcdefgh", problem);
        (serde_json::from_slice(&bytes).unwrap(), media_type)
    }

    #[test]
    fn the_error_body_has_exactly_the_facts_of_the_contract() {
        let error = Error::field("/email", FieldCode::Format, "must be an address");
        let (body, media_type) = value(&Refusal::from(&error), false);
        assert_eq!(media_type, "application/json");
        let expected = serde_json::json!({ "error": {
            "code": "VALIDATION_ERROR",
            "message": "The request is well-formed but not acceptable.",
            "details": { "errors": [
                { "pointer": "/email", "code": "format", "message": "must be an address" }
            ] },
            "request_id": "abcdefgh",
        } });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_problem_tells_the_same_facts() {
        let (body, media_type) = value(&Refusal::new(Code::MethodNotAllowed), true);
        assert_eq!(media_type, "application/problem+json");
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Method Not Allowed", "status": 405,
            "detail": "This method is not allowed here.", "code": "METHOD_NOT_ALLOWED",
            "request_id": "abcdefgh",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn internal_text_stays_inside() {
        let error = Error::new(ErrorKind::Internal, "SELECT secret FROM /etc");
        assert!(!value(&Refusal::from(&error), false).0.to_string().contains("SELECT"));
    }

    #[test]
    fn retry_after_is_a_whole_number_of_seconds_rounded_up() {
        for (after, expected) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (60_000, 60)] {
            let refusal = Refusal::new(ErrorKind::Unavailable).with_retry_after(Duration::from_millis(after));
            let mut headers = HeaderMap::new();
            refusal.add_headers(&mut headers);
            assert_eq!(headers[RETRY_AFTER], expected.to_string());
            assert_eq!(value(&refusal, false).0["error"]["details"]["retry_after_seconds"], expected);
        }
    }

    #[test]
    fn a_problem_is_sent_only_when_asked_for() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            wants_problem(&headers)
        };
        for yes in
            [PROBLEM_JSON, "text/html, Application/Problem+JSON;q=0.5", "application/problem+json; q=1"]
        {
            assert!(wants(yes), "{yes}");
        }
        for no in ["*/*", "application/json", "application/problem+json;q=0", "application/problem+jsonp"] {
            assert!(!wants(no), "{no}");
        }
        assert!(!wants_problem(&HeaderMap::new()));
    }
}
