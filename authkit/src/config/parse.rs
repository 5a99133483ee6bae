//! From `authkit.toml` and environment variables to [`Settings`], without side effects of its own.

mod toml_file;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use self::toml_file::{Layer, TomlText};
use super::near::environment_miss;
use super::problem::{Origin, SettingError, SettingWarning};
use super::secret_file::SecretFile;
use super::setting::{Draft, Setting, Sight};
use super::settings::Settings;
use super::table::settings;
use crate::secret::{ExposeSecret as _, SecretString};

/// Reads settings from the text of `authkit.toml` (with the name to call it by) and from environment
/// variables, which win. Reports ALL that is wrong, not only the first thing.
///
/// - Keys of the file are the names of [`settings`](super::settings) in small letters, `[[roles]]` and
///   `[[resource_types]]`.
///   An unknown key is an error. Unknown environment names are ignored, near misses warned about.
/// - `NAME_FILE` (in the file: `name_file`) names a file that holds the value, for secrets and
///   `DATABASE_URL`. It is read through `read_file`; a relative path starts at the working directory.
/// - Both `NAME` and `NAME_FILE` in one source, an empty value, a value that cannot be read, a key file
///   that others can read: errors.
///
/// No message holds the value of a secret (R15). Ranges are judged by [`Settings::validate`].
pub fn parse(
    toml: Option<(&str, &str)>,
    variables: impl IntoIterator<Item = (String, String)>,
    read_file: &dyn Fn(&Path) -> io::Result<SecretFile>,
) -> Result<Settings, Vec<SettingError>> {
    let (settings, errors) = read(toml, variables, read_file);
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

/// [`parse`] that gives what it could read beside the errors, so that a caller can judge that, too.
pub(super) fn read(
    toml: Option<(&str, &str)>,
    variables: impl IntoIterator<Item = (String, String)>,
    read_file: &dyn Fn(&Path) -> io::Result<SecretFile>,
) -> (Settings, Vec<SettingError>) {
    let mut reader =
        Reader { draft: Draft::default(), origins: BTreeMap::new(), errors: Vec::new(), read_file };
    let file = toml.map(|(name, text)| toml_file::read(&TomlText { name, text }, &mut reader.errors));
    let mut file = file.unwrap_or_default();
    let environment: BTreeMap<String, String> = variables.into_iter().collect();
    for setting in settings() {
        reader.read(setting, &file.layer, &environment);
    }
    if let Some((roles, origin)) = file.roles.take() {
        reader.draft.config.accounts.roles = roles;
        reader.origins.insert("roles", origin);
    }
    if let Some((types, origin)) = file.resource_types.take() {
        reader.draft.config.authz.resource_types = types;
        reader.origins.insert("resource_types", origin);
    }
    let settings = Settings {
        config: reader.draft.config,
        secrets: reader.draft.secrets,
        warnings: near_misses(&environment),
        origins: reader.origins,
    };
    (settings, reader.errors)
}

/// A text with its source: the value, or (for a `_FILE` twin) the path of the file that holds it.
struct Given<'a> {
    name: String,
    text: &'a str,
    origin: Origin,
}

struct Reader<'r> {
    draft: Draft,
    origins: BTreeMap<&'static str, Origin>,
    errors: Vec<SettingError>,
    read_file: &'r dyn Fn(&Path) -> io::Result<SecretFile>,
}

