//! What operators do about locks over HTTP, and who may.

use authkit_tests::process::{Output, authctl_with};
use authkit_tests::{Answer, Client, ServerProcess, Store, on_both};
use serde_json::{Value, json};

use crate::app::{PASSWORD, Tokens, count, credentials, me, newcomer, serve, settings, sign_in, sign_up};

const NOBODY: &str = "018f9f7e-0000-7000-8000-000000000000";
/// Two wrong passwords lock; limits stay out of the way.
const QUICK: [(&str, &str); 3] = [
    ("LOGIN_FAIL_EMAIL_THRESHOLD", "2"),
    ("RL_LOGIN_IP_LIMIT", "1000/1m"),
    ("RL_LOGIN_EMAIL_LIMIT", "1000/1m"),
];

async fn authctl(store: &Store, args: &[&str], stdin: &str) -> Output {
    let out = authctl_with(&settings(store, &QUICK), store.folder(), args, stdin).await;
    assert_eq!(out.code(), 0, "{args:?}: {}", out.stderr);
    out
}

/// An account with these roles that is signed in.
async fn holder(store: &Store, client: &Client, email: &str, roles: &str) -> Tokens {
    let create = ["user", "create", email, "--name", "Holder", "--roles", roles, "--password-stdin"];
    authctl(store, &create, PASSWORD).await;
    sign_in(client, email).await
}

async fn fail(client: &Client, email: &str) -> Answer {
    client.post("/v1/auth/login", credentials(email, "a wrong guess of it")).await
}

/// The three routes, asked about nobody.
async fn each_route(client: &Client) -> [Answer; 3] {
    [
        client.get("/v1/admin/lockouts").await,
        client.delete(&format!("/v1/admin/lockouts/{NOBODY}")).await,
        client.post_empty(&format!("/v1/admin/users/{NOBODY}/unlock")).await,
    ]
}

fn items(answer: &Answer) -> &[Value] {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["items"].as_array().unwrap()
}

async fn listed(operator: &Client, query: &str) -> Vec<Value> {
    items(&operator.get(&format!("/v1/admin/lockouts{query}")).await).to_vec()
}

fn own_id(tokens: &Tokens) -> String {
    tokens.claim("sub").as_str().unwrap().to_owned()
}

