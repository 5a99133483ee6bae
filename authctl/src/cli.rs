//! The arguments: types only.
#![expect(clippy::doc_markdown, reason = "these comments are the help that is printed as it stands")]

mod api_key;
mod authz;
mod cleanup;
mod lockout;
mod mfa;
mod passkey;

use std::path::PathBuf;

use authkit::mail::{MailState, Template};
use authkit::{KeyPurpose, UserStatus};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub(crate) use api_key::ApiKeyCommand;
pub(crate) use authz::{AuthzCommand, InviteArgs, InviteCommand, MembershipCommand, OrgCommand, TargetArgs};
pub(crate) use cleanup::CleanupCommand;
pub(crate) use lockout::{LimitsCommand, LockoutCommand, LockoutWhich};
pub(crate) use mfa::MfaCommand;
pub(crate) use passkey::PasskeyCommand;

/// Administers the accounts, roles, sessions and keys of authkit.
///
/// Works on the same store, with the same settings, as authkit-server, whether that runs or not.
#[derive(Debug, Parser)]
#[command(name = "authctl", version, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(after_help = "Try `authctl help COMMAND`, and `authctl help codes` for error and exit codes.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Settings file [default: authkit.toml in the working directory, when there is one]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Form of the result [default: table]
    #[arg(short, long, value_name = "FORMAT", global = true)]
    pub(crate) output: Option<Format>,
    /// Never ask; where something must be asked, end with exit code 2
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Answer the question whether to go on with yes
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// Show what would change, and change nothing
    #[arg(short = 'n', long, global = true)]
    pub(crate) dry_run: bool,
    /// Only the result and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Also say which store and settings are used, and what caused an error
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Colours; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: Color,
    /// Why, for the audit log; one line of at most 500 characters
    #[arg(long, value_name = "TEXT", value_parser = reason, global = true)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Jsonl,
    Yaml,
    Csv,
    /// Names only, one a line
    Id,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show settings and check them
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at settings, store, keys and clock, and say what is wrong
    Doctor,
    /// Bring the store's schema up to date
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Make roles and accounts that should be there; a second run changes nothing
    #[command(long_about = SEED)]
    Seed(SeedArgs),
    /// Accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Roles and who holds them
    #[command(subcommand)]
    Role(RoleCommand),
    /// Organisations and their members
    #[command(subcommand)]
    Org(OrgCommand),
    /// Roles on organisations and on the host's own things
    #[command(subcommand)]
    Membership(MembershipCommand),
    /// Invitations
    #[command(subcommand)]
    Invite(InviteCommand),
    /// Who may do what
    #[command(subcommand)]
    Authz(AuthzCommand),
    /// Signed-in devices
    #[command(subcommand)]
    Session(SessionCommand),
    /// Passkeys of accounts
    #[command(subcommand)]
    Passkey(PasskeyCommand),
    /// Keys by which scripts and service accounts show who they are
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Locks after failed attempts, and what counts towards them
    #[command(subcommand)]
    Lockout(LockoutCommand),
    /// Second factors
    #[command(subcommand)]
    Mfa(MfaCommand),
    /// Look at access and refresh tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Data keys in the store
    #[command(subcommand)]
    Key(KeyCommand),
    /// Mails: try, look at their words, and what waits in the outbox
    #[command(subcommand)]
    Mail(MailCommand),
    /// Remove rows that are of no more use: for cron
    #[command(subcommand)]
    Cleanup(CleanupCommand),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all of them into a folder
    Man {
        /// Write authctl.1 and a page for every command into this folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Print the version
    Version,
    /// Explain a command, an error code such as E-USER-1, or all `codes`
    Help {
        /// Words of a command, an error code, or `codes`
        topic: Vec<String>,
    },
}

const SEED: &str = "\
Make roles and accounts that should be there; a second run changes nothing.

