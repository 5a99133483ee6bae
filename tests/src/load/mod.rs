//! The load program: each figure of the server with its ceiling, measured beside it in the same run.
//!
//! Generator, server, skeleton and PostgreSQL share the machine. Figures belong to their hour; carry the ratios.

pub mod embedded;
pub mod mails;
pub mod skeleton;

mod accounts;
mod drivers;
mod generator;
mod hashing;
mod http;
mod limiter;
mod options;
mod rates;
mod report;
mod resources;
mod target;

use std::io::Write as _;
use std::process::ExitCode;

use options::Options;
use report::Row;
use target::{ACCOUNTS, Kind, Target};

use crate::backends::Backend;

/// The password of every load account.
pub const PASSWORD: &str = "vivid-Kestrel-9-tundra-lamp";

/// The address of load account number `i`.
pub(crate) fn email(i: usize) -> String {
    format!("load-{i}@example.com")
}

/// Runs the program: 0 when every figure could be measured, 2 for a wrong option.
pub fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            say(options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            progress(&format!("{message}\n\n{}", options::HELP));
            return ExitCode::from(2);
        }
    };
    if cfg!(debug_assertions) {
        progress("figures of an unoptimised build say nothing: run it with --release");
        return ExitCode::from(2);
    }
    // One thread: the generator must leave the cores to what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut rows = Vec::new();
    if options.wants("limits") {
        runtime.block_on(limiter::redis(&options, &mut rows));
    }
    for backend in &options.engines {
        runtime.block_on(engine(&options, *backend, &mut rows));
    }
    let text = format!("{}{}", heading(&options), report::table(&rows));
    say(&text);
    if let Some(path) = &options.markdown {
        std::fs::write(path, &text).expect("write the table");
    }
    ExitCode::SUCCESS
}

async fn engine(options: &Options, backend: Backend, rows: &mut Vec<Row>) {
    if options.wants("limits") && !options.self_check {
        progress(&format!("{}: starting with and without limits", backend.name()));
        let with = Target::start(Kind::Embedded, backend, ACCOUNTS).await;
        let without = Target::start(Kind::Unlimited, backend, ACCOUNTS).await;
        rates::limits(options, &with, &without, rows).await;
    }
    if options.wants_only("limits") {
        return;
    }
    progress(&format!("{}: starting (building when needed)", backend.name()));
    let kind = if options.self_check { Kind::Skeleton } else { Kind::Server };
    let server = Target::start(kind, backend, ACCOUNTS).await;
    let skeleton = Target::start(Kind::Skeleton, backend, ACCOUNTS).await;
    if options.self_check && rows.is_empty() {
        rates::bare(options, &skeleton, rows).await;
    }
    // First, while the store is small and the machine cool.
    if options.wants("start") {
        resources::start(options, &server, &skeleton, rows);
    }
    if options.wants("memory") {
        resources::memory(&server, rows).await;
    }
    if options.wants("authenticated") && !options.self_check {
        let embedded = Target::start(Kind::Embedded, backend, ACCOUNTS).await;
        rates::authenticated(options, &embedded, &skeleton, rows).await;
    }
    rates::operations(options, &server, &skeleton, rows).await;
    if options.wants("storm") {
        rates::storm(options, &server, &skeleton, rows).await;
    }
    drop((server, skeleton));
    if options.wants("growth") {
        progress(&format!("{}: inserting {} accounts", backend.name(), options.accounts));
        let small = Target::start(kind, backend, ACCOUNTS).await;
        let large = Target::start(kind, backend, options.accounts).await;
        rates::growth(options, &small, &large, rows).await;
    }
}

fn heading(options: &Options) -> String {
    let what = if options.self_check { "skeleton against itself" } else { "server" };
    let quick = if options.quick { ", quick" } else { "" };
    format!(
        "{what} on {} cores; {} rounds of {:.1} s a side, sides in turn{quick}; argon2id 19456/2/1; SQLite WAL with \
         synchronous FULL; PostgreSQL with fsync\n\n",
        hashing::cores(),
        options.rounds,
        options.time.as_secs_f64(),
    )
}

fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
