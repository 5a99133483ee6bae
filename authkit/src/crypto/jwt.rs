//! Access tokens: JWTs of type `at+jwt` (RFC 9068), read as strictly as RFC 8725 advises.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::JwtAlgorithm;
use crate::crypto::jws::{self, SigningKey, VerifyingKey};
use crate::crypto::key_id::KeyId;
use crate::crypto::strict::{from_base64url, is_unambiguous_object};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{SessionId, UserId};
use crate::time::Timestamp;

/// No token is longer, in bytes; a longer one is refused unread (R16).
pub(crate) const MAX_TOKEN_LEN: usize = 8 * 1024;
/// How far `iat` and `nbf` may lie ahead (another node's clock). `exp` has no leeway: we set it ourselves.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);

const TYP: &str = "at+jwt";

/// What an access token says. Times are whole seconds, rounded down when written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    /// Issuer, `JWT_ISSUER`.
    pub(crate) iss: String,
    /// Audience, `JWT_AUDIENCE`; one text, never a list.
    pub(crate) aud: String,
    /// The user.
    #[serde(deserialize_with = "from_text")]
    pub(crate) sub: UserId,
    /// The session.
    #[serde(deserialize_with = "from_text")]
    pub(crate) sid: SessionId,
    /// Names this one token; never empty.
    pub(crate) jti: String,
    /// When it was issued.
    #[serde(with = "numeric_date")]
    pub(crate) iat: Timestamp,
    /// Not valid before this moment.
    #[serde(with = "numeric_date")]
    pub(crate) nbf: Timestamp,
    /// Dead from this moment on (R6).
    #[serde(with = "numeric_date")]
    pub(crate) exp: Timestamp,
    /// When the user last proved who he is (RFC 9068 section 2.2.1).
    #[serde(with = "numeric_date")]
    pub(crate) auth_time: Timestamp,
    /// How he proved it (RFC 8176).
    pub(crate) amr: Vec<String>,
    /// Roles as they were at version `ver`.
    pub(crate) roles: Vec<String>,
    /// The organisation for which the token was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) org: Option<String>,
    /// The user's version that was read together with the roles; a revocation names a minimum.
    pub(crate) ver: i64,
    /// Keyed hash of the network to which the session is bound (`SESSION_BIND_IP`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cip: Option<String>,
    /// The host application's own claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ext: Option<serde_json::Value>,
}

/// Why a token was refused: for logs and counters. A client learns only that it was (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TokenError {
    /// Over [`MAX_TOKEN_LEN`].
    TooLong,
    /// Not three parts of canonical base64url.
    Malformed,
    /// The header is no object of exactly `alg`, `kid` and `typ`, each once.
    Header,
    /// Another kind of token.
    Type,
    /// Not the algorithm of the key that it names.
    Algorithm,
    /// No `kid`.
    KeyIdMissing,
    /// A `kid` that can be none of ours.
    KeyIdMalformed,
    /// A well-formed `kid` that is not in the key set: the caller may re-read the ring and try again.
    UnknownKey,
    /// The key's grace is over.
    KeyGone,
    /// The signature does not match.
    Signature,
    /// The claims are no object, repeat a member, or one is missing or has another type.
    Claims,
    /// Another issuer's.
    Issuer,
    /// For another audience.
    Audience,
    /// Past its `exp`.
    Expired,
    /// `iat` or `nbf` lies ahead by more than [`LEEWAY`].
    NotYetValid,
}

impl TokenError {
    /// Stable text of this reason.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::Malformed => "token_malformed",
            Self::Header => "token_header",
            Self::Type => "token_type",
            Self::Algorithm => "token_algorithm",
            Self::KeyIdMissing => "token_kid_missing",
            Self::KeyIdMalformed => "token_kid_malformed",
            Self::UnknownKey => "token_key_unknown",
            Self::KeyGone => "token_key_gone",
            Self::Signature => "token_signature",
            Self::Claims => "token_claims",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
        }
    }
}

impl Display for TokenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for TokenError {}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        Self::new(ErrorKind::Unauthenticated, error.reason())
    }
}

/// The keys whose tokens are accepted, as one value: the caller swaps it as a whole.
#[derive(Debug, Clone)]
pub(crate) struct KeySet {
    generation: u64,
    keys: HashMap<KeyId, TrustedKey>,
}

/// A key of a [`KeySet`]; its algorithm is pinned by its type.
#[derive(Debug, Clone)]
pub(crate) struct TrustedKey {
    key: VerifyingKey,
    gone_at: Option<Timestamp>,
}

impl KeySet {
    /// The keys with the moment from which each is gone, if that is set. `generation` must be another one
    /// each time the ring changed: what was verified under one is verified again under the next.
    pub(crate) fn new(
        generation: u64,
        keys: impl IntoIterator<Item = (KeyId, VerifyingKey, Option<Timestamp>)>,
    ) -> Self {
        let keys = keys.into_iter().map(|(kid, key, gone_at)| (kid, TrustedKey { key, gone_at }));
        Self { generation, keys: keys.collect() }
    }

