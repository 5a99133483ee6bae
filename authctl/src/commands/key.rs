//! `authctl key`.

use authkit::KeyPurpose;

use crate::app::App;
use crate::cli::{Format, KeyCommand};
use crate::errors::{Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::KEY;

pub(crate) async fn run(app: &mut App, command: &KeyCommand) -> Result<Exit> {
    match command {
        KeyCommand::List => {
            let kit = app.kit(false).await?;
            let mut keys = kit.keys();
            keys.sort_by_key(|key| (key.purpose.name(), key.created_at));
            app.list(&keys, None, &KEY)
        }
        KeyCommand::Rotate { purpose } => rotate(app, *purpose).await,
        KeyCommand::Jwks => {
            let kit = app.kit(false).await?;
            app.global.output.get_or_insert(Format::Json);
            app.one(&kit.jwks(), &KEY)
        }
    }
}

async fn rotate(app: &mut App, purpose: KeyPurpose) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let made = app.admin(&kit).rotate_key(purpose).await.map_err(about(Subject::Key))?;
    app.change(true, &made, Vec::new(), &KEY)
}
