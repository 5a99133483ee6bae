//! `authctl config`. Touches neither the store nor key files.

use serde::Serialize;

use crate::app::App;
use crate::cli::{ConfigCommand, Format};
use crate::context;
use crate::errors::Result;
use crate::exit::Exit;
use crate::output::views::{CHECKED, SETTING, SETTING_PLAIN};

#[derive(Debug, Serialize)]
struct Checked {
    valid: bool,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Shown {
    name: &'static str,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
}

pub(crate) fn run(app: &mut App, command: &ConfigCommand) -> Result<Exit> {
    // Warnings are part of these results, or of no interest to them.
    let verbose = std::mem::take(&mut app.global.verbose);
    let settings = context::settings(app)?;
    app.global.verbose = verbose;
    match command {
        ConfigCommand::Check => {
            let warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
            if app.format() == Format::Table {
                app.print("All settings are valid.\n")?;
                for warning in &warnings {
                    app.print(&format!("warning: {}\n", crate::output::table::clean(warning)))?;
                }
                return Ok(Exit::Done);
            }
            app.one(&Checked { valid: true, warnings }, &CHECKED)
        }
        ConfigCommand::Show { origin } => {
            let shown = settings.shown().into_iter().map(|shown| Shown {
                name: shown.setting.name(),
                value: shown.value,
                origin: origin.then(|| shown.origin.to_string()),
            });
            let shown: Vec<Shown> = shown.collect();
            app.list(&shown, None, if *origin { &SETTING } else { &SETTING_PLAIN })
        }
    }
}
