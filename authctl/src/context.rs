//! Settings, store and kit, as the server has them. The only place that knows how they are put together.

use std::path::Path;

use authkit::config::{self, Environment, Settings};
use authkit::random::SystemRandom;
use authkit::time::SystemClock;
use authkit::{AuthKit, Db, HttpRangeLookup, SchemaStatus, mail};

use crate::app::App;
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::io::Io;

/// No mailer but the one that the settings name, as in the server.
const HAS_MAILER: bool = false;

/// A store that ends with the process: what a dry run works on when there is none yet.
pub(crate) const FORGOTTEN: &str = "sqlite::memory:";

/// All settings, judged. Changes nothing on this machine.
pub(crate) fn settings(app: &mut App) -> Result<Settings> {
    let path = app.global.config.clone();
    let settings = config::check(path.as_deref(), app.io.variables.iter().cloned(), HAS_MAILER)
        .map_err(about(Subject::Store))?;
    for warning in &settings.warnings {
        app.detail(&format!("warning: {warning}"));
    }
    let origin = settings.origin("DATABASE_URL");
    app.detail(&format!("store: {} ({origin})", config::redact_url(&settings.config.server.database_url)));
    Ok(settings)
}

/// The key that development makes for itself beside the SQLite file.
pub(crate) fn complete(settings: &mut Settings) -> Result<()> {
    config::complete_dev_secrets(settings, &SystemRandom::new()).map_err(about(Subject::Store))
}

/// Whether `DATABASE_URL` names a SQLite file that is not there.
pub(crate) fn is_missing(settings: &Settings) -> Option<std::path::PathBuf> {
    config::sqlite_file(&settings.config.server.database_url).filter(|path| !path.exists())
}

/// Opens the store. A SQLite file that is missing is made only when `make` says so.
pub(crate) async fn connect(app: &mut App, settings: &Settings, make: bool) -> Result<Db> {
    if let Some(path) = is_missing(settings).filter(|_| !make) {
        let what = format!("there is no database at {}", path.display());
        return Err(CliError::new(Code::StoreMissing, what).into());
    }
    let db = Db::connect(&settings.config.server.database_url).await.map_err(about(Subject::Store))?;
    app.db = Some(db.clone());
    Ok(db)
}

/// The kit on a store that is there and current.
pub(crate) async fn kit(app: &mut App, define_roles: bool) -> Result<AuthKit> {
    let settings = settings(app)?;
    let db = connect(app, &settings, false).await?;
    build(settings, db, define_roles).await
}

/// As [`kit`], but a store that is missing or behind is brought up to date first, where the server would do so
/// when it starts (`MIGRATE_ON_START`).
pub(crate) async fn kit_as_server(app: &mut App) -> Result<AuthKit> {
    let mut settings = settings(app)?;
    if app.global.dry_run && is_missing(&settings).is_some() {
        app.note("The database would be made first.");
        FORGOTTEN.clone_into(&mut settings.config.server.database_url);
        let db = connect(app, &settings, false).await?;
        db.migrate(&SystemClock::new()).await.map_err(about(Subject::Store))?;
        return build(settings, db, true).await;
    }
    let migrates = settings.config.migrate_on_start() && !app.global.dry_run;
    let db = connect(app, &settings, migrates).await?;
    if migrates {
        let applied = db.migrate(&SystemClock::new()).await.map_err(about(Subject::Store))?;
        if applied > 0 {
            app.note(&format!("Schema: {applied} migration(s) applied (MIGRATE_ON_START)."));
        }
    }
    let define_roles = !app.global.dry_run;
    build(settings, db, define_roles).await
}

/// The kit, as the server builds it.
pub(crate) async fn build(mut settings: Settings, db: Db, define_roles: bool) -> Result<AuthKit> {
    require_schema(db.schema_status().await.map_err(about(Subject::Store))?)?;
    complete(&mut settings)?;
    let breach = settings.config.passwords.breach_url.clone();
    let mailer = mail::mailer_of(&settings.config, &settings.secrets).map_err(about(Subject::Store))?;
    let mut builder = AuthKit::builder(db, settings.secrets).config(settings.config);
    if let Some(mailer) = mailer {
        builder = builder.mailer(mailer);
    }
    if let Some(url) = breach {
        builder = builder.breach_lookup(HttpRangeLookup::new(&url).map_err(about(Subject::Store))?);
    }
    if !define_roles {
        builder = builder.keep_roles();
    }
    Box::pin(builder.build()).await.map_err(about(Subject::Store))
}

fn require_schema(status: SchemaStatus) -> Result<()> {
    status.require_current().map_err(about(Subject::Store))
}

/// Whether demo accounts are allowed at all.
pub(crate) fn is_development(settings: &Settings) -> bool {
    settings.config.env == Environment::Dev
}

/// Who acts, for the audit: `cli:USER@HOST`. A hint for honest operators, no proof.
pub(crate) fn operator(io: &Io) -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| io.variable(name));
    let user = user.map_or_else(numeric_user, str::to_owned);
    format!("cli:{}@{}", plain(&user), plain(&host(io)))
}

fn plain(text: &str) -> String {
    let sound = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.chars().take(64).map(|c| if sound(c) { c } else { '_' }).collect()
}

#[cfg(unix)]
fn host(_: &Io) -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host(io: &Io) -> String {
    io.variable("COMPUTERNAME").unwrap_or("unknown").to_owned()
}

#[cfg(unix)]
fn numeric_user() -> String {
    format!("uid{}", rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn numeric_user() -> String {
    "unknown".to_owned()
}

/// Whether every account of the machine can read or change the file.
#[cfg(unix)]
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o006 != 0)
}

#[cfg(not(unix))]
pub(crate) fn is_open_to_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_s_name_is_one_plain_word() {
        assert_eq!(plain("root"), "root");
        assert_eq!(plain("a b\n@c:d"), "a_b__c_d");
        assert_eq!(plain(&"x".repeat(100)).len(), 64);
    }
}
