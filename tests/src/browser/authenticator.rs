//! A virtual authenticator in the browser (WebAuthn, section "User Agent Automation").

use reqwest::Method;
use serde_json::{Value, json};

use super::{Browser, text};

/// What an authenticator can and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each trait")]
pub struct Traits {
    /// Keeps credentials that it finds without being told their ids.
    pub resident_keys: bool,
    /// Can tell who holds it, by finger or PIN.
    pub can_verify: bool,
    /// Finds that the right person holds it.
    pub verified: bool,
    /// Somebody touches it when asked to.
    pub consenting: bool,
}

impl Default for Traits {
    /// A phone or computer whose owner agrees.
    fn default() -> Self {
        Self { resident_keys: true, can_verify: true, verified: true, consenting: true }
    }
}

/// A virtual authenticator of a browser.
#[derive(Debug)]
pub struct Authenticator<'b> {
    browser: &'b Browser,
    id: String,
}

/// A credential as the authenticator has it, its private key too. Members as `WebDriver` names them: `credentialId`,
/// `isResidentCredential`, `rpId`, `privateKey`, `userHandle`, `signCount`.
pub type Credential = Value;

impl Browser {
    /// Plugs an authenticator in: from now on pages get their passkeys from it.
    pub async fn add_authenticator(&self, traits: Traits) -> Authenticator<'_> {
        let asked = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": traits.resident_keys,
            "hasUserVerification": traits.can_verify, "isUserVerified": traits.verified,
            "isUserConsenting": traits.consenting,
        });
        let id = text(self.post("/webauthn/authenticator", asked).await);
        Authenticator { browser: self, id }
    }
}

impl Authenticator<'_> {
    /// Its credentials.
    pub async fn credentials(&self) -> Vec<Credential> {
        let found = self.browser.get(&self.path("/credentials")).await;
        found.as_array().cloned().unwrap_or_default()
    }

    /// Puts a credential in, such as one of another authenticator.
    pub async fn add_credential(&self, credential: Credential) {
        self.browser.post(&self.path("/credential"), credential).await;
    }

    /// Takes a credential out, by its `credentialId`.
    pub async fn remove_credential(&self, id: &str) {
        let path = self.path(&format!("/credentials/{id}"));
        self.browser.command(Method::DELETE, &path, None).await;
    }

    /// From now on it finds the right person, or somebody else.
    pub async fn set_verified(&self, verified: bool) {
        self.browser.post(&self.path("/uv"), json!({ "isUserVerified": verified })).await;
    }

    /// Unplugs it.
    pub async fn remove(self) {
        self.browser.command(Method::DELETE, &self.path(""), None).await;
    }

    fn path(&self, what: &str) -> String {
        format!("/webauthn/authenticator/{}{what}", self.id)
    }
}
