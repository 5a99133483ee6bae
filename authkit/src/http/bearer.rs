//! Reading `Authorization: Bearer` (RFC 6750 section 2.1).
//!
//! One header, one spelling: the scheme in any case, one space, a token of the allowed characters. Two headers are
//! refused, since nobody knows which of them others on the way looked at (ASVS 15.3.7). A token in the query is
//! never looked at (ASVS 14.2.1).

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Bytes of a token at the most; ours have about 600.
const MAX_TOKEN: usize = 8 * 1024;

/// What `Authorization` says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// There is no such header.
    Absent,
    /// A bearer token, not yet judged.
    Token(&'a str),
    /// Another scheme, or not in the one form: a credential was presented and is bad.
    Malformed,
    /// More than one header.
    Repeated,
}

impl std::fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Token(_) => "Token(..)",
            Self::Malformed => "Malformed",
            Self::Repeated => "Repeated",
        })
    }
}

/// Reads the header.
pub fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut values = headers.get_all(AUTHORIZATION).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Bearer::Absent,
        (Some(_), Some(_)) => Bearer::Repeated,
        (Some(value), None) => value.to_str().ok().and_then(token).map_or(Bearer::Malformed, Bearer::Token),
    }
}

fn token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let good = scheme.eq_ignore_ascii_case("bearer")
        && (1..=MAX_TOKEN).contains(&token.len())
        && token.bytes().all(allowed);
    good.then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for value in ["Bearer a.b-c_d", "bearer a.b-c_d", "bEARER a.b-c_d"] {
            assert_eq!(bearer(&headers(&[value])), Bearer::Token("a.b-c_d"));
        }
    }

    #[test]
    fn anything_but_the_one_form_is_bad() {
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN + 1));
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  a",
            "Bearer a ",
            "Bearer a b",
            "Bearer\ta",
            "Bearera",
            " Bearer a",
            "Basic a",
            "Bearer a,b",
            "Bearer \u{e9}",
            "Bearer \"a\"",
            &long,
        ] {
            assert_eq!(bearer(&headers(&[value])), Bearer::Malformed, "{value:?}");
        }
    }

    #[test]
    fn two_headers_are_refused_even_when_they_agree() {
        assert_eq!(bearer(&headers(&["Bearer a", "Bearer a"])), Bearer::Repeated);
        assert_eq!(bearer(&headers(&[])), Bearer::Absent);
    }

    #[test]
    fn a_token_is_not_shown() {
        assert!(!format!("{:?}", Bearer::Token("secret")).contains("secret"));
    }
}
