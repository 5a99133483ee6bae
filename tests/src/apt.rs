//! Packages of Debian that a test needs and the machine lacks.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Whether [`install`] can do anything here: on Debian, as root.
pub fn can_install() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/etc/debian_version").exists()
}

/// Installs packages; `before` is shell that runs first. One installation at a time: tests run side by side, and `apt-get`
/// does not wait for another one. Panics when it fails.
pub fn install(packages: &[&str], before: &str) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let script = format!(
        "set -e; export DEBIAN_FRONTEND=noninteractive; {before}
        apt-get update -q
        apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=600 {}",
        packages.join(" ")
    );
    let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().expect("start sh");
    assert!(
        output.status.success(),
        "apt-get could not install {}:\n{}",
        packages.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}