    /// Which state of the ring this is.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The key of that name, if its tokens are still accepted at `now`.
    pub(crate) fn live(&self, kid: KeyId, now: Timestamp) -> Result<&VerifyingKey, TokenError> {
        let trusted = self.keys.get(&kid).ok_or(TokenError::UnknownKey)?;
        if trusted.gone_at.is_some_and(|gone_at| now >= gone_at) {
            return Err(TokenError::KeyGone);
        }
        Ok(&trusted.key)
    }
}

/// Reads access tokens of one issuer for one audience.
#[derive(Debug, Clone)]
pub(crate) struct TokenVerifier {
    iss: String,
    aud: String,
}

/// All that a header may hold (RFC 7515 section 4.1). No `crit`, no `b64`, no key or address of one: a token
/// does not say how it wants to be verified.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<String>,
    typ: Option<String>,
}

impl TokenVerifier {
    /// Accepts tokens with exactly this `iss` and `aud`.
    pub(crate) fn new(iss: impl Into<String>, aud: impl Into<String>) -> Self {
        Self { iss: iss.into(), aud: aud.into() }
    }

    /// Verifies form, key, signature, purpose and times, in this order. Revocation is the caller's to check.
    pub(crate) fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Arc<AccessClaims>, TokenError> {
        self.verify_with_key(token, keys, now).map(|(_, claims)| claims)
    }

    /// As [`Self::verify`], and says which key it was.
    pub(crate) fn verify_with_key(
        &self,
        token: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<(KeyId, Arc<AccessClaims>), TokenError> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(TokenError::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenError::Malformed)?;
        let header = from_base64url(header).ok_or(TokenError::Malformed)?;
        // A fourth part would be a dot inside the payload, which is no base64url.
        let payload = from_base64url(payload).ok_or(TokenError::Malformed)?;
        let signature = from_base64url(signature).ok_or(TokenError::Malformed)?;

        let (algorithm, kid) = read_header(&header)?;
        let key = keys.live(kid, now)?;
        if key.algorithm() != algorithm {
            return Err(TokenError::Algorithm);
        }
        if !key.verify(signing_input.as_bytes(), &signature) {
            return Err(TokenError::Signature);
        }

        if !is_unambiguous_object(&payload) {
            return Err(TokenError::Claims);
        }
        let claims: AccessClaims = serde_json::from_slice(&payload).map_err(|_| TokenError::Claims)?;
        if claims.jti.is_empty() {
            return Err(TokenError::Claims);
        }
        if claims.iss != self.iss {
            return Err(TokenError::Issuer);
        }
        if claims.aud != self.aud {
            return Err(TokenError::Audience);
        }
        claims.check_times(now)?;
        Ok((kid, Arc::new(claims)))
    }
}

impl AccessClaims {
    /// Whether the token lives at `now`.
    pub(crate) fn check_times(&self, now: Timestamp) -> Result<(), TokenError> {
        if now >= self.exp {
            return Err(TokenError::Expired);
        }
        let horizon = now + LEEWAY;
        if self.iat > horizon || self.nbf > horizon {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }

    /// Signs the claims as an access token. `Internal` when it would be longer than we accept ourselves,
    /// which only the host's own claims or a great many roles can cause.
    pub(crate) fn sign(&self, kid: KeyId, key: &SigningKey) -> Result<SecretString> {
        let payload = serde_json::to_vec(self)
            .map_err(|error| Error::internal("claims could not be written").with_source(error))?;
        let token = jws::encode(kid, TYP, &payload, key)?;
        if token.len() > MAX_TOKEN_LEN {
            return Err(Error::internal(format!(
                "an access token of {} bytes is over the limit of {MAX_TOKEN_LEN}: the custom claims are too big",
                token.len()
            )));
        }
        Ok(SecretString::from(token))
    }
}

fn read_header(json: &[u8]) -> Result<(JwtAlgorithm, KeyId), TokenError> {
    if !is_unambiguous_object(json) {
        return Err(TokenError::Header);
    }
    let header: Header<'_> = serde_json::from_slice(json).map_err(|_| TokenError::Header)?;
    // RFC 9068 section 4 takes both forms; media types ignore case (RFC 7515 section 4.1.9, RFC 2045).
    let typ = header.typ.ok_or(TokenError::Type)?;
    if !typ.eq_ignore_ascii_case(TYP) && !typ.eq_ignore_ascii_case("application/at+jwt") {
        return Err(TokenError::Type);
    }
    let algorithm = [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256, JwtAlgorithm::Hs256]
        .into_iter()
        .find(|algorithm| algorithm.name() == header.alg)
        .ok_or(TokenError::Algorithm)?;
    let kid = header.kid.ok_or(TokenError::KeyIdMissing)?;
    Ok((algorithm, kid.parse().map_err(|_| TokenError::KeyIdMalformed)?))
}

/// An id in its one spelling; `Uuid` itself would take several.
fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Seconds since the epoch (RFC 7519 section 2), whole ones only.
mod numeric_date {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Timestamp;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_secs)
    }
}

#[cfg(test)]
pub(crate) mod tests;
