//! Forms of the result, paging, flags.

use std::io::{self, Write};

use authctl::{Code, Exit, run};

use crate::bench::Bench;

#[tokio::test]
async fn every_form_holds_the_same_list() {
    let bench = Bench::demo().await;
    let list = |form| ["user", "list", "-o", form];
    let json = bench.run(&list("json")).await.is(Exit::Done).json();
    assert!(json["next_cursor"].is_null());
    let ids: Vec<_> = json["items"].as_array().unwrap().iter().map(|u| u["id"].as_str().unwrap()).collect();
    assert_eq!(bench.run(&list("id")).await.out.lines().collect::<Vec<_>>(), ids);
    let jsonl = bench.run(&list("jsonl")).await.out;
    assert_eq!(
        jsonl.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()).collect::<Vec<_>>(),
        *json["items"].as_array().unwrap()
    );
    let csv = bench.run(&list("csv")).await.out;
    assert!(csv.starts_with("id,email,name,email_verified,roles,") && csv.lines().count() == 3, "{csv}");
    let yaml = bench.run(&list("yaml")).await.out;
    assert!(
        yaml.starts_with("items:\n  - id: ") && yaml.contains("\n    email: admin@example.com\n"),
        "{yaml}"
    );
    let table = bench.run(&list("table")).await.out;
    assert!(table.starts_with("EMAIL") && table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(!table.contains('\u{1b}'));
    let coloured = bench.run(&["user", "list", "--color", "always"]).await.out;
    assert!(coloured.contains('\u{1b}'));
    let first = json["items"][0].as_object().unwrap();
    let names = [
        "id",
        "email",
        "name",
        "email_verified",
        "roles",
        "status",
        "mfa_enabled",
        "profile",
        "created_at",
        "updated_at",
    ];
    assert!(names.iter().all(|name| first.contains_key(*name)) && first.len() == names.len());
}

#[tokio::test]
async fn csv_is_guarded_and_tables_are_harmless() {
    let bench = Bench::migrated().await;
    let create = |email, name| ["user", "create", email, "--name", name, "--no-password"];
    bench.run(&create("a@example.com", "=1+1")).await.is(Exit::Done);
    bench.run(&create("b@example.com", "a\u{202e}b")).await.is(Exit::Done);
    assert!(bench.run(&["user", "list", "-o", "csv"]).await.out.contains(",'=1+1,"));
    let table = bench.run(&["user", "list"]).await.out;
    assert!(!table.contains('\u{202e}') && table.contains('\u{fffd}'), "{table}");
}

#[tokio::test]
async fn pages_follow_each_other() {
    let bench = Bench::migrated().await;
    for index in 0..5 {
        let email = format!("u{index}@example.com");
        bench.run(&["user", "create", &email, "--name", "U", "--no-password"]).await.is(Exit::Done);
    }
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut args = vec!["user", "list", "--limit", "2", "-o", "json"];
        args.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
        let page = bench.run(&args).await.is(Exit::Done).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|u| u["email"].to_string()));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
        let other = ["user", "list", "--status", "disabled", "--cursor", cursor.as_deref().unwrap()];
        bench.run(&other).await.fails("E-INPUT-2", Exit::Invalid);
    }
    assert_eq!(seen.len(), 5);
    let all =
        bench.run(&["user", "list", "--all", "--sort", "created_at", "-o", "json"]).await.is(Exit::Done);
    assert_eq!(all.json()["items"].as_array().unwrap().len(), 5);
    let narrow = bench.run(&["user", "list", "--email-prefix", "U3", "-o", "json"]).await.json();
    assert_eq!(narrow["items"].as_array().unwrap().len(), 1);
    let more = bench.run(&["user", "list", "--limit", "2"]).await.is(Exit::Done);
    assert!(more.err.contains("--cursor "), "{}", more.err);
    assert!(bench.run(&["user", "list", "--limit", "2", "-q"]).await.err.is_empty());
    bench.run(&["user", "list", "--limit", "0"]).await.fails("E-INPUT-1", Exit::Invalid);
    bench.run(&["user", "list", "--sort", "email"]).await.is(Exit::Usage);
    bench.run(&["user", "list", "--all", "--limit", "3"]).await.is(Exit::Usage);
}

#[tokio::test]
async fn a_flag_without_a_meaning_is_refused() {
    let bench = Bench::demo().await;
    for args in [
        &["user", "list", "-n"][..],
        &["-y", "user", "list"],
        &["user", "disable", "student@example.com", "-y"],
        &["user", "list", "--reason", "x"],
        &["migrate", "up", "--reason", "x"],
        &["version", "-c", "x.toml"],
        &["completions", "bash", "-o", "json"],
        &["doctor", "-n"],
    ] {
        bench.run(args).await.fails("E-USAGE-2", Exit::Usage);
    }
    bench.run(&["user", "disable", "student@example.com", "--reason", "a\nb"]).await.is(Exit::Usage);
    bench.run(&["nonsense"]).await.fails("E-USAGE-1", Exit::Usage);
    bench.run(&[]).await.is(Exit::Usage);
}

#[tokio::test]
async fn every_code_is_explained() {
    let bench = Bench::empty();
    let table = bench.run(&["help", "codes"]).await.is(Exit::Done).out;
    for code in Code::ALL {
        let ran = bench.run(&["help", &code.text().to_lowercase()]).await.is(Exit::Done);
        assert!(ran.out.starts_with(code.text()) && ran.out.contains("next: "), "{}", ran.out);
        assert!(table.contains(code.text()));
    }
    for exit in Exit::ALL {
        assert!(table.contains(exit.meaning()));
    }
    bench.run(&["help", "E-NONE-1"]).await.fails("E-HELP-1", Exit::NotFound);
    bench.run(&["help", "user", "fly"]).await.fails("E-HELP-1", Exit::NotFound);
    let help = bench.run(&["help", "user", "create"]).await.is(Exit::Done).out;
    assert!(help.contains("authctl user create") && help.contains("--password-stdin"), "{help}");
    for flag in ["--help", "--version"] {
        let ran = bench.run(&[flag]).await.is(Exit::Done);
        assert!(ran.out.contains("authctl") && ran.err.is_empty());
    }
}

#[tokio::test]
async fn completions_manual_and_version_need_no_store() {
    let bench = Bench::empty().set("DATABASE_URL", "nonsense");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(bench.run(&["completions", shell]).await.is(Exit::Done).out.contains("authctl"));
    }
    assert!(bench.run(&["man"]).await.is(Exit::Done).out.contains(".TH"));
    let dir = bench.path("man");
    bench.run(&["man", "--dir", dir.to_str().unwrap()]).await.is(Exit::Done);
    assert!(dir.join("authctl.1").exists() && dir.join("authctl-user-list.1").exists());
    assert_eq!(
        bench.run(&["version"]).await.is(Exit::Done).out,
        format!("authctl {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(bench.run(&["version", "-o", "json"]).await.json()["name"], "authctl");
}

struct Closed(io::ErrorKind);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[tokio::test]
async fn a_reader_that_went_away_is_no_fault() {
    let bench = Bench::demo().await;
    for (kind, exit) in [(io::ErrorKind::BrokenPipe, Exit::Done), (io::ErrorKind::StorageFull, Exit::Failed)]
    {
        let (mut io, _, _) = bench.io("", None);
        io.stdout = Box::new(Closed(kind));
        assert_eq!(run(["authctl", "user", "list"], io).await, exit);
    }
}
