//! Signatures of compact JWS (RFC 7515): Ed25519 (RFC 8037), ECDSA on P-256 and HMAC-SHA256 (RFC 7518).
//!
//! A key knows its one algorithm; nothing that a token says can change it (RFC 8725 section 3.1).

use std::fmt;

use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::config::JwtAlgorithm;
use crate::crypto::key_id::KeyId;
use crate::crypto::strict::to_base64url;
use crate::error::{Error, Result};
use crate::random::{self, SecureRandom};

/// RFC 7518 section 3.2: an HMAC key is at least as long as the hash.
const MIN_HMAC_KEY_LEN: usize = 32;
/// An uncompressed point: 4, then two coordinates of 32 bytes (SEC 1 section 2.3.3).
const P256_POINT_LEN: usize = 65;

/// A key that signs.
pub(crate) enum SigningKey {
    /// Ed25519.
    Ed25519(Box<Ed25519KeyPair>),
    /// ECDSA on P-256, and the source of its nonces.
    P256(Box<EcdsaKeyPair>, SystemRandom),
    /// HMAC-SHA256.
    Hmac(Box<hmac::Key>),
}

/// A key that verifies. With [`JwtAlgorithm::Hs256`] it could sign as well, and is as secret.
#[derive(Clone)]
pub(crate) enum VerifyingKey {
    /// Ed25519.
    Ed25519([u8; 32]),
    /// ECDSA on P-256.
    P256([u8; P256_POINT_LEN]),
    /// HMAC-SHA256.
    Hmac(Box<hmac::Key>),
}

impl SigningKey {
    /// The bytes of a new key, to be sealed and stored: an Ed25519 seed, 32 bytes of HMAC key, or for P-256
    /// a PKCS#8 document, which the cryptographic library makes from the system's own randomness.
    pub(crate) fn generate(algorithm: JwtAlgorithm, random: &dyn SecureRandom) -> Result<Zeroizing<Vec<u8>>> {
        match algorithm {
            JwtAlgorithm::EdDsa | JwtAlgorithm::Hs256 => {
                let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random::bytes(random)?);
                Ok(Zeroizing::new(bytes.to_vec()))
            }
            JwtAlgorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                    .map(|document| Zeroizing::new(document.as_ref().to_vec()))
                    .map_err(|_| Error::unavailable("the system's random source failed"))
            }
        }
    }

    /// Reads what [`Self::generate`] made, or for HMAC any secret of 32 bytes or more (`Config` when shorter).
    pub(crate) fn from_bytes(algorithm: JwtAlgorithm, bytes: &[u8]) -> Result<Self> {
        let unreadable = |_| Error::internal(format!("a stored {} key cannot be read", algorithm.name()));
        match algorithm {
            JwtAlgorithm::EdDsa => Ed25519KeyPair::from_seed_unchecked(bytes)
                .map(|pair| Self::Ed25519(Box::new(pair)))
                .map_err(unreadable),
            JwtAlgorithm::Es256 => {
                let random = SystemRandom::new();
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes, &random)
                    .map(|pair| Self::P256(Box::new(pair), random))
                    .map_err(unreadable)
            }
            JwtAlgorithm::Hs256 if bytes.len() < MIN_HMAC_KEY_LEN => {
                Err(Error::config("the HS256 secret is shorter than 256 bits"))
            }
            JwtAlgorithm::Hs256 => Ok(Self::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))),
        }
    }

    /// The one algorithm of this key.
    pub(crate) fn algorithm(&self) -> JwtAlgorithm {
        match self {
            Self::Ed25519(_) => JwtAlgorithm::EdDsa,
            Self::P256(..) => JwtAlgorithm::Es256,
            Self::Hmac(_) => JwtAlgorithm::Hs256,
        }
    }

    /// Signs the bytes as they are. Only ECDSA can fail, when the system gives no randomness.
    pub(crate) fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Ed25519(pair) => Ok(pair.sign(signing_input).as_ref().to_vec()),
            Self::P256(pair, random) => pair
                .sign(random, signing_input)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Error::unavailable("the system's random source failed")),
            Self::Hmac(key) => Ok(hmac::sign(key, signing_input).as_ref().to_vec()),
        }
    }

    /// The public half in the form that [`VerifyingKey::from_public_bytes`] reads; none for HMAC.
    pub(crate) fn public_bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(pair) => Some(pair.public_key().as_ref().to_vec()),
            Self::P256(pair, _) => Some(pair.public_key().as_ref().to_vec()),
            Self::Hmac(_) => None,
        }
    }

    /// The key that verifies what this one signs.
    pub(crate) fn verifying_key(&self) -> Result<VerifyingKey> {
        match (self, self.public_bytes()) {
            (Self::Hmac(key), _) => Ok(VerifyingKey::Hmac(key.clone())),
            (_, Some(public)) => VerifyingKey::from_public_bytes(self.algorithm(), &public),
            (_, None) => Err(Error::internal("a key pair has no public key")),
        }
    }

    /// See [`VerifyingKey::public_jwk`].
    pub(crate) fn public_jwk(&self, kid: KeyId) -> Option<Value> {
        self.verifying_key().ok()?.public_jwk(kid)
    }
}

