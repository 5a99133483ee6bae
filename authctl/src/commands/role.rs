//! `authctl role`.

use authkit::config::RoleDefinition;

use super::user::find;
use crate::app::App;
use crate::cli::RoleCommand;
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{ROLE, USER};

pub(crate) async fn run(app: &mut App, command: RoleCommand) -> Result<Exit> {
    match command {
        RoleCommand::List => {
            let kit = app.kit(false).await?;
            let roles = kit.roles().list().await.map_err(about(Subject::Role))?;
            app.list(&roles, None, &ROLE)
        }
        RoleCommand::Show { role } => {
            let kit = app.kit(false).await?;
            let found = kit.roles().get(&role).await.map_err(about(Subject::Role))?;
            let missing = || CliError::new(Code::RoleMissing, format!("there is no role {role:?}"));
            app.one(&found.ok_or_else(missing)?, &ROLE)
        }
        RoleCommand::Define { role, permissions, description } => {
            let kit = app.kit(true).await?;
            let mut definition = RoleDefinition::new(role, permissions);
            definition.description = description;
            let done = app.admin(&kit).define_role(definition).await.map_err(about(Subject::Role))?;
            app.changed(&done, &ROLE)
        }
        RoleCommand::Grant { user, role } => {
            let kit = app.kit(true).await?;
            let user = find(&kit, &user).await?;
            let done = app.admin(&kit).grant_role(user.id, &role).await.map_err(about(Subject::User))?;
            app.changed(&done, &USER)
        }
        RoleCommand::Revoke { user, role } => {
            let kit = app.kit(true).await?;
            let user = find(&kit, &user).await?;
            let done = app.admin(&kit).revoke_role(user.id, &role).await.map_err(about(Subject::User))?;
            app.changed(&done, &USER)
        }
    }
}
