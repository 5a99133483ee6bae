//! `authctl session`.

use authkit::{Session, SessionId, UserId};
use indicatif::ProgressBar;
use serde::Serialize;

use super::user::{find, page};
use crate::app::App;
use crate::cli::{PageArgs, SessionCommand};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{ALL_ENDED, SESSION, SESSIONS_ENDED};

/// A session with whose it is: operators see everybody's.
#[derive(Debug, Serialize)]
struct Owned {
    #[serde(flatten)]
    session: Session,
    user_id: UserId,
}

impl From<Session> for Owned {
    fn from(session: Session) -> Self {
        Self { user_id: session.user_id, session }
    }
}

pub(crate) async fn run(app: &mut App, command: SessionCommand) -> Result<Exit> {
    match command {
        SessionCommand::List { user: Some(user), .. } => {
            let kit = app.kit(false).await?;
            let user = find(&kit, &user).await?;
            let sessions = kit.sessions().of(user.id).await.map_err(about(Subject::Session))?;
            let sessions: Vec<Owned> = sessions.into_iter().map(Owned::from).collect();
            app.list(&sessions, None, &SESSION)
        }
        SessionCommand::List { user: None, page, sort: _ } => list(app, &page).await,
        SessionCommand::Revoke { all: true, .. } => revoke_all(app).await,
        SessionCommand::Revoke { user: Some(user), .. } => revoke_user(app, &user).await,
        SessionCommand::Revoke { id, .. } => revoke_one(app, &id.unwrap_or_default()).await,
    }
}

async fn list(app: &mut App, args: &PageArgs) -> Result<Exit> {
    let mut page = page(args)?;
    let kit = app.kit(false).await?;
    let bar = if args.all { app.spinner("Reading sessions") } else { ProgressBar::hidden() };
    let mut items: Vec<Owned> = Vec::new();
    let next_cursor = loop {
        let part = kit.sessions().list(&page).await.map_err(about(Subject::Session))?;
        items.extend(part.items.into_iter().map(Owned::from));
        bar.set_message(format!("Reading sessions: {}", items.len()));
        match part.next_cursor {
            Some(cursor) if args.all => page.cursor = Some(cursor),
            next_cursor => break next_cursor,
        }
    };
    bar.finish_and_clear();
    app.list(&items, next_cursor, &SESSION)
}

async fn revoke_one(app: &mut App, id: &str) -> Result<Exit> {
    let missing = || CliError::new(Code::SessionMissing, format!("there is no session {id}"));
    let id: SessionId = id.parse().map_err(|_| missing())?;
    let kit = app.kit(true).await?;
    let done = app.admin(&kit).end_session(id).await.map_err(about(Subject::Session))?;
    app.change(done.changed, &Owned::from(done.resource), Vec::new(), &SESSION)
}

async fn revoke_user(app: &mut App, user: &str) -> Result<Exit> {
    #[derive(Serialize)]
    struct Ended {
        user_id: UserId,
        sessions_ended: u64,
    }
    let kit = app.kit(true).await?;
    let user = find(&kit, user).await?;
    let count = app.admin(&kit).end_sessions_of(user.id).await.map_err(about(Subject::Session))?;
    let ended = Ended { user_id: user.id, sessions_ended: count };
    app.change(count > 0, &ended, Vec::new(), &SESSIONS_ENDED)
}

async fn revoke_all(app: &mut App) -> Result<Exit> {
    app.confirm("End every session and every token there is? Everybody must sign in again.").await?;
    let kit = app.kit(true).await?;
    let bar = app.spinner("Ending all sessions");
    let ended = app.admin(&kit).end_all_sessions().await.map_err(about(Subject::Session));
    bar.finish_and_clear();
    let ended = ended?;
    app.change(true, &ended, Vec::new(), &ALL_ENDED)?;
    if ended.jwt_secret_must_change {
        let what = "old access tokens live on until they expire, since JWT_SECRET is the same";
        return Err(CliError::new(Code::SecretRemains, what).into());
    }
    Ok(Exit::Done)
}
