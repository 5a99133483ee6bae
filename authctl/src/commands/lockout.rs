//! `authctl lockout`.

use authkit::admin::{Admin, Changed};
use authkit::{AuthKit, Lockout, LockoutFilter, LockoutId, Page};
use indicatif::ProgressBar;
use serde::Serialize;

use super::limits;
use super::user::{find, page};
use crate::app::App;
use crate::cli::{Format, LockoutCommand, LockoutWhich, PageArgs};
use crate::errors::{CliError, Code, Failure, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::LOCKOUT;
use crate::output::{Document, node};

/// Rows that are read at once when all are wanted.
const PAGE: u32 = 200;

/// What was cleared, or would be.
#[derive(Debug, Serialize)]
struct Cleared {
    cleared: usize,
    items: Vec<Lockout>,
}

pub(crate) async fn run(app: &mut App, command: LockoutCommand) -> Result<Exit> {
    match command {
        LockoutCommand::List { page, kind, which, sort: _, locked } => {
            let kit = app.kit(false).await?;
            let mut filter = filter(&kit, which).await?;
            (filter.kind, filter.locked) = (kind, locked);
            list(app, &kit, &page, &filter).await
        }
        LockoutCommand::Show { id } => {
            let id = parse(&id)?;
            let kit = app.kit(false).await?;
            let found = app.admin(&kit).lockout(id).await.map_err(about(Subject::Lockout))?;
            app.one(&found, &LOCKOUT)
        }
        LockoutCommand::Clear { id: Some(id), .. } => {
            let id = parse(&id)?;
            let kit = app.kit(true).await?;
            let done = app.admin(&kit).clear_lockout(id).await.map_err(about(Subject::Lockout))?;
            app.changed(&done, &LOCKOUT)
        }
        LockoutCommand::Clear { which, all, kind, .. } => {
            if all {
                let what = kind.map_or_else(String::new, |kind| format!(" of the kind {}", kind.name()));
                app.confirm(&format!("Clear every lockout there is{what}?")).await?;
            }
            let kit = app.kit(true).await?;
            let mut filter = filter(&kit, which).await?;
            filter.kind = kind;
            clear(app, &kit, &filter).await
        }
        LockoutCommand::Limits(command) => limits::run(app, command).await,
    }
}

fn parse(id: &str) -> Result<LockoutId> {
    let missing = || CliError::new(Code::LockoutMissing, format!("there is no lockout {id}"));
    Ok(id.parse().map_err(|_| missing())?)
}

async fn filter(kit: &AuthKit, which: LockoutWhich) -> Result<LockoutFilter> {
    let mut filter = LockoutFilter::default();
    (filter.email, filter.ip) = (which.email, which.ip);
    if let Some(user) = which.user {
        filter.user_id = Some(find(kit, &user).await?.id);
    }
    Ok(filter)
}

async fn list(app: &mut App, kit: &AuthKit, args: &PageArgs, filter: &LockoutFilter) -> Result<Exit> {
    let mut page = page(args)?;
    let bar = if args.all { app.spinner("Reading lockouts") } else { ProgressBar::hidden() };
    let admin = app.admin(kit);
    let mut items = Vec::new();
    let next_cursor = loop {
        let part = admin.lockouts(filter, &page).await.map_err(about(Subject::Lockout))?;
        items.extend(part.items);
        bar.set_message(format!("Reading lockouts: {}", items.len()));
        match part.next_cursor {
            Some(cursor) if args.all => page.cursor = Some(cursor),
            next_cursor => break next_cursor,
        }
    };
    bar.finish_and_clear();
    app.list(&items, next_cursor, &LOCKOUT)
}

/// Each in a transaction of its own: an attack that goes on holds none of them up.
async fn clear(app: &mut App, kit: &AuthKit, filter: &LockoutFilter) -> Result<Exit> {
    let admin = app.admin(kit);
    let bar = app.spinner("Clearing lockouts");
    let mut items = Vec::new();
    let end = clear_each(&admin, filter, &mut items, &bar).await;
    bar.finish_and_clear();
    if items.is_empty() {
        end?;
        return print(app, items);
    }
    let count = items.len();
    print(app, items)?;
    end.map_err(|_| {
        let what = format!("the store failed after {count} lockout(s) were cleared");
        Failure::from(CliError::new(Code::LockoutPartly, what))
    })?;
    Ok(Exit::Done)
}

async fn clear_each(
    admin: &Admin,
    filter: &LockoutFilter,
    items: &mut Vec<Lockout>,
    bar: &ProgressBar,
) -> Result<()> {
    let mut page = Page::new(PAGE, None).map_err(about(Subject::Lockout))?;
    loop {
        let part = admin.lockouts(filter, &page).await.map_err(about(Subject::Lockout))?;
        for lockout in part.items {
            match admin.clear_lockout(lockout.id).await {
                Ok(Changed { changed: true, .. }) => items.push(lockout),
                // Over in the meantime.
                Ok(_) => {}
                Err(error) if error.kind() == authkit::ErrorKind::NotFound => {}
                Err(error) => return Err(about(Subject::Lockout)(error)),
            }
            bar.set_message(format!("Clearing lockouts: {}", items.len()));
        }
        match part.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => return Ok(()),
        }
    }
}

/// The lockouts as they were before.
fn print(app: &mut App, items: Vec<Lockout>) -> Result<Exit> {
    let cleared = Cleared { cleared: items.len(), items };
    if matches!(app.format(), Format::Json | Format::Jsonl | Format::Yaml) {
        return app.change(cleared.cleared > 0, &cleared, Vec::new(), &LOCKOUT);
    }
    let rows = cleared.items.iter().map(node).collect::<Result<Vec<_>>>()?;
    app.show(Document::List { items: rows, next_cursor: None }, &LOCKOUT)?;
    app.note(
        match (cleared.cleared, app.global.dry_run) {
            (0, _) => "Nothing to do: nothing is locked or counted there.".to_owned(),
            (count, false) => format!("{count} cleared."),
            (count, true) => format!("Dry run: {count} would be cleared. Nothing was written."),
        }
        .as_str(),
    );
    Ok(Exit::Done)
}
