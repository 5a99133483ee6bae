//! Mail: an outbox in the store, a worker that empties it, mailers that send, templates that give the words.
//!
//! A flow puts facts into the outbox, in its own transaction. The worker ([`crate::AuthKit::deliver`]) takes them
//! out under a lease, makes the words, hands them to a [`Mailer`], and wipes the facts. So a slow or dead mail server
//! changes neither an answer nor its time, and nothing is lost.

mod mailer;
mod mime;
mod outbox;
mod store;
mod template;

pub use mailer::{MailError, MailErrorKind, Mailer, OutgoingMail};
pub(crate) use outbox::locale_of;
pub(crate) use outbox::{Mail, Outbox, Told};
pub use template::Template;
