//! Where `redis-server` is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

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
    if !rustix::process::geteuid().is_root() || !Path::new("/etc/debian_version").exists() {
        return None;
    }
    // In run level 1 the package does not start a server of its own.
    let script = "export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
        apt-get update && apt-get install -y --no-install-recommends redis-server";
    let output = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().ok()?;
    assert!(
        output.status.success(),
        "apt-get could not install redis-server:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    find()
}
