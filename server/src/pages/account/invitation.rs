//! Taking an invitation: with a new account, or with the one that is signed in.
//!
//! Cookies do not come along when a mail in the browser is what opens the page (SameSite=Strict). So whoever has an account
//! follows a link on the page itself first.

use authkit::error::FieldError;
use authkit::http::axum::Meta;
use authkit::http::query;
use authkit::secret::SecretString;
use authkit::{AcceptInvitation, Error, ErrorKind, Login, RequestMeta, Result};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};

use super::session::{self, Caller, caller};
use super::{Pages, about, failed, hidden, sign_in, with_headers};
use crate::pages::form::{Form, OwnForm};
use crate::pages::layout::{self, Field, fault_of};
use crate::pages::links::{is_token, new_password, same};

const TITLE: &str = "You are invited";

pub(super) async fn show(
    State(pages): State<Pages>,
    Meta(meta): Meta,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.as_deref();
    let token = match query::value(query, "token") {
        Ok(Some(token)) if is_token(token) => token,
        _ => return with_headers(dead(&pages)),
    };
    let has_account = matches!(query::value(query, "account"), Ok(Some(_)));
    with_headers(match caller(&pages, &headers, &meta).await {
        Ok(Some(caller)) => caller.keep(layout::page(&pages, StatusCode::OK, TITLE, &with_account(token))),
        Ok(None) if has_account => sign_in::form(&pages, "", token, None),
        Ok(None) => layout::page(&pages, StatusCode::OK, TITLE, &new_account(&pages, token, "", &[], true)),
        Err(error) => failed(&pages, error),
    })
}

pub(super) async fn accept(
    State(pages): State<Pages>,
    Meta(meta): Meta,
    headers: HeaderMap,
    OwnForm(mut form): OwnForm,
) -> Response {
    with_headers(match caller(&pages, &headers, &meta).await {
        Ok(caller) => perform(&pages, caller.as_ref(), &meta, &mut form).await,
        Err(error) => failed(&pages, error),
    })
}

async fn perform(pages: &Pages, caller: Option<&Caller>, meta: &RequestMeta, form: &mut Form) -> Response {
    let (token, name) = (form.text("token"), form.take("name"));
    let out = match &name {
        Some(name) => by_new_account(pages, &token, name, meta, form).await,
        None => by_account(pages, caller, &token, meta).await,
    };
    match out {
        Ok(Login::Complete(tokens)) => {
            let content = html! { p.other { a href="account" { "To your account" } } };
            session::with_tokens(layout::done(pages, "You have joined", &content), &tokens)
        }
        Ok(Login::SecondFactor(pending)) => sign_in::second_step(pages, &pending, ""),
        Ok(_) => failed(pages, Error::internal("a sign-in that these pages do not know")),
        Err(error) if error.kind() == ErrorKind::LinkInvalid => dead(pages),
        // The address of the invitation has an account.
        Err(error) if error.kind() == ErrorKind::Conflict || name.is_none() => {
            about(pages, error, TITLE, |_| known(&token))
        }
        Err(error) => {
            let name = name.unwrap_or_default();
            about(pages, error, TITLE, |error| new_account(pages, &token, &name, error.fields(), false))
        }
    }
}

async fn by_new_account(
    pages: &Pages,
    token: &str,
    name: &str,
    meta: &RequestMeta,
    form: &mut Form,
) -> Result<Login> {
    let password = SecretString::from(form.text("new_password"));
    same(&password, &SecretString::from(form.text("repeat")))?;
    let input = AcceptInvitation::new_account(token, name, password);
    pages.kit().invitations().accept(None, input, meta).await
}

async fn by_account(
    pages: &Pages,
    caller: Option<&Caller>,
    token: &str,
    meta: &RequestMeta,
) -> Result<Login> {
    let caller =
        caller.ok_or_else(|| Error::from(ErrorKind::Unauthenticated).with_public("Please sign in first."))?;
    pages.kit().invitations().accept(Some(caller.full()?), AcceptInvitation::signed_in(token), meta).await
}

fn dead(pages: &Pages) -> Response {
    let error = Error::from(ErrorKind::LinkInvalid)
        .with_public("This invitation is not valid any more. Ask for a new one.");
    about(pages, error, "This link does not work", |_| html! {})
}

fn with_account(token: &str) -> Markup {
    html! {
        p { "You are signed in. Accept the invitation with your account." }
        form method="post" action="accept-invitation" {
            (hidden("token", token))
            button type="submit" { "Accept the invitation" }
        }
        p.other { a href="account" { "That is not me" } }
    }
}

fn new_account(pages: &Pages, token: &str, name: &str, faults: &[FieldError], focus: bool) -> Markup {
    let fault = fault_of(faults, "/name");
    let name = Field {
        name: "name",
        label: "Your name",
        kind: "text",
        autocomplete: "name",
        value: name,
        fault: fault.as_deref(),
        focus,
        ..Field::default()
    };
    html! {
        form method="post" action="accept-invitation" {
            (hidden("token", token)) (name.show())
            (new_password(pages, "Password", fault_of(faults, "/password").as_deref(), fault_of(faults, "/repeat").as_deref(), false))
            button type="submit" { "Accept, and make an account" }
        }
        (known(token))
    }
}

fn known(token: &str) -> Markup {
    html! { p.other { a href={ "accept-invitation?account=yes&token=" (token) } { "I have an account already" } } }
}
