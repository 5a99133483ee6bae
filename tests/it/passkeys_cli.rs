//! `authctl passkey`, beside a server whose users have some.

use authkit_tests::process::{Output, authctl_with};
use authkit_tests::{Client, SoftKey, Store, on_both};
use serde_json::{Value, json};

use crate::app::{Tokens, newcomer, serve, settings, sign_in};
use crate::passkeys::ORIGIN;
use crate::passkeys_http::answer;

async fn ctl(store: &Store, args: &[&str], code: i32) -> Output {
    let out = authctl_with(&settings(store, &[]), store.folder(), args, "").await;
    assert_eq!(out.code(), code, "{out:#?}");
    out
}

async fn register(client: &Client, tokens: &Tokens, key: &mut SoftKey) {
    let me = client.bearer(&tokens.access);
    let begun = me.post("/v1/auth/passkeys/register", json!({ "name": "Phone" })).await.expect(200);
    let credential = key.register(&begun.body["options"]);
    me.post("/v1/auth/passkeys/register/verify", answer(&begun, &credential)).await.expect(201);
}

async fn listed(store: &Store, user: &str) -> Vec<Value> {
    let out = ctl(store, &["passkey", "list", user, "-o", "json"], 0).await.json();
    out["items"].as_array().unwrap().clone()
}

on_both! {
    async fn passkeys_are_listed_and_removed(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        for email in ["ada@example.com", "bob@example.com"] {
            let tokens = newcomer(&client, email).await;
            register(&client, &tokens, &mut SoftKey::new(ORIGIN)).await;
        }
        let all = listed(&store, "Ada@Example.com").await;
        let id = all[0]["id"].as_str().unwrap();
        assert_eq!((all.len(), &all[0]["name"], &all[0]["backup_eligible"]), (1, &json!("Phone"), &json!(false)));
        assert!(all[0]["user_id"].is_string());
        let table = ctl(&store, &["passkey", "list", "ada@example.com"], 0).await.stdout;
        assert!(table.contains(id) && table.contains("Phone"), "{table}");

        // It asks; a rehearsal does not, and changes nothing.
        let asks = ctl(&store, &["passkey", "remove", id], 2).await;
        assert!(asks.stderr.contains("E-CONFIRM-1") && asks.stderr.contains("ada@example.com"), "{asks:?}");
        let rehearsed = ctl(&store, &["passkey", "remove", id, "-n", "-o", "json"], 0).await.json();
        assert_eq!((&rehearsed["changed"], &rehearsed["dry_run"]), (&json!(true), &json!(true)));
        assert_eq!(listed(&store, "ada@example.com").await, all);

        let remove = ["passkey", "remove", id, "-y", "--reason", "lost phone", "-o", "json"];
        let removed = ctl(&store, &remove, 0).await.json();
        assert_eq!((&removed["changed"], &removed["resource"]["id"]), (&json!(true), &json!(id)));
        assert!(listed(&store, "ada@example.com").await.is_empty());
        sign_in(&client, "ada@example.com").await;
        let told = "SELECT count(*) FROM authkit_audit WHERE action = 'passkey.remove' AND reason = 'lost phone'
            AND actor LIKE 'cli:%'";
        assert_eq!(crate::app::count(&store, told).await, 1);

        let all_of = ["passkey", "remove", "--user", "bob@example.com", "-y", "-o", "json"];
        let removed = ctl(&store, &all_of, 0).await.json();
        assert_eq!((&removed["changed"], &removed["resource"]["removed"]), (&json!(true), &json!(1)));
        assert_eq!(ctl(&store, &all_of, 0).await.json()["changed"], false);

        for missing in ["x", id] {
            let out = ctl(&store, &["passkey", "remove", missing, "-y"], 3).await;
            assert!(out.stderr.contains("E-PASSKEY-1"), "{out:?}");
        }
        for missing in [["passkey", "list", "gone@example.com"].as_slice(), &["passkey", "remove", "--user", "gone@example.com", "-y"]] {
            let out = ctl(&store, missing, 3).await;
            assert!(out.stderr.contains("E-USER-1"), "{out:?}");
        }
        for bad in [["passkey", "remove"].as_slice(), &["passkey", "list"], &["passkey", "remove", id, "--user", "ada@example.com"]] {
            ctl(&store, bad, 2).await;
        }
        ctl(&store, &["passkey", "list", "ada@example.com", "-n"], 2).await;
    }
}
