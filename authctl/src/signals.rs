//! Ctrl-C and termination.

use crate::exit::Exit;

/// Ends when the process is asked to end: 130 after Ctrl-C, 143 after SIGTERM.
///
/// A prompt that hides what is typed may be open: the terminal gets its old state back,
/// and its cursor.
#[cfg(unix)]
pub async fn interrupted() -> Exit {
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    use tokio::signal::unix::{SignalKind, signal};
    let before = tcgetattr(std::io::stdin()).ok();
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    let exit = tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Terminated,
    };
    if let Some(before) = before {
        // There is nothing left to do about a terminal that is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
    let screen = dialoguer::console::Term::stderr();
    if screen.is_term() {
        let _ = screen.show_cursor();
    }
    exit
}

/// Ends when the process is asked to end: 130 after Ctrl-C.
#[cfg(not(unix))]
pub async fn interrupted() -> Exit {
    match tokio::signal::ctrl_c().await {
        Ok(()) => Exit::Interrupted,
        Err(_) => std::future::pending().await,
    }
}
