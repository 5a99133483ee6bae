//! Proving oneself again, before something that changes how one signs in.

use authkit::{Error, FactorKind, RequestMeta, Result, StepUp};
use axum::response::Response;
use maud::{Markup, html};

use super::passkeys::{proof, with_passkey};
use super::session::{Caller, signed_in};
use super::sign_in::code_field;
use super::{Pages, about, action};
use crate::pages::form::Form;
use crate::pages::layout::Field;

/// The page that asks for it. `error` says why it is shown.
pub(super) async fn form(pages: &Pages, caller: &Caller, error: Error) -> Response {
    let has = match pages.kit().mfa().status(&caller.enrolling).await {
        Ok(status) => status,
        Err(error) => return super::failed(pages, error),
    };
    let kinds: Vec<FactorKind> = has.factors.iter().filter(|f| f.confirmed).map(|f| f.kind).collect();
    let (apps, keys) = (kinds.contains(&FactorKind::Totp), kinds.contains(&FactorKind::Passkey));
    about(pages, error, "Is it you?", |_| {
        forms(!apps && !keys, apps || has.backup_codes_remaining > 0 && keys, keys)
    })
}

fn forms(password: bool, codes: bool, passkeys: bool) -> Markup {
    let field = Field {
        name: "password",
        label: "Password",
        kind: "password",
        autocomplete: "current-password",
        ..Field::default()
    };
    html! {
        p { "This changes how you sign in, so please show once more that it is you. Then do it again." }
        @if passkeys { (with_passkey("confirm", "confirm", "Use a passkey", &html! {})) }
        @if codes { (action("confirm", "Confirm", &code_field("Code", false))) }
        @if password { (action("confirm", "Confirm", &field.show())) }
        p.other { a href="account" { "Back to your account" } }
        script src="pages/passkeys.js" defer {}
    }
}

/// What was given. The session is replaced by a new one.
pub(super) async fn perform(
    pages: &Pages,
    caller: &Caller,
    meta: &RequestMeta,
    given: &mut Form,
) -> Result<Response> {
    let step = match (given.take("code"), given.take("password")) {
        (Some(code), _) => StepUp::Code(code.into()),
        (None, Some(password)) => StepUp::Password(password.into()),
        (None, None) => StepUp::Passkey(proof(given)?),
    };
    match pages.kit().step_up(&caller.enrolling, step, meta).await {
        Ok(tokens) => Ok(signed_in(&tokens, "confirmed")),
        Err(error) => Ok(form(pages, caller, error).await),
    }
}
