//! The own account: sign in and out, second factors, passkeys, sessions. One address: what is to be done stands in the form.
//!
//! Works without script, but for passkeys, which browsers hand to scripts only.

mod actions;
mod confirm;
mod passkeys;
mod session;
mod sign_in;
mod view;

use authkit::http::axum::{ApiError, Meta};
use authkit::{Error, ErrorKind, RequestMeta};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::{Markup, html};

use super::Pages;
use super::form::OwnForm;
use super::layout::{self, alert, told};
use session::caller;

/// As for other pages, and one script of our own that may ask for passkeys.
const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'",
);
/// No secret is in these addresses, and older browsers tell the origin of a form only so.
const REFERRERS: HeaderValue = HeaderValue::from_static("same-origin");

pub(super) fn routes() -> Router<Pages> {
    Router::new().route("/account", get(show).post(act)).route("/pages/passkeys.js", get(passkeys::script))
}

async fn show(
    State(pages): State<Pages>,
    Meta(meta): Meta,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let response = match caller(&pages, &headers, &meta).await {
        Ok(Some(caller)) => {
            let response = view::account(&pages, &caller, &query).await;
            caller.keep(response.unwrap_or_else(|error| failed(&pages, error)))
        }
        Ok(None) if query == "forgot" => sign_in::forgot_form(&pages, "", None),
        Ok(None) => sign_in::form(&pages, "", None),
        Err(error) => failed(&pages, error),
    };
    with_headers(response)
}

async fn act(State(pages): State<Pages>, Meta(meta): Meta, headers: HeaderMap, form: OwnForm) -> Response {
    with_headers(perform(&pages, &headers, &meta, form).await)
}

async fn perform(
    pages: &Pages,
    headers: &HeaderMap,
    meta: &RequestMeta,
    OwnForm(mut form): OwnForm,
) -> Response {
    let action = form.text("do");
    match action.as_str() {
        "sign-in" => return sign_in::by_password(pages, headers, meta, &mut form).await,
        "sign-in-passkey" => return sign_in::by_passkey(pages, headers, meta, &mut form).await,
        "second-factor" => return sign_in::complete(pages, meta, &mut form).await,
        "forgot" => return sign_in::forgot(pages, meta, &mut form).await,
        "sign-out" => return session::sign_out(pages, headers, meta).await,
        _ => {}
    }
    let caller = match caller(pages, headers, meta).await {
        Ok(caller) => caller,
        Err(error) => return failed(pages, error),
    };
    if action == "passkey-options" {
        let answer = passkeys::options(pages, caller.as_ref(), meta, &mut form).await;
        return match caller {
            Some(caller) => caller.keep(answer),
            None => answer,
        };
    }
    let Some(caller) = caller else {
        let error = Error::new(ErrorKind::Unauthenticated, "no session").with_public("Please sign in first.");
        return sign_in::form(pages, "", Some(error));
    };
    let out = actions::perform(&action, pages, &caller, meta, &mut form).await;
    caller.keep(match out {
        Ok(response) => response,
        Err(error) if error.kind() == ErrorKind::StepUpRequired => confirm::form(pages, &caller, error).await,
        Err(error) => failed(pages, error),
    })
}

/// Back to the page, which then says what was done.
fn done(what: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(to) = HeaderValue::try_from(format!("account?{what}")) {
        response.headers_mut().insert(http::header::LOCATION, to);
    }
    response
}

/// A page about an error, with a form or what else there is to do about it.
fn about(pages: &Pages, error: Error, title: &str, content: impl FnOnce(&Error) -> Markup) -> Response {
    let content = html! { (alert(&told(&error))) (content(&error)) };
    // What people do not see goes to the log there.
    let error = ApiError::from(error);
    let mut response = layout::page(pages, error.refusal().status(), title, &content);
    error.refusal().add_headers(response.headers_mut());
    response
}

fn failed(pages: &Pages, error: Error) -> Response {
    about(
        pages,
        error,
        "That did not work",
        |_| html! { p.other { a href="account" { "Back to your account" } } },
    )
}

fn with_headers(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, CSP);
    response.headers_mut().insert(REFERRER_POLICY, REFERRERS);
    response
}

/// A hidden field.
fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// A form that does one thing, with a button.
fn action(name: &str, button: &str, fields: &Markup) -> Markup {
    html! {
        form method="post" action="account" {
            (hidden("do", name)) (fields)
            button type="submit" { (button) }
        }
    }
}
