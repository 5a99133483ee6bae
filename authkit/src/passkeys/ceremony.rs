//! The ceremonies of WebAuthn level 3, sections 7.1 and 7.2: options for browsers, and the judgement of what comes
//! back. The crate `webauthn-rs` judges; here stands what it leaves open, and nothing of its types gets out.
//!
//! Its challenges (32 bytes) come from the system's randomness and not from the kit's: so they are in tests, too.
#![cfg_attr(not(feature = "webauthn"), expect(dead_code, reason = "without a judge nothing is judged"))]

use serde_json::Value;

use super::store::Known;
use crate::config::Config;
use crate::crypto::strict::from_base64url;
use crate::error::{Error, Result};

#[cfg(feature = "webauthn")]
mod judge;

/// A credential's id is at most so long (WebAuthn section 7.1, step 25).
const MAX_CREDENTIAL_ID: usize = 1023;
/// What a browser may say of how it reaches a key (WebAuthn section 5.8.4).
const TRANSPORTS: [&str; 6] = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];

/// A ceremony that began: what the browser is told, and what its answer will be judged by.
#[derive(Debug)]
pub(crate) struct Begun {
    /// As `PublicKeyCredential.parseCreationOptionsFromJSON` or `…parseRequestOptionsFromJSON` take it.
    pub(crate) options: Value,
    pub(crate) state: String,
}

/// A key that was proved to be new.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) credential_id: Vec<u8>,
    pub(crate) state: String,
    pub(crate) sign_count: u32,
    pub(crate) backup_eligible: bool,
    pub(crate) backed_up: bool,
    pub(crate) transports: Vec<String>,
}

/// A key that proved its owner.
#[derive(Debug, Clone)]
pub(crate) struct Asserted {
    /// The key's state from now on.
    pub(crate) state: String,
    pub(crate) sign_count: u32,
    pub(crate) backup_eligible: bool,
    pub(crate) backed_up: bool,
    /// Whose key it is, as the key itself remembers.
    pub(crate) user_handle: Option<Vec<u8>>,
}

/// Why an answer is refused: a word for the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaw(pub(crate) &'static str);

impl Flaw {
    /// The counter did not rise.
    pub(crate) const COUNTER: Self = Self("sign_count");
    const MALFORMED: Self = Self("malformed");
}

/// For whom a key is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder<'a> {
    /// The handle that the key will remember: no personal data (WebAuthn section 14.6.1).
    pub(crate) handle: uuid::Uuid,
    pub(crate) email: &'a str,
    pub(crate) name: &'a str,
}

/// Begins ceremonies and judges their answers, as far as this build and its settings can.
pub(crate) struct Ceremonies {
    #[cfg(feature = "webauthn")]
    judge: Option<judge::Judge>,
}

impl Ceremonies {
    /// For the relying party of the settings.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for settings that [`Config::validate`] refuses.
    #[cfg(feature = "webauthn")]
    pub(crate) fn new(config: &Config) -> Result<Self> {
        Ok(Self { judge: judge::Judge::new(config)? })
    }

    /// This build cannot check a passkey.
    #[cfg(not(feature = "webauthn"))]
    #[expect(clippy::unnecessary_wraps, reason = "as in a build with passkeys")]
    pub(crate) fn new(_config: &Config) -> Result<Self> {
        Ok(Self {})
    }

    /// The options by which a browser makes a key, other than those that the holder has.
    pub(crate) fn begin_registration(&self, holder: Holder<'_>, existing: &[Known]) -> Result<Begun> {
        self.judge()?.begin_registration(holder, existing)
    }

    /// Judges a new key.
    pub(crate) fn finish_registration(
        &self,
        state: &str,
        credential: &Value,
    ) -> Result<std::result::Result<NewKey, Flaw>> {
        self.judge()?.finish_registration(state, credential)
    }

    /// The options by which a browser uses one of these keys; of none, one that the browser finds by itself.
    pub(crate) fn begin_assertion(&self, allowed: &[Known]) -> Result<Begun> {
        self.judge()?.begin_assertion(allowed)
    }

    /// Judges the answer of a key whose state is `stored`.
    pub(crate) fn finish_assertion(
        &self,
        state: &str,
        stored: &str,
        credential: &Value,
    ) -> Result<std::result::Result<Asserted, Flaw>> {
        self.judge()?.finish_assertion(state, stored, credential)
    }