FILE is TOML:
  [[roles]]
  name = \"REVIEWER\"
  permissions = [\"documents:review\"]
  description = \"Reviews what others wrote\"

  [[users]]
  email = \"ada@example.com\"
  name = \"Ada\"
  roles = [\"REVIEWER\"]           # without it those of a sign-up
  email_verified = true
  password_file = \"ada.password\" # or password_env = \"NAME\", or generate_password = true, or none

  [[organisations]]
  name = \"Clinic\"
  owner = \"ada@example.com\"      # an account whose e-mail is proved
  members = { \"grace@example.com\" = \"member\" }

  [[memberships]]
  user = \"ada@example.com\"
  resource = \"project:42\"        # of a type that the settings declare
  role = \"owner\"

All of it is done in one transaction, or nothing. Accounts that exist keep their password and further roles.";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["file", "demo"]))]
pub(crate) struct SeedArgs {
    /// Seed file (TOML)
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The demo accounts admin@example.com and student@example.com, whose passwords everybody knows; ENV=dev only
    #[arg(long)]
    pub(crate) demo: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check all settings, without touching the store
    Check,
    /// Show every setting in effect; secrets are masked
    Show {
        /// Also where each value came from
        #[arg(long)]
        origin: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Compare the store's schema with this build
    Status {
        /// End with exit code 6 when the schema is behind
        #[arg(long)]
        check: bool,
    },
    /// Apply what is missing, all of it or nothing
    Up,
}

/// How much of a list.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// Rows, 1 to 200 [default: 50]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// Where to go on: `next_cursor` of the page before
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// All pages
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    pub(crate) all: bool,
}

/// Where a new password comes from. Never an argument: other accounts could read it.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("password_source"))]
pub(crate) struct PasswordArgs {
    /// Make a password and print it, once, with the result
    #[arg(long, group = "password_source")]
    pub(crate) generate: bool,
    /// Read the password from standard input
    #[arg(long, group = "password_source")]
    pub(crate) password_stdin: bool,
    /// Read the password from a file that other accounts cannot read
    #[arg(long, value_name = "FILE", group = "password_source")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum UserSort {
    /// Oldest first
    CreatedAt,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// List accounts; without --status those that are not deleted
    List {
        #[command(flatten)]
        page: PageArgs,
        /// Order
        #[arg(long, value_name = "FIELD")]
        sort: Option<UserSort>,
        /// Only of this status: active, disabled or deleted
        #[arg(long, value_parser = status)]
        status: Option<UserStatus>,
        /// Only holders of this role
        #[arg(long)]
        role: Option<String>,
        /// Only e-mails that start so
        #[arg(long, value_name = "TEXT")]
        email_prefix: Option<String>,
    },
    /// Show an account
    Show(UserArg),
    /// Make an account; asks for the password unless told where it comes from
    Create {
        /// E-mail
        email: String,
        /// What to call the person
        #[arg(long)]
        name: String,
        /// Roles instead of those of a sign-up
        #[arg(long, value_delimiter = ',', value_name = "ROLE,…")]
        roles: Option<Vec<String>>,
        /// The address counts as proved
        #[arg(long)]
        email_verified: bool,
        /// Facts of your own: a JSON object
        #[arg(long, value_name = "JSON", value_parser = json)]
        profile: Option<serde_json::Value>,
        #[command(flatten)]
        password: PasswordArgs,
        /// No password: nobody can sign in by one
        #[arg(long, group = "password_source")]
        no_password: bool,
        /// Mail a link by which the owner sets a password of his own
        #[arg(long, group = "password_source")]
        send_reset: bool,
    },
    /// Change name, e-mail or profile; a new e-mail ends all sessions and is not proved
    #[command(group = ArgGroup::new("change").required(true).multiple(true))]
    Update {
        /// Id or e-mail
        user: String,
        /// What to call the person
        #[arg(long, group = "change")]
        name: Option<String>,
        /// New address
        #[arg(long, group = "change")]
        email: Option<String>,
        /// Replaces the whole profile: a JSON object
        #[arg(long, value_name = "JSON", value_parser = json, group = "change")]
        profile: Option<serde_json::Value>,
    },
    /// Forbid sign-in and end all sessions
    Disable(UserArg),
    /// Allow sign-in again
    Enable(UserArg),
    /// Delete an account and end its sessions; `restore` undoes it (asks)
    Delete(UserArg),
    /// Undo a delete
    Restore(UserArg),
    /// Remove a deleted account for good (asks)
    Purge(UserArg),
    /// Mail somebody an invitation; without a mail server the link is printed, once
    Invite(InviteArgs),
    /// Print everything that is held on an account, as JSON; audited
    Export(UserArg),
    /// Remove an account and all that hangs on it for good; the audit keeps that it was there (asks)
    Erase {
        /// Id or e-mail
        user: String,
        /// First make this account (id or e-mail) an owner of everything of which the other is the last one
        #[arg(long, value_name = "USER")]
        hand_over_to: Option<String>,
    },
    /// Set a password and end all sessions; asks for it unless told where it comes from
    SetPassword {
        /// Id or e-mail
        user: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Mark the e-mail as proved
    VerifyEmail(UserArg),
    /// Mail a link that sets a new password; without a mail server the link is printed, once
    SendReset(UserArg),
    /// Mail a link that proves the e-mail; without a mail server the link is printed, once
    SendVerify(UserArg),
    /// End the locks of an account: e-mail, devices and second factor, not those of addresses
    Unlock(UserArg),
}

#[derive(Debug, Args)]
pub(crate) struct UserArg {
    /// Id or e-mail
    pub(crate) user: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// List roles, by name
    List,
    /// Show a role
    Show {
        /// Name
        role: String,
    },
    /// Define a role, or change what it permits
    Define {
        /// Name
        role: String,
        /// What it permits: `documents:review`, `documents:*`, or `*` for all
        #[arg(long, value_delimiter = ',', value_name = "PERMISSION,…", required = true)]
        permissions: Vec<String>,
        /// For people
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Give a role to a user
    Grant {
        /// Id or e-mail
        user: String,
        /// Name
        role: String,
    },
    /// Take a role from a user; not the last super_admin's
    Revoke {
        /// Id or e-mail
        user: String,
        /// Name
        role: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SessionSort {
    /// Newest first
    #[value(name = "-created_at")]
    CreatedAt,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List live sessions of a user (last used first), or of everybody (newest first)
    List {
        /// Id or e-mail
        #[arg(conflicts_with_all = ["limit", "cursor", "all", "sort"])]
        user: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        /// Order
        #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
        sort: Option<SessionSort>,
    },
    /// End a session, all of a user, or every session and token there is (the first step after a restore)
    #[command(group = ArgGroup::new("which").required(true))]
    Revoke {
        /// Id of a session
        #[arg(group = "which")]
        id: Option<String>,
        /// All sessions of this user
        #[arg(long, group = "which")]
        user: Option<String>,
        /// Everybody's: replaces the token and signing keys at once (asks)
        #[arg(long, group = "which")]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Say what a token is, whose, and whether it opens anything; exit code 6 when not. It is not used up
    Inspect {
        /// Read the token from standard input
        #[arg(long, conflicts_with = "file")]
        stdin: bool,
        /// Read the token from a file
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List keys and their states; nothing secret
    List,
    /// Replace the active key of a purpose; what the old one made stays valid until its time is over
    Rotate {
        /// token, link, lookup, outbox, cursor or jwt
        #[arg(value_parser = purpose)]
        purpose: KeyPurpose,
    },
    /// Print the public keys that verify access tokens, as a JWK set
    Jwks,
    /// Seal what second factors keep in the store anew under the newest MFA_ENCRYPTION_KEY; may be cut off and run again
    Reencrypt {
        /// Rows of one transaction
        #[arg(long, value_name = "COUNT", default_value = "500", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        batch: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MailCommand {
    /// Send a test mail now, past the outbox, and say whether the mail server took it
    Test {
        /// Where it goes
        address: String,
        /// Language, such as de
        #[arg(long, default_value = "en")]
        language: String,
    },
    /// Print a mail with invented facts: subject and plain part, or one part as it is
    Preview {
        /// verify_email, signup_known, reset_password, confirm_email, undo_email, invitation, unlock, test, or a notice
        #[arg(value_parser = template)]
        template: Template,
        /// Language, such as de; English when there is no such one
        #[arg(long, default_value = "en")]
        language: String,
        /// Only this part
        #[arg(long)]
        part: Option<MailPart>,
    },
    /// Mails that wait, and what became of those of the last seven days; never their content
    #[command(subcommand)]
    Outbox(OutboxCommand),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum MailPart {
    Subject,
    Text,
    Html,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// List mails, newest first
    List {
        #[command(flatten)]
        page: PageArgs,
        /// Only in this state: waiting, sent, dead, expired or dropped
        #[arg(long, value_parser = mail_state)]
        state: Option<MailState>,
        /// Only of this kind
        #[arg(long, value_name = "NAME")]
        template: Option<String>,
        /// Only about this account: id or e-mail
        #[arg(long)]
        user: Option<String>,
    },
    /// Show a mail: state, tries, last error
    Show {
        /// Id of a mail
        id: String,
    },
    /// Try a waiting mail at once
    Retry {
        /// Id of a mail
        id: String,
    },
    /// Never send a waiting mail, and wipe its content (asks)
    Drop {
        /// Id of a mail
        id: String,
    },
}

fn template(text: &str) -> Result<Template, String> {
    Template::from_name(text).ok_or_else(|| {
        let all: Vec<_> = Template::ALL.iter().map(|template| template.name()).collect();
        format!("must be one of {}", all.join(", "))
    })
}

fn mail_state(text: &str) -> Result<MailState, String> {
    MailState::from_name(text).ok_or_else(|| "must be waiting, sent, dead, expired or dropped".to_owned())
}

fn status(text: &str) -> Result<UserStatus, String> {
    UserStatus::from_name(text).ok_or_else(|| "must be active, disabled or deleted".to_owned())
}

fn purpose(text: &str) -> Result<KeyPurpose, String> {
    KeyPurpose::from_name(text).ok_or_else(|| {
        let all: Vec<_> = KeyPurpose::ALL.iter().map(|purpose| purpose.name()).collect();
        format!("must be one of {}", all.join(", "))
    })
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let sound = (1..=500).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if sound { Ok(text.to_owned()) } else { Err("must be one line of 1 to 500 characters".to_owned()) }
}

#[cfg(test)]
mod tests;
