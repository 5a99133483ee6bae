//! `authctl lockout limits`.

use authkit::AuthKit;
use authkit::admin::LimitSubject;

use super::user::find;
use crate::app::App;
use crate::cli::{Format, LimitsCommand, LockoutWhich};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::LIMIT;
use crate::output::{Document, node};

pub(crate) async fn run(app: &mut App, command: LimitsCommand) -> Result<Exit> {
    match command {
        LimitsCommand::Show(which) => show(app, which).await,
        LimitsCommand::Reset(which) => reset(app, which).await,
    }
}

async fn subject(kit: &AuthKit, which: LockoutWhich) -> Result<Option<LimitSubject>> {
    Ok(match which {
        LockoutWhich { user: Some(user), .. } => Some(LimitSubject::User(find(kit, &user).await?.id)),
        LockoutWhich { email: Some(email), .. } => Some(LimitSubject::Email(email)),
        LockoutWhich { ip: Some(ip), .. } => Some(LimitSubject::Address(ip)),
        _ => None,
    })
}

async fn show(app: &mut App, which: LockoutWhich) -> Result<Exit> {
    let kit = app.kit(false).await?;
    let subject = subject(&kit, which).await?;
    let admin = app.admin(&kit);
    let mut report = admin.limits(None).await.map_err(about(Subject::Limits))?;
    let out_of_reach = subject.is_some() && !report.shared;
    if report.shared && subject.is_some() {
        report = admin.limits(subject.as_ref()).await.map_err(about(Subject::Limits))?;
    }
    if matches!(app.format(), Format::Json | Format::Jsonl | Format::Yaml) {
        app.one(&report, &LIMIT)?;
    } else {
        let items = report.items.iter().map(node).collect::<Result<Vec<_>>>()?;
        app.show(Document::List { items, next_cursor: None }, &LIMIT)?;
    }
    if out_of_reach {
        return Err(
            CliError::new(Code::LimitsUnseen, "how these limits stand cannot be seen from here").into()
        );
    }
    Ok(Exit::Done)
}

async fn reset(app: &mut App, which: LockoutWhich) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let admin = app.admin(&kit);
    if !admin.limits(None).await.map_err(about(Subject::Limits))?.shared {
        return Err(CliError::new(Code::LimitsApart, "these limits cannot be reset from here").into());
    }
    let Some(subject) = subject(&kit, which).await? else {
        return Err(CliError::new(Code::Usage, "whose limits is not said").into());
    };
    let done = admin.reset_limits(&subject).await.map_err(about(Subject::Limits))?;
    if matches!(app.format(), Format::Json | Format::Jsonl | Format::Yaml) {
        return app.changed(&done, &LIMIT);
    }
    let items = done.resource.items.iter().map(node).collect::<Result<Vec<_>>>()?;
    app.show(Document::List { items, next_cursor: None }, &LIMIT)?;
    app.note(match (done.changed, app.global.dry_run) {
        (true, false) => "Done.",
        (true, true) => "Dry run: they would be full again. Nothing was written.",
        (false, _) => "Nothing to do: nothing of them was used.",
    });
    Ok(Exit::Done)
}
