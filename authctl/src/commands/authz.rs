//! `authctl authz`.

use authkit::DecidedBy;
use serde::Serialize;

use super::user::find;
use crate::app::App;
use crate::cli::AuthzCommand;
use crate::errors::{Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{DECISION, RESOURCE_TYPE};

/// A decision, flat.
#[derive(Debug, Serialize)]
struct Explained {
    allowed: bool,
    user: String,
    permission: String,
    resource: String,
    why: String,
    row: Option<DecidedBy>,
}

/// A role on a type of things.
#[derive(Debug, Serialize)]
struct TypeRole {
    resource_type: String,
    role: String,
    permissions: Vec<String>,
    from_org: Vec<String>,
}

pub(crate) async fn run(app: &mut App, command: AuthzCommand) -> Result<Exit> {
    match command {
        AuthzCommand::Explain { user, permission, resource } => {
            let kit = app.kit(false).await?;
            let user = find(&kit, &user.user).await?;
            let decision = app.admin(&kit).explain(user.id, &permission, &resource).await;
            let decision = decision.map_err(about(Subject::User))?;
            let explained = Explained {
                allowed: decision.allowed,
                user: user.email,
                permission,
                resource: resource.to_string(),
                why: decision.why,
                row: decision.row,
            };
            app.one(&explained, &DECISION)?;
            Ok(if explained.allowed { Exit::Done } else { Exit::Bad })
        }
        AuthzCommand::Types => {
            let kit = app.kit(false).await?;
            let mut rows = Vec::new();
            for kind in kit.authz().resource_types() {
                for (role, permissions) in &kind.roles {
                    let from_org = kind.from_org.iter().filter(|(_, to)| *to == role);
                    rows.push(TypeRole {
                        resource_type: kind.name.clone(),
                        role: role.clone(),
                        permissions: permissions.clone(),
                        from_org: from_org.map(|(from, _)| from.clone()).collect(),
                    });
                }
            }
            app.list(&rows, None, &RESOURCE_TYPE)
        }
    }
}
