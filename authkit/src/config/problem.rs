use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// Where a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Not set: the default of this build.
    Default,
    /// A key of `authkit.toml`.
    Toml {
        /// The file, as it was named.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// The environment.
    Environment,
    /// The file that a `_FILE` twin names.
    File(PathBuf),
    /// Made by this program and kept in that file. Development only.
    Made(PathBuf),
    /// Made by this program and forgotten when it ends (a store in memory). Development only.
    Forgotten,
    /// Set in code by the application that embeds the library.
    Host,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Toml { file, line } => write!(f, "{file} line {line}"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Made(path) => write!(f, "made and kept in {}", path.display()),
            Self::Forgotten => f.write_str("made for this process only"),
            Self::Host => f.write_str("set in code"),
        }
    }
}

macro_rules! problem {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            /// The name as its source spells it: `JWT_SECRET`, or a key of `authkit.toml`.
            pub setting: Cow<'static, str>,
            /// Where the value came from.
            pub origin: Origin,
            /// What is wrong. Continues a sentence that starts with the name.
            pub problem: String,
            /// What to do. An imperative sentence without its full stop.
            pub fix: String,
        }

        impl $name {
            pub(super) fn new(
                setting: impl Into<Cow<'static, str>>,
                origin: Origin,
                problem: impl Into<String>,
                fix: impl Into<String>,
            ) -> Self {
                Self { setting: setting.into(), origin, problem: problem.into(), fix: fix.into() }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} ({}) {}; {}.", self.setting, self.origin, self.problem, self.fix)
            }
        }
    };
}

problem! {
    /// Why a setting cannot be used. Names the setting, its source, what is wrong and the fix; never
    /// holds the value of a secret (R15).
    SettingError
}
problem! {
    /// What is allowed but probably not meant. Never holds the value of a secret (R15).
    SettingWarning
}

impl std::error::Error for SettingError {}
