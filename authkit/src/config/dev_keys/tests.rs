use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::error::ErrorKind;
use crate::random::SystemRandom;

/// A directory that goes with the test.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("authkit-config-{}-{unique}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn url(dir: &TempDir) -> String {
    format!("sqlite://{}", dir.join("authkit.db").display())
}

fn files(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(&dir.0).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn makes_one_key_and_keeps_it() {
    let dir = TempDir::new();
    let first = dev_token_pepper(&url(&dir), &SystemRandom::new()).unwrap();
    let second = dev_token_pepper(&url(&dir), &SystemRandom::new()).unwrap();
    assert_eq!(first.expose_secret(), second.expose_secret());
    assert_eq!(weakness(&first), None);
    assert_eq!(files(&dir), ["authkit.db.token_pepper"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.join("authkit.db.token_pepper")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn processes_that_start_together_agree() {
    for _ in 0..20 {
        let dir = TempDir::new();
        let url = url(&dir);
        let barrier = Barrier::new(8);
        let keys: Vec<String> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                dev_token_pepper(&url, &SystemRandom::new()).unwrap().expose_secret().to_owned()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 1);
        assert_eq!(files(&dir), ["authkit.db.token_pepper"]);
    }
}

#[cfg(unix)]
#[test]
fn refuses_what_others_can_read_and_what_is_garbled() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = TempDir::new();
    let path = dir.join("authkit.db.token_pepper");
    dev_token_pepper(&url(&dir), &SystemRandom::new()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = dev_token_pepper(&url(&dir), &SystemRandom::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("chmod 600") && error.to_string().contains("authkit.db.token_pepper"));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for garbled in [b"".as_slice(), b"CANARY\n", b"CANARY\xff\xfe"] {
        fs::write(&path, garbled).unwrap();
        let error = dev_token_pepper(&url(&dir), &SystemRandom::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("authkit.db.token_pepper"), "{error}");
        assert!(!format!("{error:?} {error}").contains("CANARY"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), garbled, "never replaced: it may be repaired");
    }
}

#[test]
fn a_missing_directory_is_named() {
    let dir = TempDir::new();
    let url = format!("sqlite://{}", dir.join("absent").join("authkit.db").display());
    let error = dev_token_pepper(&url, &SystemRandom::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("absent"), "{error}");
    assert!(dev_token_pepper("postgres://h/db", &SystemRandom::new()).is_err());
}

#[test]
fn completes_only_what_is_missing_in_dev_on_sqlite() {
    let dir = TempDir::new();
    let random = SystemRandom::new();
    let settings = |env, database_url: &str| {
        let mut settings = Settings::default();
        settings.config.env = env;
        settings.config.server.database_url = database_url.into();
        settings
    };
    for (env, url) in [
        (Environment::Staging, url(&dir).as_str()),
        (Environment::Prod, url(&dir).as_str()),
        (Environment::Dev, "postgres://h/db"),
    ] {
        let mut other = settings(env, url);
        complete_dev_secrets(&mut other, &random).unwrap();
        assert!(other.secrets.token_pepper.is_empty());
    }
    assert!(files(&dir).is_empty());

    let mut own = settings(Environment::Dev, &url(&dir));
    own.secrets.token_pepper.push(SecretString::from("own"));
    own.secrets.mfa_encryption_key.push(SecretString::from("own"));
    complete_dev_secrets(&mut own, &random).unwrap();
    assert_eq!((own.secrets.token_pepper.len(), files(&dir).len()), (1, 0));

    let mut memory = settings(Environment::Dev, "sqlite::memory:");
    complete_dev_secrets(&mut memory, &random).unwrap();
    assert_eq!(memory.origin("TOKEN_PEPPER"), Origin::Forgotten);
    assert_eq!((memory.secrets.token_pepper.len(), files(&dir).len()), (1, 0));

    let mut made = settings(Environment::Dev, &url(&dir));
    complete_dev_secrets(&mut made, &random).unwrap();
    assert_eq!(made.origin("TOKEN_PEPPER"), Origin::Made(dir.join("authkit.db.token_pepper")));
    assert_eq!(made.secrets.token_pepper.len(), 1);
    assert_eq!(made.origin("MFA_ENCRYPTION_KEY"), Origin::Made(dir.join("authkit.db.mfa_encryption_key")));
    let key = dev_mfa_key(&url(&dir), &random).unwrap();
    assert!(is_fernet_key(&key) && weakness(&key).is_none());
    assert_eq!(key.expose_secret(), made.secrets.mfa_encryption_key[0].expose_secret());
}
