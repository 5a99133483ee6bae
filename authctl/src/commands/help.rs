//! `authctl help`, `completions`, `man`, `version`: what needs neither settings nor store.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use serde::Serialize;

use crate::app::App;
use crate::cli::{Cli, Format};
use crate::errors::{CliError, Code, Result};
use crate::exit::Exit;
use crate::output::views::VERSION;

/// A command, an error code, or `codes`.
pub(crate) fn help(app: &mut App, topic: &[String]) -> Result<Exit> {
    let text = match topic {
        [one] if one == "codes" => all_codes(),
        [one] if one.to_ascii_uppercase().starts_with("E-") => explained(one)?,
        words => of_command(words, app.colour(app.io.stdout_is_terminal))?,
    };
    app.print(&text)?;
    Ok(Exit::Done)
}

fn explained(text: &str) -> Result<String> {
    let code = Code::from_text(text).ok_or_else(|| {
        CliError::new(Code::Topic, format!("there is no code {text}")).next("authctl help codes")
    })?;
    let exit = code.exit();
    Ok(format!(
        "{}\n\n{}\n\n  effect: {}\n  next:   {}\n  exit:   {} ({})\n",
        code.text(),
        code.meaning(),
        code.effect(),
        code.next(),
        exit.code(),
        exit.meaning(),
    ))
}

fn all_codes() -> String {
    let mut out = String::from("Exit codes\n");
    for exit in Exit::ALL {
        let _ = writeln!(out, "  {:>3}  {}", exit.code(), exit.meaning());
    }
    out.push_str("\nError codes (authctl help CODE explains each)\n");
    for code in Code::ALL {
        let sentence = code.meaning().split_inclusive(". ").next().unwrap_or_default().trim_end();
        let _ = writeln!(out, "  {:<12} exit {:>2}  {sentence}", code.text(), code.exit().code());
    }
    out
}

fn of_command(words: &[String], colour: bool) -> Result<String> {
    let mut command = built();
    for word in words {
        let known = command.get_subcommands().find(|sub| sub.get_name() == word).cloned();
        command = known.ok_or_else(|| {
            CliError::new(Code::Topic, format!("there is no help on {:?}", words.join(" ")))
        })?;
    }
    let text = command.render_long_help();
    Ok(if colour { text.ansi().to_string() } else { text.to_string() })
}

/// The tree with names such as `authctl user list` filled in.
fn built() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

pub(crate) fn completions(app: &mut App, shell: clap_complete::Shell) -> Result<Exit> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "authctl", &mut out);
    app.print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Done)
}

pub(crate) fn man(app: &mut App, dir: Option<&Path>) -> Result<Exit> {
    let Some(dir) = dir else {
        let mut out = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut out)?;
        app.print(&String::from_utf8_lossy(&out))?;
        return Ok(Exit::Done);
    };
    let failed = |error: std::io::Error| {
        CliError::new(Code::Output, format!("{} cannot be written: {error}", dir.display()))
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    app.note(&format!("The manual pages are in {}.", dir.display()));
    Ok(Exit::Done)
}

pub(crate) fn version(app: &mut App) -> Result<Exit> {
    #[derive(Serialize)]
    struct About {
        name: &'static str,
        version: &'static str,
        engines: [&'static str; 2],
    }
    let about =
        About { name: "authctl", version: env!("CARGO_PKG_VERSION"), engines: ["sqlite", "postgres"] };
    if app.format() == Format::Table {
        app.print(&format!("{} {}\n", about.name, about.version))?;
        return Ok(Exit::Done);
    }
    app.one(&about, &VERSION)
}
