//! The binary: hands the process's own arguments, streams and signals to [`authctl::run`].

use std::process::ExitCode;

use authctl::{Exit, Io, interrupted, run};

fn main() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
    else {
        return Exit::Failed.into();
    };
    let exit = runtime.block_on(async {
        tokio::select! {
            // First: signals are watched before anything begins.
            biased;
            exit = interrupted() => exit,
            exit = run(std::env::args_os(), Io::of_process()) => exit,
        }
    });
    // Whatever still waits for a line of input must not keep the process. Writes are transactions: one that was
    // not committed is wholly absent.
    runtime.shutdown_background();
    exit.into()
}
