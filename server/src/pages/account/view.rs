//! The page of the own account.

use authkit::time::Timestamp;
use authkit::{Error, FactorKind, MfaStatus, Passkey, Result, Session};
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use super::passkeys::with_passkey;
use super::session::Caller;
use super::{Pages, action, hidden};
use crate::pages::layout::{self, Field};

/// What was done before, by what stands in the address. Anybody can write an address: nothing else is shown of it.
const NOTES: [(&str, &str); 6] = [
    ("confirmed", "Thank you. Now do again what you were about to do."),
    ("app-added", "The authenticator app is set up."),
    ("apps-removed", "Authenticator apps and backup codes are removed."),
    ("passkey-added", "The passkey is added."),
    ("passkey-removed", "The passkey is removed."),
    ("session-ended", "The device is signed out."),
];
/// Characters of a browser's name that are shown.
const AGENT: usize = 120;

pub(super) async fn account(pages: &Pages, caller: &Caller, query: &str) -> Result<Response> {
    let kit = pages.kit();
    let user = kit.users().get(caller.enrolling.user_id()).await?;
    let user = user.ok_or_else(|| Error::internal("a session without an account"))?;
    let mfa = kit.mfa().status(&caller.enrolling).await?;
    let passkeys = kit.passkeys().of(user.id).await?;
    let sessions = match &caller.full {
        Some(auth) => Some(kit.sessions().own(auth).await?),
        None => None,
    };
    let note = NOTES.iter().find_map(|(name, text)| (*name == query).then_some(*text));
    let content = html! {
        @if let Some(note) = note { p.note role="status" { (note) } }
        p { (user.name) br; span.soft { (user.email) } }
        (quiet("sign-out", "Sign out"))
        @if sessions.is_none() {
            p.note role="status" { "Your account needs a second factor. Set one up, then everything else is open to you." }
        }
        (apps(&mfa))
        (keys(&passkeys))
        @if let Some(sessions) = &sessions { (devices(sessions)) }
        script src="pages/passkeys.js" defer {}
    };
    Ok(layout::page(pages, StatusCode::OK, "Your account", &content))
}

fn apps(mfa: &MfaStatus) -> Markup {
    let apps: Vec<_> = mfa.factors.iter().filter(|f| f.kind == FactorKind::Totp && f.confirmed).collect();
    html! {
        section aria-labelledby="apps" {
            h2 id="apps" { "Authenticator apps" }
            @if apps.is_empty() {
                p { "None yet. With one, nobody gets in who knows your password and no more." }
            } @else {
                ul.things { @for app in &apps { li { (app.name) } } }
                p { (mfa.backup_codes_remaining) " backup codes left." }
            }
            details {
                summary { "Set up an app" }
                (action("app-add", "Set up", &named("app-name", "What to call it", "Phone")))
            }
            @if !apps.is_empty() {
                details {
                    summary { "New backup codes" }
                    (coded("codes", "Make new codes", "The old ones stop working."))
                }
                details {
                    summary { "Remove apps and backup codes" }
                    (coded("apps-remove", "Remove", "Passkeys stay."))
                }
            }
        }
    }
}

/// A form that a code authorises. Several are on the page: their fields are told apart by their ids.
fn coded(name: &str, button: &str, what: &str) -> Markup {
    html! { p { (what) } (action(name, button, &code_field_of(name))) }
}

fn code_field_of(form: &str) -> Markup {
    let id = format!("{form}-code");
    Field {
        name: "code",
        id: Some(&id),
        label: "Code",
        kind: "text",
        autocomplete: "one-time-code",
        hint: Some("From your authenticator app, or one of your backup codes."),
        ..Field::default()
    }
    .show()
}

fn named(id: &str, label: &str, value: &str) -> Markup {
    Field { name: "name", id: Some(id), label, kind: "text", autocomplete: "off", value, ..Field::default() }
        .show()
}

fn keys(passkeys: &[Passkey]) -> Markup {
    html! {
        section aria-labelledby="passkeys" {
            h2 id="passkeys" { "Passkeys" }
            @if passkeys.is_empty() {
                p { "None yet. A passkey signs you in by finger, face or PIN, without a password." }
            }
            ul.things {
                @for key in passkeys {
                    li {
                        span {
                            (key.name)
                            span.soft { "Added " (day(key.created_at)) @if let Some(used) = key.last_used_at { ", last used " (day(used)) } }
                        }
                        (small("passkey-remove", "Remove", &format!("Remove {}", key.name), &key.id.to_string()))
                    }
                }
            }
            (with_passkey("passkey-add", "register", "Add a passkey", &named("passkey-name", "What to call it", "This device")))
            noscript { p.soft { "To add a passkey, allow scripts for this page." } }
        }
    }
}

fn devices(sessions: &[Session]) -> Markup {
    html! {
        section aria-labelledby="devices" {
            h2 id="devices" { "Where you are signed in" }
            ul.things {
                @for session in sessions {
                    @let agent = agent(session);
                    li {
                        span {
                            (agent)
                            span.soft {
                                @if session.current { strong { "This device" } ", since " } @else { "Since " }
                                (day(session.created_at)) ", last used " (day(session.last_used_at))
                                @if let Some(ip) = session.ip { ", from " (ip) }
                            }
                        }
                        @if !session.current {
                            (small("session-end", "Sign out", &format!("Sign out {agent}"), &session.id.to_string()))
                        }
                    }
                }
            }
            (quiet("sessions-end", "Sign out everywhere"))
        }
    }
}

/// A button that is not what most people come for.
fn quiet(name: &str, button: &str) -> Markup {
    html! {
        form method="post" action="account" {
            (hidden("do", name))
            button.second type="submit" { (button) }
        }
    }
}

/// A button beside a thing. Screen readers hear which one.
fn small(name: &str, button: &str, label: &str, id: &str) -> Markup {
    html! {
        form.small method="post" action="account" {
            (hidden("do", name)) (hidden("id", id))
            button.second type="submit" aria-label=(label) { (button) }
        }
    }
}

/// A browser says much; the system and its last word are what people know it by.
fn agent(session: &Session) -> String {
    let Some(agent) = session.user_agent.as_deref().filter(|agent| !agent.is_empty()) else {
        return "An unknown device".to_owned();
    };
    let browser = [("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")];
    let system = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ];
    let find = |known: &[(&str, &'static str)]| {
        known.iter().find_map(|(part, name)| agent.contains(part).then_some(*name))
    };
    match (find(&browser), find(&system)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        _ => agent.chars().take(AGENT).collect(),
    }
}

/// The day, in UTC.
fn day(at: Timestamp) -> String {
    let text = at.to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}
