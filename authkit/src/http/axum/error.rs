//! Errors as answers.

use axum::body::Body;
use axum::response::{IntoResponse, Response};

use super::context::render;
use crate::error::{Error, ErrorKind};
use crate::http::body::Refusal;
use crate::http::status::Code;

/// An error on its way to the client. Handlers return `Result<_, ApiError>` and use `?` on the library's errors.
///
/// Under [`super::request_context`] the body carries the request's id and takes the form that the client asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError(Refusal);

impl ApiError {
    /// A refusal with the message that belongs to its code.
    pub fn new(code: impl Into<Code>) -> Self {
        Self(Refusal::new(code))
    }

    /// What the client will see.
    pub fn refusal(&self) -> &Refusal {
        &self.0
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<ErrorKind> for ApiError {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<Error> for ApiError {
    /// What clients do not see goes to the log here.
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Internal | ErrorKind::Config | ErrorKind::Schema => {
                tracing::error!(event_type = "error", code = error.code(), cause = cause(&error), "{error}");
            }
            ErrorKind::Unavailable => {
                tracing::warn!(event_type = "unavailable", cause = cause(&error), "{error}");
            }
            _ => tracing::debug!(event_type = "refusal", code = error.code(), "{error}"),
        }
        Self(Refusal::from(&error))
    }
}

fn cause(error: &Error) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        render(&mut response, &self.0, "", false);
        response.extensions_mut().insert(self.0);
        response
    }
}
