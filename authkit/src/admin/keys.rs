//! Data keys: rotate.

use crate::audit::Entry;
use crate::config::JwtAlgorithm;
use crate::crypto::keys::{KeyInfo, KeyPurpose};
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::meta::RequestMeta;

impl Ctx {
    /// Returns the new key.
    pub(super) async fn rotate_key_in(
        &self,
        tx: &mut Tx<'_>,
        purpose: KeyPurpose,
        meta: &RequestMeta,
    ) -> Result<Ruling<KeyInfo>> {
        if purpose == KeyPurpose::Jwt && self.config.tokens.algorithm == JwtAlgorithm::Hs256 {
            let text = "access tokens are signed with JWT_SECRET, which is not kept in the store";
            return Ok(Err(Error::new(ErrorKind::Conflict, text).with_public(text)));
        }
        let kid = self.keys.rotate(tx, purpose).await?.to_string();
        let made = self.keys.info_in(tx, &kid).await?;
        let entry = Entry::system(Action::KeyRotate).detail("purpose", purpose.name()).detail("kid", kid);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(made))
    }
}
