//! Mail through an SMTP server (RFC 5321), over `lettre`'s connection.
//!
//! Why a pool of our own: a try that is given up in the middle must take its connection along. In `lettre`'s pool it
//! would go back, and the next mail would read the answers to the last one.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lettre::Address;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use super::mailer::{MailError, MailErrorKind, Mailer, OutgoingMail};
use crate::config::{Config, Secrets, SmtpTls};
use crate::error::{Error, Result};
use crate::secret::ExposeSecret as _;
use crate::time::{Clock as _, SystemClock};

/// To connect, encrypt and sign in, all of it; and for the answer to a command.
const COMMAND: Duration = Duration::from_secs(8);
/// For the answer to a whole message, which servers scan.
const CONTENT: Duration = Duration::from_secs(25);
/// A connection that was idle for longer is not used again: servers close them.
const IDLE: Duration = Duration::from_secs(30);

type Sent<T> = std::result::Result<T, MailError>;

/// Sends through an SMTP server. Keeps connections for the next mails.
///
/// Without [`SmtpTls::None`] nothing is sent, not even a password, before the connection is encrypted and the
/// server's certificate leads to one of Mozilla's roots (or to one given by [`Self::trusting`]) for the name that was
/// set. Uses `ring` unless the process has installed another provider for rustls.
pub struct SmtpMailer {
    host: String,
    port: u16,
    tls: SmtpTls,
    parameters: Option<TlsParameters>,
    credentials: Option<Credentials>,
    hello: ClientId,
    times: Times,
    clock: SystemClock,
    idle: Mutex<Vec<(AsyncSmtpConnection, Duration)>>,
}

impl SmtpMailer {
    /// A mailer as `SMTP_HOST` and its siblings say. Connects to nothing yet.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] without a host, or with one for which there can be no certificate.
    pub fn new(config: &Config, secrets: &Secrets) -> Result<Self> {
        Self::build(config, secrets, None)
    }

    /// As [`Self::new`], trusting in addition the authority of this certificate (PEM): for a server with a private one.
    ///
    /// # Errors
    /// As there, and for a text that is no certificate.
    pub fn trusting(config: &Config, secrets: &Secrets, pem: &[u8]) -> Result<Self> {
        let root = Certificate::from_pem(pem)
            .map_err(|_| Error::config("the certificate of the mail server's authority cannot be read"))?;
        Self::build(config, secrets, Some(root))
    }

    fn build(config: &Config, secrets: &Secrets, root: Option<Certificate>) -> Result<Self> {
        let mail = &config.mail;
        let host = mail.smtp_host.clone().ok_or_else(|| Error::config("SMTP_HOST is not set"))?;
        let parameters = if mail.smtp_tls == SmtpTls::None {
            None
        } else {
            let mut builder = TlsParameters::builder(host.clone());
            if let Some(root) = root {
                builder = builder.add_root_certificate(root);
            }
            let built = builder.build_rustls();
            Some(built.map_err(|e| Error::config(format!("no TLS for SMTP_HOST: {e}")).with_source(e))?)
        };
        let credentials = match (&mail.smtp_user, &secrets.smtp_password) {
            (Some(user), Some(password)) => {
                Some(Credentials::new(user.clone(), password.expose_secret().to_owned()))
            }
            (None, None) => None,
            _ => return Err(Error::config("SMTP_USER and SMTP_PASSWORD belong together")),
        };
        Ok(Self {
            port: mail.port(),
            tls: mail.smtp_tls,
            host,
            parameters,
            credentials,
            hello: ClientId::default(),
            times: Times { command: COMMAND, content: CONTENT },
            clock: SystemClock::new(),
            idle: Mutex::default(),
        })
    }

    /// With other times to wait: for a connection or the answer to a command (8 s), and for the answer to a whole message
    /// (25 s). The worker gives up a mail after 45 s in all.
    #[must_use]
    pub fn with_time_outs(mut self, command: Duration, content: Duration) -> Self {
        self.times = Times { command, content };
        self
    }

