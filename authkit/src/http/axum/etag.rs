//! `ETag` on what can be changed, `If-Match` on the change (RFC 9110 sections 8.8.3 and 13.1.1).

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::header::{ETAG, IF_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

use super::error::ApiError;
use crate::error::ErrorKind;
use crate::http::body::Refusal;
use crate::precondition::{Precondition, tag_of};

/// Tags that are looked at.
const MAX_TAGS: usize = 50;

/// 200 with a thing and the tag of its version.
pub(super) fn tagged(thing: &impl Serialize) -> Response {
    let mut response = Json(thing).into_response();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", tag_of(thing))) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// What `If-Match` says. A weak tag matches nothing, and what cannot be read is 400.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IfMatch(pub Precondition);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self(read(&parts.headers)?))
    }
}

fn read(headers: &HeaderMap) -> Result<Precondition, Refusal> {
    let bad = || Refusal::new(ErrorKind::InvalidRequest).with_message("If-Match cannot be read.");
    let mut strong = Vec::new();
    let (mut any, mut seen) = (false, 0);
    for value in headers.get_all(IF_MATCH) {
        let mut rest = value.to_str().map_err(|_| bad())?.trim();
        while !rest.is_empty() {
            seen += 1;
            if seen > MAX_TAGS {
                return Err(bad());
            }
            if let Some(after) = rest.strip_prefix('*') {
                any = true;
                rest = after;
            } else {
                let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
                let inner = quoted.strip_prefix('"').ok_or_else(bad)?;
                let (tag, after) = inner.split_once('"').ok_or_else(bad)?;
                if !weak {
                    strong.push(tag.to_owned());
                }
                rest = after;
            }
            rest = rest.trim_start();
            if !rest.is_empty() {
                rest = rest.strip_prefix(',').ok_or_else(bad)?.trim_start();
            }
        }
    }
    match (any, seen) {
        (_, 0) if headers.contains_key(IF_MATCH) => Err(bad()),
        (_, 0) | (true, 1) => Ok(Precondition::default()),
        // `*` stands alone or not at all.
        (true, _) => Err(bad()),
        (false, _) => Ok(Precondition::any_of(strong)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Precondition, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, HeaderValue::from_str(value).unwrap());
        }
        read(&headers)
    }

    #[test]
    fn tags_are_read_and_weak_ones_match_nothing() {
        let none = Precondition::default();
        assert_eq!((of(&[]).unwrap(), of(&["*"]).unwrap()), (none.clone(), none));
        assert_eq!(of(&["\"a\""]).unwrap(), Precondition::any_of(["a"]));
        let several = Precondition::any_of(["a,b", "c"]);
        assert_eq!(of(&["\"a,b\" ,W/\"x\", \"c\""]).unwrap(), several);
        assert_eq!(of(&["\"a,b\"", "\"c\""]).unwrap(), several);
        assert_eq!(of(&["W/\"a\""]).unwrap(), Precondition::any_of(Vec::<String>::new()));
        for bad in ["", "a", "\"a", "\"a\" \"b\"", "*, \"a\"", "\"a\", *", "w/\"a\"", "**"] {
            assert_eq!(of(&[bad]).unwrap_err().status(), 400, "{bad}");
        }
    }
}
