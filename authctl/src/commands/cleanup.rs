//! `authctl cleanup`: for cron, and for people who want to see it.

use std::io::Write as _;
use std::time::Duration;

use authkit::{CleanupOptions, CleanupReport};

use crate::app::App;
use crate::cli::{CleanupCommand, Format};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{CLEANUP, CLEANUP_JOB, CLEANUP_STATUS};
use crate::output::{Document, node};

pub(crate) async fn run(app: &mut App, command: CleanupCommand) -> Result<Exit> {
    match command {
        CleanupCommand::Status => {
            let kit = app.kit(false).await?;
            let status = kit.cleanup().status().await.map_err(about(Subject::Store))?;
            app.one(&status, &CLEANUP_STATUS)
        }
        CleanupCommand::Run { max_seconds, batch } => {
            let mut options =
                CleanupOptions::default().within(Duration::from_secs(max_seconds)).batches_of(batch);
            options.dry_run = app.global.dry_run;
            let kit = app.kit(false).await?;
            let bar = app.spinner("Cleaning up");
            let report = kit
                .cleanup()
                .run_watched(&options, |job| {
                    bar.set_message(format!("{}: {} removed", job.name, job.removed));
                })
                .await;
            bar.finish_and_clear();
            print(app, &report.map_err(about(Subject::Cleanup))?)
        }
    }
}

fn print(app: &mut App, report: &CleanupReport) -> Result<Exit> {
    let failed: Vec<&str> =
        report.jobs.iter().filter(|job| job.failed).map(|job| job.name.as_str()).collect();
    let to_people = app.io.stdout_is_terminal || app.global.output.is_some();
    if to_people || !failed.is_empty() || app.global.dry_run {
        if app.format() == Format::Table {
            let items = report.jobs.iter().map(node).collect::<Result<Vec<_>>>()?;
            app.show(Document::List { items, next_cursor: None }, &CLEANUP_JOB)?;
        } else {
            app.change(report.removed > 0, report, Vec::new(), &CLEANUP)?;
        }
    }
    if !failed.is_empty() {
        let what = format!("these jobs failed: {}", failed.join(", "));
        return Err(CliError::new(Code::CleanupPartly, what).into());
    }
    if (to_people || report.dry_run) && app.format() == Format::Table {
        let what = match (report.dry_run, report.complete) {
            (true, true) => format!("Dry run: {} rows would go. Nothing was written.", report.removed),
            (true, false) => {
                format!("Dry run: at least {} rows would go. Nothing was written.", report.removed)
            }
            (false, true) => format!("Done: {} rows removed.", report.removed),
            (false, false) => {
                format!("Time is up: {} rows removed, more is left for the next run.", report.removed)
            }
        };
        app.note(&what);
    }
    let _ = app.io.stdout.flush();
    Ok(Exit::Done)
}
