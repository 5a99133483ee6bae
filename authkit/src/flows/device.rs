//! Devices at sign-in: shown, remembered, used.

use crate::audit::Entry;
use crate::crypto::keys::KeyPurpose;
use crate::db::Tx;
use crate::devices::{self, DeviceToken, NewDevice, Presented};
use crate::error::Result;
use crate::flows::Ctx;
use crate::flows::gate::Started;
use crate::ids::{DeviceId, UserId};
use crate::secret::SecretString;
use crate::users::Email;

/// The device from which a session begins.
#[derive(Debug, Clone)]
pub(crate) enum Device {
    /// It showed itself.
    Known(Presented),
    /// It is told its token.
    New(NewDevice),
}

impl Device {
    pub(crate) fn id(&self) -> DeviceId {
        match self {
            Self::Known(device) => device.id,
            Self::New(device) => device.id,
        }
    }

    /// What the client is to keep; `None` when only its session told which device it is.
    pub(crate) fn token(&self) -> Option<SecretString> {
        match self {
            Self::Known(device) => device.token.clone(),
            Self::New(device) => Some(device.token.clone()),
        }
    }
}

/// Whether the owner is to be told of a device.
#[derive(Debug, Clone, Copy)]
#[must_use = "the notice hangs on it"]
pub(crate) struct DeviceNews(bool);

impl DeviceNews {
    /// The event of a sign-in, with what its notice hangs on.
    pub(crate) fn on(self, entry: Entry) -> Entry {
        if self.0 { entry.detail("new_device", true) } else { entry }
    }
}

impl Ctx {
    /// The device that a token shows, if we made that token for that e-mail. Costs no statement, except once a second
    /// for a key that is not known yet.
    pub(crate) async fn shown_device(
        &self,
        token: Option<&SecretString>,
        email: &Email,
    ) -> Result<Option<Presented>> {
        let Some(token) = token.and_then(DeviceToken::parse) else { return Ok(None) };
        let Some(key) = self.keys.by_kid(&self.db, token.key_id).await? else { return Ok(None) };
        Ok(token.verify(&key.bytes32()?, email.key()))
    }

    /// The device that shows itself, if it is that user's.
    pub(crate) async fn own_device(
        &self,
        shown: Presented,
        user: UserId,
        email: &Email,
    ) -> Result<Option<Presented>> {
        let (device, key) = (shown.clone(), email.key().to_owned());
        let owner = self
            .db
            .read(move |conn| Box::pin(async move { devices::store::owner(conn, &device, &key).await }))
            .await?;
        let own = owner.filter(|(owner, _)| *owner == user);
        Ok(own.map(|(_, last_used_at)| Presented { last_used_at: Some(last_used_at), ..shown }))
    }

    /// The device that an attempt showed and that counted, else a new one.
    pub(crate) fn device_of(&self, known: Option<&Presented>, email: &Email) -> Result<Device> {
        if let Some(known) = known {
            return Ok(Device::Known(known.clone()));
        }
        let (key, kid) = self.keys.active_bytes(KeyPurpose::Lookup)?;
        let id = DeviceId::generate(self.now(), &*self.random)?;
        Ok(Device::New(DeviceToken::issue(kid, &key, id, email.key(), &*self.random)?))
    }

    /// In the transaction that begins the session, after its user's row was taken. Returns whether the user is
    /// to be told: of a device that did not show itself, and of which nothing else was seen before either.
    pub(crate) async fn remember_device(
        &self,
        tx: &mut Tx<'_>,
        device: &Device,
        started: &Started,
    ) -> Result<DeviceNews> {
        let (session, now) = (&started.session, self.now());
        match device {
            Device::Known(known) if known.is_due(now) => {
                devices::store::touch(tx.conn(), known.id, now).await?;
                Ok(DeviceNews(false))
            }
            Device::Known(_) => Ok(DeviceNews(false)),
            Device::New(new) => {
                devices::store::insert(tx.conn(), new, session.user_id, session.epoch, now).await?;
                Ok(DeviceNews(started.elsewhere))
            }
        }
    }
}
