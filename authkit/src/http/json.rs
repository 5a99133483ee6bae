//! Strict JSON: what is not exactly what was asked for is refused, all of it at once.
//!
//! A member that comes twice, at any depth, is an error: parsers on the way may have believed the other one (RFC
//! 8259 section 4). Unknown members are errors too, so that nobody can slip in a field that a later version would
//! obey (ASVS 15.3.3). U+0000 is refused, since PostgreSQL cannot store it.

use std::cell::Cell;
use std::fmt;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::body::Refusal;
use super::status::Code;
use crate::error::{ErrorKind, FieldCode, FieldError};
use crate::flows::PasskeyProof;
use crate::links::LinkProof;
use crate::secret::SecretString;

/// Bytes of a body at the most.
pub const MAX_BODY: usize = 64 * 1024;
/// Unknown members that are named.
const MAX_UNKNOWN: usize = 20;
/// Characters of an unknown member's name that are repeated.
const MAX_NAME: usize = 64;

/// Whether the body is declared as JSON: exactly one `application/json`, not compressed.
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).into_iter();
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next());
    let plain = headers.get_all(CONTENT_ENCODING).into_iter().all(|value| value == "identity");
    plain && essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads a JSON text.
///
/// # Errors
/// A [`Refusal`] of kind [`ErrorKind::InvalidRequest`], for U+0000 [`ErrorKind::Validation`], that says what is wrong
/// and repeats nothing.
pub fn parse(bytes: &[u8]) -> Result<Value, Refusal> {
    let fault = Cell::new(Fault::Syntax);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Strict(&fault)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|_| Refusal::new(fault.get().kind()).with_message(fault.get().message()))
}

#[derive(Clone, Copy)]
enum Fault {
    Syntax,
    Repeated,
    Nul,
}

impl Fault {
    const fn kind(self) -> ErrorKind {
        match self {
            Self::Syntax | Self::Repeated => ErrorKind::InvalidRequest,
            // It is well-formed.
            Self::Nul => ErrorKind::Validation,
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Syntax => "The body is not valid JSON.",
            Self::Repeated => "A member comes twice in the same object.",
            Self::Nul => "The character U+0000 is not allowed.",
        }
    }
}

#[derive(Clone, Copy)]
struct Strict<'f>(&'f Cell<Fault>);

impl Strict<'_> {
    fn text<E: serde::de::Error>(self, text: String) -> Result<String, E> {
        if text.contains('\0') {
            self.0.set(Fault::Nul);
            return Err(E::custom("U+0000"));
        }
        Ok(text)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.text(value.to_owned()).map(Value::String)
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.text(value).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let name = self.text(name)?;
            let value = members.next_value_seed(self)?;
            if out.insert(name, value).is_some() {
                self.0.set(Fault::Repeated);
                return Err(A::Error::custom("a member comes twice"));
            }
        }
        Ok(Value::Object(out))
    }
}

/// A request body that is read member by member from [`Fields`].
pub trait FromFields: Sized {
    /// Takes the members; faults are collected in `fields`.
    fn from_fields(fields: &mut Fields) -> Self;
}

/// Reads a body of known members: all faults at once.
///
/// # Errors
/// As [`parse`]; besides, `details.errors` names every missing, unknown or wrongly typed member.
pub fn read<T: FromFields>(bytes: &[u8]) -> Result<T, Refusal> {
    let Value::Object(members) = parse(bytes)? else {
        return Err(Refusal::new(ErrorKind::InvalidRequest).with_message("The body must be a JSON object."));
    };
    let mut fields = Fields { members, faults: Vec::new() };
    let out = T::from_fields(&mut fields);
    fields.finish().map(|()| out)
}

/// The members of an object, to be taken one by one.
pub struct Fields {
    members: Map<String, Value>,
    faults: Vec<FieldError>,
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be passwords.
        f.debug_struct("Fields").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl Fields {
    /// A string that must be there.
    pub fn string(&mut self, name: &str) -> String {
        if !self.members.contains_key(name) {
            self.fault(name, FieldCode::Required, "is missing");
        }
        self.optional_string(name).unwrap_or_default()
    }

    /// A string that must be there and must not be seen.
    pub fn secret(&mut self, name: &str) -> SecretString {
        SecretString::from(self.string(name))
    }

    /// A string that may be missing; `null` is not a string.
    pub fn optional_string(&mut self, name: &str) -> Option<String> {
        match self.members.remove(name) {
            None => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.fault(name, FieldCode::Type, "must be a string");
                None
            }
        }
    }

    /// A string that may be missing or `null`, as clients send back what they were given.
    pub fn nullable_string(&mut self, name: &str) -> Option<String> {
        self.members.remove(name).filter(|value| !value.is_null()).and_then(|value| {
            let text = value.as_str().map(str::to_owned);
            if text.is_none() {
                self.fault(name, FieldCode::Type, "must be a string or null");
            }
            text
        })
    }

    /// An array of strings that must be there.
    pub fn strings(&mut self, name: &str) -> Vec<String> {
        if !self.members.contains_key(name) {
            self.fault(name, FieldCode::Required, "is missing");
        }
        self.optional_strings(name).unwrap_or_default()
    }

