//! `?limit=&cursor=` of lists. Other parameters are not looked at.

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
    let (mut limit, mut cursor) = (None, None);
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match name {
            "limit" => &mut limit,
            "cursor" => &mut cursor,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(Refusal::new(ErrorKind::InvalidRequest).with_message("A parameter comes twice."));
        }
    }
    if let Some(text) = limit {
        let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        let out_of_range = || Error::field("/limit", FieldCode::OutOfRange, "must be 1 to 200");
        page = number
            .ok_or_else(out_of_range)
            .and_then(|n| Page::new(n, None))
            .map_err(|e| Refusal::from(&e))?;
    }
    page.cursor = cursor.map(str::to_owned);
    Ok(page)
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
}
