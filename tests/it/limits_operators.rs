//! `authctl lockout limits` on limits that servers keep in Redis.

use authkit_tests::process::{Output, authctl_with};
use authkit_tests::{Backend, Client, RedisServer, Store};
use serde_json::{Value, json};

use crate::app::{PASSWORD, count, credentials, serve, settings, sign_in, sign_up};

const ANN: &str = "ann@example.com";
/// Three sign-ins to an e-mail; nothing else stands in the way.
const FEW: (&str, &str) = ("RL_LOGIN_EMAIL_LIMIT", "3/1h");

async fn authctl(store: &Store, env: &[(&str, &str)], args: &[&str]) -> Output {
    let args = [&["lockout", "limits"], args, &["-o", "json"]].concat();
    authctl_with(&settings(store, env), store.folder(), &args, "").await
}

fn limit(out: &Output, name: &str) -> Value {
    assert_eq!(out.code(), 0, "{}", out.stderr);
    let answer = out.json();
    let report = if answer["resource"].is_object() { &answer["resource"] } else { &answer };
    assert_eq!(report["shared"], true);
    let items = report["items"].as_array().unwrap();
    items.iter().find(|item| item["name"] == name).cloned().unwrap_or(Value::Null)
}

async fn use_up(client: &Client, email: &str) {
    for _ in 0..3 {
        client.post("/v1/auth/login", credentials(email, PASSWORD)).await.expect(200);
    }
    client.post("/v1/auth/login", credentials(email, PASSWORD)).await.assert_error(429, "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_in_redis_are_seen_and_filled_again() {
    let (store, redis) = (Store::new(Backend::Sqlite).await, RedisServer::start());
    let url = redis.url();
    let env = [FEW, ("REDIS_URL", url.as_str())];
    let server = serve(&store, &env).await;
    let client = server.client();
    let ann = sign_up(&client, ANN).await.str("/id").to_owned();

    let all = authctl(&store, &env, &["show"]).await;
    assert_eq!(
        (&limit(&all, "login_email")["rate"], &limit(&all, "login_email")["remaining"]),
        (&json!("3/1h"), &Value::Null)
    );
    let by_email = ["show", "--email", " ANN@example.com"];
    assert_eq!(limit(&authctl(&store, &env, &by_email).await, "login_email")["remaining"], 3);
    use_up(&client, ANN).await;
    let shown = authctl(&store, &env, &by_email).await;
    assert_eq!(limit(&shown, "login_email")["remaining"], 0);
    assert!(
        limit(&shown, "login_email")["next_in_seconds"].as_u64().is_some_and(|s| (1..=1200).contains(&s))
    );
    assert_eq!(limit(&shown, "login_ip"), Value::Null, "only those that count by e-mail");
    let by_address = limit(&authctl(&store, &env, &["show", "--ip", "127.0.0.1"]).await, "login_ip");
    assert_eq!(by_address["by"], "address");
    let by_user = authctl(&store, &env, &["show", "--user", &ann]).await;
    assert_eq!(limit(&by_user, "refresh_user")["by"], "user");
    let table =
        authctl_with(&settings(&store, &env), store.folder(), &["lockout", "limits", "show"], "").await;
    assert!(table.stdout.contains("login_email") && table.stdout.contains("3/1h"), "{}", table.stdout);

    // A rehearsal fills nothing.
    let reset = ["reset", "--email", ANN];
    let rehearsed = authctl(&store, &env, &[&reset[..], &["-n"]].concat()).await.json();
    assert_eq!((&rehearsed["changed"], &rehearsed["dry_run"]), (&json!(true), &json!(true)));
    client.post("/v1/auth/login", credentials(ANN, PASSWORD)).await.assert_error(429, "RATE_LIMITED");
    let done = authctl(&store, &env, &reset).await;
    assert_eq!(
        (&done.json()["changed"], &limit(&done, "login_email")["remaining"]),
        (&json!(true), &json!(3))
    );
    sign_in(&client, ANN).await;
    let others = authctl(&store, &env, &["reset", "--email", "nobody@example.com"]).await;
    assert_eq!(others.json()["changed"], false);
    // Once, with who it was; the address of nobody's account only as a keyed hash.
    let audited = "SELECT COUNT(*) FROM authkit_audit WHERE action = 'limits.reset' AND actor LIKE 'cli:%'";
    assert_eq!(count(&store, audited).await, 1);
    assert_eq!(count(&store, &format!("{audited} AND details LIKE '%example.com%'")).await, 0);

    for (args, code, exit) in [
        (&["show", "--email", "no address"][..], "E-INPUT-1", 5),
        (&["reset", "--user", "gone@example.com"], "E-USER-1", 3),
        (&["reset"], "E-USAGE-1", 2),
    ] {
        let out = authctl(&store, &env, args).await;
        assert_eq!(out.code(), exit, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(code), "{args:?}: {}", out.stderr);
    }
    redis.stop();
    for args in [&by_email[..], &reset] {
        let out = authctl(&store, &env, args).await;
        assert_eq!(out.code(), 69, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains("E-LIMIT-3"), "{args:?}: {}", out.stderr);
    }
    // What the limits are is a matter of the settings.
    assert_eq!(authctl(&store, &env, &["show"]).await.code(), 0);
}
