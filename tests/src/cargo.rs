//! Where the binaries of this workspace are, built like the running test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// A folder with ready `authkit-server` and `authctl`; nothing is built then.
const BIN_VARIABLE: &str = "AUTHKIT_BIN_DIR";

/// The path of a binary of this workspace; the first call of a process brings all of them up to date.
pub(crate) fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        std::env::var_os(BIN_VARIABLE)
            .map_or_else(|| build(&["--workspace", "--bins", "--examples"]), PathBuf::from)
    });
    existing(folder, name)
}

/// The path of an example of this workspace.
pub(crate) fn example(name: &str) -> PathBuf {
    binary("authkit-server")
        .parent()
        .map(|folder| existing(&folder.join("examples"), name))
        .expect("a folder")
}

/// The same, of a release build of that package alone: as it is shipped, with no other member's features.
pub(crate) fn release_binary(package: &str) -> PathBuf {
    release(&["-p", package], package)
}

/// A server of this package's own in a release build.
pub(crate) fn release_own(name: &str) -> PathBuf {
    release(&["-p", env!("CARGO_PKG_NAME"), "--bin", name], name)
}

fn release(what: &[&str], name: &str) -> PathBuf {
    // Built once a process; afterwards the file is there.
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if let Some(folder) = std::env::var_os(BIN_VARIABLE) {
        return existing(Path::new(&folder), name);
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.insert(name.to_owned()) {
        run_build("release", what);
    }
    existing(&artifacts().with_file_name("release"), name)
}

fn existing(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} does not exist", path.display());
    path
}

fn build(what: &[&str]) -> PathBuf {
    let folder = artifacts();
    let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or("debug");
    run_build(if name == "debug" { "dev" } else { name }, what)
}

fn run_build(profile: &str, what: &[&str]) -> PathBuf {
    let artifacts = artifacts();
    // `target/debug`, or `target/<triple>/debug` when a triple was asked for: the root has the tag.
    let root = artifacts.ancestors().find(|p| p.join("CACHEDIR.TAG").is_file()).expect("a target folder");
    let between = artifacts.parent().and_then(|p| p.strip_prefix(root).ok()).and_then(Path::to_str);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).args([
        "build",
        "--quiet",
        "--profile",
        profile,
    ]);
    command.arg("--target-dir").arg(root).args(what);
    if let Some(triple) = between.filter(|b| !b.is_empty()) {
        command.args(["--target", triple]);
    }
    // What cargo told this process about its own package would look like a changed environment to the inner run.
    for (name, _) in std::env::vars_os() {
        let own =
            name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_"));
        if own {
            command.env_remove(name);
        }
    }
    let output = command.output().expect("run cargo");
    assert!(output.status.success(), "cargo build failed:\n{}", String::from_utf8_lossy(&output.stderr));
    artifacts.with_file_name(if profile == "dev" { "debug" } else { profile })
}

/// The folder of the profile that this program was built with.
fn artifacts() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this program");
    let folder = exe.parent().expect("a folder");
    // Tests lie in `deps`, binaries beside it.
    if folder.ends_with("deps") { folder.parent().expect("a folder").to_owned() } else { folder.to_owned() }
}
