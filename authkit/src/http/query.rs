//! `?limit=&cursor=` of lists, and what narrows them. Other parameters are not looked at.

use super::body::Refusal;
use crate::db::Page;
use crate::error::{Error, ErrorKind, FieldCode};

/// Which part of a list the query of a URL asks for.
///
/// # Errors
/// [`ErrorKind::Validation`] for a limit outside of 1 to 200, [`ErrorKind::InvalidRequest`] for a parameter that
/// comes twice.
pub fn page(query: Option<&str>) -> Result<Page, Refusal> {
    let mut page = Page::default();
    if let Some(text) = value(query, "limit")? {
        let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        let out_of_range = || Error::field("/limit", FieldCode::OutOfRange, "must be 1 to 200");
        page = number
            .ok_or_else(out_of_range)
            .and_then(|n| Page::new(n, None))
            .map_err(|e| Refusal::from(&e))?;
    }
    page.cursor = value(query, "cursor")?.map(str::to_owned);
    Ok(page)
}

/// The value of a parameter, as it stands there: none that is taken needs an escape.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`] when it comes twice.
pub fn value<'q>(query: Option<&'q str>, name: &str) -> Result<Option<&'q str>, Refusal> {
    let pairs = query.unwrap_or_default().split('&');
    let mut values = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter_map(|(found, value)| (found == name).then_some(value));
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Refusal::new(ErrorKind::InvalidRequest).with_message("A parameter comes twice.")),
        (value, None) => Ok(value),
    }
}

/// The value of a parameter with its escapes resolved (RFC 3986 section 2.1); `+` stands for itself.
///
/// # Errors
/// [`ErrorKind::InvalidRequest`] when it comes twice, or is not UTF-8 text in sound escapes.
pub fn decoded(query: Option<&str>, name: &str) -> Result<Option<String>, Refusal> {
    let Some(text) = value(query, name)? else { return Ok(None) };
    let bad = || Refusal::new(ErrorKind::InvalidRequest).with_message("A parameter cannot be read.");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
        let code = 16 * digit()? + digit()?;
        bytes.push(u8::try_from(code).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map(Some).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_bounded() {
        assert_eq!(page(None).unwrap(), Page::default());
        assert_eq!(
            page(Some("limit=200&cursor=abc&other=1")).unwrap(),
            Page::new(200, Some("abc".into())).unwrap()
        );
        for bad in ["limit=0", "limit=201", "limit=", "limit=-1", "limit=+1", "limit=1.0", "limit=a", "limit"]
        {
            assert_eq!(page(Some(bad)).unwrap_err().status(), 422, "{bad}");
        }
        assert_eq!(page(Some("limit=1&limit=2")).unwrap_err().status(), 400);
    }

    #[test]
    fn escapes_are_resolved() {
        let of = |text: &str| decoded(Some(&format!("q={text}")), "q").map_err(|refusal| refusal.status());
        assert_eq!(of("ada%40Example%2ecom").unwrap().as_deref(), Some("ada@Example.com"));
        assert_eq!(of("a+b").unwrap().as_deref(), Some("a+b"));
        assert_eq!(of("%c3%a9").unwrap().as_deref(), Some("\u{e9}"));
        for bad in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(of(bad).unwrap_err(), 400, "{bad}");
        }
        assert_eq!(decoded(None, "q").unwrap(), None);
    }

    #[test]
    fn a_parameter_is_there_once_or_not_at_all() {
        let query = Some("kind=ip&user=&x");
        assert_eq!(value(query, "kind").unwrap(), Some("ip"));
        assert_eq!((value(query, "user").unwrap(), value(query, "x").unwrap()), (Some(""), Some("")));
        assert_eq!((value(query, "in").unwrap(), value(None, "kind").unwrap()), (None, None));
        assert_eq!(value(Some("kind=ip&kind=ip"), "kind").unwrap_err().status(), 400);
    }
}
