//! Settings, schema, store, doctor, signals.

use std::io::Write as _;
use std::process::{Command, Stdio};

use authctl::Exit;
use authkit::sqlx;

use crate::bench::Bench;

#[tokio::test]
async fn the_schema_is_shown_and_brought_up_to_date() {
    let bench = Bench::empty();
    bench.run(&["migrate", "status"]).await.fails("E-STORE-2", Exit::Unavailable);
    bench.run(&["user", "list"]).await.fails("E-STORE-2", Exit::Unavailable);
    bench.run(&["migrate", "up", "-n"]).await.is(Exit::Done);
    assert!(!bench.path("a.db").exists(), "looking made a database");

    bench.db().await.close().await;
    let behind = bench.run(&["migrate", "status", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&behind["state"], &behind["applied"]), (&"behind".into(), &0.into()));
    bench.run(&["migrate", "status", "--check"]).await.fails("E-SCHEMA-4", Exit::Bad);
    bench.run(&["user", "list"]).await.fails("E-SCHEMA-1", Exit::Config);
    bench.run(&["migrate", "up", "-n"]).await.is(Exit::Done);
    bench.run(&["migrate", "status", "--check"]).await.is(Exit::Bad);
    let up = bench.run(&["migrate", "up", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&up["changed"], &up["resource"]["state"]), (&true.into(), &"current".into()));
    assert_eq!(bench.run(&["migrate", "up", "-o", "json"]).await.is(Exit::Done).json()["changed"], false);
    bench.run(&["migrate", "status", "--check"]).await.is(Exit::Done);
}

#[tokio::test]
async fn s_190_a_newer_schema_is_left_alone() {
    let bench = Bench::migrated().await;
    let db = bench.db().await;
    db.write(|tx| {
        Box::pin(async move {
            let sql = "INSERT INTO _authkit_migrations (version, name, checksum, applied_at) VALUES (99, 'x', 'x', 0)";
            sqlx::query(sql).execute(tx.conn().as_sqlite().unwrap()).await?;
            Ok(())
        })
    })
    .await
    .unwrap();
    for args in [&["migrate", "status"][..], &["migrate", "up"], &["user", "list"], &["seed", "--demo"]] {
        bench.run(args).await.fails("E-SCHEMA-2", Exit::Refused);
    }
    bench.run(&["doctor"]).await.fails("E-DOCTOR-1", Exit::Bad);
}

#[tokio::test]
async fn a_held_lock_is_named() {
    let bench = Bench::migrated().await;
    let db = bench.db().await;
    let (held, holds) = tokio::sync::oneshot::channel();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let ends = std::sync::Arc::new(std::sync::Mutex::new(Some((held, released))));
    let holder = tokio::spawn(async move {
        db.write(move |_| {
            let ends = ends.lock().unwrap().take();
            Box::pin(async move {
                if let Some((held, released)) = ends {
                    let _ = held.send(());
                    let _ = released.await;
                }
                Ok(())
            })
        })
        .await
    });
    holds.await.unwrap();
    bench.run(&["migrate", "up"]).await.fails("E-STORE-3", Exit::Locked);
    drop(release);
    let _ = holder.await.unwrap();
}

