//! Accounts, roles, seeding, passwords.

use authctl::Exit;

use crate::bench::Bench;

const STRONG: &str = "correct horse battery staple 7";

#[tokio::test]
async fn the_demo_is_made_once() {
    let bench = Bench::empty();
    let first = bench.run(&["seed", "--demo", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&first["changed"], &first["resource"]["changes"]), (&true.into(), &5.into()));
    let second = bench.run(&["seed", "--demo"]).await.is(Exit::Done);
    assert!(second.out.ends_with("\n0 changes\n"), "{}", second.out);
    let kit = bench.kit().await;
    for (email, password, role) in
        [("admin@example.com", "Admin123!", "ADMIN"), ("student@example.com", "Student123!", "STUDENT")]
    {
        let tokens = bench.sign_in(&kit, email, password).await;
        assert!(!tokens.session_id.to_string().is_empty());
        assert_eq!(kit.users().find_by_email(email).await.unwrap().unwrap().roles, [role]);
    }
    assert_eq!(kit.roles().get("ADMIN").await.unwrap().unwrap().permissions, ["*"]);
    assert!(kit.roles().get("REVIEWER").await.unwrap().is_some());
}

#[tokio::test]
async fn s_18_the_demo_is_for_development_only() {
    for env in ["staging", "prod"] {
        let bench = Bench::empty()
            .set("ENV", env)
            .set("ARGON2_MEMORY_KIB", "19456")
            .set("ARGON2_ITERATIONS", "2")
            .set("PUBLIC_URL", "https://auth.example.com")
            .set("EMAIL_VERIFICATION", "optional");
        bench.run(&["seed", "--demo"]).await.fails("E-SEED-2", Exit::Refused);
        assert!(!bench.path("a.db").exists());
    }
}

#[tokio::test]
async fn a_seed_file_is_all_or_nothing_and_idempotent() {
    let bench = Bench::migrated().await.set("ADA_PASSWORD", STRONG);
    let head = "[[roles]]\nname = \"R\"\npermissions = [\"a:b\"]\n[[users]]\nemail = \"Ada@Example.com\"\n\
        name = \"Ada\"\nroles = [\"R\"]\nemail_verified = true\npassword_env = \"ADA_PASSWORD\"\n";
    let good =
        format!("{head}[[users]]\nemail = \"bo@example.com\"\nname = \"Bo\"\ngenerate_password = true\n");
    let bad = format!("{head}[[users]]\nemail = \"bo@example.com\"\nname = \"Bo\"\nroles = [\"NONE\"]\n");
    let (good, bad) = (bench.file("good.toml", &good, 0o644), bench.file("bad.toml", &bad, 0o644));

    let before = bench.state().await;
    bench.run(&["seed", &bad]).await.fails("E-ROLE-1", Exit::NotFound);
    assert_eq!(bench.state().await, before);
    bench.run(&["seed", &good, "-n"]).await.is(Exit::Done);
    assert_eq!(bench.state().await, before);

    let made = bench.run(&["seed", &good, "-o", "json"]).await.is(Exit::Done).json();
    let bo = &made["resource"]["items"][2];
    assert_eq!((&bo["name"], &bo["outcome"]), (&"bo@example.com".into(), &"created".into()));
    let kit = bench.kit().await;
    bench.sign_in(&kit, "ada@example.com", STRONG).await;
    bench.sign_in(&kit, "bo@example.com", bo["password"].as_str().unwrap()).await;

    let again = bench.run(&["seed", &good, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&again["changed"], &again["resource"]["changes"]), (&false.into(), &0.into()));
    assert!(again["resource"]["items"][2]["password"].is_null());

    bench.run(&["user", "delete", "bo@example.com", "-y"]).await.is(Exit::Done);
    bench.run(&["seed", &good]).await.fails("E-SEED-3", Exit::Partial);
    bench.run(&["seed", "absent.toml"]).await.fails("E-SEED-1", Exit::Invalid);
    let leak = bench.file("leak.toml", "[[users]]\nemail = \"x@y.zz\"\npassword = \"CANARY\"", 0o644);
    let ran = bench.run(&["seed", &leak]).await.fails("E-SEED-1", Exit::Invalid);
    assert!(ran.err.contains("line 3") && !ran.err.contains("CANARY"), "{}", ran.err);
    let weak = bench.file("weak.toml", "[[users]]\nemail = \"x\"\nname = \"\"", 0o644);
    let ran = bench.run(&["seed", &weak]).await.fails("E-INPUT-1", Exit::Invalid);
    assert!(ran.err.contains("users.0.email"), "{}", ran.err);
    let built_in = bench.file("b.toml", "[[roles]]\nname = \"admin\"\npermissions = [\"*\"]", 0o644);
    bench.run(&["seed", &built_in]).await.fails("E-SEED-4", Exit::Refused);
}

