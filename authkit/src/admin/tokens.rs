//! Looking at a token: what it says, who made it, whether it still opens anything. Changes nothing: a refresh
//! token is not used up.

use serde::Serialize;
use serde_json::{Value, json};

use super::Admin;
use crate::crypto::jwt::{AccessClaims, TokenError, TokenVerifier};
use crate::crypto::keys::KeyInfo;
use crate::crypto::strict::{from_base64url, is_unambiguous_object};
use crate::error::Result;
use crate::flows::Ctx;
use crate::ids::UserId;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::sessions::store::View;
use crate::sessions::token::RefreshToken;
use crate::sessions::{Session, store};
use crate::users::{UserStatus, store as users};

/// What a token opens at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenStatus {
    /// It is accepted.
    Valid,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Session, account or roles changed since it was made.
    Revoked,
    /// A refresh token that was exchanged for a newer one.
    Used,
    /// Not one of ours, damaged, forged, or of a key that is gone.
    Invalid,
}

/// What is known of a token. Never holds the token or enough to write it again (R15).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TokenReport {
    /// `access`, `refresh` or `unknown`, by its form.
    pub kind: &'static str,
    /// What it opens.
    pub status: TokenStatus,
    /// Why, as a sentence for people.
    pub why: String,
    /// Whether the signature (or MAC) proves that this authkit made it. Otherwise its claims are anybody's.
    pub genuine: bool,
    /// The key that it names, if that is known.
    pub key: Option<KeyInfo>,
    /// What it says.
    pub claims: Option<Value>,
    /// Whose it is, when genuine.
    pub user_id: Option<UserId>,
    /// Its session, when genuine and still in the store.
    pub session: Option<Session>,
}

impl TokenReport {
    fn new(kind: &'static str, status: TokenStatus, why: impl Into<String>) -> Self {
        let (genuine, key, claims, user_id, session) = (false, None, None, None, None);
        Self { kind, status, why: why.into(), genuine, key, claims, user_id, session }
    }
}

impl Admin {
    /// Looks at an access or refresh token.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`]; a bad token is an answer, not an error.
    pub async fn inspect_token(&self, token: &SecretString) -> Result<TokenReport> {
        let text = token.expose_secret().trim();
        let mut report = if text.starts_with("akr_") {
            self.ctx.inspect_refresh(text).await?
        } else if text.contains('.') {
            self.ctx.inspect_access(text).await?
        } else {
            TokenReport::new(
                "unknown",
                TokenStatus::Invalid,
                "neither an access nor a refresh token of authkit",
            )
        };
        if let Some(session) = &mut report.session {
            session.current = false;
        }
        Ok(report)
    }
}

impl Ctx {
    async fn inspect_access(&self, text: &str) -> Result<TokenReport> {
        let now = self.now();
        let verifier = TokenVerifier::new(self.issuer.clone(), self.config.tokens.audience.clone());
        let mut report = match verifier.verify(text, &self.keys.key_set(), now) {
            Ok(claims) => self.judge_access(&claims).await?,
            Err(error) => refused(error),
        };
        let mut parts = text.split('.');
        let header = parts.next().and_then(object);
        report.claims = parts.next().and_then(object);
        let kid = header.as_ref().and_then(|header| header.get("kid")).and_then(Value::as_str);
        report.key = kid.and_then(|kid| self.keys.infos().into_iter().find(|key| key.kid == kid));
        Ok(report)
    }

    async fn judge_access(&self, claims: &AccessClaims) -> Result<TokenReport> {
        let (user, ver, limits) = (claims.sub, claims.ver, self.limits());
        let session = claims.sid;
        let (record, view) = self
            .db
            .read(move |conn| {
                Box::pin(async move {
                    Ok((users::by_id(conn, user).await?, store::view(conn, session, limits).await?))
                })
            })
            .await?;
        let void = self.revocations.is_void(&self.db, session, user, ver).await?;
        let alive = view.as_ref().is_some_and(|view| view.alive && view.session.user_id == user);
        let (status, why) = match &record {
            None => (TokenStatus::Revoked, "its account does not exist any more"),
            Some(record) if record.user.status != UserStatus::Active => {
                (TokenStatus::Revoked, "its account is disabled or deleted")
            }
            Some(_) if !alive => (TokenStatus::Revoked, "its session is over"),
            Some(record) if record.version.ver != ver => {
                (TokenStatus::Revoked, "roles, state or credentials of its account changed since it was made")
            }
            Some(_) if void => (TokenStatus::Revoked, "it was revoked"),
            Some(_) => (TokenStatus::Valid, "it is accepted until its time is over"),
        };
        let mut report = TokenReport::new("access", status, why);
        report.genuine = true;
        report.user_id = Some(user);
        report.session = view.map(|view| self.describe(&view.session, None));
        Ok(report)
    }

