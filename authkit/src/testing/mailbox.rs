use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

use crate::mail::{MailError, Mailer, OutgoingMail, Template};

/// A mailer that keeps what it is given, and fails when a test tells it to. Clones share their mails.
#[derive(Debug, Clone, Default)]
pub struct Mailbox {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    mails: Vec<OutgoingMail>,
    failures: VecDeque<MailError>,
    down: bool,
}

impl Mailbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All mails so far, the oldest first.
    pub fn mails(&self) -> Vec<OutgoingMail> {
        self.inner().mails.clone()
    }

    /// All mails so far, which are taken out.
    pub fn take(&self) -> Vec<OutgoingMail> {
        std::mem::take(&mut self.inner().mails)
    }

    /// Mails to that address.
    pub fn to(&self, address: &str) -> Vec<OutgoingMail> {
        self.inner().mails.iter().filter(|mail| mail.to == address).cloned().collect()
    }

    /// The newest mail of that kind to that address.
    pub fn newest(&self, template: Template, address: &str) -> Option<OutgoingMail> {
        self.inner().mails.iter().rev().find(|mail| mail.template == template && mail.to == address).cloned()
    }

    /// The next mail fails so; call it again for more.
    pub fn fail_next(&self, error: MailError) {
        self.inner().failures.push_back(error);
    }

    /// Whether nothing can be sent at all.
    pub fn set_down(&self, down: bool) {
        self.inner().down = down;
    }
}

impl Mailer for Mailbox {
    fn send(&self, mail: OutgoingMail) -> BoxFuture<'_, Result<(), MailError>> {
        Box::pin(async move {
            let mut inner = self.inner();
            if inner.down {
                return Err(MailError::unreachable("the mailbox is down"));
            }
            if let Some(error) = inner.failures.pop_front() {
                return Err(error);
            }
            inner.mails.push(mail);
            Ok(())
        })
    }
}

impl OutgoingMail {
    /// The secret of the mail's link, as it stands in the plain part.
    pub fn link_token(&self) -> Option<String> {
        let line = self.text.lines().find_map(|line| line.split_once("?token="))?;
        Some(line.1.trim().to_owned())
    }
}
