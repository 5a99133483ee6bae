//! The keys that development makes for itself. Touches files: for binaries only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::Environment;
use super::database_url::{Store, store};
use super::problem::Origin;
use super::secret_file::{SecretFile, read_secret_file};
use super::secrets::{is_fernet_key, weakness};
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::random::{self, SecureRandom};
use crate::secret::{ExposeSecret as _, SecretString};

/// A key that development makes.
#[derive(Clone, Copy)]
struct Made {
    name: &'static str,
    suffix: &'static str,
    /// Whether base64url is padded, as in Fernet keys.
    padded: bool,
}

const TOKEN_PEPPER: Made = Made { name: "TOKEN_PEPPER", suffix: ".token_pepper", padded: false };
const MFA_KEY: Made = Made { name: "MFA_ENCRYPTION_KEY", suffix: ".mfa_encryption_key", padded: true };

/// Gives `settings` the keys that are missing in development on SQLite: those kept beside the
/// database file, made when there are none yet. Does nothing anywhere else, nor where a key is set.
///
/// A store in memory gets keys that end with the process.
pub fn complete_dev_secrets(settings: &mut Settings, random: &dyn SecureRandom) -> Result<()> {
    if settings.config.env != Environment::Dev {
        return Ok(());
    }
    let url = settings.config.server.database_url.clone();
    let mut complete = |what: Made, keys: &mut Vec<SecretString>| -> Result<()> {
        if !keys.is_empty() {
            return Ok(());
        }
        let (key, origin) = match store(&url) {
            Some(Store::SqliteFile(path)) => {
                let path = key_path(&path, what);
                (read_or_make(&path, what, random)?, Origin::Made(path))
            }
            Some(Store::SqliteMemory) => (new_key(what, random)?, Origin::Forgotten),
            Some(Store::Postgres) | None => return Ok(()),
        };
        keys.push(key);
        settings.origins.insert(what.name, origin);
        Ok(())
    };
    complete(TOKEN_PEPPER, &mut settings.secrets.token_pepper)?;
    complete(MFA_KEY, &mut settings.secrets.mfa_encryption_key)
}

/// The root key beside the SQLite file of `database_url` (`authkit.db.token_pepper`), made when there is
/// none, readable by this account only.
///
/// Processes that start together agree on one key: it is written to a file of its own first and then
/// linked to its name, which fails for all but the first.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config), naming the file and the fix: no SQLite file, others
/// can read the key, it is too short or garbled, or the directory cannot be written.
pub fn dev_token_pepper(database_url: &str, random: &dyn SecureRandom) -> Result<SecretString> {
    beside(database_url, TOKEN_PEPPER, random)
}

/// As [`dev_token_pepper`], the key that seals second factors (`authkit.db.mfa_encryption_key`).
///
/// # Errors
/// As there.
pub fn dev_mfa_key(database_url: &str, random: &dyn SecureRandom) -> Result<SecretString> {
    beside(database_url, MFA_KEY, random)
}

fn beside(database_url: &str, what: Made, random: &dyn SecureRandom) -> Result<SecretString> {
    match store(database_url) {
        Some(Store::SqliteFile(path)) => read_or_make(&key_path(&path, what), what, random),
        _ => {
            let name = what.name;
            Err(Error::config(format!("{name} is missing, and only a SQLite file keeps a key beside it")))
        }
    }
}

fn key_path(database: &Path, what: Made) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(what.suffix);
    PathBuf::from(name)
}

fn instead(what: Made) -> String {
    format!("or set {} to a key of your own", what.name)
}

fn read_or_make(path: &Path, what: Made, random: &dyn SecureRandom) -> Result<SecretString> {
    match read_secret_file(path) {
        Ok(file) => return judge(path, what, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(path, what, error)),
    }
    let key = new_key(what, random)?;
    let unique = URL_SAFE_NO_PAD.encode(random::bytes::<9>(random)?);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{unique}.tmp"));
    let temporary = PathBuf::from(name);
    let made = write_new(&temporary, &key).and_then(|()| fs::hard_link(&temporary, path));
    // Left behind it would be one more copy of the key; there is nothing more to do if that fails.
    let _ = fs::remove_file(&temporary);
    match made {
        Ok(()) => sync_directory(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            let message = format!(
                "{} ({}) cannot be made: {error}; make its directory writable, {}",
                what.name,
                path.display(),
                instead(what)
            );
            return Err(Error::config(message).with_source(error));
        }
    }
    // Also what this process made is read back: what counts is what others will read.
    let file = read_secret_file(path).map_err(|error| unreadable(path, what, error))?;
    judge(path, what, file)
}

fn new_key(what: Made, random: &dyn SecureRandom) -> Result<SecretString> {
    let bytes = Zeroizing::new(random::bytes::<32>(random)?);
    let engine = if what.padded { URL_SAFE } else { URL_SAFE_NO_PAD };
    Ok(SecretString::from(engine.encode(bytes.as_slice())))
}

fn write_new(path: &Path, key: &SecretString) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(key.expose_secret().as_bytes())?;
    file.write_all(b"\n")?;
    // Before it gets its name: data sealed under a key that a power cut took would be lost.
    file.sync_all()
}

fn sync_directory(path: &Path) {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Not every system can do that; the key is there in any case.
    let _ = File::open(parent.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all());
}

fn judge(path: &Path, what: Made, file: SecretFile) -> Result<SecretString> {
    let problem = if file.world_readable {
        "can be read by every account of this machine; run `chmod 600` on it"
    } else {
        let garbled = (what.padded && !is_fernet_key(&file.content)).then_some("is no Fernet key");
        let Some(problem) = garbled.or_else(|| weakness(&file.content)) else { return Ok(file.content) };
        return Err(Error::config(format!(
            "{} ({}) {problem}; restore the file (what is sealed in the store needs that very key), or remove it \
             together with the database, {}",
            what.name,
            path.display(),
            instead(what)
        )));
    };
    Err(Error::config(format!("{} ({}) {problem}, {}", what.name, path.display(), instead(what))))
}

fn unreadable(path: &Path, what: Made, error: io::Error) -> Error {
    let message = format!(
        "{} ({}) cannot be read: {error}; make it a file that this account can read, {}",
        what.name,
        path.display(),
        instead(what)
    );
    Error::config(message).with_source(error)
}

#[cfg(test)]
pub(super) mod tests;
