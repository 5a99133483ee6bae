//! Mail: an outbox in the store, a worker that empties it, mailers that send, templates that give the words.
//!
//! A flow puts facts into the outbox, in its own transaction. The worker ([`crate::AuthKit::deliver`]) takes them
//! out under a lease, makes the words, hands them to a [`Mailer`], and wipes the facts. So a slow or dead mail server
//! changes neither an answer nor its time, and nothing is lost.

mod english;
mod files;
mod mailer;
mod mime;
mod outbox;
pub(crate) mod queue;
#[cfg(feature = "smtp")]
mod smtp;
mod store;
mod template;
mod text;
mod worker;

use std::sync::Arc;

use crate::config::{Config, Secrets};
use crate::error::Result;

pub use files::FileMailer;

pub use mailer::{MailError, MailErrorKind, Mailer, OutgoingMail};
pub(crate) use outbox::locale_of;
pub(crate) use outbox::{Mail, Outbox, Told, ToldLink};
pub use queue::{MailFilter, MailState, QueuedMail};
#[cfg(feature = "smtp")]
#[cfg_attr(docsrs, doc(cfg(feature = "smtp")))]
pub use smtp::SmtpMailer;
pub use template::Template;
pub(crate) use text::Texts;
pub use text::{MailText, RenderedMail};
pub use worker::Delivery;
pub(crate) use worker::{Courier, MailHealth};

/// The mailer that the settings name: an SMTP server, else in development a folder of files, else none.
///
/// # Errors
/// [`crate::ErrorKind::Config`] for settings that cannot work, and for an SMTP server in a build without `smtp`.
pub fn mailer_of(config: &Config, secrets: &Secrets) -> Result<Option<Arc<dyn Mailer>>> {
    if config.mail.smtp_host.is_some() {
        return smtp_mailer(config, secrets).map(Some);
    }
    Ok(config.has_mailer().then(|| Arc::new(FileMailer::new(&config.mail.dir)) as Arc<dyn Mailer>))
}

#[cfg(feature = "smtp")]
fn smtp_mailer(config: &Config, secrets: &Secrets) -> Result<Arc<dyn Mailer>> {
    Ok(Arc::new(SmtpMailer::new(config, secrets)?))
}

#[cfg(not(feature = "smtp"))]
fn smtp_mailer(_config: &Config, _secrets: &Secrets) -> Result<Arc<dyn Mailer>> {
    Err(crate::Error::config("SMTP_HOST is set, but this build has no SMTP: enable the feature `smtp`"))
}
