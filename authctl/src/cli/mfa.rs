//! Arguments of `authctl mfa`.

use clap::Subcommand;

use super::UserArg;

#[derive(Debug, Subcommand)]
pub(crate) enum MfaCommand {
    /// Show the second factors of an account
    Status(UserArg),
    /// Remove every second factor of an account, passkeys too, and end its sessions: for who lost them all (asks)
    Reset(UserArg),
    /// Show how many backup codes an account has left, or make a new set, shown once
    BackupCodes {
        #[command(flatten)]
        user: UserArg,
        /// Make a new set; the old one and all sessions end (asks)
        #[arg(long)]
        generate: bool,
    },
    /// Show what the policy asks for, and how many accounts have it
    Policy,
}
