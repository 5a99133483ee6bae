//! Passkeys as second factors.

use crate::db::{Conn, Tx};
use crate::error::{ErrorKind, Result};
use crate::flows::{Amr, Ctx, PasskeyProof, Ruling};
use crate::ids::UserId;
use crate::meta::RequestMeta;
use crate::mfa::FactorInfo;

impl Ctx {
    /// Whether an account has a passkey.
    #[expect(
        clippy::unused_async,
        clippy::unused_self,
        reason = "passkeys are read from the store once there are any"
    )]
    pub(crate) async fn has_passkeys(&self, _conn: &mut Conn<'_>, _user: UserId) -> Result<bool> {
        Ok(false)
    }

    /// Judges a passkey of `user` that answers a challenge, and uses the challenge up. The account's row is held. What
    /// it proves comes back; a refusal is [`ErrorKind::MfaInvalid`] and is told by the caller.
    #[expect(clippy::unused_async, clippy::unused_self, reason = "nobody has a passkey yet")]
    pub(crate) async fn judge_passkey(
        &self,
        _tx: &mut Tx<'_>,
        _meta: &RequestMeta,
        _user: UserId,
        _proof: &PasskeyProof,
    ) -> Result<Ruling<Amr>> {
        Ok(Err(ErrorKind::MfaInvalid.into()))
    }

    /// The passkeys of an account, as their owner sees them.
    #[expect(clippy::unused_async, clippy::unused_self, reason = "nobody has a passkey yet")]
    pub(crate) async fn passkey_infos(&self, _conn: &mut Conn<'_>, _user: UserId) -> Result<Vec<FactorInfo>> {
        Ok(Vec::new())
    }

    /// Removes all passkeys of an account, whose row is held. Returns how many there were.
    #[expect(clippy::unused_async, clippy::unused_self, reason = "nobody has a passkey yet")]
    pub(crate) async fn remove_passkeys(&self, _tx: &mut Tx<'_>, _user: UserId) -> Result<u64> {
        Ok(0)
    }
}
