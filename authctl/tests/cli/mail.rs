//! Mails: test, preview, outbox.

use authctl::Exit;

use crate::bench::Bench;

#[tokio::test]
async fn a_test_mail_becomes_a_file_in_development() {
    let bench = Bench::demo().await;
    let dir = bench.path("mails");
    let bench = bench.set("MAIL_DIR", &dir.display().to_string());
    let sent = bench.run(&["mail", "test", "ada@example.com", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&sent["changed"], &sent["resource"]["address"]), (&true.into(), &"ada@example.com".into()));
    let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let text = std::fs::read_to_string(file).unwrap();
    let id = sent["resource"]["message_id"].as_str().unwrap();
    assert!(
        text.contains(&format!("Message-ID: {id}\r\n")) && text.contains("\r\nTo: ada@example.com\r\n"),
        "{text}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    bench.run(&["mail", "test", "ada@example.com", "-n"]).await.is(Exit::Done);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    bench.run(&["mail", "test", "nobody"]).await.fails("E-INPUT-1", Exit::Invalid);
    bench.run(&["mail", "test", "ada@example.com", "--reason", "x"]).await.fails("E-USAGE-2", Exit::Usage);
}

#[tokio::test]
async fn a_server_that_is_not_there_and_no_server_at_all_are_told_apart() {
    let bench = Bench::demo().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut bench = bench
        .set("SMTP_HOST", "127.0.0.1")
        .set("SMTP_PORT", &free.to_string())
        .set("SMTP_TLS", "none")
        .set("MAIL_FROM", "a@example.com");
    let ran = bench.run(&["mail", "test", "ada@example.com"]).await.fails("E-MAIL-4", Exit::Unavailable);
    assert!(ran.err.contains("cannot be reached"), "{}", ran.err);
    bench.variables.retain(|(name, _)| !name.starts_with("SMTP_"));
    let bench = bench.set("ENV", "staging").set("ARGON2_MEMORY_KIB", "19456").set("ARGON2_ITERATIONS", "2");
    bench.run(&["mail", "test", "ada@example.com"]).await.fails("E-MAIL-3", Exit::Config);
}

#[tokio::test]
async fn every_mail_can_be_looked_at() {
    let bench = Bench::demo().await;
    let text = bench.run(&["mail", "preview", "reset_password"]).await.is(Exit::Done).out;
    assert!(text.starts_with("Subject: Set a new password for authkit\n\n"), "{text}");
    assert!(text.lines().any(|line| line == "http://localhost:8000/reset-password?token=EXAMPLE"), "{text}");
    let html = bench.run(&["mail", "preview", "unlock", "--part", "html"]).await.is(Exit::Done).out;
    assert!(html.starts_with("<!doctype html>") && html.contains("/unlock?token=EXAMPLE\""), "{html}");
    let whole = bench.run(&["mail", "preview", "account_locked", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(whole["template"], "account_locked");
    bench.run(&["mail", "preview", "nothing"]).await.is(Exit::Usage);
    bench
        .run(&["mail", "preview", "unlock", "--part", "html", "-o", "json"])
        .await
        .fails("E-USAGE-2", Exit::Usage);
}

#[tokio::test]
async fn the_outbox_is_listed_and_moved_without_its_content() {
    let bench = Bench::demo().await;
    let set = ["user", "set-password", "student@example.com", "--generate"];
    bench.run(&set).await.is(Exit::Done);
    let list = bench.run(&["mail", "outbox", "list", "-o", "json"]).await.is(Exit::Done);
    let items = list.json()["items"].as_array().unwrap().clone();
    let [mail] = &items[..] else { panic!("{items:?}") };
    assert_eq!((&mail["template"], &mail["state"]), (&"password_changed".into(), &"waiting".into()));
    assert!(!list.out.contains("@example.com"), "{}", list.out);
    let id = mail["id"].as_str().unwrap();
    let user = bench.run(&["mail", "outbox", "list", "--user", "student@example.com", "-o", "id"]).await;
    assert_eq!(user.is(Exit::Done).out.trim(), id);
    let none = bench.run(&["mail", "outbox", "list", "--state", "sent", "-o", "id"]).await.is(Exit::Done);
    assert_eq!(none.out, "");
    let shown = bench.run(&["mail", "outbox", "show", id, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(shown["attempts"], 0);
    bench.run(&["mail", "outbox", "retry", id]).await.is(Exit::Done);
    bench.run(&["mail", "outbox", "drop", id]).await.fails("E-CONFIRM-1", Exit::Usage);
    bench.run(&["mail", "outbox", "drop", id, "-n"]).await.is(Exit::Done);
    let dropped = bench.run(&["mail", "outbox", "drop", id, "-y", "--reason", "spam", "-o", "json"]).await;
    assert_eq!(dropped.is(Exit::Done).json()["resource"]["state"], "dropped");
    let again = bench.run(&["mail", "outbox", "drop", id, "-y", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(again["changed"], false);
    bench.run(&["mail", "outbox", "retry", id]).await.fails("E-MAIL-2", Exit::Refused);
    for id in ["x", "01a1fdc9-0833-7c08-b70a-b2962034a9bd"] {
        bench.run(&["mail", "outbox", "show", id]).await.fails("E-MAIL-1", Exit::NotFound);
    }
    bench.run(&["mail", "outbox", "list", "--state", "lost"]).await.is(Exit::Usage);
}
