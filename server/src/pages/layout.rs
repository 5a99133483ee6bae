//! What all pages share: the frame around them, fields, notes, and their headers.

use authkit::error::FieldError;
use authkit::http::Refusal;
use authkit::{Error, ErrorKind};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use maud::{DOCTYPE, Markup, html};

use super::Pages;

/// One style sheet and forms to ourselves, and nothing else (ASVS 3.4.3). No script.
const CSP: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HTML: (HeaderName, &str) = (CONTENT_TYPE, "text/html; charset=utf-8");

pub(super) async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")];
    (headers, include_str!("style.css")).into_response()
}

/// A page. Addresses in it are relative, so that it works under any path that a proxy gives it.
pub(super) fn page(pages: &Pages, status: StatusCode, title: &str, content: &Markup) -> Response {
    framed(pages, status, title, false, content)
}

/// A page that says that something is done.
pub(super) fn done(pages: &Pages, title: &str, content: &Markup) -> Response {
    framed(pages, StatusCode::OK, title, true, content)
}

fn framed(pages: &Pages, status: StatusCode, title: &str, done: bool, content: &Markup) -> Response {
    let failed = status.is_client_error() || status.is_server_error();
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                // Told first, since screen readers begin with the title.
                title { @if failed { "Error: " } (title) " · " (pages.product()) }
                link rel="stylesheet" href="pages/style.css";
            }
            body {
                main {
                    p.product { (pages.product()) }
                    h1.done[done] { (title) }
                    (content)
                }
            }
        }
    };
    (status, [HTML, (CONTENT_SECURITY_POLICY, CSP)], document.into_string()).into_response()
}

/// The page of a refusal that leaves nothing to correct.
pub(super) fn refused(pages: &Pages, refusal: &Refusal) -> Response {
    let content = html! { p { (refusal.message()) } };
    let mut response = page(pages, refusal.status(), "That did not work", &content);
    refusal.add_headers(response.headers_mut());
    response
}

/// What stands above a form that has to be corrected or sent again. It gets the focus, so that it is read first.
pub(super) fn alert(message: &str) -> Markup {
    html! { div.alert role="alert" tabindex="-1" autofocus { p { (message) } } }
}

/// A field of a form with its label.
#[derive(Debug, Default, Clone)]
pub(super) struct Field<'a> {
    /// In the form.
    pub(super) name: &'a str,
    /// Its id, where the name is not the only one of the page.
    pub(super) id: Option<&'a str>,
    /// What it is called.
    pub(super) label: &'a str,
    /// `text`, `email` or `password`.
    pub(super) kind: &'a str,
    /// For password managers and phones (HTML standard, section "Autofill").
    pub(super) autocomplete: &'a str,
    /// What it holds at first. Never a secret.
    pub(super) value: &'a str,
    /// Something to know before typing.
    pub(super) hint: Option<&'a str>,
    /// What was wrong with it.
    pub(super) fault: Option<&'a str>,
    /// Digits only: phones show those.
    pub(super) digits: bool,
    /// Whether typing starts here.
    pub(super) focus: bool,
}

impl Field<'_> {
    /// The label, the hint and the fault are read out with the field.
    pub(super) fn show(&self) -> Markup {
        let id = self.id.unwrap_or(self.name);
        let (hint_id, fault_id) = (format!("{id}-hint"), format!("{id}-fault"));
        let described = [(self.hint.is_some(), &hint_id), (self.fault.is_some(), &fault_id)];
        let described: Vec<&str> =
            described.iter().filter_map(|(there, id)| there.then_some(id.as_str())).collect();
        let described = (!described.is_empty()).then(|| described.join(" "));
        html! {
            div.field {
                label for=(id) { (self.label) }
                @if let Some(hint) = self.hint { p.hint id=(hint_id) { (hint) } }
                @if let Some(fault) = self.fault { p.fault id=(fault_id) { (fault) } }
                input id=(id) name=(self.name) type=(self.kind) autocomplete=(self.autocomplete) required
                    value=[(!self.value.is_empty()).then_some(self.value)]
                    inputmode=[self.digits.then_some("numeric")]
                    autocapitalize=[(self.kind == "text").then_some("none")]
                    spellcheck=[(self.kind == "text").then_some("false")]
                    aria-describedby=[described]
                    aria-invalid=[self.fault.map(|_| "true")]
                    autofocus[self.focus];
            }
        }
    }
}

/// What went wrong, for people.
pub(super) fn told(error: &Error) -> String {
    match (error.kind(), error.retry_after()) {
        (ErrorKind::Validation, _) if !error.fields().is_empty() => {
            "Please correct what is marked below.".into()
        }
        (kind @ (ErrorKind::RateLimited | ErrorKind::Locked), Some(after)) => {
            let minutes = after.as_secs().div_ceil(60).max(1);
            let unit = if minutes == 1 { "minute" } else { "minutes" };
            let what = if kind == ErrorKind::Locked { "failed attempts" } else { "requests" };
            format!("Too many {what}. Try again in {minutes} {unit}.")
        }
        _ => error.public_message().to_owned(),
    }
}

/// What is wrong with the field at that pointer, as a sentence.
pub(super) fn fault_of(faults: &[FieldError], pointer: &str) -> Option<String> {
    let of_it: Vec<&str> =
        faults.iter().filter(|fault| fault.pointer == pointer).map(|fault| fault.message.as_ref()).collect();
    (!of_it.is_empty()).then(|| of_it.into_iter().map(sentence).collect::<Vec<_>>().join(" "))
}

/// Some messages of fields are the rest of a sentence that began with the field: "must be …".
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use authkit::error::FieldCode;

    use super::*;

    #[test]
    fn a_field_tells_its_name_and_its_fault() {
        let field = Field {
            name: "code",
            label: "Code <b>",
            kind: "text",
            autocomplete: "one-time-code",
            hint: Some("Eight digits"),
            fault: Some("Wrong."),
            ..Field::default()
        };
        let shown = field.show().into_string();
        assert!(shown.contains(r#"<label for="code">Code &lt;b&gt;</label>"#), "{shown}");
        assert!(shown.contains(r#"aria-describedby="code-hint code-fault" aria-invalid="true""#), "{shown}");
        assert!(!shown.contains("value=") && !shown.contains("autofocus"), "{shown}");
        let plain = Field { fault: None, hint: None, ..field }.show().into_string();
        assert!(!plain.contains("aria-"), "{plain}");
    }

    #[test]
    fn faults_become_sentences() {
        let faults = [
            FieldError::new("/new_password", FieldCode::TooShort, "must have at least 8 characters"),
            FieldError::new("/new_password", FieldCode::TooCommon, "This is too common."),
        ];
        let expected = "Must have at least 8 characters. This is too common.";
        assert_eq!(fault_of(&faults, "/new_password").as_deref(), Some(expected));
        assert_eq!(fault_of(&faults, "/email"), None);
    }
}
