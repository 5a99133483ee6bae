//! `authctl api-key`.

use std::time::Duration;

use authkit::secret::ExposeSecret as _;
use authkit::{ApiKeyFilter, ApiKeyId, ApiKeyRequest, Listing};
use indicatif::ProgressBar;

use super::user::{find, page};
use crate::app::App;
use crate::cli::{ApiKeyCommand, PageArgs};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::API_KEY;

pub(crate) async fn run(app: &mut App, command: ApiKeyCommand) -> Result<Exit> {
    match command {
        ApiKeyCommand::List { user, page, sort: _, ended } => {
            let mut filter = ApiKeyFilter::default();
            filter.ended = ended;
            list(app, &page, filter, user.as_deref()).await
        }
        ApiKeyCommand::Show { id } => {
            let id = parse(&id)?;
            let kit = app.kit(false).await?;
            let key = app.admin(&kit).api_key(id).await.map_err(about(Subject::ApiKey))?;
            app.one(&key, &API_KEY)
        }
        ApiKeyCommand::Create { user, name, scopes, expires_in_seconds } => {
            let kit = app.kit(true).await?;
            let user = find(&kit, &user).await?;
            let mut request = ApiKeyRequest::new(name, scopes);
            request.expires_in = expires_in_seconds.map(Duration::from_secs);
            let made = app.admin(&kit).create_api_key(user.id, request).await;
            let made = made.map_err(about(Subject::NewApiKey))?.resource;
            // A rehearsal's key opens nothing: it is not shown, so that nobody keeps it.
            let shown = (!app.global.dry_run).then(|| ("key", made.key.expose_secret().to_owned()));
            app.change(true, &made.api_key, shown.into_iter().collect(), &API_KEY)
        }
        ApiKeyCommand::Revoke { id } => {
            let id = parse(&id)?;
            let kit = app.kit(true).await?;
            let done = app.admin(&kit).revoke_api_key(id).await.map_err(about(Subject::ApiKey))?;
            app.changed(&done, &API_KEY)
        }
    }
}

fn parse(id: &str) -> Result<ApiKeyId> {
    // Somebody may paste the key itself: it must not come back in a message.
    let missing = || CliError::new(Code::ApiKeyMissing, "there is no API key of that id");
    Ok(id.parse().map_err(|_| missing())?)
}

async fn list(app: &mut App, args: &PageArgs, mut filter: ApiKeyFilter, user: Option<&str>) -> Result<Exit> {
    let mut page = page(args)?;
    let kit = app.kit(false).await?;
    if let Some(user) = user {
        filter.user_id = Some(find(&kit, user).await?.id);
    }
    let bar = if args.all { app.spinner("Reading API keys") } else { ProgressBar::hidden() };
    let admin = app.admin(&kit);
    let mut items = Vec::new();
    let next_cursor = loop {
        let part: Listing<_> = admin.api_keys(&filter, &page).await.map_err(about(Subject::ApiKey))?;
        items.extend(part.items);
        bar.set_message(format!("Reading API keys: {}", items.len()));
        match part.next_cursor {
            Some(cursor) if args.all => page.cursor = Some(cursor),
            next_cursor => break next_cursor,
        }
    };
    bar.finish_and_clear();
    app.list(&items, next_cursor, &API_KEY)
}
