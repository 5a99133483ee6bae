//! `authctl user`.

use authkit::admin::{NewUser, UserChange};
use authkit::secret::ExposeSecret as _;
use authkit::{AuthKit, LinkPurpose, Listing, Page, User, UserFilter, UserId};

use indicatif::ProgressBar;

use super::invite;
use crate::app::App;
use crate::cli::{Format, PageArgs, UserCommand};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{EXPORT, SENT_LINK, USER};
use crate::secrets;

pub(crate) async fn run(app: &mut App, command: UserCommand) -> Result<Exit> {
    match command {
        UserCommand::List { page, sort: _, status, role, email_prefix } => {
            let mut filter = UserFilter::default();
            (filter.status, filter.role, filter.email_prefix) = (status, role, email_prefix);
            list(app, &page, &filter).await
        }
        UserCommand::Show(arg) => {
            let kit = app.kit(false).await?;
            let user = find(&kit, &arg.user).await?;
            app.one(&user, &USER)
        }
        UserCommand::Create {
            email,
            name,
            roles,
            email_verified,
            profile,
            password,
            no_password,
            send_reset,
        } => {
            let mut new = NewUser::new(email, name);
            new.mail_reset = send_reset;
            (new.roles, new.email_verified, new.profile) = (roles, email_verified, profile);
            let kit = app.kit(true).await?;
            let password = if no_password || send_reset {
                None
            } else {
                Some(secrets::new_password(app, &password).await?)
            };
            let shown = password.as_ref().map(|password| password.shown_once(app.global.dry_run));
            new.password = password.map(|password| password.text);
            let done = app.admin(&kit).create_user(new).await.map_err(about(Subject::NewUser))?;
            app.change(done.changed, &done.resource, shown.unwrap_or_default(), &USER)
        }
        UserCommand::Update { user, name, email, profile } => {
            let kit = app.kit(true).await?;
            let user = find(&kit, &user).await?;
            let subject = if email.is_some() { Subject::NewUser } else { Subject::User };
            let mut change = UserChange::default();
            (change.name, change.email, change.profile) = (name, email, profile);
            let done = app.admin(&kit).update_user(user.id, change).await.map_err(about(subject))?;
            app.changed(&done, &USER)
        }
        UserCommand::SetPassword { user, password } => {
            let kit = app.kit(true).await?;
            let user = find(&kit, &user).await?;
            let password = secrets::new_password(app, &password).await?;
            let admin = app.admin(&kit);
            let done = admin.set_password(user.id, &password.text).await.map_err(about(Subject::User))?;
            app.change(done.changed, &done.resource, password.shown_once(app.global.dry_run), &USER)
        }
        UserCommand::Purge(arg) => purge(app, &arg.user).await,
        UserCommand::Invite(args) => invite::create(app, args).await,
        UserCommand::Export(arg) => {
            let kit = app.kit(true).await?;
            let user = find(&kit, &arg.user).await?;
            let held = app.admin(&kit).export_user(user.id).await.map_err(about(Subject::User))?;
            app.one(&held, &EXPORT)
        }
        UserCommand::Erase { user, hand_over_to } => erase(app, &user, hand_over_to.as_deref()).await,
        UserCommand::Disable(arg) => state(app, &arg.user, State::Disable).await,
        UserCommand::Enable(arg) => state(app, &arg.user, State::Enable).await,
        UserCommand::Delete(arg) => state(app, &arg.user, State::Delete).await,
        UserCommand::Restore(arg) => state(app, &arg.user, State::Restore).await,
        UserCommand::VerifyEmail(arg) => state(app, &arg.user, State::Verify).await,
        UserCommand::SendReset(arg) => send(app, &arg.user, LinkPurpose::ResetPassword).await,
        UserCommand::SendVerify(arg) => send(app, &arg.user, LinkPurpose::VerifyEmail).await,
        UserCommand::Unlock(arg) => state(app, &arg.user, State::Unlock).await,
    }
}

