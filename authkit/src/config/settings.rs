use std::collections::BTreeMap;

use super::problem::{Origin, SettingError, SettingWarning};
use super::setting::Setting;
use super::table::settings;
use super::{Config, Secrets};

/// What [`parse`](super::parse) read: settings, secrets, and where each came from.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Everything but the secrets.
    pub config: Config,
    /// The secrets.
    pub secrets: Secrets,
    /// What is probably not meant. For the log; nothing there is secret.
    pub warnings: Vec<SettingWarning>,
    /// Where the settings that are set came from, by name.
    pub origins: BTreeMap<&'static str, Origin>,
}

/// One line of `authctl config show`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShownSetting {
    /// What the setting is.
    pub setting: &'static Setting,
    /// Its value in effect; of a secret only `(set)` or nothing.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

impl Settings {
    /// Where the value of the setting `name` came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap_or(Origin::Default)
    }

    /// Every setting with its value in effect, fit to be shown to anybody.
    pub fn shown(&self) -> Vec<ShownSetting> {
        let show = |setting: &'static Setting| ShownSetting {
            setting,
            value: (setting.show)(&self.config, &self.secrets),
            origin: self.origin(setting.name),
        };
        settings().iter().map(show).collect()
    }

    /// [`Config::validate`], with warnings kept and every problem traced to where its value came from.
    pub fn validate(&mut self, has_mailer: bool) -> Result<(), Vec<SettingError>> {
        let origins = std::mem::take(&mut self.origins);
        let origin = |name: &str| origins.get(name).cloned().unwrap_or(Origin::Default);
        let result = match self.config.validate(&self.secrets, has_mailer) {
            Ok(warnings) => {
                self.warnings
                    .extend(warnings.into_iter().map(|w| SettingWarning { origin: origin(&w.setting), ..w }));
                Ok(())
            }
            Err(errors) => {
                Err(errors.into_iter().map(|e| SettingError { origin: origin(&e.setting), ..e }).collect())
            }
        };
        self.origins = origins;
        result
    }
}
