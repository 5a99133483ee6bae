//! Putting mails into the outbox: a row in the transaction of what the mail tells, so that neither is there without
//! the other.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::store::{self, NewRow};
use super::template::Template;
use crate::config::{MailConfig, Notice};
use crate::crypto::key_id::KeyId;
use crate::crypto::keys::{KeyPurpose, Keys};
use crate::crypto::seal;
use crate::db::{Conn, Db, Tx};
use crate::error::{Error, Result};
use crate::events::{Event, Outcome};
use crate::ids::{MailId, UserId};
use crate::random::SharedRandom;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::time::{SharedClock, Timestamp};

/// Sealed payloads are filled up to a multiple of this, so that their length tells nothing.
const BLOCK: usize = 1024;
/// What stands in the column for a mail that is none.
pub(super) const NONE: &str = "none";

/// A mail to be. Its facts are data: the words come from templates when it is sent.
#[derive(Clone)]
pub(crate) struct Mail<'a> {
    pub(crate) template: Template,
    /// The address as stored, never as somebody submitted it (R3).
    pub(crate) to: &'a str,
    pub(crate) user: Option<UserId>,
    /// Wanted language, such as `de` or `de-AT`; anything unknown means English.
    pub(crate) locale: &'a str,
    /// The secret of its link. The link itself is made of `PUBLIC_URL` and nothing else (R13).
    pub(crate) token: Option<&'a str>,
    /// What the template tells besides: `code`, `minutes`, `role`, … See [`super::text::known`].
    pub(crate) vars: Map<String, Value>,
    /// From then on it is not sent any more: the end of its link.
    pub(crate) not_after: Option<Timestamp>,
}

impl<'a> Mail<'a> {
    /// A mail of that kind to a stored address.
    pub(crate) fn new(template: Template, to: &'a str) -> Self {
        Self { template, to, user: None, locale: "", token: None, vars: Map::new(), not_after: None }
    }

    /// Whom it is about.
    pub(crate) fn user(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    /// In which language, see [`locale_of`].
    pub(crate) fn locale(mut self, locale: &'a str) -> Self {
        self.locale = locale;
        self
    }

    /// The secret of its link, in URL-safe characters.
    pub(crate) fn token(mut self, token: &'a str) -> Self {
        self.token = Some(token);
        self
    }

    /// A fact for the template.
    pub(crate) fn var(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    /// From then on it is not worth sending.
    pub(crate) fn not_after(mut self, end: Timestamp) -> Self {
        self.not_after = Some(end);
        self
    }
}

/// The language that a profile asks for by its member `locale`; empty when it asks for none.
pub(crate) fn locale_of(profile: &Value) -> &str {
    profile.get("locale").and_then(Value::as_str).unwrap_or_default()
}

/// What a row holds, sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) to: String,
    pub(super) locale: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) token: Option<String>,
    pub(super) vars: Map<String, Value>,
}

/// A link that goes with a notice.
#[derive(Debug, Clone)]
pub(crate) struct ToldLink {
    pub(crate) template: Template,
    pub(crate) token: SecretString,
    /// Further facts of the template.
    pub(crate) vars: Vec<(&'static str, SecretString)>,
    pub(crate) not_after: Timestamp,
}

/// What a notice tells beside its event; not part of the event, and so neither in the audit nor in hooks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// A link that goes with it, in a mail of its own kind.
    pub(crate) link: Option<ToldLink>,
    /// Another address than the account's present one: the old one, when it was changed.
    pub(crate) to: Option<String>,
}

/// The outbox of one kit. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox {
    inner: Arc<Inner>,
}

struct Inner {
    clock: SharedClock,
    random: SharedRandom,
    keys: Arc<Keys>,
    config: MailConfig,
    /// Whether there is anything that sends.
    on: bool,
    /// There is something to send: for the worker of this process.
    wake: Notify,
}

impl Outbox {
    pub(crate) fn new(
        clock: SharedClock,
        random: SharedRandom,
        keys: Arc<Keys>,
        config: MailConfig,
        on: bool,
    ) -> Self {
        Self { inner: Arc::new(Inner { clock, random, keys, config, on, wake: Notify::new() }) }
    }

    /// Whether mails can be sent. Without a mailer flows that need one answer 503 to everyone (contract section 3).
    pub(crate) fn is_on(&self) -> bool {
        self.inner.on
    }

