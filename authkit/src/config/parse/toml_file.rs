//! `authkit.toml`: flat keys, `[[roles]]` and `[[resource_types]]`, each with the line on which it stands.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::hidden;
use crate::config::near::nearest;
use crate::config::problem::{Origin, SettingError};
use crate::config::setting::{Kind, Setting};
use crate::config::table::settings;
use crate::config::{ResourceType, RoleDefinition};
use crate::secret::SecretString;

/// A key may be this many edits away from the one that an error proposes.
const NEAR: usize = 3;

/// The name of a file and its text.
pub(super) struct TomlText<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

/// Values by key, as text.
pub(super) type Layer = BTreeMap<String, (SecretString, Origin)>;

/// What a file holds.
#[derive(Default)]
pub(super) struct FileContent {
    pub(super) layer: Layer,
    pub(super) roles: Option<(Vec<RoleDefinition>, Origin)>,
    pub(super) resource_types: Option<(Vec<ResourceType>, Origin)>,
}

/// Reads the file as far as it can be read and reports the rest.
pub(super) fn read(source: &TomlText<'_>, errors: &mut Vec<SettingError>) -> FileContent {
    let mut content = FileContent::default();
    let table = match DeTable::parse(source.text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            // The error's own Display shows the line, which may hold a secret; its message does not.
            let origin = source.at(error.span().map_or(0, |span| span.start));
            let problem = format!("is not valid TOML: {}", error.message());
            errors.push(SettingError::new(source.name.to_owned(), origin, problem, "correct that line"));
            return content;
        }
    };
    for (key, value) in &table {
        let name: &str = key.get_ref();
        let origin = source.at(key.span().start);
        let result = if name == "roles" {
            roles(source, value, errors).map(|roles| content.roles = Some((roles, origin.clone())))
        } else if name == "resource_types" {
            resource_types(source, value, errors)
                .map(|types| content.resource_types = Some((types, origin.clone())))
        } else if let Some(kind) = kind_of(name) {
            text_of(kind, value.get_ref()).map(|text| {
                content.layer.insert(name.to_owned(), (text, origin.clone()));
            })
        } else {
            Err(unknown(
                name,
                keys()
                    .chain(["roles", "resource_types"].map(|key| (key.to_owned(), Kind::List)))
                    .map(|(key, _)| key),
            ))
        };
        if let Err((problem, fix)) = result {
            errors.push(SettingError::new(name.to_owned(), origin, problem, fix));
        }
    }
    content
}

/// Problem and fix.
type Fault = (String, String);

impl TomlText<'_> {
    fn at(&self, byte: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(byte);
        Origin::Toml { file: self.name.to_owned(), line: before.filter(|b| **b == b'\n').count() + 1 }
    }
}

fn keys() -> impl Iterator<Item = (String, Kind)> {
    settings().iter().flat_map(|setting: &Setting| {
        let key = setting.name.to_ascii_lowercase();
        let twin = setting.has_file_twin().then(|| (format!("{key}_file"), Kind::Text));
        [(key, setting.kind)].into_iter().chain(twin)
    })
}

fn kind_of(name: &str) -> Option<Kind> {
    keys().find(|(key, _)| key == name).map(|(_, kind)| kind)
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> Fault {
    let known: Vec<String> = known.collect();
    let lower = name.replace('-', "_").to_ascii_lowercase();
    // At most half of the name may differ, or `org` would be taken for `env`.
    let limit = NEAR.min(lower.chars().count() / 2);
    let fix = match nearest(&lower, known.iter().map(String::as_str), limit) {
        Some(meant) => format!("did you mean `{meant}`? If not, remove it"),
        None => "remove it, or look for its name in the configuration reference".into(),
    };
    ("is no known key".into(), fix)
}

fn text_of(kind: Kind, value: &DeValue<'_>) -> Result<SecretString, Fault> {
    match (kind, value) {
        (Kind::Text | Kind::List, DeValue::String(text)) => Ok(hidden(text.as_ref())),
        (Kind::Whole, DeValue::Integer(number)) => {
            let number = i128::from_str_radix(number.as_str(), number.radix());
            // What does not fit is handed on to the reader of numbers, which refuses it by its size.
            Ok(hidden(number.map_or_else(|_| u128::MAX.to_string(), |number| number.to_string())))
        }
        (Kind::Switch, DeValue::Boolean(switch)) => Ok(hidden(switch.to_string())),
        (Kind::List, DeValue::Array(items)) => joined(items),
        _ => Err(wrong_type(kind, value)),
    }
}

fn joined(items: &DeArray<'_>) -> Result<SecretString, Fault> {
    let fix = || "write an array of strings without commas and without empty ones".to_owned();
    let mut out = String::new();
    for item in items {
        let Some(text) = item.get_ref().as_str() else {
            return Err((format!("holds a value of type {}", item.get_ref().type_str()), fix()));
        };
        if text.contains(',') || text.trim().is_empty() {
            return Err(("holds a string that is empty or has a comma".into(), fix()));
        }
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(text);
    }
    Ok(hidden(out))
}

fn wrong_type(kind: Kind, value: &DeValue<'_>) -> Fault {
    let fix = match kind {
        Kind::Text => "write it as a string in quotes",
        Kind::Whole => "write a whole number without quotes",
        Kind::Switch => "write true or false without quotes",
        Kind::List => "write an array of strings",
    };
    (format!("has the wrong type, {}", value.type_str()), fix.into())
}

fn roles(
    source: &TomlText<'_>,
    value: &Spanned<DeValue<'_>>,
    errors: &mut Vec<SettingError>,
) -> Result<Vec<RoleDefinition>, Fault> {
    let wrong = || {
        let problem = format!("has the wrong type, {}", value.get_ref().type_str());
        (problem, "start each role with a line [[roles]]".to_owned())
    };
    let items = value.get_ref().as_array().ok_or_else(wrong)?;
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let table = item.get_ref().as_table().ok_or_else(wrong)?;
        let before = errors.len();
        let mut role = RoleDefinition::new("", Vec::<String>::new());
        for (key, value) in table {
            if let Err((problem, fix)) = role_field(&mut role, key.get_ref(), value.get_ref()) {
                let name = format!("roles.{}", key.get_ref());
                errors.push(SettingError::new(name, source.at(key.span().start), problem, fix));
            }
        }
        if !table.contains_key("name") {
            let origin = source.at(item.span().start);
            errors.push(SettingError::new("roles.name", origin, "is missing", "give the role a name"));
        }
        if errors.len() == before {
            out.push(role);
        }
    }
    Ok(out)
}

