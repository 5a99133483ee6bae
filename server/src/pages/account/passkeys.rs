//! Passkeys on pages: what the script asks for, and what it sends.

use authkit::http::axum::ApiError;
use authkit::http::json;
use authkit::secret::SecretString;
use authkit::{Error, ErrorKind, PasskeyFor, PasskeyOptions, PasskeyProof, RequestMeta, Result};
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use maud::{Markup, html};
use serde_json::json;

use super::session::Caller;
use super::{Pages, hidden};
use crate::pages::form::Form;

pub(super) async fn script() -> Response {
    let headers = [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")];
    (headers, include_str!("passkeys.js")).into_response()
}

/// A form that the script fills in with a passkey before it is sent; not shown without it.
pub(super) fn with_passkey(action: &str, purpose: &str, button: &str, fields: &Markup) -> Markup {
    html! {
        form method="post" action="account" data-passkey=(purpose) hidden {
            (hidden("do", action)) (fields) (hidden("challenge_id", "")) (hidden("credential", ""))
            button.second type="submit" { (button) }
            p.fault role="status" {}
        }
    }
}

/// What the script filled in.
pub(super) fn proof(form: &mut Form) -> Result<PasskeyProof> {
    let (id, credential) = (form.text("challenge_id"), form.text("credential"));
    if credential.is_empty() {
        return Err(Error::from(ErrorKind::InvalidRequest).with_public("No passkey was used."));
    }
    let credential = json::parse(credential.as_bytes())
        .map_err(|_| Error::from(ErrorKind::InvalidRequest).with_public("The passkey could not be read."))?;
    Ok(PasskeyProof::new(id, credential))
}

/// What the browser is to be asked with, for the script.
pub(super) async fn options(
    pages: &Pages,
    caller: Option<&Caller>,
    meta: &RequestMeta,
    form: &mut Form,
) -> Response {
    match begin(pages, caller, meta, form).await {
        Ok(begun) => {
            let answer = json!({ "challenge_id": begun.challenge_id, "options": begun.options });
            Json(answer).into_response()
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

async fn begin(
    pages: &Pages,
    caller: Option<&Caller>,
    meta: &RequestMeta,
    form: &mut Form,
) -> Result<PasskeyOptions> {
    let kit = pages.kit().passkeys();
    let signed_in = || caller.ok_or_else(|| Error::from(ErrorKind::Unauthenticated));
    match form.text("for").as_str() {
        "sign-in" => kit.begin(PasskeyFor::SignIn, meta).await,
        "second-factor" => {
            let token = SecretString::from(form.text("mfa_token"));
            kit.begin(PasskeyFor::SecondFactor(&token), meta).await
        }
        "confirm" => kit.begin(PasskeyFor::StepUp(&signed_in()?.enrolling), meta).await,
        "register" => {
            let name = form.take("name").filter(|name| !name.is_empty());
            kit.begin_registration(&signed_in()?.enrolling, name.as_deref(), meta).await
        }
        _ => Err(ErrorKind::InvalidRequest.into()),
    }
}