/// The account of an id or an e-mail, deleted ones too.
pub(crate) async fn find(kit: &AuthKit, text: &str) -> Result<User> {
    let found = match text.parse::<UserId>() {
        Ok(id) => kit.users().get(id).await,
        Err(_) => kit.users().find_by_email(text).await,
    };
    found.map_err(about(Subject::User))?.ok_or_else(|| {
        let prefix: String = text.split('@').next().unwrap_or_default().chars().take(64).collect();
        let what = format!("there is no account {text}");
        let plain = prefix.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c));
        let error = CliError::new(Code::UserMissing, what);
        let hint = format!("authctl user list --email-prefix {prefix}");
        if plain && !prefix.starts_with('-') { error.next(hint) } else { error }.into()
    })
}

/// The page that was asked for.
pub(crate) fn page(args: &PageArgs) -> Result<Page> {
    let limit = args.limit.unwrap_or(if args.all { 200 } else { 50 });
    Page::new(limit, args.cursor.clone()).map_err(about(Subject::User))
}

async fn list(app: &mut App, args: &PageArgs, filter: &UserFilter) -> Result<Exit> {
    let mut page = page(args)?;
    let kit = app.kit(false).await?;
    let bar = if args.all { app.spinner("Reading accounts") } else { ProgressBar::hidden() };
    let mut items = Vec::new();
    let next_cursor = loop {
        let part: Listing<User> = kit.users().list(filter, &page).await.map_err(about(Subject::User))?;
        items.extend(part.items);
        bar.set_message(format!("Reading accounts: {}", items.len()));
        match part.next_cursor {
            Some(cursor) if args.all => page.cursor = Some(cursor),
            next_cursor => break next_cursor,
        }
    };
    bar.finish_and_clear();
    app.list(&items, next_cursor, &USER)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Disable,
    Enable,
    Delete,
    Restore,
    Verify,
    Unlock,
}

async fn state(app: &mut App, user: &str, to: State) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let user = find(&kit, user).await?;
    if to == State::Delete {
        app.confirm(&format!("Delete {} ({}) and end all sessions?", user.email, user.id)).await?;
    }
    let admin = app.admin(&kit);
    let done = match to {
        State::Disable => admin.disable_user(user.id).await,
        State::Enable => admin.enable_user(user.id).await,
        State::Delete => admin.delete_user(user.id).await,
        State::Restore => admin.restore_user(user.id).await,
        State::Verify => admin.verify_email(user.id).await,
        State::Unlock => admin.unlock_user(user.id).await,
    };
    let done = done.map_err(about(Subject::User))?;
    app.changed(&done, &USER)
}

async fn purge(app: &mut App, user: &str) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let user = find(&kit, user).await?;
    app.confirm(&format!("Remove {} ({}) for good? This cannot be undone.", user.email, user.id)).await?;
    app.admin(&kit).purge_user(user.id).await.map_err(about(Subject::User))?;
    app.change(true, &user, Vec::new(), &USER)
}

async fn erase(app: &mut App, user: &str, heir: Option<&str>) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let user = find(&kit, user).await?;
    let heir = match heir {
        Some(heir) => Some(find(&kit, heir).await?),
        None => None,
    };
    let question =
        format!("Erase {} ({}) and all that hangs on it? This cannot be undone.", user.email, user.id);
    app.confirm(&question).await?;
    let admin = app.admin(&kit);
    match heir {
        Some(heir) => admin.erase_user_handing_over(user.id, heir.id).await,
        None => admin.erase_user(user.id).await,
    }
    .map_err(about(Subject::User))?;
    app.change(true, &user, Vec::new(), &USER)
}

/// Where no mail can be sent the link is printed: somebody has to hand it over.
async fn send(app: &mut App, user: &str, purpose: LinkPurpose) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let user = find(&kit, user).await?;
    if !kit.has_mailer() && matches!(app.format(), Format::Id | Format::Csv) {
        let what = "without a mail server the link is printed, for which -o id and -o csv have no place";
        return Err(CliError::new(Code::Meaningless, what).next("use -o table, json, jsonl or yaml").into());
    }
    let admin = app.admin(&kit);
    let done = match purpose {
        LinkPurpose::VerifyEmail => admin.send_verify(user.id).await,
        _ => admin.send_reset(user.id).await,
    };
    let done = done.map_err(about(Subject::User))?;
    let link = done.resource.link.as_ref().filter(|_| !app.global.dry_run);
    let extra: Vec<_> = link.map(|link| ("link", link.expose_secret().to_owned())).into_iter().collect();
    app.change(done.changed, &done.resource, extra, &SENT_LINK)
}
