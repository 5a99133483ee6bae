//! `authctl`: administers the accounts, roles, sessions and keys of authkit.
//!
//! [`run`] is the whole program with everything outside of it passed in, so that it can be tested in process.
//! A command is a thin file: read the arguments, call the library, print, return a documented [`Exit`].

mod app;
mod cli;
mod codes;
mod commands;
mod context;
mod errors;
mod exit;
mod io;
mod output;
mod secrets;
mod signals;

use std::ffi::OsString;
use std::io::Write as _;

use clap::{CommandFactory as _, FromArgMatches as _};

pub use codes::Code;
pub use exit::Exit;
pub use io::{Io, Prompt};
pub use signals::interrupted;

use app::App;
use errors::Failure;

/// Runs the program with these arguments, the name of the program first.
pub async fn run(args: impl IntoIterator<Item = impl Into<OsString>>, io: Io) -> Exit {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let mut io = io;
    let parsed = cli::Cli::command()
        .try_get_matches_from(&args)
        .and_then(|matches| cli::Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &args, &mut io),
    };
    let mut app = App::new(io, cli.global);
    let out = commands::run(&mut app, cli.command).await;
    app.close().await;
    match out {
        Ok(exit) => exit,
        Err(Failure::BrokenPipe) => Exit::Done,
        Err(Failure::Error(error)) => {
            app.report(&error);
            error.code.exit()
        }
    }
}

/// What clap says: help and version are results, everything else is an error.
fn refuse(error: &clap::Error, args: &[OsString], io: &mut Io) -> Exit {
    let flag = |name: &str| args.iter().any(|arg| arg == name);
    let never = flag("--color=never")
        || args.windows(2).any(|pair| matches!(pair, [a, b] if a == "--color" && b == "never"));
    let asked = !error.use_stderr();
    let terminal = if asked { io.stdout_is_terminal } else { io.stderr_is_terminal };
    let colour = terminal && !never && io.variable("NO_COLOR").is_none();
    let text = if colour { error.render().ansi().to_string() } else { error.render().to_string() };
    // Nobody is left to be told when even this cannot be written.
    if asked {
        let _ = io.stdout.write_all(text.as_bytes()).and_then(|()| io.stdout.flush());
        return Exit::Done;
    }
    let code = Code::Usage;
    let _ = write!(io.stderr, "{text}\n  effect: {} [{}]\n", code.effect(), code.text());
    code.exit()
}
