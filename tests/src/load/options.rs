//! The command line of the load program.

use std::path::PathBuf;
use std::time::Duration;

use crate::backends::Backend;

pub(crate) const HELP: &str = "\
Measures the release server and, beside it in the same run, the ceiling of each figure.

Usage: cargo run --release -p authkit-tests --bin load [-- OPTIONS]

  --quick            short rounds: for a first look, not for the record
  --engine ENGINE    sqlite, postgres or both (default: both)
  --accounts N       accounts of the large store in the growth rows (default: 200000)
  --only WORDS       comma-separated parts: authenticated, me, refresh, login, sign-up, storm, memory, start, growth,
                     limits; and, only when it is named alone, outage: Redis killed and started again under load
  --markdown FILE    also writes the table to that file
  --self-check       measures the skeleton against itself: every ratio should be near 1
  --help             this text
";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) engines: Vec<Backend>,
    pub(crate) accounts: usize,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) self_check: bool,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) warm: Duration,
    pub(crate) starts: usize,
    only: Vec<String>,
    pub(crate) quick: bool,
}

const PARTS: [&str; 11] = [
    "authenticated",
    "me",
    "refresh",
    "login",
    "sign-up",
    "storm",
    "memory",
    "start",
    "growth",
    "limits",
    "outage",
];

impl Options {
    /// `Ok(None)` asks for the help.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            engines: Backend::ALL.to_vec(),
            accounts: 200_000,
            markdown: None,
            self_check: false,
            rounds: 4,
            time: Duration::from_secs(2),
            warm: Duration::from_millis(500),
            starts: 20,
            only: Vec::new(),
            quick: false,
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--self-check" => options.self_check = true,
                "--quick" => {
                    options.quick = true;
                    options.rounds = 2;
                    options.time = Duration::from_millis(700);
                    options.warm = Duration::from_millis(200);
                    options.starts = 6;
                }
                "--engine" => {
                    options.engines = match value()?.as_str() {
                        "sqlite" => vec![Backend::Sqlite],
                        "postgres" => vec![Backend::Postgres],
                        "both" => Backend::ALL.to_vec(),
                        other => return Err(format!("--engine {other}: sqlite, postgres or both")),
                    }
                }
                "--accounts" => {
                    let text = value()?;
                    let n = text.parse().ok().filter(|n| *n > super::target::ACCOUNTS);
                    options.accounts = n.ok_or_else(|| {
                        format!("--accounts {text}: a number over {}", super::target::ACCOUNTS)
                    })?;
                }
                "--markdown" => options.markdown = Some(value()?.into()),
                "--only" => {
                    options.only = value()?.split(',').map(|w| w.trim().to_owned()).collect();
                    if let Some(other) = options.only.iter().find(|w| !PARTS.contains(&w.as_str())) {
                        return Err(format!("--only {other}: one of {}", PARTS.join(", ")));
                    }
                }
                other => return Err(format!("unknown option {other}")),
            }
        }
        Ok(Some(options))
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| word == part)
    }

    /// Whether that part is wanted and nothing else.
    pub(crate) fn wants_only(&self, part: &str) -> bool {
        !self.only.is_empty() && self.only.iter().all(|word| word == part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_and_mistakes_named() {
        let options = parse("--engine sqlite --accounts 5000 --only me,storm --quick").unwrap().unwrap();
        assert_eq!((options.engines.as_slice(), options.accounts), (&[Backend::Sqlite][..], 5_000));
        assert!(options.wants("me") && options.wants("storm") && !options.wants("login"));
        assert!(parse("").unwrap().unwrap().wants("login"));
        assert_eq!(parse("--help"), Ok(None));
        for wrong in ["--engine mysql", "--accounts 12", "--accounts", "--only tea", "--slow"] {
            let message = parse(wrong).unwrap_err();
            assert!(message.contains(wrong.split_whitespace().last().unwrap()), "{message}");
        }
    }
}
