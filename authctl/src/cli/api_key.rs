//! Arguments of `authctl api-key`.

use clap::{Subcommand, ValueEnum};

use super::PageArgs;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ApiKeySort {
    /// Newest first
    #[value(name = "-id")]
    Id,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// List keys, newest first; without --ended those that are not over
    List {
        /// Only of this account: id or e-mail
        user: Option<String>,
        #[command(flatten)]
        page: PageArgs,
        /// Order
        #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
        sort: Option<ApiKeySort>,
        /// Also those that expired or were revoked; they are kept for 30 days
        #[arg(long)]
        ended: bool,
    },
    /// Show a key, without its text
    Show {
        /// Id of a key
        id: String,
    },
    /// Make a key for an account, such as a service account that cannot sign in; its text is printed, once
    Create {
        /// Id or e-mail
        user: String,
        /// What to call it
        #[arg(long)]
        name: String,
        /// Permissions that it may use as long as the account has them: `documents:review`, `documents:*`
        #[arg(long, value_delimiter = ',', value_name = "PERMISSION,…")]
        scopes: Vec<String>,
        /// How long it lives, in seconds [default: API_KEY_EXPIRE_DAYS]
        #[arg(long, value_name = "N")]
        expires_in_seconds: Option<u64>,
    },
    /// Revoke a key: from this moment on nothing opens by it
    Revoke {
        /// Id of a key
        id: String,
    },
}
