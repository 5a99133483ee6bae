//! `authctl migrate`.

use authkit::SchemaStatus;
use authkit::time::SystemClock;
use serde::Serialize;

use crate::app::App;
use crate::cli::MigrateCommand;
use crate::context;
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::SCHEMA;

#[derive(Debug, Serialize)]
struct Schema {
    state: &'static str,
    applied: i64,
    expected: i64,
    engine: &'static str,
}

impl Schema {
    fn new(status: SchemaStatus, engine: &'static str) -> Self {
        let (state, applied, expected) = match status {
            SchemaStatus::Current { applied } => ("current", applied, applied),
            SchemaStatus::Behind { applied, expected } => ("behind", applied, expected),
            SchemaStatus::Ahead { applied, expected } => ("ahead", applied, expected),
            _ => ("unknown", 0, 0),
        };
        Self { state, applied, expected, engine }
    }
}

pub(crate) async fn run(app: &mut App, command: &MigrateCommand) -> Result<Exit> {
    match command {
        MigrateCommand::Status { check } => status(app, *check).await,
        MigrateCommand::Up => up(app).await,
    }
}

async fn status(app: &mut App, check: bool) -> Result<Exit> {
    let settings = context::settings(app)?;
    let db = context::connect(app, &settings, false).await?;
    let status = db.schema_status().await.map_err(about(Subject::Store))?;
    app.one(&Schema::new(status, db.engine().name()), &SCHEMA)?;
    match status {
        SchemaStatus::Ahead { .. } => {
            status.require_current().map_err(about(Subject::Store))?;
            Ok(Exit::Refused)
        }
        SchemaStatus::Behind { .. } if check => {
            Err(CliError::new(Code::SchemaNotReady, "the store's schema is behind").into())
        }
        SchemaStatus::Behind { .. } => {
            app.note("Run `authctl migrate up`.");
            Ok(Exit::Done)
        }
        _ => Ok(Exit::Done),
    }
}

async fn up(app: &mut App) -> Result<Exit> {
    let mut settings = context::settings(app)?;
    if app.global.dry_run && context::is_missing(&settings).is_some() {
        app.note("The database would be made first.");
        context::FORGOTTEN.clone_into(&mut settings.config.server.database_url);
    }
    let db = context::connect(app, &settings, true).await?;
    let before = db.schema_status().await.map_err(about(Subject::Store))?;
    if app.global.dry_run || matches!(before, SchemaStatus::Ahead { .. }) {
        if matches!(before, SchemaStatus::Ahead { .. }) {
            before.require_current().map_err(about(Subject::Store))?;
        }
        let behind = matches!(before, SchemaStatus::Behind { .. });
        return app.change(behind, &Schema::new(before, db.engine().name()), Vec::new(), &SCHEMA);
    }
    let bar = app.spinner("Migrating");
    let applied = db.migrate(&SystemClock::new()).await.map_err(about(Subject::Store));
    bar.finish_and_clear();
    let applied = applied?;
    let after = db.schema_status().await.map_err(about(Subject::Store))?;
    app.change(applied > 0, &Schema::new(after, db.engine().name()), Vec::new(), &SCHEMA)
}
