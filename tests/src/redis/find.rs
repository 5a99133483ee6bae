//! Where `redis-server` is.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::apt;

/// The program, looked at first.
pub const BIN_VARIABLE: &str = "REDIS_SERVER_BIN";

pub(super) fn binary() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            find().or_else(install).unwrap_or_else(|| {
                panic!(
                    "Redis is needed and was not found: looked for redis-server in ${BIN_VARIABLE} and PATH. \
                     Install it (Debian: apt-get install redis-server)."
                )
            })
        })
        .clone()
}

fn find() -> Option<PathBuf> {
    let named = std::env::var_os(BIN_VARIABLE).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("redis-server"));
    named.into_iter().chain(in_path).find(|program| program.is_file())
}

fn install() -> Option<PathBuf> {
    if !apt::can_install() {
        return None;
    }
    // In run level 1 the package does not start a server of its own.
    apt::install(&["redis-server"], "export RUNLEVEL=1;");
    find()
}
