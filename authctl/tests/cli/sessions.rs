//! Sessions, tokens, keys.

use authctl::Exit;
use authkit::RequestMeta;
use authkit::secret::ExposeSecret as _;

use crate::bench::Bench;

const STUDENT: &str = "student@example.com";

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let bench = Bench::demo().await;
    let kit = bench.kit().await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(bench.sign_in(&kit, STUDENT, "Student123!").await);
    }
    bench.sign_in(&kit, "admin@example.com", "Admin123!").await;
    let mine = bench.run(&["session", "list", STUDENT, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(mine["items"].as_array().unwrap().len(), 3);
    assert!(mine["items"][0]["user_id"].is_string());
    let all = bench.run(&["session", "list", "-o", "id"]).await.is(Exit::Done).out;
    assert_eq!(all.lines().count(), 4);

    let id = tokens[0].session_id.to_string();
    let ended = bench.run(&["session", "revoke", &id, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&ended["changed"], &ended["resource"]["id"]), (&true.into(), &id.as_str().into()));
    let again = bench.run(&["session", "revoke", &id, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(again["changed"], false);
    kit.refresh_views().await.unwrap();
    let access = |index: usize| tokens[index].access_token.expose_secret().to_owned();
    let opens = async |index| Box::pin(kit.authenticate(&access(index), &RequestMeta::new())).await.is_ok();
    assert!(!opens(0).await && opens(1).await);

    let ended =
        bench.run(&["session", "revoke", "--user", STUDENT, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(ended["resource"]["sessions_ended"], 2);
    for id in ["x", "01a1fdc9-0833-7c08-b70a-b2962034a9bd"] {
        bench.run(&["session", "revoke", id]).await.fails("E-SESSION-1", Exit::NotFound);
    }
    bench.run(&["session", "revoke"]).await.is(Exit::Usage);
    bench.run(&["session", "revoke", &id, "--all"]).await.is(Exit::Usage);
    bench.run(&["session", "list", STUDENT, "--limit", "1"]).await.is(Exit::Usage);
    bench.run(&["session", "list", "nobody@example.com"]).await.fails("E-USER-1", Exit::NotFound);
}

#[tokio::test]
async fn everything_ends_at_once() {
    let bench = Bench::demo().await;
    let kit = bench.kit().await;
    let tokens = bench.sign_in(&kit, STUDENT, "Student123!").await;
    bench.run(&["session", "revoke", "--all"]).await.fails("E-CONFIRM-1", Exit::Usage);
    let ended = bench.run(&["session", "revoke", "--all", "-y", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&ended["resource"]["sessions"], &ended["resource"]["accounts"]), (&1.into(), &2.into()));
    let keys = bench.run(&["key", "list", "-o", "json"]).await.is(Exit::Done).json();
    let states = |purpose: &str| {
        let of = |key: &&serde_json::Value| key["purpose"] == purpose;
        let keys = keys["items"].as_array().unwrap().iter().filter(of);
        keys.map(|key| key["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (states("jwt"), states("token")),
        (vec!["gone".into(), "active".into()], vec!["gone".into(), "active".into()])
    );
    let token = tokens.refresh_token.expose_secret();
    bench.run_with(&["token", "inspect", "--stdin"], token, None).await.fails("E-TOKEN-1", Exit::Bad);

    let hs256 = Bench::empty().set("JWT_ALG", "HS256").set("JWT_SECRET", "x7!Kq#9vB$2mZ%t8&Lw*5nR(6cY)3pD^");
    hs256.run(&["seed", "--demo"]).await.is(Exit::Done);
    let ran = hs256.run(&["session", "revoke", "--all", "-y"]).await.fails("E-SESSION-2", Exit::Partial);
    assert!(ran.err.contains("JWT_SECRET"), "{}", ran.err);
    hs256.run(&["key", "rotate", "jwt"]).await.fails("E-KEY-2", Exit::Refused);
}

#[tokio::test]
async fn tokens_are_looked_at_and_never_shown() {
    let bench = Bench::demo().await;
    let kit = bench.kit().await;
    let tokens = bench.sign_in(&kit, STUDENT, "Student123!").await;
    let (access, refresh) = (tokens.access_token.expose_secret(), tokens.refresh_token.expose_secret());
    let inspect = ["token", "inspect", "--stdin", "-o", "json"];
    for (token, kind) in [(access, "access"), (refresh, "refresh")] {
        let ran = bench.run_with(&inspect, &format!("{token}\n"), None).await.is(Exit::Done);
        let report = ran.json();
        assert_eq!((&report["kind"], &report["status"]), (&kind.into(), &"valid".into()));
        assert_eq!((&report["genuine"], &report["key"]["state"]), (&true.into(), &"active".into()));
        assert_eq!(report["session"]["id"], tokens.session_id.to_string());
        assert!(!ran.out.contains(token) && !ran.err.contains(token));
        let tail = &token[token.len() - 40..];
        assert!(!ran.out.contains(tail), "part of the token is shown");
    }
    // Looking used nothing up.
    let newer = kit.refresh(refresh, &RequestMeta::new()).await.unwrap();
    let used = bench.run_with(&inspect, refresh, None).await.fails("E-TOKEN-1", Exit::Bad).json();
    assert_eq!(used["status"], "used");
    let newer = newer.refresh_token.expose_secret();
    assert_eq!(bench.run_with(&inspect, newer, None).await.is(Exit::Done).json()["status"], "valid");

    let mut forged = access.to_owned();
    let tail = forged.split_off(forged.len() - 8);
    forged.push_str(if tail == "AAAAAAAA" { "BBBBBBBB" } else { "AAAAAAAA" });
    for bad in [forged.as_str(), "akr_x", "nonsense", "a.b.c"] {
        let report = bench.run_with(&inspect, bad, None).await.fails("E-TOKEN-1", Exit::Bad).json();
        assert_eq!((&report["status"], &report["genuine"]), (&"invalid".into(), &false.into()), "{bad}");
    }
    bench.run(&["role", "grant", STUDENT, "REVIEWER"]).await.is(Exit::Done);
    let stale = bench.run_with(&inspect, access, None).await.fails("E-TOKEN-1", Exit::Bad).json();
    assert_eq!(stale["status"], "revoked");
    bench.run(&["token", "inspect"]).await.fails("E-SECRET-1", Exit::Usage);
    bench.run(&["token", "inspect", access]).await.is(Exit::Usage);
}

#[tokio::test]
async fn keys_rotate_and_are_published() {
    let bench = Bench::demo().await;
    let jwks = bench.run(&["key", "jwks"]).await.is(Exit::Done).json();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    assert!(jwks["keys"][0]["d"].is_null());
    let made = bench.run(&["key", "rotate", "jwt", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&made["changed"], &made["resource"]["state"]), (&true.into(), &"next".into()));
    let jwks = bench.run(&["key", "jwks", "-o", "yaml"]).await.is(Exit::Done).out;
    assert!(jwks.contains(made["resource"]["kid"].as_str().unwrap()), "{jwks}");
    let token = bench.run(&["key", "rotate", "token", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(token["resource"]["state"], "active");
    bench.run(&["key", "rotate", "nothing"]).await.is(Exit::Usage);
    bench.run(&["key", "jwks", "-o", "table"]).await.fails("E-USAGE-2", Exit::Usage);
}
