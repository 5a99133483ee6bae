//! Pages of lists: a limit, and a cursor that nobody can forge or carry over to another filter.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::Uuid;

use crate::crypto::mac;
use crate::error::{Error, ErrorKind, FieldCode, Result};

/// Rows of a page unless asked otherwise.
pub(crate) const DEFAULT_LIMIT: u32 = 50;
/// Rows of a page at the most.
pub(crate) const MAX_LIMIT: u32 = 200;

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// 1 to 200.
    pub limit: u32,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, cursor: None }
    }
}

impl Page {
    /// `limit` rows after `cursor`.
    ///
    /// # Errors
    /// [`ErrorKind::Validation`] for a limit outside of 1 to 200.
    pub fn new(limit: u32, cursor: Option<String>) -> Result<Self> {
        if (1..=MAX_LIMIT).contains(&limit) {
            Ok(Self { limit, cursor })
        } else {
            Err(Error::field("/limit", FieldCode::OutOfRange, "must be 1 to 200"))
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last one.
    pub next_cursor: Option<String>,
}

/// Makes and reads cursors of one list under one filter.
pub(crate) struct Cursors<'k> {
    key: &'k [u8; 32],
    filter: String,
}

impl<'k> Cursors<'k> {
    /// `filter` is everything that selects and orders the rows.
    pub(crate) fn new(key: &'k [u8; 32], filter: String) -> Self {
        Self { key, filter }
    }

    /// The id after which the page starts, `None` for the first page.
    pub(crate) fn start(&self, page: &Page) -> Result<Option<Uuid>> {
        let Some(cursor) = &page.cursor else { return Ok(None) };
        let bad = || Error::new(ErrorKind::InvalidRequest, "a cursor was not made by this list");
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
        let (id, tag) = bytes.split_first_chunk::<16>().ok_or_else(bad)?;
        if !mac::constant_time_eq(tag, &self.tag(id)) {
            return Err(bad().with_public("The cursor is not valid for this list."));
        }
        Ok(Some(Uuid::from_bytes(*id)))
    }

    /// A page from up to `limit + 1` rows: the one too many tells that there is a next page.
    pub(crate) fn page<T>(&self, mut rows: Vec<T>, page: &Page, id: impl Fn(&T) -> Uuid) -> Listing<T> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| self.encode(id(row)));
        Listing { items: rows, next_cursor }
    }

    fn encode(&self, id: Uuid) -> String {
        let mut bytes = id.as_bytes().to_vec();
        bytes.extend(self.tag(id.as_bytes()));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn tag(&self, id: &[u8; 16]) -> Vec<u8> {
        mac::mac(self.key, &[self.filter.as_bytes(), id]).into_iter().take(16).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_bound_to_its_filter_and_key() {
        let key = [7; 32];
        let cursors = Cursors::new(&key, "users:active".into());
        let page = Page::new(1, None).unwrap();
        let listing = cursors.page(vec![Uuid::from_u128(1), Uuid::from_u128(2)], &page, |id| *id);
        assert_eq!(listing.items.len(), 1);
        let next = Page::new(1, listing.next_cursor).unwrap();
        assert_eq!(cursors.start(&next).unwrap(), Some(Uuid::from_u128(1)));
        assert!(Cursors::new(&key, "users:".into()).start(&next).is_err());
        assert!(Cursors::new(&[8; 32], "users:active".into()).start(&next).is_err());
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let cursors = Cursors::new(&[7; 32], String::new());
        let page = Page::new(2, None).unwrap();
        assert_eq!(cursors.page(vec![Uuid::nil(), Uuid::nil()], &page, |id| *id).next_cursor, None);
    }
}