#[tokio::test]
async fn an_account_s_whole_life() {
    let bench = Bench::migrated().await;
    let create = ["user", "create", "Ada@Example.com", "--name", "Ada", "--no-password", "-o", "json"];
    let made = bench.run(&create).await.is(Exit::Done).json();
    assert_eq!(made["changed"], true);
    let id = made["resource"]["id"].as_str().unwrap().to_owned();
    bench.run(&create).await.fails("E-USER-2", Exit::Refused);

    for user in [id.as_str(), "ada@example.com", " ADA@EXAMPLE.COM "] {
        let shown = bench.run(&["user", "show", user, "-o", "json"]).await.is(Exit::Done).json();
        assert_eq!(shown["id"], id.as_str());
    }
    let update = ["user", "update", &id, "--name", "Ada L", "--profile", "{\"a\":1}", "-o", "json"];
    assert_eq!(bench.run(&update).await.is(Exit::Done).json()["changed"], true);
    let again = bench.run(&update).await.is(Exit::Done).json();
    assert_eq!((&again["changed"], &again["resource"]["profile"]["a"]), (&false.into(), &1.into()));
    bench.run(&["user", "update", &id]).await.is(Exit::Usage);

    for (verb, status) in [("disable", "disabled"), ("enable", "active")] {
        let changed = bench.run(&["user", verb, &id, "-o", "json"]).await.is(Exit::Done).json();
        assert_eq!((&changed["changed"], &changed["resource"]["status"]), (&true.into(), &status.into()));
        let again = bench.run(&["user", verb, &id, "-o", "json"]).await.is(Exit::Done).json();
        assert_eq!(again["changed"], false);
    }
    let verified = bench.run(&["user", "verify-email", &id, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(verified["resource"]["email_verified"], true);

    bench.run(&["user", "purge", &id, "-y"]).await.fails("E-USER-3", Exit::Refused);
    bench.run(&["user", "delete", &id]).await.fails("E-CONFIRM-1", Exit::Usage);
    bench.run_with(&["user", "delete", &id, "--no-input"], "", Some(&["yes"])).await.is(Exit::Usage);
    bench.run_with(&["user", "delete", &id], "", Some(&["no"])).await.fails("E-CONFIRM-2", Exit::Refused);
    bench.run_with(&["user", "delete", &id], "", Some(&["yes"])).await.is(Exit::Done);
    assert_eq!(bench.run(&["user", "list", "-o", "json"]).await.json()["items"], serde_json::json!([]));
    let deleted = bench.run(&["user", "list", "--status", "deleted", "-o", "id"]).await;
    assert_eq!(deleted.out, format!("{id}\n"));
    bench.run(&["user", "restore", &id]).await.is(Exit::Done);
    bench.run(&["user", "delete", &id, "-y"]).await.is(Exit::Done);
    bench.run(&["user", "purge", &id, "-y"]).await.is(Exit::Done);
    for verb in ["show", "disable", "restore", "verify-email"] {
        bench.run(&["user", verb, &id]).await.fails("E-USER-1", Exit::NotFound);
    }
}

#[tokio::test]
async fn the_last_super_admin_stays() {
    let bench = Bench::migrated().await;
    let create = |email| ["user", "create", email, "--name", "A", "--no-password", "--roles", "super_admin"];
    bench.run(&create("a@example.com")).await.is(Exit::Done);
    for args in [
        &["role", "revoke", "a@example.com", "super_admin"][..],
        &["user", "disable", "a@example.com"],
        &["user", "delete", "a@example.com", "-y"],
    ] {
        bench.run(args).await.fails("E-ROLE-3", Exit::Refused);
    }
    bench.run(&create("b@example.com")).await.is(Exit::Done);
    bench.run(&["role", "revoke", "a@example.com", "super_admin"]).await.is(Exit::Done);
}

#[tokio::test]
async fn roles_are_defined_given_and_taken() {
    let bench = Bench::demo().await;
    let define =
        ["role", "define", "EDITOR", "--permissions", "a:b,c:*", "--description", "Edits", "-o", "json"];
    assert_eq!(bench.run(&define).await.is(Exit::Done).json()["changed"], true);
    assert_eq!(bench.run(&define).await.is(Exit::Done).json()["changed"], false);
    let shown = bench.run(&["role", "show", "EDITOR", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(shown["permissions"], serde_json::json!(["a:b", "c:*"]));
    let names = bench.run(&["role", "list", "-o", "id"]).await.is(Exit::Done).out;
    assert!(names.lines().any(|name| name == "EDITOR") && names.lines().any(|name| name == "super_admin"));
    bench.run(&["role", "define", "admin", "--permissions", "*"]).await.fails("E-ROLE-2", Exit::Refused);
    bench.run(&["role", "define", "X", "--permissions", "a b"]).await.fails("E-INPUT-1", Exit::Invalid);
    bench.run(&["role", "show", "NONE"]).await.fails("E-ROLE-1", Exit::NotFound);

    let user = "student@example.com";
    let granted = bench.run(&["role", "grant", user, "EDITOR", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(granted["resource"]["roles"], serde_json::json!(["EDITOR", "STUDENT"]));
    assert!(bench.run(&["role", "grant", user, "EDITOR"]).await.is(Exit::Done).err.contains("Nothing to do"));
    let held = bench.run(&["user", "list", "--role", "EDITOR", "-o", "json"]).await.json();
    assert_eq!(held["items"][0]["email"], user);
    bench.run(&["role", "revoke", user, "EDITOR"]).await.is(Exit::Done);
    bench.run(&["role", "grant", user, "NONE"]).await.fails("E-ROLE-1", Exit::NotFound);
    bench.run(&["role", "grant", "nobody@example.com", "EDITOR"]).await.fails("E-USER-1", Exit::NotFound);
}

#[tokio::test]
async fn s_203_passwords_come_from_everywhere_but_arguments() {
    let bench = Bench::demo().await;
    let kit = bench.kit().await;
    let set = ["user", "set-password", "student@example.com"];
    let with = |flags: &[&'static str]| [&set[..], flags].concat();

    bench.run_with(&with(&["--password-stdin"]), &format!("{STRONG} a\r\n"), None).await.is(Exit::Done);
    bench.sign_in(&kit, set[2], &format!("{STRONG} a")).await;

    let file = bench.file("p", &format!("{STRONG} b\n"), 0o600);
    bench.run(&[&set[..], &["--password-file", &file]].concat()).await.is(Exit::Done);
    bench.sign_in(&kit, set[2], &format!("{STRONG} b")).await;

    let typed: &[&str] = &["correct horse battery staple 9", "correct horse battery staple 9"];
    bench.run_with(&set, "", Some(typed)).await.is(Exit::Done);
    bench.sign_in(&kit, set[2], typed[0]).await;

    let made = bench.run(&with(&["--generate", "-o", "json"])).await.is(Exit::Done);
    let password = made.json()["password"].as_str().unwrap().to_owned();
    bench.sign_in(&kit, set[2], &password).await;
    assert!(!made.err.contains(&password));
    let rehearsed = bench.run(&with(&["--generate", "-o", "json", "-n"])).await.is(Exit::Done);
    assert!(rehearsed.json()["password"].is_null());

    for mode in [0o644, 0o604, 0o602] {
        let open = bench.file("open", STRONG, mode);
        let ran = bench.run(&[&set[..], &["--password-file", &open]].concat()).await;
        assert!(!ran.fails("E-SECRET-2", Exit::Refused).err.contains(STRONG));
    }
    bench.run(&set).await.fails("E-SECRET-1", Exit::Usage);
    bench.run_with(&with(&["--no-input"]), "", Some(&["x", "x"])).await.fails("E-SECRET-1", Exit::Usage);
    bench.run_with(&set, "", Some(&["one thing", "another"])).await.fails("E-SECRET-5", Exit::Invalid);
    bench.run_with(&with(&["--password-stdin"]), "\n", None).await.fails("E-SECRET-4", Exit::Invalid);
    bench.run(&with(&["--password-file", "absent"])).await.fails("E-SECRET-3", Exit::Invalid);
    bench.run(&with(&["--generate", "-o", "id"])).await.fails("E-USAGE-2", Exit::Usage);
    bench.run(&with(&["--generate", "--password-stdin"])).await.is(Exit::Usage);
    let weak = bench.run_with(&with(&["--password-stdin"]), "Student1", None).await;
    let weak = weak.fails("E-INPUT-1", Exit::Invalid);
    assert!(weak.err.contains("password ") && !weak.err.contains("Student1"), "{}", weak.err);
    // After all that was refused the last one still opens the door.
    bench.sign_in(&kit, set[2], &password).await;
}

#[tokio::test]
async fn a_dry_run_judges_and_leaves_nothing() {
    let bench = Bench::demo().await;
    let kit = bench.kit().await;
    let session = bench.sign_in(&kit, "student@example.com", "Student123!").await.session_id.to_string();
    bench.run(&["user", "create", "gone@example.com", "--name", "G", "--no-password"]).await.is(Exit::Done);
    bench.run(&["user", "delete", "gone@example.com", "-y"]).await.is(Exit::Done);
    let before = bench.state().await;
    let user = "student@example.com";
    let commands: &[&[&str]] = &[
        &["seed", "--demo"],
        &["user", "create", "new@example.com", "--name", "N", "--generate"],
        &["user", "update", user, "--name", "Other", "--email", "other@example.com"],
        &["user", "disable", user],
        &["user", "delete", user],
        &["user", "restore", "gone@example.com"],
        &["user", "purge", "gone@example.com"],
        &["user", "set-password", user, "--generate"],
        &["role", "define", "NEW", "--permissions", "a:b"],
        &["role", "grant", user, "ADMIN"],
        &["role", "revoke", user, "STUDENT"],
        &["session", "revoke", &session],
        &["session", "revoke", "--user", user],
        &["session", "revoke", "--all"],
        &["key", "rotate", "jwt"],
        &["migrate", "up"],
    ];
    for command in commands {
        let ran = bench.run(&[command, &["-n", "-o", "json"][..]].concat()).await.is(Exit::Done);
        let answer = ran.json();
        assert_eq!(answer["dry_run"], true, "{command:?}");
        let nothing = matches!(command[0], "seed" | "migrate");
        assert_eq!(answer["changed"], !nothing, "{command:?}");
        assert!(answer["password"].is_null(), "{command:?}");
        assert_eq!(bench.state().await, before, "{command:?}");
    }
    // It judges as the real one does.
    bench.run(&["user", "enable", "gone@example.com", "-n"]).await.fails("E-USER-3", Exit::Refused);
    let taken = ["user", "create", user, "--name", "N", "--no-password", "-n"];
    bench.run(&taken).await.fails("E-USER-2", Exit::Refused);
}

#[tokio::test]
async fn the_audit_tells_who_and_why() {
    let bench = Bench::demo().await;
    bench
        .run(&["user", "disable", "student@example.com", "--reason", "left the school"])
        .await
        .is(Exit::Done);
    let kit = bench.kit().await;
    let page = authkit::Page::new(1, None).unwrap();
    let event = kit.audit(&authkit::audit::AuditFilter::default(), &page).await.unwrap().items.remove(0);
    assert!(event.actor.starts_with("cli:ada@") && event.actor.len() > 8, "{}", event.actor);
    assert_eq!(event.reason.as_deref(), Some("left the school"));
}

#[tokio::test]
async fn links_are_mailed_or_printed_once() {
    let bench = Bench::demo().await.set("ENV", "staging");
    let user = "student@example.com";
    let silent = |bench: Bench| {
        bench
            .set("ARGON2_MEMORY_KIB", "19456")
            .set("ARGON2_ITERATIONS", "2")
            .set("PUBLIC_URL", "https://auth.example.com")
            .set("EMAIL_VERIFICATION", "optional")
    };
    let bench = silent(bench);
    let sent = bench.run(&["user", "send-reset", user, "-o", "json"]).await.is(Exit::Done);
    let answer = sent.json();
    assert_eq!((&answer["changed"], &answer["resource"]["mailed"]), (&true.into(), &false.into()));
    assert_eq!(answer["resource"]["purpose"], "reset_password");
    let link = answer["link"].as_str().unwrap();
    assert!(link.starts_with("https://auth.example.com/reset-password?token=akl_"), "{link}");
    assert!(!sent.err.contains("akl_"));
    let before = bench.state().await;
    let dry = bench.run(&["user", "send-reset", user, "-n", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&dry["dry_run"], &dry["link"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(bench.state().await, before);
    bench.run(&["user", "send-reset", user, "-o", "id"]).await.fails("E-USAGE-2", Exit::Usage);
    bench.run(&["user", "send-reset", "nobody@example.com"]).await.fails("E-USER-1", Exit::NotFound);
    bench.run(&["user", "disable", user]).await.is(Exit::Done);
    bench.run(&["user", "send-reset", user]).await.fails("E-USER-3", Exit::Refused);
    bench.run(&["user", "enable", user]).await.is(Exit::Done);

    let verify = bench.run(&["user", "send-verify", user, "-o", "json"]).await.is(Exit::Done).json();
    let proved = verify["changed"] == false;
    assert!(proved || verify["link"].as_str().unwrap().contains("/verify-email?token=akl_"));
    bench.run(&["user", "verify-email", user]).await.is(Exit::Done);
    let again = bench.run(&["user", "send-verify", user, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&again["changed"], &again["link"]), (&false.into(), &serde_json::Value::Null));
    let create = ["user", "create", "new@example.com", "--name", "N", "--send-reset"];
    bench.run(&create).await.fails("E-MAIL-3", Exit::Config);

    // With a mailer the link is nowhere but in the mail.
    let mails = bench.path("mails").display().to_string();
    let bench = bench.set("ENV", "dev").set("MAIL_DIR", &mails);
    for command in [&["user", "send-reset", user][..], &create] {
        let ran = bench.run(&[command, &["-o", "json"]].concat()).await.is(Exit::Done);
        assert!(!ran.out.contains("akl_") && !ran.err.contains("akl_"), "{}", ran.out);
        assert_eq!(ran.json()["changed"], true);
    }
    let told = bench.run(&["user", "send-reset", user]).await.is(Exit::Done);
    assert!(told.out.contains(user), "{}", told.out);
}
