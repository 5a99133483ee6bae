//! All of it for a binary: file, environment, checks, and the key that development needs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::dev_keys::complete_dev_secrets;
use super::parse::read;
use super::problem::{Origin, SettingError, SettingWarning};
use super::secret_file::{is_world_readable, read_secret_file};
use super::settings::Settings;
use super::table::settings;
use crate::error::{Error, Result};
use crate::random::SecureRandom;

/// The file that is read from the working directory when no other is named.
pub const FILE_NAME: &str = "authkit.toml";

/// Reads and judges all settings, and makes the root key that development on SQLite needs.
///
/// `path` is the file that was asked for (`-c FILE`): it must exist. Without one `authkit.toml` in the
/// working directory is read when it is there. `variables` is the environment, as from
/// [`std::env::vars_os`]. `has_mailer`
/// says whether the host brings a mailer of its own, beside the one that the settings name.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config); its `Display` lists all that is wrong, one a line,
/// and holds no secret.
pub fn load(
    path: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    has_mailer: bool,
    random: &dyn SecureRandom,
) -> Result<Settings> {
    let mut settings = check(path, variables, has_mailer)?;
    complete_dev_secrets(&mut settings, random)?;
    Ok(settings)
}

/// [`load`] that makes no key: changes nothing on this machine. For `authctl config check` and `show`.
pub fn check(
    path: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    has_mailer: bool,
) -> Result<Settings> {
    let mut errors = Vec::new();
    let name = path.unwrap_or(Path::new(FILE_NAME));
    let shown = name.display().to_string();
    let text = match fs::read(name) {
        Ok(bytes) => as_text(bytes, &shown, &mut errors),
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let problem = format!("cannot be read: {error}");
            errors.push(whole_file(&shown, problem, "name a file that exists and can be read"));
            None
        }
    };
    let variables = decoded(variables, &mut errors);
    let toml = text.as_ref().map(|text| (shown.as_str(), text.as_str()));
    let (mut result, unread) = read(toml, variables, &read_secret_file);
    errors.extend(unread);
    // Without the file everything in it would seem to be missing.
    let whole = !errors.iter().any(|error| error.setting == shown);
    if whole && let Err(invalid) = result.validate(has_mailer || result.config.has_mailer()) {
        // A setting that could not be read was judged by its default: that says nothing.
        let known = |error: &SettingError| {
            errors.iter().any(|earlier| {
                let name = earlier.setting.to_ascii_uppercase();
                name == error.setting || name.strip_suffix("_FILE") == Some(&error.setting)
            })
        };
        let invalid: Vec<_> = invalid.into_iter().filter(|error| !known(error)).collect();
        errors.extend(invalid);
    }
    if !errors.is_empty() {
        return Err(Error::config(listed(&errors)));
    }
    if text.is_some() && is_world_readable(name) {
        warn_of_open_file(&mut result, &shown);
    }
    Ok(result)
}

fn whole_file(shown: &str, problem: impl Into<String>, fix: &str) -> SettingError {
    SettingError::new(shown.to_owned(), Origin::Host, problem, fix)
}

fn as_text(bytes: Vec<u8>, shown: &str, errors: &mut Vec<SettingError>) -> Option<Zeroizing<String>> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            errors.push(whole_file(shown, "is not UTF-8 text", "save it as UTF-8"));
            None
        }
    }
}

/// Names and values as text. What is not UTF-8 matters only where it is a setting.
fn decoded(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    errors: &mut Vec<SettingError>,
) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        let base = name.strip_suffix("_FILE").unwrap_or(&name);
        match value.into_string() {
            Ok(value) => out.push((name, value)),
            Err(_) if settings().iter().any(|setting| setting.name == base) => errors.push(
                SettingError::new(name, Origin::Environment, "is not UTF-8 text", "set it again as UTF-8"),
            ),
            Err(_) => {}
        }
    }
    out
}

fn listed(errors: &[SettingError]) -> String {
    let head = match errors.len() {
        1 => "1 setting is wrong:".to_owned(),
        count => format!("{count} settings are wrong:"),
    };
    errors.iter().fold(head, |text, error| format!("{text}\n- {error}"))
}

fn warn_of_open_file(result: &mut Settings, shown: &str) {
    for setting in settings().iter().filter(|setting| setting.is_secret()) {
        let origin = result.origin(setting.name);
        if matches!(origin, Origin::Toml { .. }) {
            result.warnings.push(SettingWarning::new(
                setting.name,
                origin,
                "stands in a file that every account of this machine can read",
                format!("run `chmod 600 {shown}`, or use {}_FILE", setting.name),
            ));
        }
    }
}

#[cfg(test)]
mod tests;
