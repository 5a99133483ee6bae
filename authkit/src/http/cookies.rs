//! Tokens in cookies (`TOKEN_TRANSPORT=cookie`), ASVS 3.3.1 to 3.3.4.
//!
//! The prefix `__Host-` makes browsers insist on Secure, `Path=/` and no `Domain`, so that no other host and no
//! plain connection can plant one.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Carries the access token.
pub const ACCESS: &str = "__Host-authkit_access";
/// Carries the refresh token.
pub const REFRESH: &str = "__Host-authkit_refresh";
/// Carries the device token: outlives sign-outs.
pub const DEVICE: &str = "__Host-authkit_device";
/// How long browsers keep [`DEVICE`], in seconds: 400 days, the most that they do (RFC 6265bis section 5.5).
pub const DEVICE_MAX_AGE: u64 = 400 * 86_400;

/// A cookie came twice: nobody knows which one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

/// The value of the cookie `name`; empty counts as absent.
///
/// # Errors
/// [`Repeated`] when it is there more than once.
pub fn read<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Repeated> {
    let mut found = None;
    let values = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    for pair in values.flat_map(|value| value.split(';')) {
        let Some((key, value)) = pair.split_once('=') else { continue };
        if key.trim() == name && found.replace(value.trim()).is_some() {
            return Err(Repeated);
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}

/// `Set-Cookie` that keeps `token` for `max_age` seconds. `None` when the token cannot stand in a header, which
/// none of ours is.
pub fn set(name: &str, token: &str, max_age: u64) -> Option<HeaderValue> {
    let text = format!("{name}={token}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Strict");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `Set-Cookie` that removes the cookie.
pub fn clear(name: &str) -> Option<HeaderValue> {
    set(name, "", 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let found = headers(&["a=b; __Host-authkit_access=x.y-z ;c=d", "e=f"]);
        assert_eq!(read(&found, ACCESS), Ok(Some("x.y-z")));
        assert_eq!(read(&found, REFRESH), Ok(None));
        assert_eq!(read(&headers(&["__Host-authkit_access="]), ACCESS), Ok(None));
    }

    #[test]
    fn names_are_exact() {
        for value in ["__host-authkit_access=a", "x__Host-authkit_access=a", "__Host-authkit_access2=a"] {
            assert_eq!(read(&headers(&[value]), ACCESS), Ok(None), "{value}");
        }
    }

    #[test]
    fn a_cookie_that_comes_twice_is_refused() {
        let twice = "__Host-authkit_access=a; __Host-authkit_access=a";
        assert_eq!(read(&headers(&[twice]), ACCESS), Err(Repeated));
        let split = ["__Host-authkit_access=a", "__Host-authkit_access=b"];
        assert_eq!(read(&headers(&split), ACCESS), Err(Repeated));
    }

    #[test]
    fn attributes_are_those_that_the_prefix_demands() {
        let value = set(REFRESH, "akr_x", 60).unwrap();
        let expected = "__Host-authkit_refresh=akr_x; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Strict";
        assert_eq!(value, expected);
        assert!(value.is_sensitive());
        assert!(clear(ACCESS).unwrap().to_str().unwrap().contains("access=; Path=/; Max-Age=0;"));
        assert!(set(ACCESS, "a\r\nSet-Cookie: b", 1).is_none());
    }
}
