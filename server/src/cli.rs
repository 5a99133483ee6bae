//! The few arguments; everything else is a setting.

use std::ffi::OsString;
use std::path::PathBuf;

const HELP: &str = "\
authkit-server: accounts, sign-in and sessions over HTTP

Usage: authkit-server [-c FILE]

  -c FILE     read settings from FILE instead of authkit.toml in the working directory
  --version   print the version
  --help      print this

Settings come from the environment and from the file; `authctl config show` lists them.";

/// How the server is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// `-c FILE`.
    pub config: Option<PathBuf>,
}

/// What the arguments ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// To serve.
    Serve(Options),
    /// To print this and end.
    Print(String),
}

impl Invocation {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// A text for people when they cannot be understood.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Options::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("-h" | "--help") => return Ok(Self::Print(HELP.into())),
                Some("-V" | "--version") => {
                    return Ok(Self::Print(concat!("authkit-server ", env!("CARGO_PKG_VERSION")).into()));
                }
                Some("-c") if options.config.is_none() => match arguments.next() {
                    Some(file) => options.config = Some(file.into()),
                    None => return Err(usage("-c needs the name of a file")),
                },
                _ => return Err(usage(&format!("unexpected argument {}", argument.display()))),
            }
        }
        Ok(Self::Serve(options))
    }
}

fn usage(problem: &str) -> String {
    format!("authkit-server: {problem}\n\n{HELP}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Invocation, String> {
        Invocation::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn a_file_may_be_named_once() {
        assert_eq!(parse(&[]).unwrap(), Invocation::Serve(Options::default()));
        let named = Options { config: Some("a.toml".into()) };
        assert_eq!(parse(&["-c", "a.toml"]).unwrap(), Invocation::Serve(named));
        for bad in [&["-c"][..], &["-c", "a", "-c", "b"], &["serve"], &["--bind", "x"]] {
            assert!(parse(bad).unwrap_err().contains("Usage:"), "{bad:?}");
        }
        assert!(matches!(parse(&["--version"]).unwrap(), Invocation::Print(_)));
    }
}
