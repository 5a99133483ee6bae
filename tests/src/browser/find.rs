//! Where Chromium and its driver are.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::apt;

/// The browser, looked at first.
pub const BROWSER_VARIABLE: &str = "CHROMIUM_BIN";
/// Its driver, looked at first.
pub const DRIVER_VARIABLE: &str = "CHROMEDRIVER_BIN";

#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) browser: PathBuf,
    pub(super) driver: PathBuf,
}

pub(super) fn programs() -> Programs {
    static FOUND: OnceLock<Programs> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            find().or_else(install).unwrap_or_else(|| {
                panic!(
                    "Chromium and chromedriver are needed and were not found: looked in ${BROWSER_VARIABLE}, \
                     ${DRIVER_VARIABLE} and PATH. Install them (Debian: apt-get install chromium chromium-driver)."
                )
            })
        })
        .clone()
}

fn find() -> Option<Programs> {
    let browser = program(BROWSER_VARIABLE, &["chromium", "chromium-browser", "google-chrome"])?;
    Some(Programs { browser, driver: program(DRIVER_VARIABLE, &["chromedriver"])? })
}

fn program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path =
        names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    named.into_iter().chain(in_path).find(|program| program.is_file())
}

fn install() -> Option<Programs> {
    if !apt::can_install() {
        return None;
    }
    apt::install(&["chromium", "chromium-driver"], "");
    find()
}
