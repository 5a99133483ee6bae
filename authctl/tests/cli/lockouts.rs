//! Locks and limits, seen and ended.

use authctl::Exit;
use authkit::{AuthKit, Credentials, ErrorKind, RequestMeta};
use serde_json::{Value, json};

use crate::bench::Bench;

const STUDENT: &str = "student@example.com";

/// Two wrong passwords lock.
async fn bench() -> Bench {
    let bench = Bench::empty()
        .set("LOGIN_FAIL_EMAIL_THRESHOLD", "2")
        .set("RL_LOGIN_IP_LIMIT", "1000/1m")
        .set("RL_LOGIN_EMAIL_LIMIT", "1000/1m");
    bench.run(&["seed", "--demo"]).await.is(Exit::Done);
    bench
}

async fn login(kit: &AuthKit, email: &str, password: &str) -> Result<(), ErrorKind> {
    let meta = RequestMeta::new().with_ip([203, 0, 113, 9].into());
    kit.login(Credentials::new(email, password), &meta).await.map(|_| ()).map_err(|error| error.kind())
}

async fn lock(kit: &AuthKit, email: &str) {
    for _ in 0..2 {
        assert_eq!(login(kit, email, "a wrong guess").await, Err(ErrorKind::InvalidCredentials));
    }
    assert_eq!(login(kit, email, "Student123!").await, Err(ErrorKind::Locked));
}

