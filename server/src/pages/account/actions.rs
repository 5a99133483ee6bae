//! What somebody who is signed in can do here. Each calls the kit, which judges.

use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::{
    BackupCodes, DisableProof, Error, ErrorKind, FactorId, PasskeyId, RequestMeta, Result, SessionId,
};
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, PreEscaped, html};

use super::passkeys::proof;
use super::session::{Caller, signed_out, signed_out_everywhere};
use super::{Pages, about, action, confirm, done, hidden};
use crate::pages::form::Form;
use crate::pages::layout::{self, Field};

pub(super) async fn perform(
    name: &str,
    pages: &Pages,
    caller: &Caller,
    meta: &RequestMeta,
    form: &mut Form,
) -> Result<Response> {
    let kit = pages.kit();
    match name {
        "confirm" => confirm::perform(pages, caller, meta, form).await,
        "app-add" => add_app(pages, caller, meta, form).await,
        "app-confirm" => confirm_app(pages, caller, meta, form).await,
        "codes" => {
            let code = SecretString::from(form.text("code"));
            let made = kit.mfa().regenerate_backup_codes(&caller.enrolling, code, meta).await?;
            Ok(show_codes(pages, "Your new backup codes", &made))
        }
        "apps-remove" => {
            let code = DisableProof::Code(form.text("code").into());
            kit.mfa().disable(&caller.enrolling, code, meta).await?;
            Ok(done("apps-removed"))
        }
        "passkey-add" => add_passkey(pages, caller, meta, form).await,
        "passkey-remove" => {
            let id: PasskeyId = id(form)?;
            kit.passkeys().remove(caller.full()?, id, meta).await?;
            Ok(done("passkey-removed"))
        }
        "session-end" => {
            let (auth, id): (_, SessionId) = (caller.full()?, id(form)?);
            kit.sessions().end_own(auth, id, meta).await?;
            let own = Some(id) == auth.session_id();
            Ok(if own { signed_out(done("signed-out")) } else { done("session-ended") })
        }
        "sessions-end" => {
            kit.logout_all(caller.full()?, meta).await?;
            Ok(signed_out_everywhere(done("signed-out")))
        }
        _ => Err(ErrorKind::InvalidRequest.into()),
    }
}

/// What is no id names nothing.
fn id<T: std::str::FromStr>(form: &mut Form) -> Result<T> {
    form.text("id").parse().map_err(|_| ErrorKind::NotFound.into())
}

async fn add_app(pages: &Pages, caller: &Caller, meta: &RequestMeta, form: &mut Form) -> Result<Response> {
    let name = form.take("name").filter(|name| !name.is_empty());
    let made = pages.kit().mfa().add_totp(&caller.enrolling, name.as_deref(), meta).await?;
    let content = html! {
        p { "Scan this with your authenticator app, or type the key into it. It is shown once." }
        div.qr role="img" aria-label="QR code with the key below" { (PreEscaped(made.qr_svg.expose_secret())) }
        p.key { code { (grouped(made.secret.expose_secret())) } }
        p { a href=(made.otpauth_uri.expose_secret()) { "Open in an app on this device" } }
        (app_code(&made.id.to_string(), true))
    };
    Ok(layout::page(pages, StatusCode::OK, "Set up an authenticator app", &content))
}

/// In groups of four, to be typed.
fn grouped(key: &str) -> String {
    let chars: Vec<char> = key.chars().collect();
    chars.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

fn app_code(id: &str, focus: bool) -> Markup {
    let code = Field {
        name: "code",
        label: "Code",
        kind: "text",
        autocomplete: "one-time-code",
        hint: Some("The digits that the app shows now."),
        digits: true,
        focus,
        ..Field::default()
    };
    html! {
        (action("app-confirm", "Confirm", &html! { (hidden("id", id)) (code.show()) }))
        p.other { a href="account" { "Not now" } }
    }
}

async fn confirm_app(
    pages: &Pages,
    caller: &Caller,
    meta: &RequestMeta,
    form: &mut Form,
) -> Result<Response> {
    let code = SecretString::from(form.text("code"));
    let id: FactorId = id(form)?;
    match pages.kit().mfa().confirm_totp(&caller.enrolling, &code, Some(id), meta).await {
        Ok(made) if made.codes.is_empty() => Ok(done("app-added")),
        Ok(made) => Ok(show_codes(pages, "Your authenticator app is set up", &made)),
        Err(error) if error.kind() == ErrorKind::MfaInvalid => {
            let error = error.with_public("This code is wrong, or was used already. Wait for the next one.");
            Ok(about(pages, error, "Set up an authenticator app", |_| app_code(&id.to_string(), false)))
        }
        Err(error) => Err(error),
    }
}

fn show_codes(pages: &Pages, title: &str, made: &BackupCodes) -> Response {
    let content = html! {
        p {
            "Keep these backup codes where you find them without your phone. Each works once in place of a code of the \
             app. They are shown only now."
        }
        ul.codes { @for code in &made.codes { li { code { (code.expose_secret()) } } } }
        p.other { a href="account" { "I have kept them" } }
    };
    layout::done(pages, title, &content)
}

async fn add_passkey(
    pages: &Pages,
    caller: &Caller,
    meta: &RequestMeta,
    form: &mut Form,
) -> Result<Response> {
    let kit = pages.kit().passkeys();
    let proof = match proof(form) {
        Ok(proof) => proof,
        Err(none) => {
            // The script could not begin: here is why.
            let name = form.take("name").filter(|name| !name.is_empty());
            kit.begin_registration(&caller.enrolling, name.as_deref(), meta).await?;
            return Err(none);
        }
    };
    let out = kit.finish_registration(&caller.enrolling, proof, meta).await;
    let unusable = |error: Error| match error.kind() {
        ErrorKind::InvalidRequest => error.with_public("This passkey could not be used here."),
        _ => error,
    };
    out.map_err(unusable)?;
    Ok(done("passkey-added"))
}
