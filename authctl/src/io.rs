//! Everything outside of the process that a command touches, so that tests can stand in for it.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _, Read, Write};

use authkit::secret::SecretString;
use dialoguer::console::Term;

/// Somebody at a terminal who can be asked.
pub trait Prompt: Send {
    /// A question that is answered by yes or no; no when just Enter is pressed.
    fn confirm(&mut self, question: &str) -> io::Result<bool>;
    /// A text that is not shown while it is typed.
    fn secret(&mut self, label: &str) -> io::Result<SecretString>;
}

/// Streams, environment, terminal.
pub struct Io {
    /// Environment variables.
    pub variables: Vec<(OsString, OsString)>,
    /// Read only when a command is told to.
    pub stdin: Box<dyn Read + Send>,
    /// The result.
    pub stdout: Box<dyn Write + Send>,
    /// Everything else.
    pub stderr: Box<dyn Write + Send>,
    /// Who can be asked, when somebody can.
    pub prompt: Option<Box<dyn Prompt>>,
    /// Whether the result goes to a terminal.
    pub stdout_is_terminal: bool,
    /// Whether the rest goes to a terminal.
    pub stderr_is_terminal: bool,
    /// Columns of the terminal that shows the result, when there is one.
    pub width: Option<u16>,
}

impl Io {
    /// The process's own.
    pub fn of_process() -> Self {
        let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
        let stdout_is_terminal = io::stdout().is_terminal();
        Self {
            variables: std::env::vars_os().collect(),
            stdin: Box::new(io::stdin()),
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            prompt: asks.then(|| Box::new(Terminal) as Box<dyn Prompt>),
            stdout_is_terminal,
            stderr_is_terminal: io::stderr().is_terminal(),
            width: Term::stdout().size_checked().map(|(_, columns)| columns),
        }
    }

    /// The text of an environment variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.to_str()).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the variables: they may hold secrets.
        f.debug_struct("Io").field("width", &self.width).finish_non_exhaustive()
    }
}

/// The real terminal.
struct Terminal;

fn asked(error: dialoguer::Error) -> io::Error {
    let dialoguer::Error::IO(error) = error;
    error
}

impl Prompt for Terminal {
    fn confirm(&mut self, question: &str) -> io::Result<bool> {
        let prompt = dialoguer::Confirm::new().with_prompt(question).default(false).wait_for_newline(true);
        prompt.interact_on(&Term::stderr()).map_err(asked)
    }

    fn secret(&mut self, label: &str) -> io::Result<SecretString> {
        let prompt = dialoguer::Password::new().with_prompt(label).allow_empty_password(true).report(false);
        prompt.interact_on(&Term::stderr()).map(SecretString::from).map_err(asked)
    }
}