    /// 503 without a mailer. Call it before anything that depends on an account.
    pub(crate) fn require(&self) -> Result<()> {
        if self.is_on() {
            Ok(())
        } else {
            Err(Error::unavailable("no mail can be sent: SMTP_HOST is not set"))
        }
    }

    /// Done when something new may be due.
    pub(super) async fn woken(&self) {
        self.inner.wake.notified().await;
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    pub(super) fn random(&self) -> &SharedRandom {
        &self.inner.random
    }

    /// Puts a mail into the outbox, in the caller's transaction. It is sent after the commit.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] without a mailer; [`crate::ErrorKind::Internal`] for a token that is not
    /// URL-safe.
    pub(crate) async fn enqueue(&self, tx: &mut Tx<'_>, mail: Mail<'_>) -> Result<MailId> {
        if mail.token.is_some_and(|token| token.is_empty() || !token.bytes().all(is_unreserved)) {
            return Err(Error::internal("a link's secret is not URL-safe"));
        }
        let payload = Payload {
            to: mail.to.to_owned(),
            locale: mail.locale.to_owned(),
            token: mail.token.map(str::to_owned),
            vars: mail.vars,
        };
        let end = mail.not_after.unwrap_or(self.inner.clock.now() + mail.template.lifetime());
        self.put(tx, mail.template.name(), mail.user, &payload, end).await
    }

    /// Puts a row of kind `none` into the outbox: the answer for an unknown address costs the same writes as for a
    /// known one (R5), here and in the worker.
    ///
    /// # Errors
    /// As [`Self::enqueue`].
    pub(crate) async fn enqueue_nothing(&self, tx: &mut Tx<'_>) -> Result<MailId> {
        let payload = Payload {
            to: String::new(),
            locale: String::new(),
            token: Some("0".repeat(48)),
            vars: Map::new(),
        };
        let end = self.inner.clock.now() + Duration::from_hours(1);
        self.put(tx, NONE, None, &payload, end).await
    }

    async fn put(
        &self,
        tx: &mut Tx<'_>,
        template: &str,
        user: Option<UserId>,
        payload: &Payload,
        expires_at: Timestamp,
    ) -> Result<MailId> {
        self.require()?;
        let inner = &self.inner;
        let now = inner.clock.now();
        let id = MailId::generate(now, &*inner.random)?;
        let (key, kid) = inner.keys.active_bytes(KeyPurpose::Outbox)?;
        let key = Zeroizing::new(key);
        let sealed = seal::seal_with(&key, &filled(payload)?, &associated(id), &*inner.random)?;
        let kid = kid.to_string();
        let row = NewRow { id, template, user, key_id: &kid, payload: &sealed, now, expires_at };
        store::insert(tx.conn(), &row).await?;
        self.wake_after(tx);
        Ok(id)
    }

    /// Something in the outbox is due once the transaction is durable.
    pub(crate) fn wake_after(&self, tx: &mut Tx<'_>) {
        let woken = Arc::clone(&self.inner);
        tx.on_commit(move || woken.wake.notify_one());
    }

    pub(super) async fn open(&self, db: &Db, id: MailId, key_id: &str, sealed: &[u8]) -> Result<Payload> {
        let kid: KeyId = key_id.parse().map_err(|_| Error::internal("a key's name is garbled"))?;
        let key = self.inner.keys.by_kid(db, kid).await?;
        let key = Zeroizing::new(key.ok_or_else(|| Error::internal("the key of a mail is gone"))?.bytes32()?);
        let text = seal::open_with(&key, sealed, &associated(id))?;
        serde_json::from_slice(&text).map_err(|_| Error::internal("a mail's payload is not JSON"))
    }

    /// Tells the owner of an account of an event, when it is one to be told of: at most one mail of a kind in a window,
    /// so that a stranger cannot fill a mailbox. In the transaction of the event.
    pub(crate) async fn tell(&self, tx: &mut Tx<'_>, event: &Event, told: &Told) -> Result<()> {
        let Some((notice, user)) = notice_of(event, told).zip(event.user_id) else { return Ok(()) };
        if !self.is_on() || !self.inner.config.tells(notice) {
            return Ok(());
        }
        let Some((stored, profile)) = store::recipient(tx.conn(), user).await? else { return Ok(()) };
        if !store::tell(tx.conn(), user, notice, event.at, event.at - window(notice)).await? {
            return Ok(());
        }
        let profile: Value = serde_json::from_str(&profile).unwrap_or_default();
        let to = told.to.as_deref().unwrap_or(&stored);
        let mut mail = Mail::new(told.link.as_ref().map_or(notice.into(), |link| link.template), to)
            .user(user)
            .locale(locale_of(&profile))
            .var("at", minute(event.at));
        if let Some(ip) = event.ip {
            mail = mail.var("ip", ip.to_string());
        }
        if let Some(link) = &told.link {
            mail = mail.token(link.token.expose_secret()).not_after(link.not_after);
            for (name, value) in &link.vars {
                mail = mail.var(name, value.expose_secret());
            }
        }
        self.enqueue(tx, mail).await.map(|_| ())
    }

    /// Forgets what became of up to `limit` mails that were done with 7 days ago. Returns how many.
    pub(crate) async fn sweep(conn: &mut Conn<'_>, now: Timestamp, limit: i64) -> Result<u64> {
        store::sweep(conn, now - super::worker::KEPT, limit).await
    }

    /// Mails of an account, for its purge.
    pub(crate) async fn forget(conn: &mut Conn<'_>, user: UserId) -> Result<()> {
        store::forget(conn, user).await
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("on", &self.inner.on).finish_non_exhaustive()
    }
}

/// Of which events an owner is told. By name, so that a feature that brings an event brings its notice along.
fn notice_of(event: &Event, told: &Told) -> Option<Notice> {
    let done = event.outcome == Outcome::Success;
    let is_set = |name: &str| event.details.get(name).and_then(Value::as_bool).unwrap_or(false);
    match event.action.name() {
        "password.change" | "password.set" | "password.reset" if done => Some(Notice::PasswordChanged),
        // Whoever changes an address says where the news goes: the account's present address is the new one.
        "user.update" | "email.change" | "email.undo" if done && told.to.is_some() => {
            Some(Notice::EmailChanged)
        }
        "mfa.add" | "mfa.confirm" | "passkey.add" if done => Some(Notice::FactorAdded),
        "mfa.remove" | "mfa.disable" | "mfa.reset" | "passkey.remove" if done => Some(Notice::FactorRemoved),
        "mfa.backup_code" if done && is_set("few_left") => Some(Notice::BackupCodesLow),
        "login" if done && is_set("new_device") => Some(Notice::NewDevice),
        "api_key.create" if done => Some(Notice::ApiKeyCreated),
        "lockout.lock" => Some(Notice::AccountLocked),
        "refresh.reuse" => Some(Notice::RefreshReplayed),
        _ => None,
    }
}

/// What strangers can bring about is told rarely; what needs the account itself almost each time.
const fn window(notice: Notice) -> Duration {
    match notice {
        Notice::AccountLocked => Duration::from_hours(24),
        Notice::RefreshReplayed => Duration::from_hours(1),
        _ => Duration::from_mins(1),
    }
}

/// A sealed mail moved to another row does not open.
fn associated(id: MailId) -> Vec<u8> {
    format!("authkit outbox {id}").into_bytes()
}

fn filled(payload: &Payload) -> Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(2 * BLOCK));
    serde_json::to_writer(&mut *text, payload)
        .map_err(|e| Error::internal("a mail's payload cannot be written").with_source(e))?;
    let whole = text.len().div_ceil(BLOCK).max(1).saturating_mul(BLOCK);
    text.resize(whole, b' ');
    Ok(text)
}

/// `2026-01-31 09:05 UTC`.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {} UTC", time.get(..5).unwrap_or(time))
}

/// Never escaped in a URL, so never spelled in two ways (RFC 3986 section 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_payload_tells_nothing() {
        let of = |to: &str| {
            filled(&Payload { to: to.into(), locale: String::new(), token: None, vars: Map::new() }).unwrap()
        };
        assert_eq!(of("a@b.example").len(), of(&"a".repeat(250)).len());
        assert_eq!(of(&"a".repeat(2000)).len() % BLOCK, 0);
    }

    #[test]
    fn times_are_told_to_the_minute() {
        assert_eq!(minute(Timestamp::from_micros(1_700_000_000_123_456)), "2023-11-14 22:13 UTC");
    }

    #[test]
    fn a_language_is_taken_from_the_profile() {
        assert_eq!(locale_of(&serde_json::json!({ "locale": "de-AT" })), "de-AT");
        assert_eq!(locale_of(&serde_json::json!({ "locale": 7 })), "");
        assert_eq!(locale_of(&Value::Null), "");
    }
}
