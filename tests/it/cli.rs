//! `authctl` as a process, beside a server and without one.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use authkit_tests::process::{Output, authctl_with};
use authkit_tests::{Backend, Store, on_both};
use serde_json::{Value, json};

use crate::app::{
    PASSWORD, claims, count, credentials, header, me, newcomer, refresh, serve, settings, sign_in,
    sign_in_with, sql, within,
};

const SOON: Duration = Duration::from_secs(3);

/// Runs it with the settings that the server of these suites has.
async fn ctl(store: &Store, args: &[&str]) -> Output {
    ctl_in(store, &[], args, "").await
}

async fn ctl_in(store: &Store, env: &[(&str, &str)], args: &[&str], stdin: &str) -> Output {
    authctl_with(&settings(store, env), store.folder(), args, stdin).await
}

trait Ended {
    fn ended(self, code: i32) -> Self;
}

impl Ended for Output {
    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        // What failed says so; a report of findings is a result.
        assert!(code == 0 || !self.stderr.is_empty() || !self.stdout.is_empty(), "{self:#?}");
        self
    }
}

on_both! {
    async fn a_schema_is_looked_at_and_brought_up(store: Store) {
        // A file that is not there is not made by looking at it.
        let empty = if store.backend() == Backend::Sqlite { 69 } else { 6 };
        ctl(&store, &["migrate", "status", "--check"]).await.ended(empty);
        ctl(&store, &["-n", "migrate", "up"]).await;
        ctl(&store, &["migrate", "status", "--check"]).await.ended(empty);
        let first = ctl(&store, &["migrate", "up", "-o", "json"]).await.ended(0).json();
        assert_eq!(first["changed"], true, "{first}");
        let second = ctl(&store, &["migrate", "up", "-o", "json"]).await.ended(0).json();
        assert_eq!(second["changed"], false, "{second}");
        ctl(&store, &["migrate", "status", "--check"]).await.ended(0);
        // What production starts on.
        drop(serve(&store, &[("MIGRATE_ON_START", "false")]).await);
        sql(&store, "INSERT INTO _authkit_migrations (version, name, checksum, applied_at) VALUES (9999, 'x', 'x', 0)").await;
        let newer = ctl(&store, &["migrate", "up"]).await.ended(4);
        assert!(newer.stderr.contains("newer"), "{newer:?}");
    }

    async fn the_demo_is_seeded_once_and_works_on_the_server(store: Store) {
        let server = serve(&store, &[]).await;
        let first = ctl(&store, &["seed", "--demo", "-o", "json"]).await.ended(0).json();
        assert!(first["resource"]["changes"].as_u64() > Some(0), "{first}");
        let second = ctl(&store, &["seed", "--demo", "-o", "json"]).await.ended(0).json();
        assert_eq!((&second["changed"], &second["resource"]["changes"]), (&json!(false), &json!(0)), "{second}");
        let table = ctl(&store, &["seed", "--demo"]).await.ended(0);
        assert!(table.stdout.contains('0'), "{table:?}");

        let client = server.client();
        for (email, password, role) in
            [("admin@example.com", "Admin123!", "ADMIN"), ("student@example.com", "Student123!", "STUDENT")]
        {
            let tokens = sign_in_with(&client, email, password).await;
            let roles = me(&client, &tokens.access).await.expect(200).body["roles"].clone();
            assert!(roles.as_array().is_some_and(|r| r.contains(&json!(role))), "{email}: {roles}");
        }
        let staging = [("ENV", "staging"), ("ARGON2_MEMORY_KIB", "19456"), ("ARGON2_ITERATIONS", "2")];
        let refused = ctl_in(&store, &staging, &["seed", "--demo"], "").await;
        assert_ne!(refused.code(), 0, "{refused:?}");
        assert!(refused.stderr.contains("dev"), "{refused:?}");
    }

    async fn accounts_are_managed_beside_a_running_server(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let create = ["user", "create", "made@example.com", "--name", "Made", "--password-stdin", "-o", "json"];
        let made = ctl_in(&store, &[], &create, &format!("{PASSWORD}\n")).await.ended(0).json();
        assert_eq!((&made["changed"], &made["resource"]["email"]), (&json!(true), &json!("made@example.com")));
        let tokens = sign_in(&client, "made@example.com").await;
        assert_eq!(me(&client, &tokens.access).await.body, made_now(&store, "made@example.com").await);

        ctl_in(&store, &[], &create, &format!("{PASSWORD}\n")).await.ended(4);
        let weak = ["user", "create", "weak@example.com", "--name", "Weak", "--password-stdin"];
        ctl_in(&store, &[], &weak, "password\n").await.ended(5);
        ctl(&store, &["user", "show", "weak@example.com"]).await.ended(3);
        ctl(&store, &["user", "create", "asked@example.com", "--name", "Asked", "--no-input"]).await.ended(2);
        ctl(&store, &["user", "no-such-verb"]).await.ended(2);

        // Disabled: no sign-in at once, no refresh, and the access token dies with the next poll.
        ctl(&store, &["user", "disable", "made@example.com", "--reason", "left"]).await.ended(0);
        let login = client.post("/v1/auth/login", credentials("made@example.com", PASSWORD)).await;
        login.assert_error(401, "INVALID_CREDENTIALS");
        refresh(&client, &tokens.refresh).await.assert_error(401, "REFRESH_INVALID");
        within(SOON, "the token dies", async || me(&client, &tokens.access).await.status == 401).await;
        let again = ctl(&store, &["user", "disable", "made@example.com", "-o", "json"]).await.ended(0).json();
        assert_eq!(again["changed"], false);
        ctl(&store, &["user", "enable", "made@example.com"]).await.ended(0);
        let tokens = sign_in(&client, "made@example.com").await;

        let set = ["user", "set-password", "made@example.com", "--password-stdin"];
        ctl_in(&store, &[], &set, "seven green lanterns over water\n").await.ended(0);
        refresh(&client, &tokens.refresh).await.assert_error(401, "REFRESH_INVALID");
        sign_in_with(&client, "made@example.com", "seven green lanterns over water").await;
        ctl(&store, &["user", "verify-email", "made@example.com"]).await.ended(0);
        assert_eq!(made_now(&store, "made@example.com").await["email_verified"], true);

        // Destructive: asks, or is told.
        ctl(&store, &["user", "delete", "made@example.com", "--no-input"]).await.ended(2);
        ctl(&store, &["user", "delete", "made@example.com", "-y", "-n"]).await.ended(0);
        assert_eq!(made_now(&store, "made@example.com").await["status"], "active");
        ctl(&store, &["user", "delete", "made@example.com", "-y"]).await.ended(0);
        let login = client.post("/v1/auth/login", credentials("made@example.com", "seven green lanterns over water"));
        login.await.assert_error(401, "INVALID_CREDENTIALS");
        ctl(&store, &["user", "restore", "made@example.com"]).await.ended(0);
        sign_in_with(&client, "made@example.com", "seven green lanterns over water").await;
        let audited = count(&store, "SELECT COUNT(*) FROM authkit_audit WHERE actor LIKE 'cli:%' AND reason = 'left'").await;
        assert_eq!(audited, 1);
    }

    async fn lists_are_pages_of_the_http_shape(store: Store) {
        let server = serve(&store, &[]).await;
        for i in 0..5 {
            crate::app::sign_up(&server.client(), &format!("page-{i}@example.com")).await;
        }
        drop(server);
        // While the server is down.
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut args = vec!["user", "list", "-o", "json", "--limit", "2"];
            if let Some(cursor) = &cursor {
                args.extend(["--cursor", cursor]);
            }
            let page = ctl(&store, &args).await.ended(0).json();
            let items = page["items"].as_array().expect("items").clone();
            assert!(items.len() <= 2);
            seen.extend(items.iter().map(|user| user["email"].as_str().unwrap().to_owned()));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, (0..5).map(|i| format!("page-{i}@example.com")).collect::<Vec<_>>());
        let all = ctl(&store, &["user", "list", "-o", "jsonl", "--all"]).await.ended(0);
        assert_eq!(all.stdout.lines().filter(|l| serde_json::from_str::<Value>(l).is_ok()).count(), 5, "{all:?}");
        let ids = ctl(&store, &["user", "list", "-o", "id"]).await.ended(0);
        assert_eq!(ids.stdout.lines().filter(|id| id.len() == 36).count(), 5, "{ids:?}");
        ctl(&store, &["user", "list", "--cursor", "rubbish"]).await.ended(5);
        ctl(&store, &["user", "list", "--limit", "201"]).await.ended(5);
    }

    async fn what_it_revokes_two_servers_refuse(store: Store) {
        let (one, two) = (serve(&store, &[]).await, serve(&store, &[]).await);
        let clients = [one.client(), two.client()];
        let dead_everywhere = async |access: &str, what: &str| {
            for client in &clients {
                within(SOON, what, async || me(client, access).await.status == 401).await;
            }
        };
        let first = newcomer(&clients[0], "revoked@example.com").await;
        let other = sign_in(&clients[1], "revoked@example.com").await;
        for client in &clients {
            me(client, &first.access).await.expect(200);
        }
        let sid = claims(&first.access)["sid"].as_str().unwrap().to_owned();
        let list = ctl(&store, &["session", "list", "revoked@example.com", "-o", "json"]).await.ended(0).json();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "{list}");
        let done = ctl(&store, &["session", "revoke", &sid, "-o", "json"]).await.ended(0).json();
        assert_eq!(done["changed"], true);
        dead_everywhere(&first.access, "the end of one session").await;
        me(&clients[0], &other.access).await.expect(200);
        ctl(&store, &["session", "revoke", "018f9f7e-0000-7000-8000-000000000000"]).await.ended(3);

        ctl(&store, &["session", "revoke", "--user", "revoked@example.com"]).await.ended(0);
        dead_everywhere(&other.access, "the end of a user's sessions").await;

        let last = sign_in(&clients[0], "revoked@example.com").await;
        ctl(&store, &["session", "revoke", "--all", "--no-input"]).await.ended(2);
        me(&clients[1], &last.access).await.expect(200);
        ctl(&store, &["session", "revoke", "--all", "-y"]).await.ended(0);
        dead_everywhere(&last.access, "the end of everything").await;
        for client in &clients {
            refresh(client, &last.refresh).await.assert_error(401, "REFRESH_INVALID");
            let next = sign_in(client, "revoked@example.com").await;
            me(client, &next.access).await.expect(200);
            me(&clients[1], &next.access).await.expect(200);
        }
    }

    async fn roles_are_granted_and_the_last_super_admin_stays(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let tokens = newcomer(&client, "boss@example.com").await;
        ctl(&store, &["role", "grant", "boss@example.com", "super_admin"]).await.ended(0);
        // The old token carries old roles: it dies, and the next one has the new ones.
        within(SOON, "the old token dies", async || me(&client, &tokens.access).await.status == 401).await;
        let next = refresh(&client, &tokens.refresh).await.expect(200);
        let roles = claims(next.str("/access_token"))["roles"].clone();
        assert!(roles.as_array().unwrap().contains(&json!("super_admin")), "{roles}");
        let refused = ctl(&store, &["role", "revoke", "boss@example.com", "super_admin"]).await.ended(4);
        assert!(refused.stderr.contains("last"), "{refused:?}");
        ctl(&store, &["role", "grant", "boss@example.com", "NO_SUCH_ROLE"]).await.ended(3);
        ctl(&store, &["role", "grant", "nobody@example.com", "admin"]).await.ended(3);
        let again = ctl(&store, &["role", "grant", "boss@example.com", "super_admin", "-o", "json"]).await.ended(0);
        assert_eq!(again.json()["changed"], false);
    }

    async fn keys_rotate_under_a_running_server(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let tokens = newcomer(&client, "keys@example.com").await;
        ctl(&store, &["key", "rotate", "jwt"]).await.ended(0);
        ctl(&store, &["key", "rotate", "token"]).await.ended(0);
        let known = |jwks: &Value| jwks["keys"].as_array().map_or(0, Vec::len);
        assert_eq!(known(&ctl(&store, &["key", "jwks"]).await.ended(0).json()), 2);
        // Published before it signs: the server shows it within a poll, and goes on signing with the old one.
        within(SOON, "the next key is published", async || {
            known(&client.get("/.well-known/jwks.json").await.body) == 2
        })
        .await;
        me(&client, &tokens.access).await.expect(200);
        let next = refresh(&client, &tokens.refresh).await.expect(200);
        assert_eq!(header(next.str("/access_token"))["kid"], header(&tokens.access)["kid"]);
        sign_in(&client, "keys@example.com").await;
    }
}

