//! The pages that mailed links open. Opening one shows a form and does nothing, as scanners of mail open links; the
//! button acts.

use authkit::error::{FieldCode, FieldError};
use authkit::http::Refusal;
use authkit::http::axum::{ApiError, Meta};
use authkit::http::query;
use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::{Error, ErrorKind, LinkProof, LinkPurpose, RequestMeta, Result};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use maud::{Markup, html};

use super::Pages;
use super::form::Form;
use super::layout::{Field, alert, done, fault_of, page, told};

/// Characters of a link's secret at the most; ours have fewer.
const MAX_TOKEN: usize = 128;

/// A page and its words.
#[derive(Debug)]
struct LinkPage {
    purpose: LinkPurpose,
    title: &'static str,
    lead: &'static str,
    button: &'static str,
    done_title: &'static str,
    done: &'static str,
}

static PAGES: [LinkPage; 5] = [
    LinkPage {
        purpose: LinkPurpose::VerifyEmail,
        title: "Confirm your address",
        lead: "One click, and we know that this e-mail address is yours.",
        button: "Confirm this address",
        done_title: "Your address is confirmed",
        done: "Thank you. You can close this page and sign in.",
    },
    LinkPage {
        purpose: LinkPurpose::ResetPassword,
        title: "Set a new password",
        lead: "You will be signed out on all devices.",
        button: "Set the password",
        done_title: "Your password is changed",
        done: "You have been signed out everywhere. You can close this page and sign in with the new password.",
    },
    LinkPage {
        purpose: LinkPurpose::ChangeEmail,
        title: "Confirm your new address",
        lead: "From then on you sign in with this address. Your other devices will be signed out.",
        button: "Use this address",
        done_title: "Your address is changed",
        done: "Sign in with the new address from now on. We have told the old one, from which this can be undone for \
               seven days.",
    },
    LinkPage {
        purpose: LinkPurpose::UndoEmail,
        title: "Take your address back",
        lead: "If you did not change the address of your account, somebody else may be in it. This gives the account \
               back to this address, removes its password, and signs everybody out.",
        button: "Give the account back to me",
        done_title: "The account is yours again",
        done: "Nobody is signed in any more, and the password is gone. We have mailed you a link to set a new one.",
    },
    LinkPage {
        purpose: LinkPurpose::Unlock,
        title: "Unlock your account",
        lead: "Too many wrong passwords were tried. If that was you, go on.",
        button: "Unlock my account",
        done_title: "Your account is unlocked",
        done: "You can close this page and sign in. If you have forgotten the password, ask for a new one there.",
    },
];

pub(super) fn routes() -> Router<Pages> {
    PAGES.iter().fold(Router::new(), |router, link| {
        let show = async move |state, query| show(link, state, query);
        let act = move |state, meta, form| act(link, state, meta, form);
        router.route(&format!("/{}", link.purpose.path()), get(show).post(act))
    })
}

/// What a form carries on, apart from secrets that were typed.
#[derive(Debug)]
enum Carried {
    /// The link's secret, in a hidden field.
    Token(String),
    /// The address to which a code was mailed, as typed.
    Email(String),
}

fn show(link: &'static LinkPage, State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    let carried = match query::value(query.as_deref(), "token") {
        Ok(None) if link.purpose.has_code() => Carried::Email(String::new()),
        Ok(Some(token)) if is_token(token) => Carried::Token(token.to_owned()),
        _ => return dead(&pages, link),
    };
    page(&pages, StatusCode::OK, link.title, &form(&pages, link, &carried, None))
}

async fn act(
    link: &'static LinkPage,
    State(pages): State<Pages>,
    Meta(meta): Meta,
    mut form: Form,
) -> Response {
    let (proof, carried) = match form.take("token") {
        Some(token) => (LinkProof::token(token.as_str()), Carried::Token(token)),
        None => {
            let (email, code) = (form.text("email"), form.text("code"));
            (LinkProof::code(email.as_str(), code), Carried::Email(email))
        }
    };
    let content = match perform(link.purpose, &pages, proof, &mut form, &meta).await {
        Ok(()) => html! { p { (link.done) } },
        Err(error) => return failed(&pages, link, &carried, error),
    };
    done(&pages, link.done_title, &content)
}

async fn perform(
    purpose: LinkPurpose,
    pages: &Pages,
    proof: LinkProof,
    form: &mut Form,
    meta: &RequestMeta,
) -> Result<()> {
    let kit = pages.kit();
    match purpose {
        LinkPurpose::VerifyEmail => kit.verify_email(proof, meta).await,
        LinkPurpose::ResetPassword => {
            let new = SecretString::from(form.text("new_password"));
            let again = SecretString::from(form.text("repeat"));
            same(&new, &again)?;
            kit.reset_password(proof, &new, meta).await
        }
        LinkPurpose::ChangeEmail => kit.confirm_email_change(proof, meta).await,
        LinkPurpose::UndoEmail => kit.undo_email_change(proof, meta).await,
        LinkPurpose::Unlock => kit.unlock(proof, meta).await,
        _ => Err(ErrorKind::NotFound.into()),
    }
}

