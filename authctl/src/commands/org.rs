//! `authctl org`.

use authkit::secret::ExposeSecret as _;
use authkit::{NewOrganisation, OrgId, Organisation, OrganisationChange, Resource};

use super::membership::all_pages;
use super::user::find;
use crate::app::App;
use crate::cli::OrgCommand;
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{MEMBERSHIP, ORGANISATION};

pub(crate) async fn run(app: &mut App, command: OrgCommand) -> Result<Exit> {
    match command {
        OrgCommand::List { page, user } => {
            let kit = app.kit(false).await?;
            let user = match user {
                Some(user) => Some(find(&kit, &user).await?.id),
                None => None,
            };
            let admin = app.admin(&kit);
            let (items, next): (Vec<Organisation>, _) =
                all_pages(&page, async |page| admin.orgs(user, page).await.map_err(about(Subject::Org)))
                    .await?;
            app.list(&items, next, &ORGANISATION)
        }
        OrgCommand::Show(arg) => {
            let id = org_id(&arg.org)?;
            let kit = app.kit(false).await?;
            let org = app.admin(&kit).org(id).await.map_err(about(Subject::Org))?;
            app.one(&org, &ORGANISATION)
        }
        OrgCommand::Create { name, admin_email, domain, seat_limit } => {
            let mut new = NewOrganisation::new(name).with_admin(admin_email);
            (new.domain, new.seat_limit) = (domain, seat_limit);
            let kit = app.kit(true).await?;
            let done = app.admin(&kit).create_org(new).await.map_err(about(Subject::Org))?;
            let link = done.resource.invitation.as_ref().and_then(|sent| sent.link.as_ref());
            let link = link.filter(|_| !app.global.dry_run);
            let extra: Vec<_> =
                link.map(|link| ("link", link.expose_secret().to_owned())).into_iter().collect();
            app.change(done.changed, &done.resource, extra, &ORGANISATION)
        }
        OrgCommand::Update { org, name, domain, seat_limit, status } => {
            let id = org_id(&org)?;
            let mut change = OrganisationChange::default();
            (change.name, change.status) = (name, status);
            change.domain = domain.map(|domain| Some(domain).filter(|domain| !domain.is_empty()));
            change.seat_limit = seat_limit.map(|limit| Some(limit).filter(|limit| *limit != 0));
            let kit = app.kit(true).await?;
            let done = app.admin(&kit).update_org(id, change).await.map_err(about(Subject::Org))?;
            app.changed(&done, &ORGANISATION)
        }
        OrgCommand::Delete(arg) => {
            let id = org_id(&arg.org)?;
            let kit = app.kit(true).await?;
            let admin = app.admin(&kit);
            let org = admin.org(id).await.map_err(about(Subject::Org))?;
            app.confirm(&format!("End {} ({id}) with all roles in it and on its things?", org.name)).await?;
            let done = admin.delete_org(id).await.map_err(about(Subject::Org))?;
            app.changed(&done, &ORGANISATION)
        }
        OrgCommand::Members { org, page } => {
            let resource = Resource::org(org_id(&org)?);
            let kit = app.kit(false).await?;
            let admin = app.admin(&kit);
            let list = async |page: &_| admin.members_of(&resource, page).await.map_err(about(Subject::Org));
            let (items, next) = all_pages(&page, list).await?;
            app.list(&items, next, &MEMBERSHIP)
        }
        OrgCommand::AddMember { org, user, role } => {
            let resource = Resource::org(org_id(&org)?);
            let kit = app.kit(true).await?;
            let user = find(&kit, &user).await?;
            let done = app.admin(&kit).grant_membership(user.id, &resource, &role).await;
            app.changed(&done.map_err(about(Subject::Org))?, &MEMBERSHIP)
        }
        OrgCommand::RemoveMember { org, user } => {
            let resource = Resource::org(org_id(&org)?);
            let kit = app.kit(true).await?;
            let user = find(&kit, &user).await?;
            let done = app.admin(&kit).remove_member(user.id, &resource).await;
            app.changed(&done.map_err(about(Subject::Membership))?, &MEMBERSHIP)
        }
    }
}

pub(crate) fn org_id(text: &str) -> Result<OrgId> {
    let missing = || CliError::new(Code::OrgMissing, format!("there is no organisation {text}"));
    Ok(text.parse().map_err(|_| missing())?)
}