#[tokio::test]
async fn s_203_no_secret_is_an_argument_or_an_output() {
    let store = Store::new(Backend::Sqlite).await;
    ctl(&store, &["migrate", "up"]).await.ended(0);
    let mut all = String::new();
    let mut keep = |output: Output| {
        all.push_str(&output.stdout);
        all.push_str(&output.stderr);
        output
    };
    // There is no flag that takes one.
    keep(
        ctl(&store, &["user", "create", "a@example.com", "--name", "A", "--password", PASSWORD])
            .await
            .ended(2),
    );
    let create = ["-v", "user", "create", "a@example.com", "--name", "A", "--password-stdin"];
    keep(ctl_in(&store, &[], &create, PASSWORD).await.ended(0));
    keep(ctl(&store, &["config", "show", "--origin", "-o", "json"]).await.ended(0));
    keep(ctl(&store, &["config", "check", "-v"]).await);
    keep(ctl(&store, &["doctor", "-v"]).await);
    keep(ctl(&store, &["key", "list", "-o", "json"]).await.ended(0));
    keep(ctl(&store, &["user", "show", "a@example.com", "-o", "yaml"]).await.ended(0));
    // A file that others can read is refused, and only then.
    let file = store.folder().join("password");
    std::fs::write(&file, "nine violet trains at dawn\n").unwrap();
    let path = file.to_str().unwrap();
    let by_file = ["user", "set-password", "a@example.com", "--password-file", path];
    for (mode, code) in [(0o644, 4), (0o600, 0)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        keep(ctl(&store, &by_file).await.ended(code));
    }
    for secret in [PASSWORD, "nine violet trains", store.pepper(), "$argon2id$"] {
        // The usage error repeats the argument that it does not know; not its value.
        assert!(!all.contains(secret), "{secret} is shown:\n{all}");
    }
    let server = serve(&store, &[]).await;
    sign_in_with(&server.client(), "a@example.com", "nine violet trains at dawn").await;
    // Shown once, since nobody else knows it.
    let made =
        ctl(&store, &["user", "set-password", "a@example.com", "--generate", "-o", "json"]).await.ended(0);
    let password = find_text(&made.json(), "password").expect("the password that was made");
    sign_in_with(&server.client(), "a@example.com", &password).await;
}

