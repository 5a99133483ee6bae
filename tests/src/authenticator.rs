//! A passkey in the test's hand: every flag, counter and word that goes into an answer can be set, so that wrong ones
//! can be made, too. Signs with P-256; says what browsers' `toJSON()` says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

/// A key and what it will say.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one for each lie")]
pub struct SoftKey {
    key: EcdsaKeyPair,
    random: SystemRandom,
    /// The credential's id.
    pub id: Vec<u8>,
    /// Whose it is; set by [`Self::register`].
    pub user_handle: Option<Vec<u8>>,
    /// The page that asks.
    pub origin: String,
    /// For whom it signs, instead of who asks.
    pub rp_id: Option<String>,
    /// The type of client data, instead of the right one.
    pub kind: Option<String>,
    /// The challenge that it answers, in base64url, instead of the one of the options.
    pub challenge: Option<String>,
    /// Whether the page stood in a frame of another origin.
    pub cross_origin: bool,
    /// The flag UP.
    pub present: bool,
    /// The flag UV.
    pub verified: bool,
    /// The flag BE.
    pub backup_eligible: bool,
    /// The flag BS.
    pub backed_up: bool,
    /// The counter that the next answer carries. Moved by nobody but the test.
    pub count: u32,
}

impl SoftKey {
    /// A new key in one device, asked by a page of `origin`.
    ///
    /// # Panics
    /// When the system has no randomness.
    pub fn new(origin: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random);
        let mut id = vec![0; 16];
        random.fill(&mut id).expect("randomness");
        Self {
            key: key.expect("the key just made"),
            random,
            id,
            user_handle: None,
            origin: origin.to_owned(),
            rp_id: None,
            kind: None,
            challenge: None,
            cross_origin: false,
            present: true,
            verified: true,
            backup_eligible: false,
            backed_up: false,
            count: 0,
        }
    }

    /// The answer to `navigator.credentials.create`.
    ///
    /// # Panics
    /// When the options lack something that browsers need.
    pub fn register(&mut self, options: &Value) -> Value {
        self.user_handle = Some(from_base64url(&options["user"]["id"]));
        let client_data = self.client_data("webauthn.create", options);
        let mut data = self.authenticator_data(text(&options["rp"]["id"]), 0x40);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).expect("a short id").to_be_bytes());
        data.extend(&self.id);
        data.extend(self.public_key());
        // {"fmt": "none", "attStmt": {}, "authData": …} (RFC 8949).
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        object.extend(u16::try_from(data.len()).expect("short data").to_be_bytes());
        object.extend(&data);
        json!({
            "id": base64url(&self.id),
            "rawId": base64url(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": { "credProps": { "rk": true } },
            "response": {
                "clientDataJSON": base64url(&client_data),
                "attestationObject": base64url(&object),
                "authenticatorData": base64url(&data),
                "publicKeyAlgorithm": -7,
                "transports": ["usb", "nfc"],
            },
        })
    }

    /// The answer to `navigator.credentials.get`.
    ///
    /// # Panics
    /// When the options lack something that browsers need.
    pub fn assert(&self, options: &Value) -> Value {
        let client_data = self.client_data("webauthn.get", options);
        let data = self.authenticator_data(text(&options["rpId"]), 0);
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, &client_data).as_ref());
        let signature = self.key.sign(&self.random, &signed).expect("a signature");
        json!({
            "id": base64url(&self.id),
            "rawId": base64url(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(&client_data),
                "authenticatorData": base64url(&data),
                "signature": base64url(signature.as_ref()),
                "userHandle": self.user_handle.as_deref().map(base64url),
            },
        })
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let client_data = json!({
            "type": self.kind.as_deref().unwrap_or(kind),
            "challenge": self.challenge.as_deref().unwrap_or_else(|| text(&options["challenge"])),
            "origin": self.origin,
            "crossOrigin": self.cross_origin,
        });
        client_data.to_string().into_bytes()
    }

    fn authenticator_data(&self, rp_id: &str, more: u8) -> Vec<u8> {
        let rp_id = self.rp_id.as_deref().unwrap_or(rp_id);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.present, 1)
            | flag(self.verified, 1 << 2)
            | flag(self.backup_eligible, 1 << 3)
            | flag(self.backed_up, 1 << 4)
            | more;
        let mut data = digest(&SHA256, rp_id.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend(self.count.to_be_bytes());
        data
    }

    /// The public key as COSE has it: {1: 2, 3: -7, -1: 1, -2: x, -3: y} (RFC 9053 section 7.1.1).
    fn public_key(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let (x, y) = (&point[1..33], &point[33..65]);
        [b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20", x, b"\x22\x58\x20", y].concat()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn from_base64url(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text(value)).expect("base64url without padding")
}
