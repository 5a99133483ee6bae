//! `authctl token`.

use authkit::admin::TokenStatus;

use crate::app::App;
use crate::cli::TokenCommand;
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::TOKEN;
use crate::secrets;

pub(crate) async fn run(app: &mut App, command: TokenCommand) -> Result<Exit> {
    let TokenCommand::Inspect { stdin, file } = command;
    let token = match file {
        Some(path) => secrets::from_file(&path)?,
        None if stdin => secrets::from_stdin(app).await?,
        None => secrets::typed(app, "Token", "--stdin or --file FILE").await?,
    };
    let kit = app.kit(false).await?;
    let report = app.admin(&kit).inspect_token(&token).await.map_err(about(Subject::Store))?;
    app.one(&report, &TOKEN)?;
    if report.status == TokenStatus::Valid {
        return Ok(Exit::Done);
    }
    Err(CliError::new(Code::TokenBad, format!("the token opens nothing: {}", report.why)).into())
}
