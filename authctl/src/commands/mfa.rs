//! `authctl mfa`.

use authkit::{MfaStatus, User, UserId};
use serde::Serialize;

use super::user::find;
use crate::app::App;
use crate::cli::{Format, MfaCommand};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{MFA, MFA_POLICY, USER};

/// The second factors of an account, with whose they are.
#[derive(Debug, Serialize)]
struct Owned {
    user_id: UserId,
    #[serde(flatten)]
    status: MfaStatus,
}

pub(crate) async fn run(app: &mut App, command: MfaCommand) -> Result<Exit> {
    match command {
        MfaCommand::Status(arg) | MfaCommand::BackupCodes { user: arg, generate: false } => {
            let kit = app.kit(false).await?;
            let user = find(&kit, &arg.user).await?;
            let status = app.admin(&kit).mfa_status(user.id).await.map_err(about(Subject::Mfa))?;
            app.one(&Owned { user_id: user.id, status }, &MFA)
        }
        MfaCommand::Reset(arg) => {
            let kit = app.kit(true).await?;
            let user = find(&kit, &arg.user).await?;
            app.confirm(&format!("Remove all second factors of {} and end all sessions?", named(&user)))
                .await?;
            let done = app.admin(&kit).reset_mfa(user.id).await.map_err(about(Subject::Mfa))?;
            app.changed(&done, &USER)
        }
        MfaCommand::BackupCodes { user, generate: true } => generate(app, &user.user).await,
        MfaCommand::Policy => {
            let kit = app.kit(false).await?;
            let report = app.admin(&kit).mfa_report().await.map_err(about(Subject::Mfa))?;
            app.one(&report, &MFA_POLICY)
        }
    }
}

async fn generate(app: &mut App, user: &str) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let user = find(&kit, user).await?;
    if matches!(app.format(), Format::Id | Format::Csv) {
        let what = "the codes are shown once, for which -o id and -o csv have no place";
        return Err(CliError::new(Code::Meaningless, what).next("use -o table, json, jsonl or yaml").into());
    }
    let question = format!("Make new backup codes for {}? The old ones and all sessions end.", named(&user));
    app.confirm(&question).await?;
    let admin = app.admin(&kit);
    let made = admin.make_backup_codes(user.id).await.map_err(about(Subject::Mfa))?;
    let status = admin.mfa_status(user.id).await.map_err(about(Subject::Mfa))?;
    let codes: Vec<&str> = made.codes.iter().map(authkit::secret::ExposeSecret::expose_secret).collect();
    let extra = if app.global.dry_run { Vec::new() } else { vec![("backup_codes", codes.join(" "))] };
    app.change(true, &Owned { user_id: user.id, status }, extra, &MFA)
}

fn named(user: &User) -> String {
    format!("{} ({})", user.email, user.id)
}
