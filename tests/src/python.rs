//! Python with packages from `PyPI`, in an environment of its own under the target folder.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::apt;

/// The interpreter of an environment that has these packages (`name==version`, pinned, so that a new release cannot turn
/// a green run red). Made on first use; calls for the same packages must not run at the same time.
pub fn with(packages: &[&str]) -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this program");
    let target = exe.ancestors().find(|p| p.join("CACHEDIR.TAG").is_file()).expect("a target folder");
    let home = target.join(packages.join("-").replace("==", "-"));
    let done = home.join("ready");
    if !done.is_file() {
        let venv = || {
            Command::new("python3").args(["-m", "venv"]).arg(&home).output().is_ok_and(|o| o.status.success())
        };
        if !venv() {
            apt::install(&["python3", "python3-venv"], "");
            assert!(venv(), "python3 with venv is needed and could not be installed");
        }
        step(Command::new(home.join("bin/pip")).args(["install", "--quiet"]).args(packages));
        std::fs::write(&done, "").expect("note that it is there");
    }
    home.join("bin/python")
}

/// Runs a command that must succeed. What it wrote comes back.
pub fn step(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
