//! Arguments of `authctl lockout`.

use std::net::IpAddr;

use authkit::LockKind;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::PageArgs;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LockoutSort {
    /// Newest first
    #[value(name = "-id")]
    Id,
}

/// Whose lockouts or limits.
#[derive(Debug, Args)]
pub(crate) struct LockoutWhich {
    /// Of this account: id or e-mail
    #[arg(long, value_name = "USER", group = "which")]
    pub(crate) user: Option<String>,
    /// Of this e-mail, whether or not it has an account
    #[arg(long, value_name = "EMAIL", group = "which")]
    pub(crate) email: Option<String>,
    /// Of this address
    #[arg(long, value_name = "ADDRESS", group = "which")]
    pub(crate) ip: Option<IpAddr>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LockoutCommand {
    /// List what failed attempts are counted on, newest first; e-mails and addresses are kept as keyed hashes only
    #[command(group = ArgGroup::new("which"))]
    List {
        #[command(flatten)]
        page: PageArgs,
        /// Only of this kind: email, ip, network, device or second_factor
        #[arg(long, value_parser = lock_kind)]
        kind: Option<LockKind>,
        #[command(flatten)]
        which: LockoutWhich,
        /// Order
        #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
        sort: Option<LockoutSort>,
        /// Only what is locked now
        #[arg(long)]
        locked: bool,
    },
    /// Show a lockout
    Show {
        /// Id of a lockout
        id: String,
    },
    /// End a lock, or several, and forget the failed attempts; --all asks
    #[command(group = ArgGroup::new("which").required(true))]
    Clear {
        /// Id of a lockout
        #[arg(group = "which")]
        id: Option<String>,
        #[command(flatten)]
        which: LockoutWhich,
        /// Everybody's (asks)
        #[arg(long, group = "which")]
        all: bool,
        /// Of them only this kind: email, ip, network, device or second_factor
        #[arg(long, value_parser = lock_kind, conflicts_with = "id")]
        kind: Option<LockKind>,
    },
    /// How often somebody may still ask
    #[command(subcommand)]
    Limits(LimitsCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsCommand {
    /// Show the limits there are; with Redis also what is left of somebody's
    #[command(group = ArgGroup::new("which"))]
    Show(LockoutWhich),
    /// Fill somebody's limits again; needs Redis
    #[command(group = ArgGroup::new("which").required(true))]
    Reset(LockoutWhich),
}

fn lock_kind(text: &str) -> Result<LockKind, String> {
    LockKind::from_name(text).ok_or_else(|| {
        let all: Vec<_> = LockKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("must be one of {}", all.join(", "))
    })
}
