//! One file a noun: read the arguments, call the library, print, return how it ended.

mod api_key;
mod authz;
mod cleanup;
mod config;
mod doctor;
mod help;
mod invite;
mod key;
mod limits;
mod lockout;
mod mail;
mod membership;
mod mfa;
mod migrate;
mod org;
mod passkey;
mod role;
mod seed;
mod session;
mod token;
mod user;

use crate::app::App;
use crate::cli::{
    ApiKeyCommand, CleanupCommand, Command, ConfigCommand, Format, InviteCommand, KeyCommand, LimitsCommand,
    LockoutCommand, MailCommand, MembershipCommand, MfaCommand, MigrateCommand, OrgCommand, OutboxCommand,
    PasskeyCommand, RoleCommand, SessionCommand, UserCommand,
};
use crate::errors::{CliError, Code, Result};
use crate::exit::Exit;

pub(crate) async fn run(app: &mut App, command: Command) -> Result<Exit> {
    refuse_meaningless(app, &command)?;
    match command {
        Command::Config(command) => config::run(app, &command),
        Command::Doctor => doctor::run(app).await,
        Command::Migrate(command) => migrate::run(app, &command).await,
        Command::Seed(args) => seed::run(app, args).await,
        Command::User(command) => Box::pin(user::run(app, command)).await,
        Command::Role(command) => role::run(app, command).await,
        Command::Org(command) => Box::pin(org::run(app, command)).await,
        Command::Membership(command) => Box::pin(membership::run(app, command)).await,
        Command::Invite(command) => Box::pin(invite::run(app, command)).await,
        Command::Authz(command) => Box::pin(authz::run(app, command)).await,
        Command::Session(command) => session::run(app, command).await,
        Command::Passkey(command) => passkey::run(app, command).await,
        Command::ApiKey(command) => Box::pin(api_key::run(app, command)).await,
        Command::Cleanup(command) => Box::pin(cleanup::run(app, command)).await,
        Command::Lockout(command) => lockout::run(app, command).await,
        Command::Mfa(command) => mfa::run(app, command).await,
        Command::Token(command) => token::run(app, command).await,
        Command::Key(command) => key::run(app, &command).await,
        Command::Mail(command) => Box::pin(mail::run(app, command)).await,
        Command::Completions { shell } => help::completions(app, shell),
        Command::Man { dir } => help::man(app, dir.as_deref()),
        Command::Version => help::version(app),
        Command::Help { topic } => help::help(app, &topic),
    }
}

/// Which global flags mean something to a command.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
struct Meaning {
    settings: bool,
    output: bool,
    dry_run: bool,
    reason: bool,
    yes: bool,
}

impl Command {
    fn meaning(&self) -> Meaning {
        let looks = Meaning { settings: true, output: true, dry_run: false, reason: false, yes: false };
        let writes = Meaning { dry_run: true, reason: true, ..looks };
        let asks = Meaning { yes: true, ..writes };
        let prints = Meaning { settings: false, output: false, ..looks };
        match self {
            Self::Completions { .. } | Self::Man { .. } | Self::Help { .. } => prints,
            Self::Version => Meaning { output: true, ..prints },
            // Without an account, a role or a row nothing is audited.
            Self::Migrate(MigrateCommand::Up)
            | Self::Cleanup(CleanupCommand::Run { .. })
            | Self::Mail(MailCommand::Test { .. }) => Meaning { dry_run: true, ..looks },
            Self::User(UserCommand::Delete(_) | UserCommand::Purge(_) | UserCommand::Erase { .. })
            | Self::Org(OrgCommand::Delete(_))
            | Self::Session(SessionCommand::Revoke { all: true, .. })
            | Self::Passkey(PasskeyCommand::Remove { .. })
            | Self::Lockout(LockoutCommand::Clear { .. })
            | Self::Mfa(MfaCommand::Reset(_) | MfaCommand::BackupCodes { generate: true, .. })
            | Self::Mail(MailCommand::Outbox(OutboxCommand::Drop { .. })) => asks,
            Self::User(UserCommand::Export(_)) => Meaning { reason: true, ..looks },
            Self::Mail(MailCommand::Preview { part: Some(_), .. }) => Meaning { output: false, ..looks },
            Self::Config(ConfigCommand::Check | ConfigCommand::Show { .. })
            | Self::Doctor
            | Self::Migrate(MigrateCommand::Status { .. })
            | Self::User(UserCommand::List { .. } | UserCommand::Show(_))
            | Self::Org(OrgCommand::List { .. } | OrgCommand::Show(_) | OrgCommand::Members { .. })
            | Self::Membership(MembershipCommand::List { .. })
            | Self::Invite(InviteCommand::List { .. })
            | Self::Authz(_)
            | Self::Role(RoleCommand::List | RoleCommand::Show { .. })
            | Self::Session(SessionCommand::List { .. })
            | Self::Passkey(PasskeyCommand::List { .. })
            | Self::Lockout(
                LockoutCommand::List { .. }
                | LockoutCommand::Show { .. }
                | LockoutCommand::Limits(LimitsCommand::Show(_)),
            )
            | Self::Mfa(_)
            | Self::Token(_)
            | Self::ApiKey(ApiKeyCommand::List { .. } | ApiKeyCommand::Show { .. })
            | Self::Cleanup(CleanupCommand::Status)
            | Self::Mail(
                MailCommand::Preview { .. }
                | MailCommand::Outbox(OutboxCommand::List { .. } | OutboxCommand::Show { .. }),
            )
            | Self::Key(KeyCommand::List | KeyCommand::Jwks) => looks,
            Self::Seed(_)
            | Self::User(_)
            | Self::Role(_)
            | Self::Org(_)
            | Self::Membership(_)
            | Self::Invite(_)
            | Self::Session(_)
            | Self::ApiKey(_)
            | Self::Lockout(_)
            | Self::Key(_)
            | Self::Mail(_) => writes,
        }
    }
}

/// A flag that would do nothing is refused, so that nobody believes it did something.
fn refuse_meaningless(app: &App, command: &Command) -> Result<()> {
    let (meaning, global) = (command.meaning(), &app.global);
    let flags = [
        ("-c", global.config.is_some() && !meaning.settings),
        ("-o", global.output.is_some() && !meaning.output),
        ("-n", global.dry_run && !meaning.dry_run),
        ("--reason", global.reason.is_some() && !meaning.reason),
        ("-y", global.yes && !meaning.yes),
    ];
    if let Some((flag, _)) = flags.iter().find(|(_, refused)| *refused) {
        return Err(CliError::new(Code::Meaningless, format!("{flag} means nothing to this command")).into());
    }
    let tabular = matches!(global.output, Some(Format::Table | Format::Csv | Format::Id));
    if tabular && matches!(command, Command::Key(KeyCommand::Jwks)) {
        let what = "a JWK set is JSON: -o json, jsonl and yaml only";
        return Err(CliError::new(Code::Meaningless, what).into());
    }
    Ok(())
}
