//! `authctl seed`.

use std::collections::HashMap;
use std::path::Path;

use authkit::admin::{SeedFile, SeedOutcome, SeedPassword, SeedPlan};
use authkit::error::FieldCode;
use authkit::secret::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::app::App;
use crate::cli::{Format, SeedArgs};
use crate::context;
use crate::errors::{CliError, Code, Failure, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::SEEDED;
use crate::output::{Document, node};
use crate::secrets;

/// An entry, with the password that was made for it: shown once.
#[derive(Debug, Serialize)]
struct Entry {
    kind: &'static str,
    name: String,
    outcome: SeedOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    changes: usize,
    items: Vec<Entry>,
}

type Generated = HashMap<String, SecretString>;

pub(crate) async fn run(app: &mut App, args: SeedArgs) -> Result<Exit> {
    let mut generated = Generated::new();
    let plan = if let Some(path) = &args.file {
        from_file(app, path, &mut generated)?
    } else {
        // Before a store is made: nothing of the demo may reach a place where it does not belong.
        if !context::is_development(&context::settings(app)?) {
            return Err(CliError::new(Code::SeedDemo, "demo accounts are for ENV=dev only").into());
        }
        SeedPlan::demo()
    };
    if !generated.is_empty() && matches!(app.format(), Format::Id | Format::Csv) {
        let what = "generate_password prints passwords, for which -o id and -o csv have no place";
        return Err(CliError::new(Code::Meaningless, what).into());
    }
    let kit = context::kit_as_server(app).await?;
    let bar = app.spinner("Seeding");
    let report = app.admin(&kit).seed(&plan).await.map_err(about(Subject::Seed));
    bar.finish_and_clear();
    let report = report?;
    let skipped = report.items.iter().filter(|item| item.outcome == SeedOutcome::Skipped).count();
    let dry_run = app.global.dry_run;
    let items = report.items.into_iter().map(|item| {
        let made = item.outcome == SeedOutcome::Created && item.kind == "user" && !dry_run;
        let password = generated.iter().find(|(email, _)| made && same(email, &item.name));
        let password = password.map(|(_, text)| text.expose_secret().to_owned());
        Entry { kind: item.kind, name: item.name, outcome: item.outcome, password }
    });
    let report = Report { changes: report.changes, items: items.collect() };
    print(app, &report)?;
    if skipped > 0 {
        let what = format!("{skipped} account(s) of the seed are deleted and were left so");
        return Err(CliError::new(Code::SeedSkipped, what).into());
    }
    Ok(Exit::Done)
}

/// The library shows e-mails as it stores them, which is not always how the file spells them.
fn same(written: &str, stored: &str) -> bool {
    written.trim().to_lowercase() == stored.to_lowercase()
}

fn print(app: &mut App, report: &Report) -> Result<()> {
    let (changed, dry_run) = (report.changes > 0, app.global.dry_run);
    if matches!(app.format(), Format::Json | Format::Jsonl | Format::Yaml) {
        let document = Document::Change { changed, dry_run, resource: node(report)?, extra: Vec::new() };
        return app.show(document, &SEEDED);
    }
    let items = report.items.iter().map(node).collect::<Result<Vec<_>>>()?;
    app.show(Document::List { items, next_cursor: None }, &SEEDED)?;
    let count = match report.changes {
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    };
    if app.format() == Format::Table {
        app.print(&format!("\n{count}{}\n", if dry_run { " to make" } else { "" }))?;
    }
    if dry_run {
        app.note("Dry run: nothing was written.");
    }
    Ok(())
}

fn from_file(app: &App, path: &Path, generated: &mut Generated) -> Result<SeedPlan> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Code::NotPermitted,
            _ => Code::SeedUnreadable,
        };
        Failure::from(CliError::new(code, format!("{name} cannot be read: {error}")))
    })?;
    let file = SeedFile::parse(&text).map_err(|error| {
        let why = error.fields().first().map(|fault| fault.message.to_string()).unwrap_or_default();
        Failure::from(CliError::new(Code::SeedUnreadable, format!("{name} {why}")))
    })?;
    // The closure speaks the library's errors; a better one of ours is kept beside it.
    let mut failure = None;
    let plan = file.plan(|email, source| {
        resolve(app, email, source, generated).map_err(|error| {
            failure = Some(error);
            authkit::Error::field("/users", FieldCode::Required, "has no password")
        })
    });
    match failure {
        Some(failure) => Err(failure),
        None => plan.map_err(about(Subject::Seed)),
    }
}

fn resolve(app: &App, email: &str, source: &SeedPassword, generated: &mut Generated) -> Result<SecretString> {
    match source {
        SeedPassword::Env(name) => app.io.variable(name).map(SecretString::from).ok_or_else(|| {
            let what = format!("the password of {email} is to come from {name}, which is not set");
            CliError::new(Code::SecretUnreadable, what).into()
        }),
        SeedPassword::File(path) => secrets::from_file(Path::new(path)),
        SeedPassword::Generate => {
            let password = secrets::generated()?;
            generated.insert(email.to_owned(), password.clone());
            Ok(password)
        }
        _ => {
            Err(CliError::new(Code::SeedUnreadable, "a password's source is not known to this build").into())
        }
    }
}
