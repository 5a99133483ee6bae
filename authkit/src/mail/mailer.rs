//! What sends a mail: the trait, the finished mail, and why sending failed.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::mime;
use super::template::Template;
use crate::ids::MailId;
use crate::time::Timestamp;

/// A mail, finished. `Debug` shows neither its text nor its address: the text holds live secrets.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutgoingMail {
    /// Its row in the outbox. A mail that is sent twice, because a process died at the wrong moment, has the same.
    pub id: MailId,
    /// What kind it is.
    pub template: Template,
    /// When it was written.
    pub created_at: Timestamp,
    /// `MAIL_FROM`, with or without a name.
    pub from: String,
    /// The address, as stored with the account.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The plain part. A link stands on a line of its own.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

impl OutgoingMail {
    /// The bare address of the sender.
    pub fn from_address(&self) -> &str {
        mime::bare_address(&self.from)
    }

    /// `Message-ID` with its angle brackets: the same for every try, so that receivers can drop a second copy.
    pub fn message_id(&self) -> String {
        let domain = self.from_address().rsplit_once('@').map_or("localhost", |(_, domain)| domain);
        format!("<{}@{domain}>", self.id)
    }

    /// The whole message as it goes over the wire (RFC 5322), lines ended by CRLF. ASCII but for addresses that are
    /// not.
    pub fn to_message(&self) -> Vec<u8> {
        mime::message(self)
    }
}

impl fmt::Debug for OutgoingMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMail")
            .field("id", &self.id)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

/// Why a mail was not sent. The text must hold neither the address nor any part of the mail: it is stored and logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailError {
    kind: MailErrorKind,
    text: String,
}

/// What to do about a [`MailError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailErrorKind {
    /// Nothing can be sent at all right now: every mail waits, and this does not count as a try.
    Unreachable,
    /// This mail failed, and may succeed later.
    Temporary,
    /// This mail will never be taken.
    Permanent,
}

impl MailError {
    /// Nothing can be sent at all right now.
    pub fn unreachable(text: impl Into<String>) -> Self {
        Self { kind: MailErrorKind::Unreachable, text: text.into() }
    }

    /// This mail failed, and may succeed later.
    pub fn temporary(text: impl Into<String>) -> Self {
        Self { kind: MailErrorKind::Temporary, text: text.into() }
    }

    /// This mail will never be taken.
    pub fn permanent(text: impl Into<String>) -> Self {
        Self { kind: MailErrorKind::Permanent, text: text.into() }
    }

    /// What to do about it.
    pub const fn kind(&self) -> MailErrorKind {
        self.kind
    }
}

impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for MailError {}

/// Sends mails. Called by the outbox's worker, several at a time; a call may be dropped in the middle when it takes
/// more than 45 seconds, and what it holds must then be given up.
///
/// `Ok` means that the mail is now somebody else's to deliver. A mailer that may have handed a mail over and does
/// not know it answers [`MailError::temporary`]: then it is sent again with the same `Message-ID`.
pub trait Mailer: Send + Sync + 'static {
    /// Sends one mail.
    fn send(&self, mail: OutgoingMail) -> BoxFuture<'_, Result<(), MailError>>;
}

impl Mailer for Arc<dyn Mailer> {
    fn send(&self, mail: OutgoingMail) -> BoxFuture<'_, Result<(), MailError>> {
        (**self).send(mail)
    }
}
