//! How the process ends.

use std::process::ExitCode;

/// The documented exit codes. Their meaning never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// An unexpected failure.
    Failed = 1,
    /// Wrong usage, or a confirmation or secret is needed and there is no terminal.
    Usage = 2,
    /// The named thing does not exist.
    NotFound = 3,
    /// Refused by a guard: exists, last admin, newer schema.
    Refused = 4,
    /// The input is invalid; nothing was written.
    Invalid = 5,
    /// Finished, and the answer is bad.
    Bad = 6,
    /// Finished in part; safe to run again.
    Partial = 7,
    /// Could not tell.
    Unknown = 8,
    /// A dependency is not available.
    Unavailable = 69,
    /// Another run holds the lock.
    Locked = 75,
    /// Not permitted.
    NotPermitted = 77,
    /// The configuration is invalid.
    Config = 78,
    /// Interrupted; the state is consistent.
    Interrupted = 130,
    /// Terminated; the state is consistent.
    Terminated = 143,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Refused,
        Self::Invalid,
        Self::Bad,
        Self::Partial,
        Self::Unknown,
        Self::Unavailable,
        Self::Locked,
        Self::NotPermitted,
        Self::Config,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Failed => "unexpected failure",
            Self::Usage => "usage, or confirmation needed and no terminal",
            Self::NotFound => "the named thing does not exist",
            Self::Refused => "refused by a guard (exists, last admin, newer schema)",
            Self::Invalid => "input invalid, nothing written",
            Self::Bad => "finished and the answer is bad (doctor, --check, token)",
            Self::Partial => "finished in part, safe to run again",
            Self::Unknown => "could not tell",
            Self::Unavailable => "dependency unavailable",
            Self::Locked => "another run holds the lock",
            Self::NotPermitted => "not permitted",
            Self::Config => "configuration or schema invalid",
            Self::Interrupted => "interrupted, state consistent",
            Self::Terminated => "terminated, state consistent",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
