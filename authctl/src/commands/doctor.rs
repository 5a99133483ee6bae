//! `authctl doctor`: looks at everything a server needs. Changes nothing that is there; a store that no process
//! has opened yet gets its first keys, as from every command.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use authkit::audit::AuditFilter;
use authkit::config::{Environment, Origin, RoleDefinition, Settings, sqlite_file};
use authkit::{AuthKit, KeyPurpose, KeyState, Page, SchemaStatus};
use serde::Serialize;

use crate::app::App;
use crate::cli::Format;
use crate::context;
use crate::errors::{CliError, Code, Failure, Result};
use crate::exit::Exit;
use crate::output::table::clean;
use crate::output::views::FINDING;

/// A signing key older than this should be rotated.
const KEY_AGE: Duration = Duration::from_hours(366 * 24);
/// Seals of each kind that are looked at.
const SEALS: u32 = 1000;
/// The store may have seen a time that lies so far ahead of this clock.
const CLOCK_SLACK: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Warn,
    Bad,
    Unknown,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    status: Status,
    #[serde(rename = "finding")]
    text: String,
    effect: Option<String>,
    fix: Option<String>,
    code: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
    store_is_down: bool,
}

impl Report {
    fn ok(&mut self, check: &'static str, finding: impl Into<String>) {
        let text = finding.into();
        self.findings.push(Finding { check, status: Status::Ok, text, effect: None, fix: None, code: None });
    }

    fn add(&mut self, check: &'static str, status: Status, code: Code, finding: impl Into<String>) {
        self.findings.push(Finding {
            check,
            status,
            text: finding.into(),
            effect: Some(code.effect().to_owned()),
            fix: Some(code.next().to_owned()),
            code: Some(code.text()),
        });
    }

    fn warn(&mut self, check: &'static str, finding: String, fix: String) {
        let (effect, fix, code) = (None, Some(fix), None);
        self.findings.push(Finding { check, status: Status::Warn, text: finding, effect, fix, code });
    }

    fn failed(&mut self, check: &'static str, failure: Failure) -> Result<()> {
        match failure {
            Failure::Error(error) => {
                self.store_is_down |= matches!(error.code, Code::StoreDown | Code::StoreMissing);
                let text = error.summary();
                self.add(check, Status::Bad, error.code, text);
                Ok(())
            }
            Failure::BrokenPipe => Err(Failure::BrokenPipe),
        }
    }

