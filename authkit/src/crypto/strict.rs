//! Readers that take one spelling only: canonical base64url, JSON objects without repeated members.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Base64url without padding (RFC 7515 section 2).
pub(crate) fn to_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url; `None` for padding, other alphabets, white space, or trailing bits that are not zero
/// (RFC 4648 section 3.5), so that no two texts stand for the same bytes.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Whether `json` is one object in which, at any depth, no member stands twice (RFC 8725 section 2.4:
/// two readers could choose differently). An array is no object, though serde would read one as a struct.
pub(crate) fn is_unambiguous_object(json: &[u8]) -> bool {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    deserializer.deserialize_map(ObjectVisitor).is_ok() && deserializer.end().is_ok()
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without repeated members")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        walk(map)
    }
}

/// Any JSON value, walked through and dropped.
struct Walked;

impl<'de> Deserialize<'de> for Walked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WalkVisitor)
    }
}

struct WalkVisitor;

impl<'de> Visitor<'de> for WalkVisitor {
    type Value = Walked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without repeated members")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Walked, E> {
        Ok(Walked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Walked, E> {
        Ok(Walked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Walked, E> {
        Ok(Walked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Walked, E> {
        Ok(Walked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Walked, E> {
        Ok(Walked)
    }

    fn visit_unit<E>(self) -> Result<Walked, E> {
        Ok(Walked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Walked, A::Error> {
        while seq.next_element::<Walked>()?.is_some() {}
        Ok(Walked)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Walked, A::Error> {
        walk(map).map(|()| Walked)
    }
}

fn walk<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    let mut seen = BTreeSet::new();
    while let Some(name) = map.next_key::<String>()? {
        if !seen.insert(name) {
            return Err(serde::de::Error::custom("a member stands twice"));
        }
        map.next_value::<Walked>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(from_base64url("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(from_base64url(""), Some(vec![]));
        for bad in ["-_9", "-_8=", "+/8", "-_ 8", "-_8\n", "A", "AB==", "é"] {
            assert_eq!(from_base64url(bad), None, "{bad}");
        }
    }

    #[test]
    fn finds_repeated_members_at_any_depth() {
        for good in [
            "{}",
            r#"{"a":1,"b":{"a":[{"a":null},{"a":-1.5e300}],"c":true}}"#,
            r#" {"a":123456789012345678901234567890} "#,
        ] {
            assert!(is_unambiguous_object(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "[]",
            "1",
            "null",
            r#""a""#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            r#"{"a":1} x"#,
            r#"{"a":1}{}"#,
            r#"{"a":1,}"#,
            "\u{feff}{}",
        ] {
            assert!(!is_unambiguous_object(bad.as_bytes()), "{bad}");
        }
        assert!(!is_unambiguous_object(b"{\"a\":\"\xff\"}"));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
        assert!(!is_unambiguous_object(deep.as_bytes()));
    }
}