fn role_field(role: &mut RoleDefinition, key: &str, value: &DeValue<'_>) -> Result<(), Fault> {
    let text = || value.as_str().map(ToOwned::to_owned).ok_or_else(|| wrong_type(Kind::Text, value));
    match key {
        "name" => role.name = text()?,
        "description" => role.description = text()?,
        "permissions" => {
            let strings = |items: &DeArray<'_>| -> Option<Vec<String>> {
                items.iter().map(|item| item.get_ref().as_str().map(ToOwned::to_owned)).collect()
            };
            role.permissions =
                value.as_array().and_then(strings).ok_or_else(|| wrong_type(Kind::List, value))?;
        }
        _ => return Err(unknown(key, ["name", "permissions", "description"].map(String::from).into_iter())),
    }
    Ok(())
}

fn resource_types(
    source: &TomlText<'_>,
    value: &Spanned<DeValue<'_>>,
    errors: &mut Vec<SettingError>,
) -> Result<Vec<ResourceType>, Fault> {
    let wrong = || {
        let problem = format!("has the wrong type, {}", value.get_ref().type_str());
        (problem, "start each kind with a line [[resource_types]]".to_owned())
    };
    let items = value.get_ref().as_array().ok_or_else(wrong)?;
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let table = item.get_ref().as_table().ok_or_else(wrong)?;
        let before = errors.len();
        let mut kind = ResourceType::default();
        for (key, value) in table {
            if let Err((problem, fix)) = type_field(&mut kind, key.get_ref(), value.get_ref()) {
                let name = format!("resource_types.{}", key.get_ref());
                errors.push(SettingError::new(name, source.at(key.span().start), problem, fix));
            }
        }
        if !table.contains_key("name") {
            let (origin, fix) = (source.at(item.span().start), "give the kind a name");
            errors.push(SettingError::new("resource_types.name", origin, "is missing", fix));
        }
        if errors.len() == before {
            out.push(kind);
        }
    }
    Ok(out)
}

fn type_field(kind: &mut ResourceType, key: &str, value: &DeValue<'_>) -> Result<(), Fault> {
    let table = |fix: &str| {
        let problem = format!("has the wrong type, {}", value.type_str());
        value.as_table().ok_or_else(|| (problem, fix.to_owned()))
    };
    match key {
        "name" => {
            let text = value.as_str().ok_or_else(|| wrong_type(Kind::Text, value))?;
            text.clone_into(&mut kind.name);
        }
        "roles" => {
            for (role, permissions) in table("write { ROLE = [\"PERMISSION\", …], … }")? {
                let items = permissions.get_ref().as_array();
                let texts: Option<Vec<String>> = items.and_then(|items| {
                    items.iter().map(|item| item.get_ref().as_str().map(ToOwned::to_owned)).collect()
                });
                let texts = texts.ok_or_else(|| wrong_type(Kind::List, permissions.get_ref()))?;
                kind.roles.insert(role.get_ref().to_string(), texts);
            }
        }
        "from_org" => {
            for (from, to) in table("write { ORG_ROLE = \"ROLE\", … }")? {
                let text = to.get_ref().as_str().ok_or_else(|| wrong_type(Kind::Text, to.get_ref()))?;
                kind.from_org.insert(from.get_ref().to_string(), text.to_owned());
            }
        }
        _ => return Err(unknown(key, ["name", "roles", "from_org"].map(String::from).into_iter())),
    }
    Ok(())
}
