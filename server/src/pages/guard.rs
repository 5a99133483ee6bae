//! That a form was sent from a page of our own.

use authkit::ErrorKind;
use authkit::http::{Refusal, origin};
use http::HeaderMap;

use super::Pages;

/// For forms that carry a mailed secret. Nothing that a browser sends on its own authorises them, so no other site can
/// do anything with them in somebody's name; but it has no business to send them either.
pub(super) fn own_page(pages: &Pages, headers: &HeaderMap) -> Result<(), Refusal> {
    if origin::is_foreign(headers, pages.origin()) { Err(elsewhere()) } else { Ok(()) }
}

/// For forms that a cookie authorises, or that begin a session: other sites could send those in somebody's name (ASVS
/// 3.5.1), so the request itself must prove where it comes from.
pub(super) fn only_own_page(pages: &Pages, headers: &HeaderMap) -> Result<(), Refusal> {
    if origin::is_allowed(headers, pages.origin(), &[]) { Ok(()) } else { Err(elsewhere()) }
}

fn elsewhere() -> Refusal {
    let refusal = Refusal::new(ErrorKind::Forbidden);
    refusal.with_message("This form was sent from another site. Open the page itself and try again.")
}
