//! Forms as browsers send them (`application/x-www-form-urlencoded`), read as strictly as JSON is.

use authkit::ErrorKind;
use authkit::http::axum::read_body;
use authkit::http::{Code, Refusal};
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::layout::refused;
use super::{Pages, guard};

const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";
/// Fields of a form; no page has more.
const MAX_FIELDS: usize = 32;

/// The fields of a form that one of our own pages sent, to be taken one by one. Their names are there once.
pub(super) struct Form(Vec<(String, String)>);

impl FromRequest<Pages> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Response> {
        fields_of(request, pages, guard::own_page).await
    }
}

/// The same for forms that nothing but cookies authorises, or that begin a session.
pub(super) struct OwnForm(pub(super) Form);

impl FromRequest<Pages> for OwnForm {
    type Rejection = Response;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Response> {
        fields_of(request, pages, guard::only_own_page).await.map(Self)
    }
}

async fn fields_of(
    request: Request,
    pages: &Pages,
    check: fn(&Pages, &HeaderMap) -> Result<(), Refusal>,
) -> Result<Form, Response> {
    let (parts, body) = request.into_parts();
    let fields = async {
        check(pages, &parts.headers)?;
        if !is_form(&parts.headers) {
            let refusal = Refusal::new(Code::UnsupportedMediaType);
            return Err(refusal.with_message("The body must be a form."));
        }
        let body = read_body(&parts.headers, body).await.map_err(|error| error.refusal().clone())?;
        read(&body)
    };
    fields.await.map(Form).map_err(|refusal| refused(pages, &refusal))
}

impl Form {
    /// A field's text; `None` when the form has none of that name.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// The same for a field that counts as empty when it is missing.
    pub(super) fn text(&mut self, name: &str) -> String {
        self.take(name).unwrap_or_default()
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).into_iter();
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next());
    let plain = headers.get_all(CONTENT_ENCODING).into_iter().all(|value| value == "identity");
    plain && essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

fn read(body: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let bad = |message| Refusal::new(ErrorKind::InvalidRequest).with_message(message);
    let mut fields: Vec<(String, String)> = Vec::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default()),
            None => (pair, &[][..]),
        };
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            return Err(bad("The form could not be read."));
        };
        if value.contains('\0') {
            // PostgreSQL cannot store it.
            return Err(
                Refusal::new(ErrorKind::Validation).with_message("The character U+0000 is not allowed.")
            );
        }
        if fields.len() == MAX_FIELDS || fields.iter().any(|(other, _)| *other == name) {
            return Err(bad("A field of the form comes twice, or there are too many."));
        }
        fields.push((name, value));
    }
    Ok(fields)
}

/// Percent-decoded UTF-8 (URL standard, section "application/x-www-form-urlencoded parsing"); `None` for what is none.
fn decoded(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => digit(*bytes.next()?)? << 4 | digit(*bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Result<Vec<(String, String)>, u16> {
        read(body.as_bytes()).map_err(|refusal| refusal.status().as_u16())
    }

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let read = fields("a=b+c%2B&%C3%A4=%E2%82%AC&empty=&bare&&x=1=2").unwrap();
        let expected = [("a", "b c+"), ("ä", "€"), ("empty", ""), ("bare", ""), ("x", "1=2")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(fields(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=1&a=1", "%61=1&a=2", "a=\u{7f}%C3"] {
            assert_eq!(fields(bad), Err(400), "{bad}");
        }
        assert_eq!(fields("a=%00"), Err(422));
        let many: Vec<String> = (0..33).map(|n| format!("f{n}=")).collect();
        assert_eq!(fields(&many.join("&")), Err(400));
        assert_eq!(fields(&many[1..].join("&")).unwrap().len(), 32);
    }

    #[test]
    fn a_form_says_that_it_is_one() {
        let with = |types: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(CONTENT_TYPE, http::HeaderValue::from_static(value));
            }
            is_form(&headers)
        };
        assert!(with(&[MEDIA_TYPE]) && with(&["Application/X-WWW-Form-Urlencoded; charset=UTF-8"]));
        for bad in [&[][..], &["text/plain"], &["application/json"], &[MEDIA_TYPE, MEDIA_TYPE]] {
            assert!(!with(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_field_is_taken_once() {
        let mut form = Form(vec![("a".into(), "1".into()), ("b".into(), "2".into())]);
        assert_eq!(
            (form.take("a").as_deref(), form.take("a"), form.text("b").as_str()),
            (Some("1"), None, "2")
        );
    }
}
