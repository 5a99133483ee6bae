//! Making the pair of tokens that a session's owner holds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::crypto::jwt::AccessClaims;
use crate::crypto::key_id::KeyId;
use crate::crypto::keys::KeyPurpose;
use crate::crypto::mac;
use crate::crypto::strict::to_base64url;
use crate::error::{Error, Result};
use crate::flows::Ctx;
use crate::ids::{SessionId, UserId};
use crate::meta::{RequestMeta, network_of};
use crate::random;
use crate::secret::SecretString;
use crate::sessions::Standing;
use crate::sessions::token::RefreshToken;
use crate::time::Timestamp;

/// What a sign-in or a refresh gives to the client.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tokens {
    /// JWT for `Authorization: Bearer`; see [`crate::AuthKit::authenticate`].
    pub access_token: SecretString,
    /// Rotates with each use.
    pub refresh_token: SecretString,
    /// Life of the access token, in seconds.
    pub expires_in: u64,
    /// Life of the refresh token unless it is used, in seconds.
    pub refresh_expires_in: u64,
    /// The session that the tokens belong to.
    pub session_id: SessionId,
    /// Its user.
    pub user_id: UserId,
    /// Shows at later sign-ins that this device was here before: strangers who guess cannot keep it out. Keep it as
    /// long as you can, for this account only. `None` when the device has one already, and after a refresh.
    pub device_token: Option<SecretString>,
}

/// What a host's source of claims may look at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClaimsContext {
    /// The user that the token is for.
    pub user_id: UserId,
    /// The session that it is for.
    pub session_id: SessionId,
    /// The user's roles.
    pub roles: Vec<String>,
}

/// Makes the host's own claims.
pub(crate) type ClaimsSource = Arc<dyn Fn(ClaimsContext) -> BoxFuture<'static, Result<Value>> + Send + Sync>;

/// A session and the facts that its tokens will state.
pub(crate) struct Facts {
    pub(crate) session: Standing,
    pub(crate) ver: i64,
    pub(crate) roles: Vec<String>,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Facts({})", self.session.id)
    }
}

impl Ctx {
    /// Makes the tokens of a session at its present counter. The refresh token is the same each time.
    pub(crate) async fn issue(&self, meta: &RequestMeta, facts: Facts) -> Result<Tokens> {
        let session = &facts.session;
        self.owners.remember(session.id, session.user_id);
        let now = self.now();
        let access_end = (now + self.config.tokens.access_ttl).min(session.absolute_expires_at);
        let refresh_end =
            (session.rotated_at + self.config.sessions.idle_ttl).min(session.absolute_expires_at);
        let access_token = self.access_token(meta, &facts, now, access_end).await?;
        Ok(Tokens {
            access_token,
            refresh_token: self.refresh_token(session).await?,
            expires_in: to_seconds(access_end.since(now)),
            refresh_expires_in: to_seconds(refresh_end.since(now)),
            session_id: session.id,
            user_id: session.user_id,
            device_token: None,
        })
    }

    async fn access_token(
        &self,
        meta: &RequestMeta,
        facts: &Facts,
        now: Timestamp,
        end: Timestamp,
    ) -> Result<SecretString> {
        let session = &facts.session;
        let ext = match &self.claims {
            Some(source) => {
                let context = ClaimsContext {
                    user_id: session.user_id,
                    session_id: session.id,
                    roles: facts.roles.clone(),
                };
                Some(source(context).await?)
            }
            None => None,
        };
        let claims = AccessClaims {
            iss: self.issuer.clone(),
            aud: self.config.tokens.audience.clone(),
            sub: session.user_id,
            sid: session.id,
            jti: to_base64url(&random::bytes::<16>(&*self.random)?),
            iat: now,
            nbf: now,
            exp: end,
            auth_time: session.auth_time,
            amr: session.amr(),
            roles: facts.roles.clone(),
            org: None,
            ver: facts.ver,
            cip: session.bound.then(|| self.network_claim(session.id, meta)).transpose()?,
            ext,
        };
        let (kid, key) = self.keys.signing()?;
        claims.sign(kid, key.signing()?)
    }

    async fn refresh_token(&self, session: &Standing) -> Result<SecretString> {
        let kid: KeyId = session
            .key_id
            .parse()
            .map_err(|e| Error::internal("a session's key name is garbled").with_source(e))?;
        let key = self.keys.by_kid(&self.db, kid).await?;
        let key = key.ok_or_else(|| Error::internal("a session's token key is gone"))?;
        let counter = u64::try_from(session.counter).map_err(|_| Error::internal("a negative counter"))?;
        Ok(RefreshToken::issue(kid, &key.bytes32()?, session.id, counter))
    }

    /// The `cip` claim: key name and keyed hash of the network, so that a token works from nowhere else.
    fn network_claim(&self, session: SessionId, meta: &RequestMeta) -> Result<String> {
        let (key, kid) = self.keys.active_bytes(KeyPurpose::Lookup)?;
        Ok(network_claim(kid, &key, session, meta))
    }

    /// Whether the claim was made for the network that `meta` comes from. The ring is read again for a key that
    /// another node just made.
    pub(crate) async fn network_matches(
        &self,
        claim: &str,
        session: SessionId,
        meta: &RequestMeta,
    ) -> Result<bool> {
        let kid = claim.split('.').next().and_then(|kid| kid.parse::<KeyId>().ok());
        let (Some(kid), Some(_)) = (kid, meta.ip) else { return Ok(false) };
        let Some(key) = self.keys.by_kid(&self.db, kid).await? else { return Ok(false) };
        let expected = network_claim(kid, &key.bytes32()?, session, meta);
        Ok(mac::constant_time_eq(expected.as_bytes(), claim.as_bytes()))
    }
}

/// To the nearest second: a clock read twice should not cost one.
fn to_seconds(span: Duration) -> u64 {
    (span + Duration::from_millis(500)).as_secs()
}

fn network_claim(kid: KeyId, key: &[u8; 32], session: SessionId, meta: &RequestMeta) -> String {
    let network = meta.ip.map(network_of).unwrap_or_default();
    let tag = mac::mac(key, &[b"cip", session.as_uuid().as_bytes(), &network]);
    format!("{kid}.{}", to_base64url(tag.first_chunk::<16>().map_or(&[][..], |t| &t[..])))
}
