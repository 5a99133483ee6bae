//! What a `DATABASE_URL` says, and how it may be shown.

use std::path::PathBuf;

/// The store behind a `DATABASE_URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Store {
    SqliteFile(PathBuf),
    SqliteMemory,
    Postgres,
}

/// `None` when the text is no URL of a store that we know.
pub(super) fn store(url: &str) -> Option<Store> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Some(Store::Postgres);
    }
    let rest = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path == ":memory:" || query.split('&').any(|pair| pair == "mode=memory") {
        return Some(Store::SqliteMemory);
    }
    let path = percent_decode(path)?;
    (!path.is_empty()).then(|| Store::SqliteFile(PathBuf::from(path)))
}

/// The file behind a `sqlite://` URL; `None` for a store in memory and for anything else.
pub fn sqlite_file(url: &str) -> Option<PathBuf> {
    match store(url) {
        Some(Store::SqliteFile(path)) => Some(path),
        _ => None,
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut ahead = bytes.clone();
        let digits = [ahead.next(), ahead.next()].map(|b| b.and_then(|b| char::from(b).to_digit(16)));
        if let [Some(high), Some(low)] = digits {
            out.push(u8::try_from(high * 16 + low).ok()?);
            bytes = ahead;
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// Parameters that are worth showing and hold no secret. Everything else is masked.
const SHOWN: [&str; 8] = ["application_name", "cache", "dbname", "host", "mode", "port", "sslmode", "user"];

/// A `DATABASE_URL` (or another URL) fit for logs: password and unknown parameters masked (R15).
///
/// What is no URL at all is not shown, since it may be a password that lost its way.
pub fn redact_url(url: &str) -> String {
    const MASK: &str = "***";
    let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
    }) else {
        return format!("({MASK})");
    };
    let (slashes, rest) = rest.strip_prefix("//").map_or(("", rest), |rest| ("//", rest));
    // The LAST @ ends the user's part: a password that was not encoded may hold `@`, `/`, `?` and `#`.
    let (user, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => match login.split_once(':') {
            Some((user, _)) => (format!("{user}:{MASK}@"), rest),
            None => (format!("{login}@"), rest),
        },
        None => (String::new(), rest),
    };
    let (rest, _) = rest.split_once('#').unwrap_or((rest, ""));
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut out = format!("{scheme}:{slashes}{user}{address}");
    for (index, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if SHOWN.contains(&name) => out.push_str(pair),
            Some((name, _)) => out.extend([name, "=", MASK]),
            None => out.push_str(MASK),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_stores() {
        let file = |path: &str| Some(Store::SqliteFile(PathBuf::from(path)));
        for (url, expected) in [
            ("sqlite://authkit.db", file("authkit.db")),
            ("sqlite:authkit.db", file("authkit.db")),
            ("sqlite:///var/lib/a%20b/x.db?mode=rwc", file("/var/lib/a b/x.db")),
            ("sqlite://100%.db", file("100%.db")),
            ("sqlite::memory:", Some(Store::SqliteMemory)),
            ("sqlite://:memory:", Some(Store::SqliteMemory)),
            ("sqlite://x?cache=shared&mode=memory", Some(Store::SqliteMemory)),
            ("postgres://u:p@h/db", Some(Store::Postgres)),
            ("postgresql:///db?host=/run/postgresql", Some(Store::Postgres)),
            ("sqlite://", None),
            ("sqlite://%ff", None),
            ("mysql://h/db", None),
            ("authkit.db", None),
            ("", None),
        ] {
            assert_eq!(store(url), expected, "{url}");
        }
    }

    #[test]
    fn masks_every_place_a_password_can_stand() {
        for (url, shown) in [
            ("sqlite://authkit.db", "sqlite://authkit.db"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("postgres://app:CANARY@db:5432/auth", "postgres://app:***@db:5432/auth"),
            ("postgres://app:CAN@ARY/x?y#z@db/auth", "postgres://app:***@db/auth"),
            ("postgres://app@db/auth?password=CANARY", "postgres://app@db/auth?password=***"),
            (
                "postgres://db/a?p%61ssword=CANARY&sslmode=require",
                "postgres://db/a?p%61ssword=***&sslmode=require",
            ),
            ("postgres://db/a?CANARY", "postgres://db/a?***"),
            ("postgres://db/a#CANARY", "postgres://db/a"),
            ("CANARY", "(***)"),
            ("CAN ARY:x", "(***)"),
        ] {
            assert_eq!(redact_url(url), shown);
            assert!(!redact_url(url).contains("CANARY"));
        }
    }
}