    fn unknown(&mut self, checks: &[&'static str], why: &str) {
        for check in checks {
            self.add(check, Status::Unknown, Code::DoctorUnknown, format!("not looked at: {why}"));
        }
    }

    fn has(&self, status: Status) -> bool {
        self.findings.iter().any(|finding| finding.status == status)
    }
}

pub(crate) async fn run(app: &mut App) -> Result<Exit> {
    let mut report = Report::default();
    look(app, &mut report).await?;
    app.list(&report.findings, None, &FINDING)?;
    if app.format() == Format::Table {
        let text = advice(&report.findings);
        app.print(&text)?;
    }
    if report.store_is_down {
        return Ok(Exit::Unavailable);
    }
    if report.has(Status::Bad) {
        return Err(CliError::new(Code::DoctorBad, "something is wrong").into());
    }
    if report.has(Status::Unknown) {
        return Err(CliError::new(Code::DoctorUnknown, "something could not be looked at").into());
    }
    Ok(Exit::Done)
}

async fn look(app: &mut App, report: &mut Report) -> Result<()> {
    let verbose = std::mem::take(&mut app.global.verbose);
    let settings = context::settings(app);
    app.global.verbose = verbose;
    let settings = match settings {
        Ok(settings) => settings,
        Err(failure) => {
            report.failed("settings", failure)?;
            report.unknown(
                &["files", "store", "schema", "keys", "mfa", "write", "clock"],
                "the settings are invalid",
            );
            return Ok(());
        }
    };
    look_at_settings(&settings, report);
    let db = match context::connect(app, &settings, false).await {
        Ok(db) => db,
        Err(failure) => {
            report.failed("store", failure)?;
            report.unknown(&["schema", "keys", "mfa", "write", "clock"], "the store cannot be opened");
            return Ok(());
        }
    };
    look_at_files(&settings, report);
    let status = match db.schema_status().await.map_err(crate::errors::about(crate::errors::Subject::Store)) {
        Ok(status) => status,
        Err(failure) => {
            report.failed("store", failure)?;
            report.unknown(&["schema", "keys", "mfa", "write", "clock"], "the store does not answer");
            return Ok(());
        }
    };
    report.ok("store", format!("{} answers", db.engine().name()));
    match status {
        SchemaStatus::Current { applied } => report.ok("schema", format!("current, at {applied}")),
        behind_or_ahead => {
            let (code, text) = match behind_or_ahead {
                SchemaStatus::Behind { applied, expected } => {
                    (Code::SchemaBehind, format!("at {applied}, this build needs {expected}"))
                }
                _ => (Code::SchemaAhead, "newer than this build".to_owned()),
            };
            report.add("schema", Status::Bad, code, text);
            report.unknown(&["keys", "mfa", "write", "clock"], "the schema is not that of this build");
            return Ok(());
        }
    }
    let has_mfa_key = !settings.secrets.mfa_encryption_key.is_empty();
    match context::build(settings, db, false).await {
        Ok(kit) => {
            look_at_keys(&kit, report);
            look_at_seals(app, &kit, has_mfa_key, report).await;
            look_at_writes(app, &kit, report).await;
            look_at_clock(&kit, report).await;
        }
        Err(failure) => {
            report.failed("keys", failure)?;
            report.unknown(&["mfa", "write", "clock"], "the keys cannot be opened");
        }
    }
    Ok(())
}

fn look_at_settings(settings: &Settings, report: &mut Report) {
    for warning in &settings.warnings {
        let finding = format!("{} ({}) {}", warning.setting, warning.origin, warning.problem);
        report.warn("settings", finding, warning.fix.clone());
    }
    let env = settings.config.env.name();
    report.ok("settings", format!("valid for {env}, {} set", settings.origins.len()));
}

fn look_at_files(settings: &Settings, report: &mut Report) {
    let database = sqlite_file(&settings.config.server.database_url);
    let mut files: Vec<PathBuf> = settings
        .origins
        .values()
        .filter_map(|origin| match origin {
            Origin::File(path) | Origin::Made(path) => Some(path.clone()),
            _ => None,
        })
        .collect();
    files.extend(database);
    let open: Vec<&PathBuf> = files.iter().filter(|path| context::is_open_to_others(path)).collect();
    for path in &open {
        let finding = format!("{} can be read by every account of this machine", path.display());
        if settings.config.env == Environment::Dev {
            report.warn("files", finding, format!("chmod 600 {}", path.display()));
        } else {
            report.add("files", Status::Bad, Code::FileOpen, finding);
        }
    }
    if open.is_empty() {
        report.ok("files", format!("{} file(s), closed to other accounts", files.len()));
    }
}

fn look_at_keys(kit: &AuthKit, report: &mut Report) {
    let (keys, now) = (kit.keys(), kit.now());
    let before = report.findings.len();
    for purpose in KeyPurpose::ALL {
        let of_purpose =
            || keys.iter().filter(|key| key.purpose == *purpose && key.state == KeyState::Active);
        if of_purpose().next().is_none() {
            report.add("keys", Status::Bad, Code::KeyMissing, format!("no active {} key", purpose.name()));
        }
        for key in of_purpose().filter(|key| *purpose == KeyPurpose::Jwt && key.created_at > authkit_epoch())
        {
            let days = now.since(key.activates_at).as_secs() / 86_400;
            if now.since(key.activates_at) > KEY_AGE {
                let finding = format!("the signing key {} is {days} days old", key.kid);
                report.warn("keys", finding, "authctl key rotate jwt".to_owned());
            }
        }
    }
    if report.findings.len() == before {
        report.ok("keys", format!("{} key(s), one active for each purpose", keys.len()));
    }
}

/// Whether the keys open what second factors keep: of the first rows, rehearsing to seal them anew.
async fn look_at_seals(app: &App, kit: &AuthKit, has_key: bool, report: &mut Report) {
    if !has_key {
        report.ok("mfa", "no MFA_ENCRYPTION_KEY: no authenticator app can be set up");
        return;
    }
    let admin = app.admin(kit).dry_run();
    let (mut next, mut looked_at, mut older, mut unreadable) = (None, 0, 0, 0);
    // Two kinds of rows, one batch each and the step between them.
    for _ in 0..4 {
        match admin.reencrypt(next, SEALS).await {
            Ok(done) => {
                looked_at += done.looked_at;
                older += done.resealed;
                unreadable += done.unreadable;
                next = done.next;
            }
            Err(error) => {
                report.add("mfa", Status::Unknown, Code::DoctorUnknown, error.to_string());
                return;
            }
        }
        if next.is_none() {
            break;
        }
    }
    if unreadable > 0 {
        let finding = format!("{unreadable} of {looked_at} seal(s) open with none of the keys");
        report.add("mfa", Status::Bad, Code::MfaKeyWrong, finding);
    } else if older > 0 {
        let finding = format!("{older} of {looked_at} seal(s) are under an older MFA_ENCRYPTION_KEY");
        report.warn("mfa", finding, "authctl key reencrypt".to_owned());
    } else {
        report.ok("mfa", format!("{looked_at} seal(s) looked at, all under the newest key"));
    }
}

/// A key from the settings has no age.
fn authkit_epoch() -> authkit::time::Timestamp {
    authkit::time::Timestamp::from_secs(1)
}

/// A role, its audit row and its feed, all rolled back.
async fn look_at_writes(app: &App, kit: &AuthKit, report: &mut Report) {
    let probe = RoleDefinition::new("authctl.doctor.probe", ["probe"]);
    match app.admin(kit).dry_run().define_role(probe).await {
        Ok(_) => report.ok("write", "a write was tried and rolled back"),
        Err(error) => report.add("write", Status::Bad, Code::StoreReadOnly, error.to_string()),
    }
}

async fn look_at_clock(kit: &AuthKit, report: &mut Report) {
    let newest = match Page::new(1, None) {
        Ok(page) => kit.audit(&AuditFilter::default(), &page).await.map(|listing| listing.items),
        Err(error) => Err(error),
    };
    match newest {
        Ok(events) => match events.first().filter(|event| event.at > kit.now() + CLOCK_SLACK) {
            Some(event) => {
                let text = format!("it is {}, but the store has seen {}", kit.now(), event.at);
                report.add("clock", Status::Bad, Code::ClockWrong, text);
            }
            None => report.ok("clock", format!("{}, not behind the store", kit.now())),
        },
        Err(error) => report.add("clock", Status::Unknown, Code::DoctorUnknown, error.to_string()),
    }
}

fn advice(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings.iter().filter(|finding| finding.status != Status::Ok) {
        let mut line = |name: &str, text: &str| {
            let _ = writeln!(out, "{name}{}", clean(text));
        };
        line("\n", &format!("{}: {}", finding.check, finding.text));
        if let Some(effect) = &finding.effect {
            line("  effect: ", effect);
        }
        if let Some(fix) = &finding.fix {
            let code = finding.code.map(|code| format!(" [{code}]")).unwrap_or_default();
            line("  fix:    ", &format!("{fix}{code}"));
        }
    }
    out
}
