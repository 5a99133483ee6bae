//! Store, addresses, browsers, logs.

use super::Report;
use crate::config::database_url::{Store, store};
use crate::config::http_url::{HttpUrl, is_unreserved};
use crate::config::value::quoted;
use crate::config::{Config, Environment, TokenTransport};

/// Paths that stand at the root, whatever the prefix.
const ROOT_ROUTES: [&str; 6] = ["health", "ready", "metrics", "docs", "openapi.json", ".well-known"];

pub(super) fn judge(config: &Config, report: &mut Report) {
    database_url(&config.server.database_url, report);
    public_url(config, report);
    if !is_prefix(&config.server.api_prefix) {
        report.error(
            "API_PREFIX",
            format!("is {}", quoted(&config.server.api_prefix)),
            "set it to nothing, or to a path such as /v1: it starts with a slash, ends without one, has only \
             letters, digits and -._~ between, and is none of the server's own paths",
        );
    }
    for origin in &config.server.cors_origins {
        cors_origin(origin, report);
    }
    trusted_proxies(config, report);
    if !is_log_level(&config.server.log_level) {
        report.error(
            "LOG_LEVEL",
            format!("is {}", quoted(&config.server.log_level)),
            "set it to off, error, warn, info, debug or trace, or to a list such as warn,authkit=debug",
        );
    }
}

fn database_url(url: &str, report: &mut Report) {
    match store(url) {
        // Not shown: what is no URL may be a password.
        None => report.error(
            "DATABASE_URL",
            "is no address of a store",
            "set it to sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME",
        ),
        Some(Store::SqliteMemory) => report.weak(
            "DATABASE_URL",
            "is a store in memory: every account is lost when the process ends",
            "set it to sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME",
        ),
        Some(Store::SqliteFile(_) | Store::Postgres) => {}
    }
}

fn public_url(config: &Config, report: &mut Report) {
    const NAME: &str = "PUBLIC_URL";
    let fix = "set it to an address such as https://login.example.com";
    let url = match HttpUrl::parse(&config.server.public_url) {
        Ok(url) if url.path == "/" => return report.error(NAME, "ends with a slash", "remove the slash"),
        Ok(url) => url,
        // The text is not repeated: a URL may hold a password.
        Err(problem) => return report.error(NAME, problem, fix),
    };
    if !url.is_secure() {
        match report.env {
            Environment::Prod => report.error(NAME, "is http, which prod refuses", fix),
            Environment::Staging => report.warn(NAME, "is http: tokens can be read on their way", fix),
            Environment::Dev => {}
        }
        if config.server.token_transport == TokenTransport::Cookie {
            report.error(
                "TOKEN_TRANSPORT",
                "is cookie, but browsers keep `__Host-` cookies only from https and localhost",
                "set PUBLIC_URL to an https address, or TOKEN_TRANSPORT to bearer",
            );
        }
    } else if url.is_loopback() && report.env == Environment::Prod {
        report.warn(NAME, "leads to this machine only: links in mails will not work elsewhere", fix);
    }
}

fn is_prefix(prefix: &str) -> bool {
    let Some(path) = prefix.strip_prefix('/') else {
        return prefix.is_empty();
    };
    let plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_unreserved);
    path.len() <= 128
        && path.split('/').all(plain)
        && !path.split('/').next().is_some_and(|first| ROOT_ROUTES.contains(&first))
}

/// An origin as browsers send it (RFC 6454 section 6.2): it is compared as text.
fn cors_origin(origin: &str, report: &mut Report) {
    let (problem, fix) = match HttpUrl::parse(origin) {
        Err(_) if origin.contains('*') => {
            ("holds a wildcard", "name every origin, such as https://app.example.com")
        }
        Err(problem) => (problem, "name origins such as https://app.example.com"),
        Ok(url) if !url.path.is_empty() => {
            ("holds an origin with a path", "remove path and slash behind the host")
        }
        Ok(url) if url.port == Some(if url.https { 443 } else { 80 }) => {
            ("holds an origin with its default port, which browsers leave out", "remove the port")
        }
        Ok(url) => {
            if !url.is_secure() && report.env == Environment::Prod {
                report.warn(
                    "CORS_ORIGINS",
                    "holds an http origin: whoever is on the way can change its pages",
                    "serve that application over https",
                );
            }
            return;
        }
    };
    report.error("CORS_ORIGINS", problem, fix);
}

/// Everybody in these networks may name any client address: limits and locks by address would bind nobody.
fn trusted_proxies(config: &Config, report: &mut Report) {
    for network in config.server.trusted_proxies.networks().iter().filter(|network| network.is_too_wide()) {
        let problem = format!("holds {network}: strangers in it can pretend to be any address");
        let fix = "name only the networks of your own proxies";
        if report.env == Environment::Prod {
            report.error("TRUSTED_PROXIES", format!("{problem}, which prod refuses"), fix);
        } else {
            report.warn("TRUSTED_PROXIES", problem, fix);
        }
    }
}

/// Levels, alone or as `target=level`, between commas.
fn is_log_level(text: &str) -> bool {
    let level = |text: &str| {
        ["off", "error", "warn", "info", "debug", "trace"].iter().any(|name| name.eq_ignore_ascii_case(text))
    };
    let target = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-'))
    };
    text.split(',').all(|directive| match directive.trim().split_once('=') {
        Some((name, value)) => target(name) && level(value),
        None => level(directive.trim()),
    })
}
