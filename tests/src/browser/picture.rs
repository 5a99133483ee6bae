//! What a page looks like.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Browser;

impl Browser {
    /// Gives the page the width of a phone, with its finer pixels, or any other size (CSS pixels).
    pub async fn set_size(&self, width: u32, height: u32) {
        let phone = width < 600;
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Prefers dark pages or light ones.
    pub async fn set_dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A PNG of the whole page, also of what lies below the window.
    pub async fn picture(&self) -> Vec<u8> {
        let taken = self
            .devtools("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }))
            .await;
        STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("base64")
    }

    /// Writes [`Self::picture`] to `NAME.png` in the folder `screenshots` of the target folder; its path.
    pub async fn photograph(&self, name: &str) -> PathBuf {
        let folder = target().join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, self.picture().await).expect("write the picture");
        path
    }
}

fn target() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this program");
    let found = exe.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    found.map(Path::to_owned).expect("a target folder")
}
