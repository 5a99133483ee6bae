//! The one table from what went wrong to what HTTP says.

use http::StatusCode;

use crate::error::ErrorKind;

/// Why a request is refused: an error of the library, or something that only HTTP knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// An error of the library.
    Kind(ErrorKind),
    /// The path is known, the method is not allowed on it.
    MethodNotAllowed,
    /// The body is larger than 64 KiB.
    PayloadTooLarge,
    /// The body is not `application/json`.
    UnsupportedMediaType,
    /// The request took too long to arrive.
    RequestTimeout,
}

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        Self::Kind(kind)
    }
}

impl Code {
    /// Status of the answer (contract section 1).
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Kind(kind) => match kind {
                ErrorKind::InvalidRequest | ErrorKind::LinkInvalid => StatusCode::BAD_REQUEST,
                ErrorKind::InvalidCredentials
                | ErrorKind::Unauthenticated
                | ErrorKind::RefreshInvalid
                | ErrorKind::MfaInvalid => StatusCode::UNAUTHORIZED,
                ErrorKind::EmailUnverified | ErrorKind::StepUpRequired | ErrorKind::Forbidden => {
                    StatusCode::FORBIDDEN
                }
                ErrorKind::NotFound => StatusCode::NOT_FOUND,
                ErrorKind::Conflict => StatusCode::CONFLICT,
                ErrorKind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
                ErrorKind::Validation => StatusCode::UNPROCESSABLE_ENTITY,
                ErrorKind::RateLimited | ErrorKind::Locked => StatusCode::TOO_MANY_REQUESTS,
                ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                ErrorKind::Config | ErrorKind::Schema | ErrorKind::Internal => {
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            },
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// Stable text of the error body's `code`.
    pub const fn name(self) -> &'static str {
        match self {
            // Of no concern to clients: for them both are bugs.
            Self::Kind(ErrorKind::Config | ErrorKind::Schema) => ErrorKind::Internal.code(),
            Self::Kind(kind) => kind.code(),
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
        }
    }

    /// The value of `WWW-Authenticate`, where the status asks for one (RFC 9110 section 11.6.1). Only a missing
    /// access token is cured by a bearer token; a wrong password is not.
    pub const fn challenge(self) -> Option<&'static str> {
        match self {
            Self::Kind(ErrorKind::Unauthenticated) => Some("Bearer"),
            _ => None,
        }
    }

    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.default_message(),
            Self::MethodNotAllowed => "This method is not allowed here.",
            Self::PayloadTooLarge => "The body is larger than 64 KiB.",
            Self::UnsupportedMediaType => "The body must be application/json.",
            Self::RequestTimeout => "The request took too long to arrive.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_operator_look_like_bugs() {
        for kind in [ErrorKind::Config, ErrorKind::Schema, ErrorKind::Internal] {
            assert_eq!(Code::from(kind).name(), "INTERNAL_ERROR");
            assert_eq!(Code::from(kind).status(), 500);
        }
    }

    #[test]
    fn only_a_missing_access_token_is_challenged() {
        assert_eq!(Code::from(ErrorKind::Unauthenticated).challenge(), Some("Bearer"));
        assert_eq!(Code::from(ErrorKind::InvalidCredentials).challenge(), None);
        assert_eq!(Code::from(ErrorKind::RefreshInvalid).status(), 401);
    }
}