pub(super) fn same(new: &SecretString, again: &SecretString) -> Result<()> {
    if new.expose_secret() == again.expose_secret() {
        return Ok(());
    }
    Err(Error::field("/repeat", FieldCode::Format, "The two are not the same."))
}

/// Nothing can be done with this link: one page for whatever is wrong with it.
fn dead(pages: &Pages, link: &LinkPage) -> Response {
    let refusal = Refusal::new(ErrorKind::LinkInvalid);
    let code = link.purpose.has_code();
    let content = html! {
        p { (refusal.message()) }
        p { "Each link works once, and only for a while. A newer mail replaces the link of an older one." }
        @if code { p.other { a href=(link.purpose.path()) { "Type the code from a mail instead" } } }
    };
    page(pages, refusal.status(), "This link does not work", &content)
}

fn failed(pages: &Pages, link: &LinkPage, carried: &Carried, error: Error) -> Response {
    if error.kind() == ErrorKind::LinkInvalid && matches!(carried, Carried::Token(_)) {
        return dead(pages, link);
    }
    let form = form(pages, link, carried, Some(&error));
    // What people do not see goes to the log there.
    let error = ApiError::from(error);
    let mut response = page(pages, error.refusal().status(), link.title, &form);
    error.refusal().add_headers(response.headers_mut());
    response
}

fn form(pages: &Pages, link: &LinkPage, carried: &Carried, error: Option<&Error>) -> Markup {
    let faults = error.map(Error::fields).unwrap_or_default();
    let path = link.purpose.path();
    html! {
        @match error {
            Some(error) => (alert(&told_of_link(error))),
            None => p { (link.lead) },
        }
        form method="post" action=(path) {
            @match carried {
                Carried::Token(token) => input type="hidden" name="token" value=(token);,
                Carried::Email(email) => (code_fields(email, faults, error.is_none())),
            }
            @if link.purpose == LinkPurpose::ResetPassword {
                (password_fields(pages, faults, error.is_none() && matches!(carried, Carried::Token(_))))
            }
            button type="submit" { (link.button) }
        }
        @if link.purpose.has_code() && matches!(carried, Carried::Token(_)) {
            p.other { a href=(path) { "Type the code from the mail instead" } }
        }
    }
}

fn code_fields(email: &str, faults: &[FieldError], focus: bool) -> Markup {
    let (email_fault, code_fault) = (fault_of(faults, "/email"), fault_of(faults, "/code"));
    let email = Field {
        name: "email",
        label: "E-mail address",
        kind: "email",
        autocomplete: "username",
        value: email,
        hint: Some("The one that the mail went to."),
        fault: email_fault.as_deref(),
        focus,
        ..Field::default()
    };
    let code = Field {
        name: "code",
        label: "Code",
        kind: "text",
        autocomplete: "one-time-code",
        hint: Some("Eight digits from the mail. It lasts 15 minutes."),
        fault: code_fault.as_deref(),
        digits: true,
        ..Field::default()
    };
    html! { (email.show()) (code.show()) }
}

fn password_fields(pages: &Pages, faults: &[FieldError], focus: bool) -> Markup {
    new_password(
        pages,
        "New password",
        fault_of(faults, "/new_password").as_deref(),
        fault_of(faults, "/repeat").as_deref(),
        focus,
    )
}

/// A password to be, twice.
pub(super) fn new_password(
    pages: &Pages,
    label: &str,
    fault: Option<&str>,
    repeat_fault: Option<&str>,
    focus: bool,
) -> Markup {
    let hint =
        format!("At least {} characters. A few words that nobody connects are good.", pages.min_password());
    let new = Field {
        name: "new_password",
        label,
        kind: "password",
        autocomplete: "new-password",
        hint: Some(&hint),
        fault,
        focus,
        ..Field::default()
    };
    let repeat = Field {
        name: "repeat",
        label: "The same again",
        hint: None,
        fault: repeat_fault,
        focus: false,
        ..new.clone()
    };
    html! { (new.show()) (repeat.show()) }
}

/// Whether it can be the text of a link's secret. Which one it is, only acting tells.
pub(super) fn is_token(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(plain)
}

/// Which of address and code is wrong, nobody is told: that would tell who has an account.
fn told_of_link(error: &Error) -> String {
    if error.kind() == ErrorKind::LinkInvalid {
        return "The address or the code is wrong, or the code is too old.".into();
    }
    told(error)
}