async fn listed(bench: &Bench, filters: &[&str]) -> Vec<Value> {
    let ran = bench.run(&[&["lockout", "list", "-o", "json"], filters].concat()).await.is(Exit::Done);
    ran.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn s_034_locks_are_listed_found_and_ended() {
    let bench = bench().await;
    let kit = bench.kit().await;
    assert_eq!(listed(&bench, &[]).await, Vec::<Value>::new());
    lock(&kit, STUDENT).await;
    lock(&kit, "nobody@example.com").await;

    let all = listed(&bench, &[]).await;
    let text = json!(all).to_string();
    assert!(!text.contains("example.com") && !text.contains("203.0.113"), "{text}");
    let emails = listed(&bench, &["--kind", "email"]).await;
    assert_eq!((emails.len(), listed(&bench, &["--locked"]).await), (2, emails.clone()));
    // In any spelling, with an account or without one.
    let students = listed(&bench, &["--user", STUDENT]).await;
    assert_eq!(listed(&bench, &["--email", " STUDENT@Example.com"]).await, students);
    let nobodys = listed(&bench, &["--email", "nobody@example.com"]).await;
    assert_eq!((students.len(), nobodys.len()), (1, 1));
    assert!(students[0]["user_id"].is_string() && nobodys[0]["user_id"].is_null());
    let by_address = listed(&bench, &["--ip", "203.0.113.9"]).await;
    assert!(by_address.iter().any(|row| row["kind"] == "ip" && row["failures"] == 4), "{by_address:?}");
    assert_eq!(listed(&bench, &["--ip", "203.0.114.9"]).await, Vec::<Value>::new());
    // Page by page it is the same.
    let first = bench.run(&["lockout", "list", "--limit", "1", "-o", "json"]).await.is(Exit::Done).json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = listed(&bench, &["--cursor", cursor]).await;
    assert_eq!([first["items"].as_array().unwrap().as_slice(), &rest].concat(), all);
    assert_eq!(listed(&bench, &["--all"]).await, all);

    let id = nobodys[0]["id"].as_str().unwrap();
    let shown = bench.run(&["lockout", "show", id, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(shown, nobodys[0]);
    let table = bench.run(&["lockout", "list"]).await.is(Exit::Done).out;
    assert!(table.contains(id) && table.lines().all(|line| line.chars().count() <= 80), "{table}");
    for missing in ["x", "018f9f7e-0000-7000-8000-000000000000"] {
        for verb in ["show", "clear"] {
            bench.run(&["lockout", verb, missing]).await.fails("E-LOCKOUT-1", Exit::NotFound);
        }
    }
    bench.run(&["lockout", "list", "--user", "gone@example.com"]).await.fails("E-USER-1", Exit::NotFound);
    bench.run(&["lockout", "list", "--email", "no address"]).await.fails("E-INPUT-1", Exit::Invalid);
    for bad in [&["--ip", "nowhere"][..], &["--kind", "phone"], &["--ip", "::1", "--user", STUDENT]] {
        bench.run(&[&["lockout", "list"], bad].concat()).await.is(Exit::Usage);
    }
    bench.run(&["lockout", "list", "-n"]).await.fails("E-USAGE-2", Exit::Usage);

    let clear = ["lockout", "clear", id, "-o", "json"];
    let rehearsed = bench.run(&[&clear[..], &["-n"]].concat()).await.is(Exit::Done).json();
    assert_eq!((&rehearsed["changed"], &rehearsed["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(listed(&bench, &[]).await, all);
    let cleared = bench.run(&clear).await.is(Exit::Done).json();
    assert_eq!((&cleared["changed"], &cleared["resource"]["failures"]), (&json!(true), &json!(0)));
    assert_eq!(login(&kit, "nobody@example.com", "x").await, Err(ErrorKind::InvalidCredentials));
    assert_eq!(login(&kit, STUDENT, "Student123!").await, Err(ErrorKind::Locked));

    let unlock = ["user", "unlock", STUDENT, "-o", "json"];
    bench.run(&[&unlock[..], &["-n"]].concat()).await.is(Exit::Done);
    assert_eq!(login(&kit, STUDENT, "Student123!").await, Err(ErrorKind::Locked));
    let unlocked = bench.run(&unlock).await.is(Exit::Done).json();
    assert_eq!((&unlocked["changed"], &unlocked["resource"]["email"]), (&json!(true), &json!(STUDENT)));
    assert_eq!(login(&kit, STUDENT, "Student123!").await, Ok(()));
    assert_eq!(bench.run(&unlock).await.is(Exit::Done).json()["changed"], false);
    bench.run(&["user", "unlock", "gone@example.com"]).await.fails("E-USER-1", Exit::NotFound);
}

#[tokio::test]
async fn several_are_cleared_by_what_they_are_of() {
    let bench = bench().await;
    let kit = bench.kit().await;
    let clear = |flags: &[&'static str]| [&["lockout", "clear", "-o", "json"], flags].concat();
    for which in [&["--user", STUDENT][..], &["--email", "Student@example.com"], &["--all", "-y"]] {
        lock(&kit, STUDENT).await;
        let before = listed(&bench, &[]).await;
        bench.run(&clear(&[which, &["-n"]].concat())).await.is(Exit::Done);
        assert_eq!(listed(&bench, &[]).await, before, "{which:?}");
        let cleared = bench.run(&clear(which)).await.is(Exit::Done).json();
        assert_eq!(cleared["changed"], true, "{which:?}");
        let items = cleared["resource"]["items"].as_array().unwrap();
        assert_eq!(cleared["resource"]["cleared"], items.len(), "{which:?}");
        assert!(
            items.iter().any(|item| item["kind"] == "email" && item["locked_until"].is_string()),
            "{items:?}"
        );
        assert_eq!(login(&kit, STUDENT, "Student123!").await, Ok(()), "{which:?}");
    }
    lock(&kit, STUDENT).await;
    // The address has failed, too, but its lock is another one.
    let ran = bench.run(&["lockout", "clear", "--ip", "203.0.113.9"]).await.is(Exit::Done);
    assert!(ran.err.contains("cleared."), "{}", ran.err);
    assert_eq!(login(&kit, STUDENT, "Student123!").await, Err(ErrorKind::Locked));
    let none = bench.run(&clear(&["--ip", "203.0.113.9"])).await.is(Exit::Done).json();
    assert_eq!((&none["changed"], &none["resource"]["cleared"]), (&json!(false), &json!(0)));
    let none = bench.run(&clear(&["--all", "--kind", "device", "-y"])).await.is(Exit::Done).json();
    assert_eq!(none["changed"], false);
    // Everybody's: somebody must say yes.
    bench.run(&["lockout", "clear", "--all"]).await.fails("E-CONFIRM-1", Exit::Usage);
    bench
        .run_with(&["lockout", "clear", "--all"], "", Some(&["no"]))
        .await
        .fails("E-CONFIRM-2", Exit::Refused);
    assert_eq!(login(&kit, STUDENT, "Student123!").await, Err(ErrorKind::Locked));
    bench.run_with(&["lockout", "clear", "--all"], "", Some(&["yes"])).await.is(Exit::Done);
    assert_eq!(login(&kit, STUDENT, "Student123!").await, Ok(()));
    for bad in [&[][..], &["--all", "--user", STUDENT], &["x", "--all"], &["x", "--kind", "ip"]] {
        bench.run(&clear(bad)).await.is(Exit::Usage);
    }
    let ids = bench.run(&["lockout", "list", "-o", "id"]).await.is(Exit::Done).out;
    assert_eq!(ids, "");
}

#[tokio::test]
async fn limits_in_the_memory_of_servers_are_out_of_reach_and_that_is_said() {
    let bench = bench().await;
    let shown = bench.run(&["lockout", "limits", "show", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(shown["shared"], false);
    let items = shown["items"].as_array().unwrap();
    let login = items.iter().find(|item| item["name"] == "login_email").unwrap();
    assert_eq!((&login["rate"], &login["by"]), (&json!("1000/1m"), &json!("email")));
    assert!(items.iter().all(|item| item["remaining"].is_null()), "{items:?}");
    let table = bench.run(&["lockout", "limits", "show"]).await.is(Exit::Done).out;
    assert!(table.contains("login_ip") && table.contains("1000/1m"), "{table}");
    for which in [["--email", STUDENT], ["--user", STUDENT], ["--ip", "203.0.113.9"]] {
        let show = [&["lockout", "limits", "show"], &which[..]].concat();
        let ran = bench.run(&show).await.fails("E-LIMIT-1", Exit::Unknown);
        assert!(ran.out.contains("login_ip"), "{}", ran.out);
        let reset = [&["lockout", "limits", "reset"], &which[..]].concat();
        bench.run(&reset).await.fails("E-LIMIT-2", Exit::Refused);
    }
    bench.run(&["lockout", "limits", "reset"]).await.is(Exit::Usage);
    bench.run(&["lockout", "limits", "show", "--ip", "x"]).await.is(Exit::Usage);
}
