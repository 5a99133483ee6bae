//! Whether a password is in a collection of breached ones, asked by range: only the first 5 of the 40 hex
//! digits of its SHA-1 leave the process, and the comparison is made here (ASVS 6.2.12).
//!
//! The look-up is an addition to the embedded list, never its replacement: what cannot be answered in time is
//! [`BreachCheck::Unknown`], which the caller audits and lets pass (R10, case 10).

#[cfg(feature = "breach")]
mod http;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

#[cfg(feature = "breach")]
pub use self::http::HttpRangeLookup;
use crate::error::Result;

/// Hex digits that leave the process.
const PREFIX: usize = 5;
/// Hex digits of SHA-1 that stay.
const SUFFIX: usize = 35;

/// A source of breached passwords' SHA-1 hashes, asked for one range at a time.
///
/// An implementation sees nothing but a prefix that hundreds of passwords share.
pub trait BreachLookup: Send + Sync + fmt::Debug + 'static {
    /// All breached hashes that begin with `prefix`, which is 5 upper-case hex digits.
    ///
    /// The answer is that of the Pwned Passwords range API: one hash a line, its other 35 hex digits, a
    /// colon, a decimal count; a count of 0 is padding and says nothing. No line at all: none is known.
    ///
    /// # Errors
    /// Any error makes the check [`BreachCheck::Unknown`]. It is logged: it must not hold the prefix.
    fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<String>>;

    /// How long a sign-up may wait for [`range`](Self::range). 2 seconds unless overridden.
    fn time_out(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// What a look-up told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreachCheck {
    /// Not among the breached passwords.
    NotFound,
    /// Breached: refuse it.
    Found,
    /// No answer, not in time, or not a readable one.
    Unknown,
}

/// Asks `lookup` for `password`, which must be normalised; takes no longer than its time-out.
pub(crate) async fn check(lookup: &dyn BreachLookup, password: &SecretString) -> BreachCheck {
    let hash = sha1_hex(password);
    let Some((prefix, suffix)) = hash.split_at_checked(PREFIX) else { return BreachCheck::Unknown };
    let outcome = match tokio::time::timeout(lookup.time_out(), lookup.range(prefix)).await {
        Ok(Ok(answer)) => search(&answer, suffix),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the look-up of breached passwords failed");
            return BreachCheck::Unknown;
        }
        Err(_) => None,
    };
    outcome.unwrap_or_else(|| {
        tracing::warn!("the look-up of breached passwords gave no readable answer in time");
        BreachCheck::Unknown
    })
}

/// Looks for `suffix` in a range; `None` when it is not a range.
fn search(range: &str, suffix: &str) -> Option<BreachCheck> {
    let mut found = BreachCheck::NotFound;
    for line in range.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (entry, count) = line.split_once(':')?;
        let readable = entry.len() == SUFFIX && entry.bytes().all(|b| b.is_ascii_hexdigit());
        let count: u64 = count.trim().parse().ok()?;
        if !readable {
            return None;
        }
        if count > 0 && entry.eq_ignore_ascii_case(suffix) {
            found = BreachCheck::Found;
        }
    }
    Some(found)
}

fn sha1_hex(password: &SecretString) -> Zeroizing<String> {
    use fmt::Write as _;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose_secret().as_bytes());
    let mut hex = Zeroizing::new(String::with_capacity(PREFIX + SUFFIX));
    for byte in hash.as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02X}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::Error;

    /// SHA-1 of "password", split.
    const PASSWORD: (&str, &str) = ("5BAA6", "1E4C9B93F3F0682250B6CF8331B7EE68FD8");

    #[derive(Debug)]
    struct Fixed {
        answer: Option<String>,
        asked: Mutex<Vec<String>>,
    }

    impl BreachLookup for Fixed {
        fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<String>> {
            self.asked.lock().unwrap().push(prefix.to_owned());
            let answer = self.answer.clone().ok_or_else(|| Error::unavailable("down"));
            Box::pin(async move { answer })
        }
    }

    #[derive(Debug)]
    struct Hanging;

    impl BreachLookup for Hanging {
        fn range<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<String>> {
            Box::pin(std::future::pending())
        }

        fn time_out(&self) -> Duration {
            Duration::from_millis(1)
        }
    }

    async fn answered(answer: &str) -> BreachCheck {
        let lookup = Fixed { answer: Some(answer.to_owned()), asked: Mutex::default() };
        let outcome = check(&lookup, &SecretString::from("password")).await;
        assert_eq!(*lookup.asked.lock().unwrap(), [PASSWORD.0], "something else than the prefix left");
        outcome
    }

    #[tokio::test]
    async fn finds_the_suffix_with_a_count_only() {
        let (other, suffix) = ("0".repeat(35), PASSWORD.1);
        assert_eq!(answered(&format!("{other}:3\r\n{suffix}:42\r\n")).await, BreachCheck::Found);
        assert_eq!(answered(&format!("{}:1", suffix.to_lowercase())).await, BreachCheck::Found);
        assert_eq!(answered(&format!("{other}:3\n")).await, BreachCheck::NotFound);
        assert_eq!(answered(&format!("{suffix}:0\n{other}:7")).await, BreachCheck::NotFound, "padding");
        assert_eq!(answered("").await, BreachCheck::NotFound);
    }

    #[tokio::test]
    async fn what_is_no_range_is_unknown() {
        let suffix = PASSWORD.1;
        for garbage in [
            "<html>busy</html>".to_owned(),
            suffix.to_owned(),
            format!("{suffix}:many"),
            format!("{suffix}:-1"),
            format!("{}:1", &suffix[1..]),
            format!("G{}:1", &suffix[1..]),
            format!("{}:1\n<html>", "0".repeat(35)),
        ] {
            assert_eq!(answered(&garbage).await, BreachCheck::Unknown, "{garbage}");
        }
    }

    #[tokio::test]
    async fn down_or_slow_is_unknown() {
        let down = Fixed { answer: None, asked: Mutex::default() };
        assert_eq!(check(&down, &SecretString::from("password")).await, BreachCheck::Unknown);
        assert_eq!(check(&Hanging, &SecretString::from("password")).await, BreachCheck::Unknown);
    }
}