impl VerifyingKey {
    /// Reads a public key: 32 bytes of Ed25519, or an uncompressed point of P-256. HMAC has none.
    pub(crate) fn from_public_bytes(algorithm: JwtAlgorithm, bytes: &[u8]) -> Result<Self> {
        let key = match algorithm {
            JwtAlgorithm::EdDsa => <[u8; 32]>::try_from(bytes).ok().map(Self::Ed25519),
            JwtAlgorithm::Es256 => <[u8; P256_POINT_LEN]>::try_from(bytes)
                .ok()
                .filter(|point| point.first() == Some(&4))
                .map(Self::P256),
            JwtAlgorithm::Hs256 => None,
        };
        key.ok_or_else(|| Error::internal(format!("these bytes are no public {} key", algorithm.name())))
    }

    /// The one algorithm of this key.
    pub(crate) fn algorithm(&self) -> JwtAlgorithm {
        match self {
            Self::Ed25519(_) => JwtAlgorithm::EdDsa,
            Self::P256(_) => JwtAlgorithm::Es256,
            Self::Hmac(_) => JwtAlgorithm::Hs256,
        }
    }

    /// Whether `signature` is this key's over exactly these bytes. HMAC is compared in constant time.
    pub(crate) fn verify(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signing_input, signature).is_ok()
            }
            Self::P256(key) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(signing_input, signature).is_ok()
            }
            Self::Hmac(key) => hmac::verify(key, signing_input, signature).is_ok(),
        }
    }

    /// The public key as a JWK (RFC 7517; RFC 8037 for Ed25519); `None` for HMAC, which has nothing public.
    pub(crate) fn public_jwk(&self, kid: KeyId) -> Option<Value> {
        let mut jwk = match self {
            Self::Ed25519(key) => json!({ "kty": "OKP", "crv": "Ed25519", "x": to_base64url(key) }),
            Self::P256(point) => {
                let (x, y) = point.split_first()?.1.split_at_checked(32)?;
                json!({ "kty": "EC", "crv": "P-256", "x": to_base64url(x), "y": to_base64url(y) })
            }
            Self::Hmac(_) => return None,
        };
        let members = jwk.as_object_mut()?;
        members.insert("use".into(), "sig".into());
        members.insert("alg".into(), self.algorithm().name().into());
        members.insert("kid".into(), kid.to_string().into());
        Some(jwk)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm().name())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm().name())
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: KeyId,
}

/// A compact JWS over `payload`. Its `alg` is the key's own; `typ` tells its purpose (R9).
pub(crate) fn encode(kid: KeyId, typ: &str, payload: &[u8], key: &SigningKey) -> Result<String> {
    let header = serde_json::to_vec(&Header { alg: key.algorithm().name(), typ, kid })
        .map_err(|error| Error::internal("a token header could not be written").with_source(error))?;
    let mut token = format!("{}.{}", to_base64url(&header), to_base64url(payload));
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&to_base64url(&signature));
    Ok(token)
}

#[cfg(test)]
mod tests;
