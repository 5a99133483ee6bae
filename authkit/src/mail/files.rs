//! Mails as files, for development: a mail program opens them, and nothing leaves the machine.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;

use super::mailer::{MailError, Mailer, OutgoingMail};

/// Writes each mail as `ID.eml` into a folder, which is made when the first mail comes. The names sort by time; a mail
/// that is sent again replaces itself.
///
/// # Security
/// The files hold live links. They are readable by their owner only, and for development only.
#[derive(Debug, Clone)]
pub struct FileMailer {
    dir: PathBuf,
}

impl FileMailer {
    /// Mails go into `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }
}

impl Mailer for FileMailer {
    fn send(&self, mail: OutgoingMail) -> BoxFuture<'_, Result<(), MailError>> {
        let dir = self.dir.clone();
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || write(&dir, &mail)).await;
            match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(MailError::unreachable(format!("MAIL_DIR cannot be written: {error}"))),
                Err(_) => Err(MailError::temporary("writing a file panicked")),
            }
        })
    }
}

/// Whole or not at all: whoever watches the folder sees no half mail.
fn write(dir: &Path, mail: &OutgoingMail) -> std::io::Result<()> {
    make_folder(dir)?;
    let (part, whole) = (dir.join(format!(".{}.part", mail.id)), dir.join(format!("{}.eml", mail.id)));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    file.write_all(&mail.to_message())?;
    drop(file);
    std::fs::rename(&part, &whole)
}

fn make_folder(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}
