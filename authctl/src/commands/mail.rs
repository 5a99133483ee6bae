//! `authctl mail`.

use authkit::mail::{MailFilter, QueuedMail, RenderedMail, Template};
use authkit::{Listing, MailId};
use indicatif::ProgressBar;
use serde::Serialize;

use super::user::{find, page};
use crate::app::App;
use crate::cli::{Format, MailCommand, MailPart, OutboxCommand, PageArgs};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{MAIL, MAIL_PREVIEW, MAIL_SENT};

pub(crate) async fn run(app: &mut App, command: MailCommand) -> Result<Exit> {
    match command {
        MailCommand::Test { address, language } => test(app, &address, &language).await,
        MailCommand::Preview { template, language, part } => preview(app, template, &language, part).await,
        MailCommand::Outbox(OutboxCommand::List { page, state, template, user }) => {
            let mut filter = MailFilter::default();
            (filter.state, filter.template) = (state, template);
            list(app, &page, filter, user.as_deref()).await
        }
        MailCommand::Outbox(OutboxCommand::Show { id }) => {
            let kit = app.kit(false).await?;
            let mail = app.admin(&kit).mail(mail_id(&id)?).await.map_err(about(Subject::Mail))?;
            app.one(&mail, &MAIL)
        }
        MailCommand::Outbox(OutboxCommand::Retry { id }) => {
            let kit = app.kit(true).await?;
            let done = app.admin(&kit).retry_mail(mail_id(&id)?).await.map_err(about(Subject::Mail))?;
            app.changed(&done, &MAIL)
        }
        MailCommand::Outbox(OutboxCommand::Drop { id }) => {
            let id = mail_id(&id)?;
            app.confirm(&format!("Drop mail {id}? It is never sent, and its content is wiped.")).await?;
            let kit = app.kit(true).await?;
            let done = app.admin(&kit).drop_mail(id).await.map_err(about(Subject::Mail))?;
            app.changed(&done, &MAIL)
        }
    }
}

fn mail_id(text: &str) -> Result<MailId> {
    text.parse().map_err(|_| CliError::new(Code::MailMissing, format!("there is no mail {text}")).into())
}

async fn test(app: &mut App, address: &str, language: &str) -> Result<Exit> {
    #[derive(Serialize)]
    struct Sent {
        message_id: String,
        address: String,
    }
    let kit = app.kit(false).await?;
    if !kit.has_mailer() {
        return Err(CliError::new(Code::MailOff, "no mail can be sent").into());
    }
    let bar = app.spinner("Sending");
    let sent = app.admin(&kit).send_test_mail(address, language).await;
    bar.finish_and_clear();
    let message_id = sent.map_err(about(Subject::MailTest))?;
    app.change(true, &Sent { message_id, address: address.to_owned() }, Vec::new(), &MAIL_SENT)
}

async fn preview(app: &mut App, template: Template, language: &str, part: Option<MailPart>) -> Result<Exit> {
    #[derive(Serialize)]
    struct Preview {
        template: &'static str,
        subject: String,
        text: String,
        html: String,
    }
    let kit = app.kit(false).await?;
    let RenderedMail { subject, text, html, .. } =
        app.admin(&kit).preview_mail(template, language).map_err(about(Subject::Mail))?;
    match part {
        Some(MailPart::Subject) => app.print(&format!("{subject}\n"))?,
        Some(MailPart::Text) => app.print(&text)?,
        Some(MailPart::Html) => app.print(&html)?,
        // For people as the mail reads; a table would break its lines.
        None if app.format() == Format::Table => app.print(&format!("Subject: {subject}\n\n{text}"))?,
        None => {
            let preview = Preview { template: template.name(), subject, text, html };
            return app.one(&preview, &MAIL_PREVIEW);
        }
    }
    Ok(Exit::Done)
}

async fn list(app: &mut App, args: &PageArgs, mut filter: MailFilter, user: Option<&str>) -> Result<Exit> {
    let mut page = page(args)?;
    let kit = app.kit(false).await?;
    if let Some(user) = user {
        filter.user_id = Some(find(&kit, user).await?.id);
    }
    let bar = if args.all { app.spinner("Reading mails") } else { ProgressBar::hidden() };
    let admin = app.admin(&kit);
    let mut items = Vec::new();
    let next_cursor = loop {
        let part: Listing<QueuedMail> = admin.mails(&filter, &page).await.map_err(about(Subject::Mail))?;
        items.extend(part.items);
        bar.set_message(format!("Reading mails: {}", items.len()));
        match part.next_cursor {
            Some(cursor) if args.all => page.cursor = Some(cursor),
            next_cursor => break next_cursor,
        }
    };
    bar.finish_and_clear();
    app.list(&items, next_cursor, &MAIL)
}