#[tokio::test]
async fn exit_codes_tell_what_is_wrong() {
    let store = Store::new(Backend::Sqlite).await;
    ctl(&store, &["version"]).await.ended(0);
    ctl(&store, &[]).await.ended(2);
    ctl(&store, &["doctor"]).await.ended(69);
    ctl(&store, &["migrate", "up"]).await.ended(0);
    ctl(&store, &["doctor"]).await.ended(0);
    ctl_in(&store, &[("JWT_ALG", "none")], &["user", "list"], "").await.ended(78);
    let other = [("TOKEN_PEPPER", "v7Qm3x0KpYt9dZ1bWc5RfHj2LgSn8uEa4oXiVrTqB6M=")];
    drop(serve(&store, &[]).await);
    ctl_in(&store, &other, &["user", "list"], "").await.ended(78);
    let gone = [("DATABASE_URL", "postgres://someone:canary7q@127.0.0.1:1/nothing")];
    let unreachable = ctl_in(&store, &gone, &["user", "list"], "").await.ended(69);
    assert!(!unreachable.stderr.contains("canary7q"), "{unreachable:?}");
    let code =
        unreachable.stderr.split('[').nth(1).and_then(|rest| rest.split(']').next()).expect("an error code");
    let help = ctl(&store, &["help", code]).await.ended(0);
    assert!(!help.stdout.is_empty());
    let bad = ctl_in(&store, &[], &["token", "inspect", "--stdin"], "rubbish\n").await;
    assert!(matches!(bad.code(), 5 | 6), "{bad:?}");
}

async fn made_now(store: &Store, email: &str) -> Value {
    let shown = ctl(store, &["user", "show", email, "-o", "json"]).await.ended(0).json();
    shown.get("resource").cloned().unwrap_or(shown)
}

/// The first text of that name, wherever it stands.
fn find_text(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(members) => members
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .or_else(|| members.values().find_map(|value| find_text(value, name))),
        Value::Array(items) => items.iter().find_map(|value| find_text(value, name)),
        _ => None,
    }
}