    /// An array of strings that may be missing; `null` is none.
    pub fn optional_strings(&mut self, name: &str) -> Option<Vec<String>> {
        let items = match self.members.remove(name)? {
            Value::Array(items) => items.into_iter().map(|item| match item {
                Value::String(text) => Some(text),
                _ => None,
            }),
            _ => return self.wrong_type(name, "must be an array of strings"),
        };
        let texts: Option<Vec<String>> = items.collect();
        if texts.is_none() {
            return self.wrong_type(name, "must be an array of strings");
        }
        texts
    }

    /// A switch that may be missing; `null` is none.
    pub fn optional_bool(&mut self, name: &str) -> Option<bool> {
        match self.members.remove(name)? {
            Value::Bool(value) => Some(value),
            _ => self.wrong_type(name, "must be true or false"),
        }
    }

    /// A whole number from 0 that may be missing; `null` is none.
    pub fn optional_whole(&mut self, name: &str) -> Option<u64> {
        let value = self.members.remove(name)?;
        let number = whole(&value).and_then(|number| u64::try_from(number).ok());
        number.or_else(|| self.wrong_type(name, "must be a whole number"))
    }

    fn wrong_type<T>(&mut self, name: &str, message: &'static str) -> Option<T> {
        self.fault(name, FieldCode::Type, message);
        None
    }

    /// A string that may be missing (`None`), or `null` (`Some(None)`): what a change empties.
    pub fn changed_string(&mut self, name: &str) -> Option<Option<String>> {
        self.members.contains_key(name).then(|| self.nullable_string(name))
    }

    /// A whole number that may be missing (`None`), or `null` (`Some(None)`).
    pub fn changed_whole(&mut self, name: &str) -> Option<Option<i64>> {
        let value = self.members.remove(name)?;
        if value.is_null() {
            return Some(None);
        }
        let number = whole(&value);
        if number.is_none() {
            self.fault(name, FieldCode::Type, "must be a whole number or null");
        }
        Some(number)
    }

    /// What may not stand there beside the rest.
    pub fn unwanted(&mut self, name: &str, message: &'static str) {
        if self.members.remove(name).is_some() {
            self.fault(name, FieldCode::Unknown, message);
        }
    }

    /// An object that may be missing; `null` is not an object.
    pub fn optional_object(&mut self, name: &str) -> Option<Value> {
        match self.members.remove(name) {
            None => None,
            Some(value @ Value::Object(_)) => Some(value),
            Some(_) => {
                self.fault(name, FieldCode::Type, "must be an object");
                None
            }
        }
    }

    /// An object that must be there.
    pub fn object(&mut self, name: &str) -> Value {
        if !self.members.contains_key(name) {
            self.fault(name, FieldCode::Required, "is missing");
        }
        self.optional_object(name).unwrap_or_default()
    }

    /// Whether the member is there.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A browser's answer to a passkey challenge under `passkey`: {`challenge_id`, credential}. `None` when it is not there.
    pub fn passkey(&mut self) -> Option<PasskeyProof> {
        let value = self.members.remove("passkey")?;
        let Value::Object(members) = value else {
            self.fault("passkey", FieldCode::Type, "must be an object");
            return Some(PasskeyProof::new("", Value::Null));
        };
        let mut inner = Self { members, faults: Vec::new() };
        let challenge_id = inner.string("challenge_id");
        if !inner.has("credential") {
            inner.fault("credential", FieldCode::Required, "is missing");
        }
        let credential = inner.optional_object("credential").unwrap_or_default();
        if let Err(refused) = inner.close() {
            self.faults.extend(
                refused
                    .into_iter()
                    .map(|fault| FieldError { pointer: format!("/passkey{}", fault.pointer), ..fault }),
            );
        }
        Some(PasskeyProof::new(challenge_id, credential))
    }

    /// What proves that a mail arrived: `token`, or `email` and `code`.
    pub fn link_proof(&mut self) -> LinkProof {
        if self.members.contains_key("token") {
            for other in ["email", "code"] {
                if self.members.remove(other).is_some() {
                    self.fault(other, FieldCode::Unknown, "cannot be given together with a token");
                }
            }
            return LinkProof::Token(self.secret("token"));
        }
        if self.members.contains_key("email") || self.members.contains_key("code") {
            return LinkProof::Code { email: self.string("email"), code: self.secret("code") };
        }
        LinkProof::Token(self.secret("token"))
    }

    fn fault(&mut self, name: &str, code: FieldCode, message: &'static str) {
        self.faults.push(FieldError::new(pointer(name), code, message));
    }

    fn finish(self) -> Result<(), Refusal> {
        self.close()
            .map_err(|faults| Refusal::new(Code::Kind(ErrorKind::InvalidRequest)).with_fields(&faults))
    }

    /// What is left is not known.
    fn close(mut self) -> Result<(), Vec<FieldError>> {
        let unknown: Vec<String> = self.members.keys().take(MAX_UNKNOWN).cloned().collect();
        for name in unknown {
            self.fault(&name, FieldCode::Unknown, "is not known here");
        }
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }
}

/// RFC 6901 section 3.
fn pointer(name: &str) -> String {
    let name: String = name.chars().take(MAX_NAME).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// 3 is whole, and so is 3.0 (JSON Schema, section 6.1.1 of its validation vocabulary).
fn whole(value: &Value) -> Option<i64> {
    let exact = |number: f64| number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    value
        .as_i64()
        .or_else(|| value.as_f64().filter(|n| exact(*n)).and_then(|n| format!("{n:.0}").parse().ok()))
}

#[cfg(test)]
mod tests;
