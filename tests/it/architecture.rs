//! The rules of the house, held against the source tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Levels: a module uses only lower ones. Within level 1 the ring of keys stands on the store, which stands on the
/// rest of crypto; records are layered in the order audit, users, sessions, authz; the builder makes the kit.
const LEVELS: &[(&str, u32)] = &[
    ("manual", 0),
    ("config", 0),
    ("error", 0),
    ("ids", 0),
    ("time", 0),
    ("random", 0),
    ("secret", 0),
    ("meta", 0),
    ("precondition", 0),
    ("crypto", 10),
    ("events", 10),
    ("db", 11),
    ("crypto/keys", 12),
    ("limits", 12),
    ("mail", 13),
    ("audit", 20),
    ("users", 21),
    ("sessions", 22),
    ("authz", 23),
    ("idempotency", 24),
    ("passwords", 30),
    ("lockout", 30),
    ("devices", 30),
    ("links", 30),
    ("mfa", 30),
    ("passkeys", 30),
    ("oauth", 30),
    ("invitations", 30),
    ("api_keys", 30),
    ("s3", 30),
    ("flows", 40),
    ("cleanup", 41),
    ("admin", 42),
    ("kit", 50),
    ("builder", 50),
    ("http", 60),
    ("testing", 60),
];

/// Modules of one level that may know each other.
const TOGETHER: &[(&str, &str)] = &[("kit", "builder"), ("builder", "kit")];
/// Values: plain, without a level among themselves.
const VALUES: u32 = 0;

/// Which module writes which table.
const OWNERS: &[(&str, &str)] = &[
    ("_authkit_migrations", "db"),
    ("authkit_feeds", "db"),
    ("authkit_meta", "crypto/keys"),
    ("authkit_keys", "crypto/keys"),
    ("authkit_outbox", "mail"),
    ("authkit_notices", "mail"),
    ("authkit_audit", "audit"),
    ("authkit_users", "users"),
    ("authkit_user_roles", "users"),
    ("authkit_sessions", "sessions"),
    ("authkit_revocations", "sessions"),
    ("authkit_roles", "authz"),
    ("authkit_organisations", "authz"),
    ("authkit_resources", "authz"),
    ("authkit_memberships", "authz"),
    ("authkit_invitations", "invitations"),
    ("authkit_passwords", "passwords"),
    ("authkit_links", "links"),
    ("authkit_lockouts", "lockout"),
    ("authkit_api_keys", "api_keys"),
    ("authkit_idempotency", "idempotency"),
    ("authkit_cleanup", "cleanup"),
    ("authkit_devices", "devices"),
    ("authkit_totp", "mfa"),
    ("authkit_backup_sets", "mfa"),
    ("authkit_backup_codes", "mfa"),
    ("authkit_mfa_pending", "mfa"),
    ("authkit_passkeys", "passkeys"),
    ("authkit_passkey_challenges", "passkeys"),
];