on_both! {
    async fn s_152_only_who_may_do_everything_operates(store: Store) {
        let server = serve(&store, &QUICK).await;
        let client = server.client();
        authctl(&store, &["role", "define", "BOSS", "--permissions", "*"], "").await;
        authctl(&store, &["role", "define", "CLERK", "--permissions", "users:*,lockouts:*"], "").await;
        for answer in each_route(&client).await {
            answer.assert_error(401, "UNAUTHENTICATED");
        }
        for answer in each_route(&client.bearer("nonsense")).await {
            answer.assert_error(401, "UNAUTHENTICATED");
        }
        // An `admin`, or whoever else manages users, has no organisation here whose users could be his.
        for (email, role) in [("user@example.com", "user"), ("admin@example.com", "admin"), ("clerk@example.com", "CLERK")] {
            let tokens = holder(&store, &client, email, role).await;
            let [list, clear, unlock] = each_route(&client.bearer(&tokens.access)).await;
            list.assert_error(403, "FORBIDDEN");
            clear.assert_error(403, "FORBIDDEN");
            if role == "user" {
                unlock.assert_error(403, "FORBIDDEN");
            } else {
                unlock.assert_error(404, "NOT_FOUND");
            }
        }
        // Before anything of the request is judged.
        let user = sign_in(&client, "user@example.com").await;
        client.bearer(&user.access).get("/v1/admin/lockouts?limit=0&kind=x").await.assert_error(403, "FORBIDDEN");
        client.bearer(&user.access).delete("/v1/admin/lockouts/x").await.assert_error(403, "FORBIDDEN");
        for (email, role) in [("root@example.com", "super_admin"), ("boss@example.com", "BOSS")] {
            let tokens = holder(&store, &client, email, role).await;
            let [list, clear, unlock] = each_route(&client.bearer(&tokens.access)).await;
            assert_eq!((items(&list).len(), &list.body["next_cursor"]), (0, &Value::Null), "{role}");
            clear.assert_error(404, "NOT_FOUND");
            unlock.assert_error(404, "NOT_FOUND");
        }
    }

    async fn s_156_a_demotion_acts_on_the_next_call(store: Store) {
        // Polling lags behind here: only the store knows.
        let [first, second] = [(); 2].map(|()| serve(&store, &[("REVOCATION_POLL_SECONDS", "5")]));
        let servers: [ServerProcess; 2] = [first.await, second.await];
        let [one, two] = [servers[0].client(), servers[1].client()];
        authctl(&store, &["role", "define", "BOSS", "--permissions", "*"], "").await;
        holder(&store, &one, "keeper@example.com", "super_admin").await;
        let cases: [(&str, &[&str]); 4] = [
            ("a@example.com", &["role", "revoke", "a@example.com", "super_admin"]),
            ("b@example.com", &["user", "disable", "b@example.com"]),
            ("c@example.com", &["session", "revoke", "--user", "c@example.com"]),
            ("d@example.com", &["role", "define", "BOSS", "--permissions", "users:*"]),
        ];
        for (email, demotion) in cases {
            let role = if email.starts_with('d') { "BOSS" } else { "super_admin" };
            let tokens = holder(&store, &one, email, role).await;
            for client in [&one, &two] {
                let client = client.bearer(&tokens.access);
                assert_eq!(client.get("/v1/admin/lockouts").await.status, 200, "{email}");
            }
            authctl(&store, demotion, "").await;
            for client in [&one, &two] {
                // The token is void, or the account's roles permit no more; who manages users has none here.
                let expected = if role == "BOSS" { [403, 403, 404] } else { [401; 3] };
                let answers = each_route(&client.bearer(&tokens.access)).await;
                assert_eq!(answers.map(|answer| answer.status), expected, "{email}");
            }
        }
    }

    async fn s_034_operators_see_and_end_locks(store: Store) {
        let server = serve(&store, &QUICK).await;
        let client = server.client();
        let root = holder(&store, &client, "root@example.com", "super_admin").await;
        let operator = client.bearer(&root.access);
        let ann = newcomer(&client, "ann@example.com").await;
        let bob = newcomer(&client, "bob@example.com").await;
        for email in ["ann@example.com", "ANN@example.com", "nobody@example.com", "nobody@example.com", "bob@example.com"] {
            fail(&client, email).await.assert_error(401, "INVALID_CREDENTIALS");
        }
        for email in ["ann@example.com", "nobody@example.com"] {
            fail(&client, email).await.assert_error(429, "LOCKED");
        }

        let all = listed(&operator, "").await;
        let kinds = |kind: &str| all.iter().filter(|item| item["kind"] == kind).count();
        assert_eq!((kinds("email"), kinds("ip")), (3, 1), "{all:?}");
        for item in &all {
            let mut names: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            let expected = [
                "failures", "first_failure_at", "id", "kind", "last_failure_at", "lock_count", "locked_until", "user_id",
            ];
            assert_eq!(names, expected);
        }
        let text = json!(all).to_string();
        assert!(!text.contains("example.com") && !text.contains("127.0.0"), "{text}");
        assert_eq!(listed(&operator, "?kind=email").await.len(), 3);
        assert_eq!(listed(&operator, "?kind=second_factor").await.len(), 0);
        let of = |tokens: &Tokens| format!("?user={}", own_id(tokens));
        let anns = listed(&operator, &of(&ann)).await;
        assert_eq!((anns.len(), &anns[0]["failures"], anns[0]["locked_until"].is_string()), (1, &json!(2), true));
        let bobs = listed(&operator, &of(&bob)).await;
        assert_eq!((bobs.len(), &bobs[0]["failures"], bobs[0]["locked_until"].is_null()), (1, &json!(1), true));

        // A lock that is cleared is gone; the other one stays.
        let path = format!("/v1/admin/lockouts/{}", anns[0]["id"].as_str().unwrap());
        let cleared = operator.delete(&path).await.expect(204);
        assert_eq!((cleared.text.as_str(), cleared.header("cache-control")), ("", "no-store"));
        sign_in(&client, "ann@example.com").await;
        assert_eq!(listed(&operator, &of(&ann)).await.len(), 0);
        fail(&client, "nobody@example.com").await.assert_error(429, "LOCKED");
        for unknown in [NOBODY, "x", "..", "%00"] {
            operator.delete(&format!("/v1/admin/lockouts/{unknown}")).await.assert_error(404, "NOT_FOUND");
        }

        // And an account as a whole.
        for _ in 0..2 {
            fail(&client, "ann@example.com").await.assert_error(401, "INVALID_CREDENTIALS");
        }
        fail(&client, "ann@example.com").await.assert_error(429, "LOCKED");
        let unlock = format!("/v1/admin/users/{}/unlock", own_id(&ann));
        let unlocked = operator.post_empty(&unlock).await.expect(200);
        let ann = sign_in(&client, "ann@example.com").await;
        assert_eq!(unlocked.body, me(&client, &ann.access).await.expect(200).body);
        // Again is fine.
        operator.post_empty(&unlock).await.expect(200);
        operator.post_empty("/v1/admin/users/x/unlock").await.assert_error(404, "NOT_FOUND");

        // Each unlock is audited once, in the operator's name.
        let sql = "SELECT COUNT(*) FROM authkit_audit WHERE action = 'lockout.unlock'";
        assert_eq!(count(&store, sql).await, 2);
        let by = format!("{sql} AND outcome = 'success' AND actor = 'user:{}' AND ip = '127.0.0.1'", own_id(&root));
        assert_eq!(count(&store, &by).await, 2);
    }

    async fn the_list_comes_in_pages(store: Store) {
        let server = serve(&store, &QUICK).await;
        let client = server.client();
        let root = holder(&store, &client, "root@example.com", "super_admin").await;
        let operator = client.bearer(&root.access);
        for n in 0..5 {
            fail(&client, &format!("nobody-{n}@example.com")).await.expect(401);
        }
        let first = operator.get("/v1/admin/lockouts?kind=email&limit=2").await;
        let cursor = first.str("/next_cursor").to_owned();
        let mut seen: Vec<Value> = items(&first).to_vec();
        let mut next = Some(cursor.clone());
        while let Some(at) = next {
            let page = operator.get(&format!("/v1/admin/lockouts?kind=email&limit=2&cursor={at}")).await;
            seen.extend_from_slice(items(&page));
            next = page.body["next_cursor"].as_str().map(str::to_owned);
        }
        assert_eq!(seen.len(), 5);
        assert!(seen.windows(2).all(|pair| pair[0]["id"].as_str() > pair[1]["id"].as_str()), "newest first, once each");
        for (query, status, pointer) in [
            ("limit=0", 422, "/limit"),
            ("limit=201", 422, "/limit"),
            ("kind=phone", 422, "/kind"),
            ("kind=", 422, "/kind"),
            ("user=ann@example.com", 422, "/user"),
            ("kind=email&kind=email", 400, ""),
            ("cursor=x", 400, ""),
            // Of another filter.
            (&format!("cursor={cursor}"), 400, ""),
        ] {
            let answer = operator.get(&format!("/v1/admin/lockouts?{query}")).await;
            assert_eq!(answer.status, status, "{query}: {}", answer.text);
            let fields: Vec<String> = answer.field_errors().into_iter().map(|(pointer, _)| pointer).collect();
            assert_eq!(fields.first().map(String::as_str).unwrap_or_default(), pointer, "{query}");
        }
    }

    async fn in_cookie_mode_another_page_can_end_no_lock(store: Store) {
        let server = serve(&store, &[QUICK[0], ("TOKEN_TRANSPORT", "cookie")]).await;
        let client = server.client();
        let page = client.header("sec-fetch-site", "same-origin");
        sign_up(&page, "root@example.com").await;
        authctl(&store, &["role", "grant", "root@example.com", "super_admin"], "").await;
        let login = page.post("/v1/auth/login", credentials("root@example.com", PASSWORD)).await.expect(200);
        let cookies = login.set_cookies();
        let access = &cookies.iter().find(|(name, ..)| name == "__Host-authkit_access").unwrap().1;
        let client = client.cookies(&[("__Host-authkit_access", access)]);
        client.header("sec-fetch-site", "same-origin").get("/v1/admin/lockouts").await.expect(200);
        let path = format!("/v1/admin/lockouts/{NOBODY}");
        client.delete(&path).await.assert_error(403, "FORBIDDEN");
        client.header("sec-fetch-site", "cross-site").delete(&path).await.assert_error(403, "FORBIDDEN");
        client.header("sec-fetch-site", "same-origin").delete(&path).await.assert_error(404, "NOT_FOUND");
    }
}