    /// Connects, encrypts, signs in. Whatever fails here is nothing against the mail.
    async fn open(&self) -> Sent<AsyncSmtpConnection> {
        let opening = async {
            let wrapped = if self.tls == SmtpTls::Tls { self.parameters.clone() } else { None };
            let address = (self.host.as_str(), self.port);
            let mut conn = AsyncSmtpConnection::connect_tokio1(
                address,
                Some(self.times.command),
                &self.hello,
                wrapped,
                None,
            )
            .await
            .map_err(|e| unreachable("to connect", &e))?;
            if self.tls == SmtpTls::Starttls {
                let Some(parameters) = self.parameters.clone().filter(|_| conn.can_starttls()) else {
                    return Err(MailError::unreachable(
                        "the mail server offers no STARTTLS, which SMTP_TLS asks for",
                    ));
                };
                conn.starttls(parameters, &self.hello).await.map_err(|e| unreachable("to encrypt", &e))?;
            }
            if let Some(credentials) = &self.credentials {
                conn.auth(DEFAULT_MECHANISMS, credentials)
                    .await
                    .map_err(|e| unreachable("to sign in", &e))?;
            }
            Ok(conn)
        };
        match tokio::time::timeout(self.times.command, opening).await {
            Ok(out) => out,
            Err(_) => Err(MailError::unreachable("the mail server did not answer in time")),
        }
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let now = self.clock.monotonic();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| now.saturating_sub(*since) < IDLE);
        idle.pop().map(|(conn, _)| conn)
    }

    fn keep(&self, conn: AsyncSmtpConnection) {
        let now = self.clock.monotonic();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((conn, now));
    }

    async fn deliver(&self, mail: &OutgoingMail) -> Sent<()> {
        let message = mail.to_message();
        let (from, to) = (address(mail.from_address())?, address(&mail.to)?);
        let international = !(mail.to.is_ascii() && mail.from_address().is_ascii());
        // A kept connection may be closed by now: that is nothing against the mail, and nothing was sent.
        let kept = match self.take_idle() {
            Some(mut conn) => match self.begin(&mut conn, &from, international, message.is_ascii()).await {
                Err(refusal) if refusal.broken => None,
                begun => Some((conn, begun)),
            },
            None => None,
        };
        let (mut conn, begun) = if let Some(kept) = kept {
            kept
        } else {
            let mut conn = self.open().await?;
            let begun = self.begin(&mut conn, &from, international, message.is_ascii()).await;
            (conn, begun)
        };
        let done = match begun {
            Ok(()) => finish(&mut conn, to, &message, self.times).await,
            Err(refusal) => Err(refusal),
        };
        match done {
            Ok(()) => {
                self.keep(conn);
                Ok(())
            }
            Err(refusal) => {
                // The server said no and goes on listening.
                if !refusal.broken && command(&mut conn, Rset, "RSET", self.times).await.is_ok() {
                    self.keep(conn);
                }
                Err(refusal.error)
            }
        }
    }

    async fn begin(
        &self,
        conn: &mut AsyncSmtpConnection,
        from: &Address,
        international: bool,
        ascii: bool,
    ) -> std::result::Result<(), Refusal> {
        let mut parameters = Vec::new();
        if international {
            if !conn.server_info().supports_feature(Extension::SmtpUtfEight) {
                let error = MailError::permanent("the mail server takes no address outside of ASCII");
                return Err(Refusal { error, broken: false });
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !ascii {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let out = command(conn, MailFrom::new(Some(from.clone()), parameters), "MAIL", self.times).await;
        // A refused sender is a wrong setting, and no reason to throw mails away.
        out.map_err(|refusal| match refusal.error.kind() {
            MailErrorKind::Permanent => {
                Refusal { error: MailError::temporary(refusal.error.to_string()), ..refusal }
            }
            _ => refusal,
        })
    }
}

impl Mailer for SmtpMailer {
    fn send(&self, mail: OutgoingMail) -> BoxFuture<'_, Sent<()>> {
        Box::pin(async move { self.deliver(&mail).await })
    }
}

impl fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpMailer")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// A command that was not done.
struct Refusal {
    error: MailError,
    /// The connection is of no more use.
    broken: bool,
}

/// How long answers may take.
#[derive(Debug, Clone, Copy)]
struct Times {
    command: Duration,
    content: Duration,
}

async fn finish(
    conn: &mut AsyncSmtpConnection,
    to: Address,
    message: &[u8],
    times: Times,
) -> std::result::Result<(), Refusal> {
    command(conn, Rcpt::new(to, Vec::new()), "RCPT", times).await?;
    command(conn, Data, "DATA", times).await?;
    // Whatever happens from here on, the server may have the mail.
    match tokio::time::timeout(times.content, conn.command(content(message))).await {
        Ok(Ok(response)) if u16::from(response.code()) / 100 == 2 => Ok(()),
        Ok(Ok(_)) => Err(out_of_step("the message")),
        Ok(Err(error)) => Err(judge("the message", &error)),
        Err(_) => Err(timed_out("the message")),
    }
}

async fn command(
    conn: &mut AsyncSmtpConnection,
    command: impl fmt::Display,
    name: &str,
    times: Times,
) -> std::result::Result<(), Refusal> {
    match tokio::time::timeout(times.command, conn.command(command)).await {
        Ok(Ok(response)) => match u16::from(response.code()) {
            354 if name == "DATA" => Ok(()),
            200..=299 if name != "DATA" => Ok(()),
            _ => Err(out_of_step(name)),
        },
        Ok(Err(error)) => Err(judge(name, &error)),
        Err(_) => Err(timed_out(name)),
    }
}

/// The message with its dots doubled and its end (RFC 5321 section 4.5.2), to be sent in one piece: in two, the second
/// would wait 40 ms for the receipt of the first (Nagle's algorithm and delayed acknowledgements).
fn content(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.strip_suffix("\r\n").unwrap_or(&text).split("\r\n") {
        if line.starts_with('.') {
            out.push('.');
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    out.push_str(".\r\n");
    out
}

/// An answer that belongs to another command.
fn out_of_step(name: &str) -> Refusal {
    Refusal { error: MailError::temporary(format!("the answer to {name} makes no sense")), broken: true }
}

fn timed_out(name: &str) -> Refusal {
    Refusal { error: MailError::temporary(format!("no answer to {name} in time")), broken: true }
}

/// What the server said to this mail. Only its number is told: its text may repeat the address or the link (R15).
fn judge(name: &str, error: &SmtpError) -> Refusal {
    let Some(code) = error.status() else {
        return Refusal {
            error: MailError::temporary(format!("the connection broke at {name}")),
            broken: true,
        };
    };
    let number = u16::from(code);
    let text = format!("{name} was answered with {number}");
    match number {
        // The server is going away (RFC 5321 section 3.8).
        421 => Refusal { error: MailError::unreachable(text), broken: true },
        // It wants something of us, not of this mail (RFC 4954 section 6); or does not know the command.
        500..=504 | 530 | 534 | 535 | 538 => Refusal { error: MailError::temporary(text), broken: false },
        500..=599 => Refusal { error: MailError::permanent(text), broken: false },
        _ => Refusal { error: MailError::temporary(text), broken: false },
    }
}

fn unreachable(what: &str, error: &SmtpError) -> MailError {
    match error.status() {
        Some(code) => {
            MailError::unreachable(format!("it failed {what}: the mail server answered {}", u16::from(code)))
        }
        None if error.is_tls() => {
            MailError::unreachable(format!("it failed {what}: no TLS that can be trusted"))
        }
        None => MailError::unreachable(format!("it failed {what}: the mail server cannot be reached")),
    }
}

fn address(text: &str) -> Sent<Address> {
    let unusable = || MailError::permanent("the address cannot be written in SMTP");
    let (local, domain) = text.rsplit_once('@').ok_or_else(unusable)?;
    Address::new(local, domain).map_err(|_| unusable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_dot_does_not_end_the_message() {
        assert_eq!(content(b"a\r\n.\r\n..b\r\nc.\r\n"), "a\r\n..\r\n...b\r\nc.\r\n.\r\n");
        assert_eq!(content(b"a"), "a\r\n.\r\n");
    }

    #[test]
    fn addresses_are_one_address() {
        assert!(address("ada@example.com").is_ok() && address("jürgen@example.com").is_ok());
        for bad in
            ["", "ada", "ada@", "@example.com", "a@b\r\nRCPT TO:<x@y>", "a b@example.com", "<a@b.example>"]
        {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }
}
