//! `authkit-server`: see `authkit_server`.

use std::io::Write as _;
use std::process::ExitCode;

use authkit_server::{Invocation, exit_code, run};

fn main() -> ExitCode {
    let options = match Invocation::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Serve(options)) => options,
        Ok(Invocation::Print(text)) => {
            // Nobody is left to tell when stdout is gone.
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(usage) => {
            let _ = writeln!(std::io::stderr(), "{usage}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "authkit-server: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "authkit-server: {error}");
            ExitCode::from(exit_code(&error))
        }
    }
}
