//! `authctl passkey`.

use authkit::{Passkey, PasskeyId, UserId};
use serde::Serialize;

use super::user::find;
use crate::app::App;
use crate::cli::PasskeyCommand;
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{PASSKEY, PASSKEYS_REMOVED};

/// A passkey with whose it is.
#[derive(Debug, Serialize)]
struct Owned {
    #[serde(flatten)]
    passkey: Passkey,
    user_id: UserId,
}

/// What was removed, or would be.
#[derive(Debug, Serialize)]
struct Gone {
    user_id: UserId,
    removed: usize,
    items: Vec<Passkey>,
}

pub(crate) async fn run(app: &mut App, command: PasskeyCommand) -> Result<Exit> {
    match command {
        PasskeyCommand::List { user } => list(app, &user).await,
        PasskeyCommand::Remove { user: Some(user), .. } => remove_all(app, &user).await,
        PasskeyCommand::Remove { id, .. } => remove_one(app, &id.unwrap_or_default()).await,
    }
}

async fn list(app: &mut App, user: &str) -> Result<Exit> {
    let kit = app.kit(false).await?;
    let user = find(&kit, user).await?;
    let passkeys = kit.passkeys().of(user.id).await.map_err(about(Subject::Passkey))?;
    let passkeys: Vec<Owned> =
        passkeys.into_iter().map(|passkey| Owned { passkey, user_id: user.id }).collect();
    app.list(&passkeys, None, &PASSKEY)
}

async fn remove_one(app: &mut App, id: &str) -> Result<Exit> {
    let missing = || CliError::new(Code::PasskeyMissing, format!("there is no passkey {id}"));
    let id: PasskeyId = id.parse().map_err(|_| missing())?;
    let kit = app.kit(true).await?;
    let admin = app.admin(&kit);
    let (user_id, passkey) = admin.passkey(id).await.map_err(about(Subject::Passkey))?;
    let whose = kit.users().get(user_id).await.map_err(about(Subject::User))?;
    let whose = whose.map_or_else(|| user_id.to_string(), |user| user.email);
    app.confirm(&format!("Remove the passkey {:?} of {whose} and end all sessions?", passkey.name)).await?;
    let done = admin.remove_passkey(id).await.map_err(about(Subject::Passkey))?;
    app.change(done.changed, &Owned { passkey: done.resource, user_id }, Vec::new(), &PASSKEY)
}

async fn remove_all(app: &mut App, user: &str) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let user = find(&kit, user).await?;
    app.confirm(&format!("Remove all passkeys of {} and end all sessions?", user.email)).await?;
    let done = app.admin(&kit).remove_passkeys_of(user.id).await.map_err(about(Subject::User))?;
    let removed = Gone { user_id: user.id, removed: done.resource.len(), items: done.resource };
    app.change(done.changed, &removed, Vec::new(), &PASSKEYS_REMOVED)
}
