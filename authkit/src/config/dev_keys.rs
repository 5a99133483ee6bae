//! The root key that development makes for itself. Touches files: for binaries only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::Environment;
use super::database_url::{Store, store};
use super::problem::Origin;
use super::secret_file::{SecretFile, read_secret_file};
use super::secrets::weakness;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::random::{self, SecureRandom};
use crate::secret::{ExposeSecret as _, SecretString};

const SUFFIX: &str = ".token_pepper";
const INSTEAD: &str = "or set TOKEN_PEPPER to a key of your own";

/// Gives `settings` the root key that is missing in development on SQLite: the one kept beside the
/// database file, made when there is none yet. Does nothing anywhere else, nor when a key is set.
///
/// A store in memory gets a key that ends with the process.
pub fn complete_dev_secrets(settings: &mut Settings, random: &dyn SecureRandom) -> Result<()> {
    if settings.config.env != Environment::Dev || !settings.secrets.token_pepper.is_empty() {
        return Ok(());
    }
    let (key, origin) = match store(&settings.config.server.database_url) {
        Some(Store::SqliteFile(path)) => {
            let path = key_path(&path);
            (read_or_make(&path, random)?, Origin::Made(path))
        }
        Some(Store::SqliteMemory) => (new_key(random)?, Origin::Forgotten),
        Some(Store::Postgres) | None => return Ok(()),
    };
    settings.secrets.token_pepper.push(key);
    settings.origins.insert("TOKEN_PEPPER", origin);
    Ok(())
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
    match store(database_url) {
        Some(Store::SqliteFile(path)) => read_or_make(&key_path(&path), random),
        _ => Err(Error::config("TOKEN_PEPPER is missing, and only a SQLite file keeps a key beside it")),
    }
}

fn key_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

fn read_or_make(path: &Path, random: &dyn SecureRandom) -> Result<SecretString> {
    match read_secret_file(path) {
        Ok(file) => return judge(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(path, error)),
    }
    let key = new_key(random)?;
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
                "TOKEN_PEPPER ({}) cannot be made: {error}; make its directory writable, {INSTEAD}",
                path.display()
            );
            return Err(Error::config(message).with_source(error));
        }
    }
    // Also what this process made is read back: what counts is what others will read.
    let file = read_secret_file(path).map_err(|error| unreadable(path, error))?;
    judge(path, file)
}

fn new_key(random: &dyn SecureRandom) -> Result<SecretString> {
    let bytes = Zeroizing::new(random::bytes::<32>(random)?);
    Ok(SecretString::from(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
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

fn judge(path: &Path, file: SecretFile) -> Result<SecretString> {
    let problem = if file.world_readable {
        "can be read by every account of this machine; run `chmod 600` on it"
    } else if let Some(problem) = weakness(&file.content) {
        return Err(Error::config(format!(
            "TOKEN_PEPPER ({}) {problem}; restore the file (what is sealed in the store needs that very key), \
             or remove it together with the database, {INSTEAD}",
            path.display()
        )));
    } else {
        return Ok(file.content);
    };
    Err(Error::config(format!("TOKEN_PEPPER ({}) {problem}, {INSTEAD}", path.display())))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let message = format!(
        "TOKEN_PEPPER ({}) cannot be read: {error}; make it a file that this account can read, {INSTEAD}",
        path.display()
    );
    Error::config(message).with_source(error)
}

#[cfg(test)]
pub(super) mod tests;