    async fn inspect_refresh(&self, text: &str) -> Result<TokenReport> {
        let invalid = |why: &str| TokenReport::new("refresh", TokenStatus::Invalid, why);
        let Some(unverified) = RefreshToken::parse(text) else {
            return Ok(invalid("it is damaged: a character is missing, too many, or another one"));
        };
        let kid = unverified.key_id.to_string();
        let key = self.keys.infos().into_iter().find(|key| key.kid == kid);
        let ring_key = self.keys.by_kid(&self.db, unverified.key_id).await?;
        let genuine = match &ring_key {
            Some(ring_key) => unverified.verify(&ring_key.bytes32()?),
            None => return Ok(TokenReport { key, ..invalid("its key is unknown or gone") }),
        };
        let claims = json!({ "sid": unverified.session_id, "counter": unverified.counter });
        let Some(genuine) = genuine else {
            return Ok(TokenReport {
                key,
                claims: Some(claims),
                ..invalid("it is forged: its MAC is wrong")
            });
        };
        let (id, limits) = (genuine.session_id, self.limits());
        let view =
            self.db.read(move |conn| Box::pin(async move { store::view(conn, id, limits).await })).await?;
        let (status, why) = judge_refresh(view.as_ref(), genuine.counter);
        let mut report = TokenReport::new("refresh", status, why);
        report.genuine = true;
        report.key = key;
        report.claims = Some(claims);
        report.user_id = view.as_ref().map(|view| view.session.user_id);
        report.session = view.map(|view| self.describe(&view.session, None));
        Ok(report)
    }
}

fn judge_refresh(view: Option<&View>, counter: u64) -> (TokenStatus, &'static str) {
    let Some(view) = view else { return (TokenStatus::Revoked, "there is no such session any more") };
    let stored = u64::try_from(view.session.counter).unwrap_or(0);
    if view.session.ended {
        (TokenStatus::Revoked, "its session is over")
    } else if counter > stored {
        (
            TokenStatus::Invalid,
            "it is newer than the store, which went back in time: sending it ends the session",
        )
    } else if counter < stored {
        (TokenStatus::Used, "it was exchanged for a newer one: sending it after the grace ends the session")
    } else if view.alive {
        (TokenStatus::Valid, "it can be exchanged for a new pair")
    } else {
        (TokenStatus::Expired, "its session was not used for too long, or its account may not sign in")
    }
}

fn refused(error: TokenError) -> TokenReport {
    let (status, genuine) = match error {
        TokenError::Expired => (TokenStatus::Expired, true),
        TokenError::NotYetValid => (TokenStatus::NotYetValid, true),
        TokenError::Issuer | TokenError::Audience => (TokenStatus::Invalid, true),
        _ => (TokenStatus::Invalid, false),
    };
    let why = match error {
        TokenError::TooLong => "it is longer than any token of authkit",
        TokenError::Malformed => "it is damaged: not three parts of base64url",
        TokenError::Header => "its header is not that of an access token",
        TokenError::Type => "it is another kind of token",
        TokenError::Algorithm => "its algorithm is not that of the key that it names",
        TokenError::KeyIdMissing => "it names no key",
        TokenError::KeyIdMalformed | TokenError::UnknownKey => "it names a key that is unknown here",
        TokenError::KeyGone => "its key is gone",
        TokenError::Signature => "it is forged: its signature is wrong",
        TokenError::Claims => "a claim is missing or has another type",
        TokenError::Issuer => "it is another issuer's",
        TokenError::Audience => "it is for another audience",
        TokenError::Expired => "its time is over",
        TokenError::NotYetValid => "it is not valid yet: the clock of its maker is ahead of this one",
    };
    TokenReport { genuine, ..TokenReport::new("access", status, why) }
}

/// A part of a JWT, read without trust.
fn object(part: &str) -> Option<Value> {
    let bytes = from_base64url(part)?;
    if is_unambiguous_object(&bytes) { serde_json::from_slice(&bytes).ok() } else { None }
}
