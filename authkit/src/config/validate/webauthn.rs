//! Passkeys: browsers refuse what does not fit together, and say so to nobody but their console.

use super::Report;
use crate::config::Config;
use crate::config::http_url::HttpUrl;
use crate::config::value::quoted;
use crate::config::webauthn::MAX_RP_NAME;

pub(super) fn judge(config: &Config, report: &mut Report) {
    let set = &config.webauthn;
    if let Some(id) = &set.rp_id
        && !is_domain(id)
    {
        let fix = "set it to a domain in small letters such as example.com: no address, no port, no path";
        return report.error("WEBAUTHN_RP_ID", format!("is {}", quoted(id)), fix);
    }
    if let Some(name) = &set.rp_name
        && (name.trim().is_empty() || name.len() > MAX_RP_NAME || name.chars().any(char::is_control))
    {
        let fix = "set it to 1 to 64 bytes of text, or remove it";
        report.error("WEBAUTHN_RP_NAME", format!("is {}", quoted(name)), fix);
    }
    let Some(id) = config.webauthn_rp_id() else {
        if !set.origins.is_empty() {
            let fix = "set it to the domain that the origins share";
            report.error("WEBAUTHN_RP_ID", "is missing, and PUBLIC_URL has no domain", fix);
        }
        return;
    };
    for text in &set.origins {
        if let Err((problem, fix)) = origin(text, id) {
            report.error("WEBAUTHN_ORIGINS", problem, fix);
        }
    }
    if set.rp_id.is_some() && set.origins.is_empty() {
        let public = HttpUrl::parse(&config.server.public_url);
        if public.is_ok_and(|url| !belongs(url.domain(), id)) {
            report.error(
                "WEBAUTHN_RP_ID",
                "is neither the host of PUBLIC_URL nor a domain above it",
                "set it to one of them, or name the pages that use passkeys in WEBAUTHN_ORIGINS",
            );
        }
    }
}

/// An origin as browsers send it. Nothing of it is repeated: a URL may hold a password.
fn origin(text: &str, rp_id: &str) -> Result<(), (&'static str, &'static str)> {
    let fix = "name origins such as https://app.example.com";
    let url = HttpUrl::parse(text).map_err(|problem| (problem, fix))?;
    if !url.path.is_empty() {
        return Err(("holds an origin with a path", "remove path and slash behind the host"));
    }
    if url.port == Some(url.default_port()) {
        return Err(("holds an origin with its default port, which browsers leave out", "remove the port"));
    }
    if !url.is_secure() {
        return Err(("holds an http origin, where browsers know no passkeys", "serve that page over https"));
    }
    if !belongs(url.domain(), rp_id) {
        let problem = "holds an origin that is neither WEBAUTHN_RP_ID nor below it";
        return Err((
            problem,
            "name origins of that domain only, or set WEBAUTHN_RP_ID to one above all of them",
        ));
    }
    Ok(())
}

fn is_domain(id: &str) -> bool {
    let url = format!("https://{id}");
    HttpUrl::parse(&url).is_ok_and(|url| url.domain() == Some(id))
}

/// Whether the host is that domain or below it.
fn belongs(host: Option<&str>, domain: &str) -> bool {
    host.is_some_and(|host| {
        host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    })
}
