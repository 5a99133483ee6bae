//! `authctl membership`.

use authkit::{Listing, MembershipId, Page};

use super::user::{find, page};
use crate::app::App;
use crate::cli::{MembershipCommand, PageArgs};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::MEMBERSHIP;

pub(crate) async fn run(app: &mut App, command: MembershipCommand) -> Result<Exit> {
    match command {
        MembershipCommand::List { user, resource, page } => {
            let kit = app.kit(false).await?;
            let user = match user {
                Some(user) => Some(find(&kit, &user).await?.id),
                None => None,
            };
            let admin = app.admin(&kit);
            let list = async |page: &Page| {
                let listing = match (&resource, user) {
                    (Some(resource), _) => admin.members_of(resource, page).await,
                    (None, Some(user)) => admin.memberships_of(user, None, page).await,
                    (None, None) => {
                        return Err(CliError::new(Code::Usage, "name a user or a resource").into());
                    }
                };
                listing.map_err(about(Subject::Membership))
            };
            let (items, next) = all_pages(&page, list).await?;
            app.list(&items, next, &MEMBERSHIP)
        }
        MembershipCommand::Grant { user, resource, role } => {
            let kit = app.kit(true).await?;
            let user = find(&kit, &user).await?;
            let done = app.admin(&kit).grant_membership(user.id, &resource, &role).await;
            app.changed(&done.map_err(about(Subject::Org))?, &MEMBERSHIP)
        }
        MembershipCommand::Revoke { id } => {
            let missing = || CliError::new(Code::MembershipMissing, format!("there is no membership {id}"));
            let id: MembershipId = id.parse().map_err(|_| missing())?;
            let kit = app.kit(true).await?;
            let done = app.admin(&kit).revoke_membership(id).await;
            app.changed(&done.map_err(about(Subject::Membership))?, &MEMBERSHIP)
        }
    }
}

/// The page that was asked for, or all of them.
pub(crate) async fn all_pages<T>(
    args: &PageArgs,
    list: impl AsyncFn(&Page) -> Result<Listing<T>>,
) -> Result<(Vec<T>, Option<String>)> {
    let mut page = page(args)?;
    let mut items = Vec::new();
    loop {
        let part = list(&page).await?;
        items.extend(part.items);
        match part.next_cursor {
            Some(cursor) if args.all => page.cursor = Some(cursor),
            next => return Ok((items, next)),
        }
    }
}
