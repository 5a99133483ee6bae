//! Arguments of `authctl passkey`.

use clap::{ArgGroup, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum PasskeyCommand {
    /// List an account's passkeys, oldest first
    List {
        /// Id or e-mail
        user: String,
    },
    /// Remove a passkey, or all of an account, and end all of its sessions (asks)
    #[command(group = ArgGroup::new("which").required(true))]
    Remove {
        /// Id of a passkey
        #[arg(group = "which")]
        id: Option<String>,
        /// All of this account: id or e-mail
        #[arg(long, value_name = "USER", group = "which")]
        user: Option<String>,
    },
}