    #[cfg(feature = "webauthn")]
    fn judge(&self) -> Result<&judge::Judge> {
        self.judge.as_ref().ok_or_else(|| unavailable("the settings name no domain for passkeys"))
    }

    #[cfg(not(feature = "webauthn"))]
    fn judge(&self) -> Result<&Nobody> {
        Err(unavailable("this build has no passkeys: the feature webauthn is missing"))
    }
}

impl std::fmt::Debug for Ceremonies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ceremonies")
    }
}

fn unavailable(why: &'static str) -> Error {
    Error::unavailable(why).with_public("Passkeys are not available here.")
}

/// Who judges in a build without passkeys: nobody can be made.
#[cfg(not(feature = "webauthn"))]
enum Nobody {}

#[cfg(not(feature = "webauthn"))]
impl Nobody {
    fn begin_registration(&self, _: Holder<'_>, _: &[Known]) -> Result<Begun> {
        match *self {}
    }

    fn finish_registration(&self, _: &str, _: &Value) -> Result<std::result::Result<NewKey, Flaw>> {
        match *self {}
    }

    fn begin_assertion(&self, _: &[Known]) -> Result<Begun> {
        match *self {}
    }

    fn finish_assertion(&self, _: &str, _: &str, _: &Value) -> Result<std::result::Result<Asserted, Flaw>> {
        match *self {}
    }
}

/// The credential's id in a browser's answer; `None` for what is no such answer.
pub(crate) fn credential_id(credential: &Value) -> Option<Vec<u8>> {
    let id = credential.get("rawId")?.as_str()?;
    if credential.get("type")?.as_str()? != "public-key" || credential.get("id")?.as_str()? != id {
        return None;
    }
    from_base64url(id).filter(|id| (1..=MAX_CREDENTIAL_ID).contains(&id.len()))
}

/// Whether the page that asked stood in a frame of another origin (WebAuthn section 7.2, step 13): somebody else's page
/// may have led the user to it. Judged here for all ceremonies; the crate looks at it in registrations only.
fn is_framed(credential: &Value) -> bool {
    let said = credential.pointer("/response/clientDataJSON").and_then(Value::as_str);
    let said = said.and_then(from_base64url).and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    // What cannot be read is refused as such.
    said.is_some_and(|said| {
        said.get("crossOrigin") == Some(&Value::Bool(true)) || said.get("topOrigin").is_some()
    })
}

/// What the browser says of how it reached the key: known words only, each once.
fn transports(credential: &Value) -> Vec<String> {
    let said = credential.pointer("/response/transports").and_then(Value::as_array);
    let said: Vec<&str> = said.into_iter().flatten().filter_map(Value::as_str).collect();
    TRANSPORTS.iter().filter(|known| said.contains(known)).map(|known| (*known).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_id_of_a_credential_has_one_spelling() {
        let at = |id: &str, raw: &str, kind: &str| {
            credential_id(&json!({ "id": id, "rawId": raw, "type": kind, "response": {} }))
        };
        assert_eq!(at("AQI", "AQI", "public-key"), Some(vec![1, 2]));
        for (id, raw, kind) in [
            ("AQI", "AQI", "password"),
            ("AQM", "AQI", "public-key"),
            ("", "", "public-key"),
            ("AQI=", "AQI=", "public-key"),
            ("AQ!", "AQ!", "public-key"),
        ] {
            assert_eq!(at(id, raw, kind), None, "{id} {raw} {kind}");
        }
        let long = crate::crypto::strict::to_base64url(&[7; 1024]);
        assert_eq!(at(&long, &long, "public-key"), None);
        for other in
            [json!({}), json!([]), json!("AQI"), json!({ "rawId": 1, "id": 1, "type": "public-key" })]
        {
            assert_eq!(credential_id(&other), None, "{other}");
        }
    }

    #[test]
    fn only_known_transports_are_kept() {
        let said = json!({ "response": { "transports": ["usb", "internal", "usb", "x,y", 7, "<b>"] } });
        assert_eq!(transports(&said), ["usb", "internal"]);
        assert!(
            transports(&json!({})).is_empty()
                && transports(&json!({ "response": { "transports": "usb" } })).is_empty()
        );
    }
}
