use std::path::PathBuf;

use super::super::dev_keys::tests::TempDir;
use super::super::{Environment, Secrets};
use super::*;
use crate::error::ErrorKind;
use crate::random::SystemRandom;
use crate::secret::ExposeSecret as _;

const KEY: &str = "q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0";

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn file(dir: &TempDir, text: &[u8]) -> PathBuf {
    let path = dir.join("my.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn reads_file_and_environment_and_makes_the_dev_key() {
    let dir = TempDir::new();
    let url = format!("sqlite://{}", dir.join("a.db").display());
    let path = file(&dir, b"session_policy = \"multi\"\n");
    let env = || variables(&[("DATABASE_URL", url.as_str()), ("SESSION_MAX_PER_USER", "3")]);
    let shown = check(Some(&path), env(), false).unwrap();
    assert!(shown.secrets.token_pepper.is_empty() && !dir.join("a.db.token_pepper").exists());
    let first = load(Some(&path), env(), false, &SystemRandom::new()).unwrap();
    let second = load(Some(&path), env(), false, &SystemRandom::new()).unwrap();
    let key = |secrets: &Secrets| secrets.token_pepper[0].expose_secret().to_owned();
    assert_eq!(key(&first.secrets), key(&second.secrets));
    assert_eq!(first.config.sessions.max_per_user, 3);
    assert_eq!(first.origin("TOKEN_PEPPER"), Origin::Made(dir.join("a.db.token_pepper")));
}

#[test]
fn a_named_file_must_exist_and_be_text() {
    let dir = TempDir::new();
    let absent = dir.join("absent.toml");
    let error = check(Some(&absent), [], false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("absent.toml"), "{error}");
    let error = check(Some(&file(&dir, b"env = \"\xff\"")), [], false).unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
    // What it would have set is not judged.
    let prod = || variables(&[("ENV", "prod")]);
    for text in [b"env = \"\xff\"".as_slice(), b"token_pepper = CANARY"] {
        let error = check(Some(&file(&dir, text)), prod(), false).unwrap_err().to_string();
        assert!(error.starts_with("1 setting is wrong:") && !error.contains("CANARY"), "{error}");
    }
    // None in the working directory of the tests: that is fine.
    assert_eq!(check(None, [], false).unwrap().config.env, Environment::Dev);
}

#[test]
fn lists_everything_one_a_line_with_its_source() {
    let dir = TempDir::new();
    let path = file(&dir, b"access_token_expire_minutes = 0\njwt_secret = \"CANARY\"\nfoo = 1\n");
    let env = variables(&[
        ("ENV", "prod"),
        ("SESSION_MAX_PER_USER", "x"),
        ("TOKEN_PEPPER", "CANARY"),
        ("MFA_POLICY", "off"),
    ]);
    let error = check(Some(&path), env, false).unwrap_err();
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    for (start, part) in [
        ("- foo (", "my.toml line 3) is no known key"),
        ("- SESSION_MAX_PER_USER (environment) is \"x\"", "set it to 1 to 1000"),
        ("- ACCESS_TOKEN_EXPIRE_MINUTES (", "my.toml line 1) is 0 minutes"),
        ("- JWT_SECRET (", "my.toml line 2) is set, but JWT_ALG is EdDSA"),
        ("- TOKEN_PEPPER (environment) is shorter", "openssl rand -base64 32"),
        ("- EMAIL_VERIFICATION (default) is required", "optional or off"),
    ] {
        assert!(lines.iter().any(|line| line.starts_with(start) && line.contains(part)), "{start}\n{text}");
    }
    assert_eq!((lines[0], lines.len()), ("6 settings are wrong:", 7), "{text}");
    assert!(!format!("{text}{error:?}").contains("CANARY"));
}

#[test]
fn what_could_not_be_read_is_reported_once() {
    let env = variables(&[
        ("ENV", "prod"),
        ("EMAIL_VERIFICATION", "off"),
        ("PUBLIC_URL", "https://a.example"),
        ("TOKEN_PEPPER_FILE", "/nowhere/at/all"),
        ("MFA_POLICY", "off"),
    ]);
    let text = check(None, env, false).unwrap_err().to_string();
    assert!(text.starts_with("1 setting is wrong:\n- TOKEN_PEPPER_FILE (environment) "), "{text}");
}

#[cfg(unix)]
#[test]
fn other_encodings_matter_only_in_settings() {
    use std::os::unix::ffi::OsStringExt as _;

    let odd = || OsString::from_vec(b"CANARY\xff".to_vec());
    assert!(check(None, [("ELSE".into(), odd()), (odd(), odd())], false).is_ok());
    let error = check(None, [("JWT_SECRET".into(), odd())], false).unwrap_err().to_string();
    assert!(error.contains("JWT_SECRET (environment) is not UTF-8") && !error.contains("CANARY"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_secret_in_a_file_open_to_all_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = TempDir::new();
    let path = file(&dir, format!("token_pepper = \"{KEY}\"\n").as_bytes());
    for (mode, count) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let settings = check(Some(&path), [], false).unwrap();
        assert_eq!(settings.warnings.len(), count, "{mode:o}");
        assert!(!format!("{settings:?}").contains(KEY));
    }
}