impl Reader<'_> {
    fn read(&mut self, setting: &'static Setting, file: &Layer, environment: &BTreeMap<String, String>) {
        let in_file = |name: &str| {
            let key = name.to_ascii_lowercase();
            file.get(&key).map(|(text, origin)| Given {
                name: key,
                text: text.expose_secret(),
                origin: origin.clone(),
            })
        };
        let in_environment = |name: &str| {
            environment.get(name).map(|text| Given {
                name: name.to_owned(),
                text,
                origin: Origin::Environment,
            })
        };
        let twin = setting.has_file_twin().then(|| format!("{}_FILE", setting.name));
        let file_value = in_file(setting.name);
        let file_twin = twin.as_deref().and_then(in_file);
        let value = in_environment(setting.name);
        let value_twin = twin.as_deref().and_then(in_environment);

        let overridden = value.is_some() || value_twin.is_some();
        self.read_source(setting, file_value.as_ref(), file_twin.as_ref(), overridden);
        self.read_source(setting, value.as_ref(), value_twin.as_ref(), false);
    }

    /// One source. A value that another source overrides is still judged; a file is then not opened.
    fn read_source(
        &mut self,
        setting: &'static Setting,
        value: Option<&Given<'_>>,
        twin: Option<&Given<'_>>,
        overridden: bool,
    ) {
        match (value, twin) {
            (Some(value), Some(twin)) => self.errors.push(SettingError::new(
                value.name.clone(),
                value.origin.clone(),
                format!("and {} are both set", twin.name),
                "keep one of the two",
            )),
            (Some(value), None) => self.apply(setting, value),
            (None, Some(twin)) if !overridden => self.apply_file(setting, twin),
            (None, _) => {}
        }
    }

    fn apply(&mut self, setting: &'static Setting, given: &Given<'_>) {
        let text = if setting.sight == Sight::Secret { given.text } else { given.text.trim() };
        let result = if text.trim().is_empty() && !setting.takes_empty() {
            Err("is empty".to_owned())
        } else {
            (setting.set)(&mut self.draft, text)
        };
        match result {
            Ok(()) => {
                self.origins.insert(setting.name, given.origin.clone());
            }
            Err(problem) => self.errors.push(SettingError::new(
                given.name.clone(),
                given.origin.clone(),
                problem,
                format!("set it to {}, or remove it", setting.values),
            )),
        }
    }

    fn apply_file(&mut self, setting: &'static Setting, twin: &Given<'_>) {
        let path = PathBuf::from(twin.text.trim());
        let problem: (String, String) = match (self.read_file)(&path) {
            Ok(file) if file.world_readable => (
                format!("names a file that every account of this machine can read: {}", path.display()),
                "run `chmod 600` on it, and replace the secret if others may have seen it".into(),
            ),
            Ok(file) => {
                let given = Given {
                    name: twin.name.clone(),
                    text: file.content.expose_secret(),
                    origin: Origin::File(path),
                };
                return self.apply(setting, &given);
            }
            Err(error) => file_problem(&error, &path, setting),
        };
        self.errors.push(SettingError::new(twin.name.clone(), twin.origin.clone(), problem.0, problem.1));
    }
}

/// A path is shown only when something stands there: else the secret itself may have been put in its place.
fn file_problem(error: &io::Error, path: &Path, setting: &Setting) -> (String, String) {
    let what = match error.kind() {
        io::ErrorKind::PermissionDenied => "a file that this process may not read",
        io::ErrorKind::IsADirectory => "a directory",
        io::ErrorKind::InvalidData => "a file that is not UTF-8 text",
        io::ErrorKind::FileTooLarge => "a file of more than 64 KiB",
        _ => {
            return (
                "names no file that can be read (its text is not shown, in case it is the secret itself)"
                    .into(),
                format!("set it to the path of a file that holds {}", setting.name),
            );
        }
    };
    let fix = format!("give it the path of a readable text file that holds {}", setting.name);
    (format!("names {what}: {}", path.display()), fix)
}

fn near_misses(environment: &BTreeMap<String, String>) -> Vec<SettingWarning> {
    let known = |name: &str| {
        settings().iter().any(|setting| {
            name == setting.name
                || (setting.has_file_twin() && name.strip_suffix("_FILE") == Some(setting.name))
        })
    };
    let mut warnings = Vec::new();
    for name in environment.keys().filter(|name| !known(name)) {
        let mut warn = |problem: String, fix: String| {
            warnings.push(SettingWarning::new(name.clone(), Origin::Environment, problem, fix));
        };
        let base = name.strip_suffix("_FILE").unwrap_or(name);
        let plain = settings().iter().find(|setting| setting.name == base && base != "ENV");
        if let Some(setting) = plain {
            warn("is ignored: only secrets are read from files".into(), format!("set {}", setting.name));
        } else if let Some(meant) = environment_miss(base, settings().iter().map(|setting| setting.name)) {
            let twin = if base.len() < name.len() { "_FILE" } else { "" };
            warn(
                format!("is ignored; {meant}{twin} may be meant"),
                format!("rename it, or leave it when it belongs to something else than {meant}"),
            );
        }
    }
    warnings
}

/// A value on its way from the file to the table: it may be a secret.
fn hidden(text: impl Into<String>) -> SecretString {
    SecretString::from(text.into())
}

#[cfg(test)]
mod tests;
