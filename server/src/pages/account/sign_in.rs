//! Signing in: password or passkey, then the second factor where there is one.

use authkit::error::FieldError;
use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::{Credentials, Error, ErrorKind, FactorKind, Login, PendingSignIn, RequestMeta, SecondFactor};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};

use super::passkeys::{proof, with_passkey};
use super::{Pages, about, action, hidden, session};
use crate::pages::form::Form;
use crate::pages::layout::{self, Field, fault_of};

/// The form, and what was wrong with it the last time.
pub(super) fn form(pages: &Pages, email: &str, error: Option<Error>) -> Response {
    match error {
        None => layout::page(pages, StatusCode::OK, "Sign in", &fields(email, &[], true)),
        Some(error) => about(pages, error, "Sign in", |error| fields(email, error.fields(), false)),
    }
}

fn fields(email: &str, faults: &[FieldError], focus: bool) -> Markup {
    let password = Field {
        name: "password",
        label: "Password",
        kind: "password",
        autocomplete: "current-password",
        ..Field::default()
    };
    html! {
        (action("sign-in", "Sign in", &html! { (email_field(email, faults, focus)) (password.show()) }))
        (with_passkey("sign-in-passkey", "sign-in", "Sign in with a passkey", &html! {}))
        p.other { a href="account?forgot" { "Forgot your password?" } }
        script src="pages/passkeys.js" defer {}
    }
}

fn email_field(value: &str, faults: &[FieldError], focus: bool) -> Markup {
    let fault = fault_of(faults, "/email");
    let email = Field {
        name: "email",
        label: "E-mail address",
        kind: "email",
        autocomplete: "username",
        value,
        fault: fault.as_deref(),
        focus,
        ..Field::default()
    };
    email.show()
}

pub(super) async fn by_password(
    pages: &Pages,
    headers: &HeaderMap,
    meta: &RequestMeta,
    form: &mut Form,
) -> Response {
    let email = form.text("email");
    let mut credentials = Credentials::new(email.as_str(), SecretString::from(form.text("password")));
    if let Some(device) = session::device(headers) {
        credentials = credentials.with_device_token(device.expose_secret());
    }
    finish(pages, pages.kit().login(credentials, meta).await, &email)
}

pub(super) async fn by_passkey(
    pages: &Pages,
    headers: &HeaderMap,
    meta: &RequestMeta,
    form: &mut Form,
) -> Response {
    let out = match proof(form) {
        Ok(proof) => pages.kit().passkeys().login(proof, session::device(headers), meta).await,
        Err(error) => Err(error),
    };
    // Nobody typed anything that could be wrong.
    let out = out.map_err(|error| match error.kind() {
        ErrorKind::InvalidCredentials => error.with_public("This passkey does not open an account here."),
        _ => error,
    });
    finish(pages, out, "")
}

fn finish(pages: &Pages, out: authkit::Result<Login>, email: &str) -> Response {
    match out {
        Ok(Login::Complete(tokens)) => session::signed_in(&tokens, "signed-in"),
        Ok(Login::SecondFactor(pending)) => {
            let content = html! {
                p { "Your password was right. One more step." }
                (second_factor(&Waiting::from(&pending)))
            };
            layout::page(pages, StatusCode::OK, "Second step", &content)
        }
        Ok(_) => form(pages, email, Some(Error::internal("a sign-in that these pages do not know"))),
        Err(error) => self::form(pages, email, Some(error)),
    }
}

/// A sign-in that waits for its second factor, as its form carries it on.
struct Waiting {
    token: SecretString,
    codes: bool,
    passkeys: bool,
}

impl From<&PendingSignIn> for Waiting {
    fn from(pending: &PendingSignIn) -> Self {
        let passkeys = pending.factors.contains(&FactorKind::Passkey);
        let codes = pending.factors.iter().any(|factor| *factor != FactorKind::Passkey);
        Self { token: pending.mfa_token.clone(), codes, passkeys }
    }
}

fn second_factor(waiting: &Waiting) -> Markup {
    // What the form shows again after a wrong code; it decides nothing.
    let kinds = match (waiting.codes, waiting.passkeys) {
        (true, true) => "both",
        (false, true) => "passkeys",
        _ => "codes",
    };
    let carried = html! { (hidden("mfa_token", waiting.token.expose_secret())) (hidden("kinds", kinds)) };
    html! {
        @if waiting.passkeys {
            (with_passkey("second-factor", "second-factor", "Use a passkey", &carried))
        }
        @if waiting.codes {
            (action("second-factor", "Go on", &html! { (carried) (code_field("Code", true)) }))
        }
        p.other { a href="account" { "Start again" } }
        script src="pages/passkeys.js" defer {}
    }
}

/// A field for a code of an authenticator app or a backup code.
pub(super) fn code_field(label: &str, focus: bool) -> Markup {
    let code = Field {
        name: "code",
        label,
        kind: "text",
        autocomplete: "one-time-code",
        hint: Some("From your authenticator app, or one of your backup codes."),
        focus,
        ..Field::default()
    };
    code.show()
}

pub(super) async fn complete(pages: &Pages, meta: &RequestMeta, form: &mut Form) -> Response {
    let token = SecretString::from(form.text("mfa_token"));
    let kinds = form.text("kinds");
    let factor = match form.take("code") {
        Some(code) => Ok(SecondFactor::Code(code.into())),
        None => proof(form).map(SecondFactor::Passkey),
    };
    let out = match factor {
        Ok(factor) => pages.kit().complete_mfa(&token, factor, meta).await,
        Err(error) => Err(error),
    };
    match out {
        Ok(tokens) => session::signed_in(&tokens, "signed-in"),
        Err(error) => {
            let waiting = Waiting { token, codes: kinds != "passkeys", passkeys: kinds != "codes" };
            about(pages, error, "Second step", |_| second_factor(&waiting))
        }
    }
}

pub(super) fn forgot_form(pages: &Pages, email: &str, error: Option<Error>) -> Response {
    let content = |faults: &[FieldError], focus| {
        html! {
            @if focus { p { "We mail you a link to set a new one." } }
            (action("forgot", "Mail me a link", &email_field(email, faults, focus)))
            p.other { a href="account" { "Back to sign-in" } }
        }
    };
    match error {
        None => layout::page(pages, StatusCode::OK, "Forgot your password?", &content(&[], true)),
        Some(error) => about(pages, error, "Forgot your password?", |error| content(error.fields(), false)),
    }
}

pub(super) async fn forgot(pages: &Pages, meta: &RequestMeta, form: &mut Form) -> Response {
    let email = form.text("email");
    if let Err(error) = pages.kit().request_password_reset(&email, meta).await {
        return forgot_form(pages, &email, Some(error));
    }
    let content = html! {
        p { "If there is an account with this address, a mail is on its way. Its link lasts a short while." }
        p.other { a href="account" { "Back to sign-in" } }
    };
    layout::done(pages, "Look into your mail", &content)
}
