//! One canonical key for an e-mail address (R3): lookup, uniqueness, limits and locks all use it.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use crate::error::{FieldCode, FieldError};

/// RFC 5321 section 4.5.3.1.3, less the angle brackets.
const MAX_BYTES: usize = 254;
/// RFC 5321 section 4.5.3.1.1.
const MAX_LOCAL_BYTES: usize = 64;

/// An e-mail address as its owner wrote it, and the key by which it is found.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email {
    address: String,
    key: String,
}

impl Email {
    /// Reads an address: NFC, trimmed, domain to ASCII lower case (IDNA), local part case-folded for the key.
    ///
    /// # Errors
    /// A field error for `pointer` that does not repeat the address.
    pub fn parse(text: &str, pointer: &str) -> Result<Self, FieldError> {
        let fault = |code, message: &'static str| FieldError::new(pointer, code, message);
        // Before any costly work (R16). NFC can grow a text threefold at most, so this loses nobody.
        if text.len() > 4 * MAX_BYTES {
            return Err(fault(FieldCode::TooLong, "must be at most 254 bytes"));
        }
        let address: String = text.trim().nfc().collect();
        if address.is_empty() {
            return Err(fault(FieldCode::Required, "must not be empty"));
        }
        if address.len() > MAX_BYTES {
            return Err(fault(FieldCode::TooLong, "must be at most 254 bytes"));
        }
        let malformed = || fault(FieldCode::Format, "must be an e-mail address");
        let (local, domain) = address.rsplit_once('@').ok_or_else(malformed)?;
        if local.len() > MAX_LOCAL_BYTES || !local_part_is_sound(local) {
            return Err(malformed());
        }
        let domain = canonical_domain(domain).ok_or_else(malformed)?;
        let local_key: String = caseless::default_case_fold_str(local).nfc().collect();
        let key = format!("{local_key}@{domain}");
        if key.len() > 2 * MAX_BYTES {
            return Err(fault(FieldCode::TooLong, "must be at most 254 bytes"));
        }
        Ok(Self { address: format!("{local}@{domain}"), key })
    }

    /// The address that mail goes to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The key by which it is found. Not an address.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        self.address.rsplit_once('@').map_or(self.address.as_str(), |(local, _)| local)
    }
}

/// Personal data: not in logs.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

/// The dot-atom of RFC 5322 section 3.2.3 with the letters of RFC 6531; no quoted form, no control character.
fn local_part_is_sound(local: &str) -> bool {
    !local.is_empty() && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atom_character))
}

fn atom_character(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c)
    } else {
        c.is_alphanumeric()
    }
}

/// At least two labels, ASCII after IDNA, letters, digits and hyphens only.
fn canonical_domain(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let labels_are_sound = ascii.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    let top = ascii.rsplit('.').next()?;
    let sound = labels_are_sound && ascii.contains('.') && ascii.len() <= 253;
    (sound && !top.bytes().all(|b| b.is_ascii_digit())).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        Email::parse(text, "/email").ok().map(|email| email.key)
    }

    #[test]
    fn spellings_of_one_address_share_one_key() {
        for spelling in
            ["Ada@Example.com", "  ada@example.COM\n", "ADA@EXAMPLE.COM", "ada@ex\u{ff41}mple.com"]
        {
            assert_eq!(key(spelling).as_deref(), Some("ada@example.com"), "{spelling}");
        }
        assert_eq!(key("ren\u{e9}@example.com"), key("RENE\u{301}@example.com"));
        assert_eq!(
            key("\u{212a}arl@example.com"),
            key("karl@example.com"),
            "the Kelvin sign is a K under NFC"
        );
        assert_eq!(key("a@B\u{fc}cher.example"), Some("a@xn--bcher-kva.example".into()));
    }

    #[test]
    fn look_alikes_stay_apart() {
        assert_ne!(key("m\u{131}ke@example.com"), key("mike@example.com"), "dotless i");
        assert_ne!(key("\u{430}da@example.com"), key("ada@example.com"), "Cyrillic a");
    }

    #[test]
    fn mail_goes_to_the_address_as_written() {
        let email = Email::parse(" Ada.L@Example.COM ", "/email").unwrap();
        assert_eq!(email.address(), "Ada.L@example.com");
        assert_eq!(email.local_part(), "Ada.L");
    }

    #[test]
    fn nonsense_is_refused() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}.example", "a.".repeat(150));
        for text in [
            "",
            " ",
            "a",
            "@",
            "a@",
            "@example.com",
            "a@b",
            "a b@example.com",
            "a@exam ple.com",
            "a@@example.com",
            ".a@example.com",
            "a.@example.com",
            "a..b@example.com",
            "a@-example.com",
            "a@example..com",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "\"a\"@example.com",
            "a@example.com\r\nBcc: b@example.com",
            "a\u{0}@example.com",
            "a@exa_mple.com",
            "a,b@example.com",
            "<a@example.com>",
            &long_local,
            &long,
        ] {
            assert_eq!(key(text), None, "{text:?}");
        }
    }

    #[test]
    fn debug_hides_the_address() {
        assert_eq!(format!("{:?}", Email::parse("a@example.com", "").unwrap()), "Email(..)");
    }
}
