//! `authctl invite`, and `authctl user invite`.

use authkit::admin::{Changed, SentInvitation};
use authkit::secret::ExposeSecret as _;
use authkit::{AuthKit, InvitationId, NewInvitation, Resource};

use super::membership::all_pages;
use super::org::org_id;
use crate::app::App;
use crate::cli::{Format, InviteArgs, InviteCommand, TargetArgs};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::INVITATION;

pub(crate) async fn run(app: &mut App, command: InviteCommand) -> Result<Exit> {
    match command {
        InviteCommand::List { page, target } => {
            let target = resource(target)?;
            let kit = app.kit(false).await?;
            let admin = app.admin(&kit);
            let list = async |page: &_| {
                admin.invitations(target.as_ref(), page).await.map_err(about(Subject::Invitation))
            };
            let (items, next) = all_pages(&page, list).await?;
            app.list(&items, next, &INVITATION)
        }
        InviteCommand::Create(args) => create(app, args).await,
        InviteCommand::Resend(arg) => {
            let id = invitation_id(&arg.id)?;
            let kit = app.kit(true).await?;
            room_for_a_link(app, &kit)?;
            let done = app.admin(&kit).resend_invitation(id).await;
            sent(app, &done.map_err(about(Subject::Invitation))?)
        }
        InviteCommand::Revoke(arg) => {
            let id = invitation_id(&arg.id)?;
            let kit = app.kit(true).await?;
            let done = app.admin(&kit).revoke_invitation(id).await;
            app.changed(&done.map_err(about(Subject::Invitation))?, &INVITATION)
        }
    }
}

pub(crate) async fn create(app: &mut App, args: InviteArgs) -> Result<Exit> {
    let target = resource(args.target)?;
    let default = if target.is_some() { "member" } else { "user" };
    let mut new = NewInvitation::new(args.email, args.role.unwrap_or_else(|| default.to_owned()));
    new.resource = target;
    let kit = app.kit(true).await?;
    room_for_a_link(app, &kit)?;
    let done = app.admin(&kit).invite(new).await;
    sent(app, &done.map_err(about(Subject::NewInvitation))?)
}

/// Where no mail can be sent the link is printed: somebody has to hand it over.
fn room_for_a_link(app: &App, kit: &AuthKit) -> Result<()> {
    if !kit.has_mailer() && matches!(app.format(), Format::Id | Format::Csv) {
        let what = "without a mail server the link is printed, for which -o id and -o csv have no place";
        return Err(CliError::new(Code::Meaningless, what).next("use -o table, json, jsonl or yaml").into());
    }
    Ok(())
}

fn sent(app: &mut App, done: &Changed<SentInvitation>) -> Result<Exit> {
    let link = done.resource.link.as_ref().filter(|_| !app.global.dry_run);
    let extra: Vec<_> = link.map(|link| ("link", link.expose_secret().to_owned())).into_iter().collect();
    app.change(done.changed, &done.resource, extra, &INVITATION)
}

fn resource(target: TargetArgs) -> Result<Option<Resource>> {
    match (target.org_id, target.resource) {
        (Some(id), _) => Ok(Some(Resource::org(org_id(&id)?))),
        (None, resource) => Ok(resource),
    }
}

fn invitation_id(text: &str) -> Result<InvitationId> {
    let missing = || CliError::new(Code::InvitationMissing, format!("there is no invitation {text}"));
    Ok(text.parse().map_err(|_| missing())?)
}
