//! Where secrets come from: a prompt, standard input, a file that others cannot read, or chance. Never an argument.

use std::io::{self, Read};
use std::path::Path;

use authkit::config::read_secret_file;
use authkit::random::{SecureRandom as _, SystemRandom};
use authkit::secret::{ExposeSecret as _, SecretString};

use crate::app::App;
use crate::cli::{Format, PasswordArgs};
use crate::errors::{CliError, Code, Result, Subject, about};

/// Bytes of a secret at the most.
const MAX_BYTES: u64 = 64 * 1024;
/// Without letters that look like another: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstvwxyz0123456789";

/// A new password and whether it was made here.
#[derive(Debug)]
pub(crate) struct NewPassword {
    pub(crate) text: SecretString,
    generated: bool,
}

impl NewPassword {
    /// What is printed beside the resource: the password, when nobody else knows it.
    pub(crate) fn shown_once(&self, dry_run: bool) -> Vec<(&'static str, String)> {
        let shown = self.generated && !dry_run;
        shown.then(|| ("password", self.text.expose_secret().to_owned())).into_iter().collect()
    }
}

/// A new password from where the flags say, or typed twice.
pub(crate) async fn new_password(app: &mut App, args: &PasswordArgs) -> Result<NewPassword> {
    if args.generate && matches!(app.format(), Format::Id | Format::Csv) {
        let what = "--generate prints the password, for which -o id and -o csv have no place";
        return Err(CliError::new(Code::Meaningless, what).next("use -o table, json, jsonl or yaml").into());
    }
    let text = if args.generate {
        generated()?
    } else if args.password_stdin {
        from_stdin(app).await?
    } else if let Some(path) = &args.password_file {
        from_file(path)?
    } else {
        typed_twice(app).await?
    };
    Ok(NewPassword { text, generated: args.generate })
}

/// 125 bits, in groups.
pub(crate) fn generated() -> Result<SecretString> {
    let mut bytes = [0; 25];
    SystemRandom::new().fill(&mut bytes).map_err(about(Subject::Store))?;
    let mut out = String::with_capacity(29);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % 5 == 0 {
            out.push('-');
        }
        out.push(ALPHABET.get(usize::from(byte % 32)).copied().map_or('a', char::from));
    }
    Ok(SecretString::from(out))
}

/// All of standard input, line ends at its end dropped.
pub(crate) async fn from_stdin(app: &mut App) -> Result<SecretString> {
    let stdin = std::mem::replace(&mut app.io.stdin, Box::new(io::empty()));
    // A thread of its own: a signal must end the program while it waits.
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        stdin.take(MAX_BYTES + 1).read_to_string(&mut text).map(|_| SecretString::from(text))
    });
    let text = read.await.map_err(|_| unreadable("standard input", "it broke"))?;
    let text = text.map_err(|error| unreadable("standard input", &error.to_string()))?;
    checked("standard input", text.expose_secret())
}

/// The content of a file that others cannot read.
pub(crate) fn from_file(path: &Path) -> Result<SecretString> {
    let name = path.display().to_string();
    let file = read_secret_file(path).map_err(|error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return CliError::new(Code::NotPermitted, format!("{name} cannot be read: {error}")).into();
        }
        unreadable(&name, &error.to_string())
    })?;
    if file.world_readable {
        let what = format!("{name} can be read by every account of this machine");
        return Err(CliError::new(Code::SecretOpen, what).next(format!("chmod 600 {name}")).into());
    }
    checked(&name, file.content.expose_secret())
}

/// Typed once, not shown.
pub(crate) async fn typed(app: &mut App, label: &'static str, instead: &str) -> Result<SecretString> {
    let Some(text) = app.ask(move |prompt| prompt.secret(label)).await? else {
        let error = CliError::new(Code::SecretMissing, "there is nobody to ask for the secret");
        return Err(error.next(format!("give it by {instead}")).into());
    };
    checked("the secret", text.expose_secret())
}

async fn typed_twice(app: &mut App) -> Result<SecretString> {
    let instead = "--password-stdin or --password-file FILE, or let --generate make one";
    let first = typed(app, "New password", instead).await?;
    let second = typed(app, "Again", instead).await?;
    if first.expose_secret() == second.expose_secret() {
        Ok(first)
    } else {
        Err(CliError::new(Code::SecretDiffers, "the two passwords are not the same").into())
    }
}

fn checked(name: &str, text: &str) -> Result<SecretString> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(CliError::new(Code::SecretEmpty, format!("{name} is empty")).into());
    }
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(unreadable(name, "longer than 64 KiB"));
    }
    Ok(SecretString::from(text))
}

fn unreadable(name: &str, why: &str) -> crate::errors::Failure {
    CliError::new(Code::SecretUnreadable, format!("{name} cannot be read: {why}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_long_and_differ() {
        let (one, two) = (generated().unwrap(), generated().unwrap());
        assert_eq!(one.expose_secret().len(), 29);
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert!(!format!("{one:?}").contains(one.expose_secret()));
    }
}