const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "authkit",
    "authctl",
    "server",
    "migrations",
    "tests",
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file under a folder, its path within it, and its text.
pub(crate) fn sources(folder: &str) -> Vec<(String, String)> {
    let start = root().join(folder);
    let mut out = Vec::new();
    let mut todo = vec![start.clone()];
    while let Some(at) = todo.pop() {
        for entry in std::fs::read_dir(&at).unwrap_or_else(|e| panic!("{}: {e}", at.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&start).unwrap().to_str().unwrap().replace('\\', "/");
                out.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out.sort();
    assert!(!out.is_empty(), "{folder} has no source");
    out
}

/// The code of a file: without comments, and without the unit tests at its end.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().map(|line| match line.find("//") {
        Some(at) if !line[..at].contains('"') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.ends_with("/test_random.rs")
}

fn module(file: &str) -> String {
    if file.starts_with("crypto/keys/") {
        return "crypto/keys".into();
    }
    file.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

/// What a text names by `crate::…`: the first two segments, groups in braces taken apart.
fn crate_paths(code: &str) -> BTreeSet<(String, String)> {
    let mut out = BTreeSet::new();
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let mut add = |text: &str| {
            let first = word(text.trim_start());
            let next = text.trim_start()[first.len()..].strip_prefix("::").map(&word).unwrap_or_default();
            if !first.is_empty() {
                out.insert((first, next));
            }
        };
        let Some(group) = rest.strip_prefix('{') else {
            add(rest);
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                ',' if depth == 0 => {
                    add(&group[start..i]);
                    start = i + 1;
                }
                '}' if depth == 0 => {
                    add(&group[start..i]);
                    break;
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    out
}

/// Names that `lib.rs` passes on, with the module that they come from.
fn reexports() -> BTreeMap<String, String> {
    let lib = std::fs::read_to_string(root().join("authkit/src/lib.rs")).unwrap();
    let mut out = BTreeMap::new();
    for statement in code(&lib).split(';').filter_map(|s| s.split("pub use ").nth(1).map(str::to_owned)) {
        let Some((path, names)) = statement.rsplit_once("::") else { continue };
        let path =
            if path.starts_with("crypto::keys") { "crypto/keys" } else { path.split("::").next().unwrap() };
        for name in names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|n| !n.is_empty()) {
            out.insert(name.to_owned(), path.to_owned());
        }
    }
    assert!(out.len() > 20, "lib.rs was not read");
    out
}

#[test]
fn a_module_uses_only_lower_levels() {
    let levels: BTreeMap<&str, u32> = LEVELS.iter().copied().collect();
    let reexports = reexports();
    let mut seen = 0;
    let mut faults = Vec::new();
    for (file, text) in sources("authkit/src") {
        let own = module(&file);
        if own == "lib" || is_test(&file) {
            continue;
        }
        let Some(level) = levels.get(own.as_str()) else {
            faults.push(format!("{file}: {own} has no level"));
            continue;
        };
        for (first, second) in crate_paths(&code(&text)) {
            let used = match (first.as_str(), second.as_str()) {
                ("crypto", "keys") => "crypto/keys",
                _ => reexports.get(&first).map_or(first.as_str(), String::as_str),
            };
            seen += 1;
            let fine = match levels.get(used) {
                Some(&VALUES) if *level == VALUES => true,
                Some(other) => other < level || used == own || TOGETHER.contains(&(own.as_str(), used)),
                None => false,
            };
            if !fine {
                faults.push(format!("{file} uses {used}"));
            }
        }
    }
    assert!(seen > 200, "only {seen} uses were found");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn nothing_below_the_edge_knows_http() {
    let edge = ["http/", "http.rs", "lib.rs"];
    for (file, text) in sources("authkit/src") {
        if edge.iter().any(|e| file.starts_with(e)) {
            continue;
        }
        let code = code(&text);
        for name in ["axum::", "http::", "tower::", "utoipa::"] {
            for (at, _) in code.match_indices(name) {
                let inner = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
                assert!(inner, "{file} names {name}");
            }
        }
    }
}

#[test]
fn a_store_writes_only_its_own_tables_and_no_other_file_has_sql() {
    let owners: BTreeMap<&str, &str> = OWNERS.iter().copied().collect();
    let mut writes = 0;
    for (file, text) in sources("authkit/src") {
        let code = code(&text);
        let sql = file.ends_with("/store.rs") || file.starts_with("db/") || file == "sessions/revocations.rs";
        if is_test(&file) {
            continue;
        }
        assert!(sql || !code.contains("sqlx::query"), "{file} has SQL");
        for verb in ["INSERT INTO ", "UPDATE ", "DELETE FROM "] {
            for (at, _) in code.match_indices(verb) {
                let table: String = code[at + verb.len()..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if !table.contains("authkit_") {
                    continue;
                }
                writes += 1;
                let owner = owners.get(table.as_str()).unwrap_or_else(|| panic!("{table} has no owner"));
                assert_eq!(module(&file), *owner, "{file} writes {table}");
            }
        }
    }
    assert!(writes > 30, "only {writes} writing statements were found");
}

#[test]
fn statements_that_differ_between_the_engines_stay_few() {
    let twins = sources("authkit/src").into_iter().filter(|(file, _)| !is_test(file) && file != "db/conn.rs");
    let places: Vec<String> = twins
        .flat_map(|(file, text)| code(&text).matches("Twin {").map(|_| file.clone()).collect::<Vec<_>>())
        .collect();
    assert!((1..=4).contains(&places.len()), "one text for both is the rule: {places:?}");
}

#[test]
fn the_binaries_know_neither_each_other_nor_the_database_driver() {
    for (package, other) in [("authctl", "authkit-server"), ("server", "authctl")] {
        let manifest = std::fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let named: Vec<&str> = manifest
            .lines()
            .skip_while(|line| !line.starts_with("[dependencies]"))
            .filter_map(|line| line.split(['=', '.', ' ']).next())
            .collect();
        assert!(named.contains(&"authkit"), "{package}: {named:?}");
        for forbidden in [other, "sqlx", "authkit_server"] {
            assert!(!named.contains(&forbidden), "{package} depends on {forbidden}");
        }
        for (file, text) in sources(&format!("{package}/src")) {
            assert!(!code(&text).contains("sqlx"), "{package}/src/{file} names sqlx");
        }
    }
}

#[test]
fn nothing_else_is_visible_at_the_top() {
    let entries = std::fs::read_dir(root()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    // What cargo builds is ignored by git.
    for name in entries.filter(|name| !name.starts_with('.') && name != "target") {
        assert!(TOP_LEVEL.contains(&name.as_str()), "{name} is visible at the top");
    }
}

#[test]
fn both_engines_have_the_same_migrations() {
    let names = |engine: &str| -> BTreeSet<String> {
        let folder = root().join("migrations").join(engine);
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
    let code = std::fs::read_to_string(root().join("authkit/src/db/migrate.rs")).unwrap();
    for (n, name) in names("sqlite").iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", n + 1)), "{name} has no number of its own");
        assert!(code.contains(name.trim_end_matches(".sql")), "{name} is not compiled in");
        for engine in ["sqlite", "postgres"] {
            let text = std::fs::read_to_string(root().join("migrations").join(engine).join(name)).unwrap();
            for created in text.match_indices("CREATE TABLE ").map(|(at, v)| &text[at + v.len()..]) {
                assert!(created.starts_with("authkit_"), "a table of {name} has not our prefix");
            }
        }
    }
}

#[test]
fn files_stay_small() {
    for folder in ["authkit/src", "authctl/src", "server/src"] {
        for (file, text) in sources(folder) {
            let lines = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap().lines().count();
            assert!(lines <= 600 || is_test(&file), "{folder}/{file} has {lines} lines: split it");
        }
    }
    for (main, most) in [("authctl/src/main.rs", 40), ("server/src/main.rs", 60)] {
        let lines = std::fs::read_to_string(root().join(main)).unwrap().lines().count();
        assert!(lines < most, "{main} has {lines} lines");
    }
}

#[test]
fn every_test_file_is_compiled() {
    let main = std::fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    for (file, _) in sources("tests/it") {
        let module = file.split(['/', '.']).next().unwrap();
        let named = main.lines().any(|line| line.trim() == format!("mod {module};"));
        assert!(named || module == "main", "tests/it/main.rs does not name {file}: its tests would not run");
    }
}

#[test]
fn no_lint_is_silenced_and_no_test_skipped() {
    // Spelled in two parts, so that this file does not find itself.
    let (allow, ignore) = (concat!("#[al", "low("), concat!("#[ig", "nore"));
    for folder in ["authkit/src", "authctl/src", "server/src", "tests/src", "tests/it"] {
        for (file, text) in sources(folder) {
            for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
            {
                assert!(!line.contains(allow) && !line.contains(ignore), "{folder}/{file}:{}: {line}", n + 1);
            }
        }
    }
}

#[test]
fn time_and_randomness_come_from_outside() {
    let sources_of_time = ["time.rs", "random.rs"];
    for (file, text) in sources("authkit/src") {
        if sources_of_time.contains(&file.as_str()) || is_test(&file) {
            continue;
        }
        let code = code(&text);
        for name in ["Instant::now", "SystemTime::now", "now_v7", "now_utc", "thread_rng", "std::env::var"] {
            assert!(!code.contains(name), "{file} names {name}");
        }
    }
}
