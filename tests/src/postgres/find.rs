//! Where PostgreSQL's programs are, and the account that they run under.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::URL_VARIABLE;
use crate::apt;

/// A folder with `initdb` and `postgres`, looked at first.
pub const BIN_VARIABLE: &str = "PG_BIN";

pub(super) fn binaries() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            find_binaries().or_else(install).unwrap_or_else(|| {
                panic!(
                    "PostgreSQL is needed and was not found: looked for initdb and postgres in ${BIN_VARIABLE}, \
                     PATH and /usr/lib/postgresql/*/bin. Install it (Debian: apt-get install postgresql), or name \
                     a running server's superuser URL in {URL_VARIABLE}."
                )
            })
        })
        .clone()
}

fn find_binaries() -> Option<PathBuf> {
    let named = std::env::var_os(BIN_VARIABLE).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut packaged: Vec<PathBuf> = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path().join("bin")))
        .collect();
    // The highest version first: by length, then by text, so that 9 comes after 17.
    packaged.sort_by_key(|p| std::cmp::Reverse((p.as_os_str().len(), p.clone())));
    named
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(packaged)
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

fn install() -> Option<PathBuf> {
    if !apt::can_install() {
        return None;
    }
    // `create_main_cluster = false`: the packages would otherwise start a server of their own.
    let before = "mkdir -p /etc/postgresql-common; \
        [ -e /etc/postgresql-common/createcluster.conf ] || \
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf;";
    apt::install(&["postgresql"], before);
    find_binaries()
}

/// The server refuses to run as root, so root lends it another account: `postgres`, else `nobody`.
pub(super) fn unprivileged_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |user: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(user))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).unwrap_or((65534, 65534)))
}
