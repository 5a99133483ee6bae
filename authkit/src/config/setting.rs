use super::{Config, Secrets};

/// The parts in which settings are shown and documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Section {
    /// Store, addresses, browsers, logs.
    Server,
    /// Sign-up, verification, roles.
    Accounts,
    /// Organisations, roles on resources, invitations.
    Authorization,
    /// Password policy and hash cost.
    Passwords,
    /// Access tokens and the keys behind all tokens.
    Tokens,
    /// Sessions and refresh tokens.
    Sessions,
    /// Second factors.
    Mfa,
    /// API keys.
    ApiKeys,
    /// Limits of requests.
    Limits,
    /// Locks after failed sign-ins.
    Lockout,
    /// Mail: server, sender, what is not told.
    Mail,
    /// Passkeys.
    Passkeys,
    /// Removing what is of no more use.
    Cleanup,
}

impl Section {
    pub(super) const ALL: &[Self] = &[
        Self::Server,
        Self::Accounts,
        Self::Authorization,
        Self::Passwords,
        Self::Tokens,
        Self::Sessions,
        Self::Mfa,
        Self::ApiKeys,
        Self::Limits,
        Self::Lockout,
        Self::Mail,
        Self::Passkeys,
        Self::Cleanup,
    ];

    /// The name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Accounts => "Accounts",
            Self::Authorization => "Organisations and invitations",
            Self::Passwords => "Passwords",
            Self::Tokens => "Tokens and keys",
            Self::Sessions => "Sessions",
            Self::Mfa => "Second factors",
            Self::ApiKeys => "API keys",
            Self::Limits => "Limits of requests",
            Self::Mail => "Mail",
            Self::Passkeys => "Passkeys",
            Self::Cleanup => "Cleaning up",
            Self::Lockout => "Locks after failed sign-ins",
        }
    }
}

/// The TOML type of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Whole,
    Switch,
    /// An array of strings, or one string with commas.
    List,
}

/// How much of a value may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// All.
    Plain,
    /// A URL that may hold a password: all but that. Has a `_FILE` twin.
    Url,
    /// Nothing. Has a `_FILE` twin.
    Secret,
}

/// What holds when a setting is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// This value, as it could be written.
    Value(&'static str),
    /// A rule, in words.
    Rule(&'static str),
}

/// What is being read.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) secrets: Secrets,
}

pub(super) type Set = fn(&mut Draft, &str) -> Result<(), String>;
pub(super) type Show = fn(&Config, &Secrets) -> String;

/// One setting: everything that reading, checking, showing and documenting it needs.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub(super) name: &'static str,
    pub(super) section: Section,
    pub(super) kind: Kind,
    pub(super) sight: Sight,
    pub(super) absent: Absent,
    pub(super) values: &'static str,
    pub(super) doc: &'static str,
    pub(super) set: Set,
    pub(super) show: Show,
}

impl Setting {
    /// The name in the environment; in small letters it is the key of `authkit.toml`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The part to which it belongs.
    pub const fn section(&self) -> Section {
        self.section
    }

    /// What holds when it is not set, as text.
    pub const fn default(&self) -> &'static str {
        match self.absent {
            Absent::Value(text) | Absent::Rule(text) => text,
        }
    }

    /// Which values it takes, as text.
    pub const fn values(&self) -> &'static str {
        self.values
    }

    /// What it does: one sentence in Markdown.
    pub const fn doc(&self) -> &'static str {
        self.doc
    }

    /// Whether its value is never shown.
    pub const fn is_secret(&self) -> bool {
        matches!(self.sight, Sight::Secret)
    }

    /// Whether `NAME_FILE` may name a file that holds the value.
    pub const fn has_file_twin(&self) -> bool {
        !matches!(self.sight, Sight::Plain)
    }

    /// Whether an empty text is a value: the empty list, the empty prefix.
    pub(super) fn takes_empty(&self) -> bool {
        self.name == "API_PREFIX" || (self.kind == Kind::List && !self.is_secret())
    }
}