#[tokio::test]
async fn s_193_settings_are_checked_and_masked() {
    let bench = Bench::empty().set("DATABASE_URL", "postgres://app:CANARY1@db.example.com/auth");
    let shown = bench.run(&["config", "show", "--origin", "-o", "json"]).await.is(Exit::Done);
    assert!(shown.out.contains("postgres://app:***@db.example.com/auth"), "{}", shown.out);
    assert!(!shown.out.contains("CANARY1") && !shown.out.contains(crate::bench::PEPPER));
    let row = |name: &str| {
        let items = shown.json()["items"].as_array().unwrap().clone();
        items.into_iter().find(|item| item["name"] == name).unwrap()
    };
    assert_eq!(
        (&row("TOKEN_PEPPER")["value"], &row("ENV")["origin"]),
        (&"(set)".into(), &"environment".into())
    );
    assert_eq!(row("JWT_ALG")["origin"], "default");
    let plain = bench.run(&["config", "show", "-o", "json"]).await.is(Exit::Done);
    assert!(!plain.out.contains("\"origin\""));
    let checked = bench.run(&["config", "check", "-o", "json"]).await.is(Exit::Done).json();
    assert!(checked["warnings"][0].as_str().unwrap().contains("ARGON2"), "{checked}");

    let bad = bench.set("TOKEN_PEPPER", "CANARY2").set("BIND_ADDR", "nowhere");
    for args in [&["config", "check"][..], &["config", "show"], &["user", "list"]] {
        let ran = bad.run(args).await.fails("E-CONFIG-1", Exit::Config);
        assert!(ran.err.contains("TOKEN_PEPPER") && ran.err.contains("BIND_ADDR"), "{}", ran.err);
        assert!(!ran.err.contains("CANARY"));
    }
    let file = bad.file("authkit.toml", "nonsense = 1\n", 0o600);
    let ran = bad.run(&["config", "check", "-c", &file]).await.fails("E-CONFIG-1", Exit::Config);
    assert!(ran.err.contains("nonsense"), "{}", ran.err);
    bad.run(&["config", "check", "-c", "absent.toml"]).await.fails("E-CONFIG-1", Exit::Config);
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong() {
    let bench = Bench::demo().await;
    let healthy = bench.run(&["doctor", "-o", "json"]).await.is(Exit::Done).json();
    let checks: Vec<_> = healthy["items"].as_array().unwrap().iter().map(|f| f["check"].clone()).collect();
    for check in ["settings", "files", "store", "schema", "keys", "write", "clock"] {
        assert!(checks.contains(&check.into()), "{check}");
    }
    let before = bench.state().await;
    bench.run(&["doctor"]).await.is(Exit::Done);
    assert_eq!(bench.state().await, before);

    let other_root = "zR4wZ9nB5cL1yH6gD3fS0pAmJ8kV2qX7t-eUoIiKxTzQ";
    let bench = bench.set("TOKEN_PEPPER", other_root);
    let ran = bench.run(&["doctor", "-v"]).await.fails("E-DOCTOR-1", Exit::Bad);
    assert!(ran.out.contains("[E-KEY-1]") && ran.out.contains("  fix: "), "{}", ran.out);
    bench.run(&["user", "list"]).await.fails("E-KEY-1", Exit::Config);

    let bench = bench.set("TOKEN_PEPPER", "short");
    bench.run(&["doctor"]).await.fails("E-DOCTOR-1", Exit::Bad);
    let gone = Bench::empty();
    let ran = gone.run(&["doctor"]).await.is(Exit::Unavailable);
    assert!(ran.out.contains("[E-STORE-2]"), "{}", ran.out);
    let dead = gone.set("DATABASE_URL", "postgres://a@127.0.0.1:1/x");
    dead.run(&["doctor"]).await.is(Exit::Unavailable);
    dead.run(&["user", "list"]).await.fails("E-STORE-1", Exit::Unavailable);
}

#[tokio::test]
async fn s_193_open_files_are_reported() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::demo().await;
    let mode = || std::fs::metadata(bench.path("a.db")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600, "a new database is its owner's");
    std::fs::set_permissions(bench.path("a.db"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let report = bench.run(&["doctor"]).await.is(Exit::Done);
    assert!(report.out.contains("chmod 600"), "{}", report.out);
}

/// The real program, waiting for its standard input, gets a signal.
#[tokio::test]
async fn signals_end_it_with_their_code() {
    use rustix::process::{Pid, Signal, kill_process};
    let bench = Bench::demo().await;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_authctl"))
            .args(["user", "set-password", "student@example.com", "--password-stdin", "-v"])
            .env_clear()
            .envs(bench.variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"half a pass").unwrap();
        // Its first line tells that it is under way, its signals being watched.
        let mut line = String::new();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        assert!(!line.is_empty());
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        drop(stdin);
    }
    let kit = bench.kit().await;
    bench.sign_in(&kit, "student@example.com", "Student123!").await;
}
