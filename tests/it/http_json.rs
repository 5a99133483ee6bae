//! Bodies: how strictly they are read, and that no bytes at all make the server fail.

use std::time::{Duration, Instant};

use authkit_tests::raw::Connection;
use authkit_tests::{Backend, Store, on_both};
use serde_json::{Value, json};

use crate::app::{PASSWORD, launch, me, newcomer, person, serve, sign_in};

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[]).await;
    let client = server.client();
    let good = person("strict@example.com").to_string();
    let with = |member: &str| bytes(&good.replacen('{', &format!("{{{member},"), 1));
    let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("duplicate", with(r#""email":"first@example.com""#)),
        ("the same twice", with(r#""name":"Test Person""#)),
        ("an escaped duplicate", with(r#""\u0065mail":"first@example.com""#)),
        ("unknown", with(r#""extra":1"#)),
        ("unknown by case", with(r#""Email":"first@example.com""#)),
        ("prototype", with(r#""__proto__":{"roles":["admin"]}"#)),
        ("type", bytes(&good.replace(r#""strict@example.com""#, "1"))),
        ("null", bytes(&good.replace(r#""strict@example.com""#, "null"))),
        ("object", bytes(&good.replace(r#""strict@example.com""#, r#"{"a":1}"#))),
        ("list", bytes(&good.replace(r#""strict@example.com""#, r#"["strict@example.com"]"#))),
        ("missing", bytes(r#"{"email":"strict@example.com"}"#)),
        ("a list of values", bytes(&format!(r#"["Test","strict@example.com","{PASSWORD}"]"#))),
        ("text", bytes("\"text\"")),
        ("number", bytes("1")),
        ("nothing", bytes("null")),
        ("two values", bytes(&format!("{good}{good}"))),
        ("rubbish behind", bytes(&format!("{good}x"))),
        ("a comma", bytes(&good.replace('}', ",}"))),
        ("a comment", bytes(&format!("/* */{good}"))),
        ("single quotes", bytes(&good.replace('"', "'"))),
        ("a byte order mark", bytes(&format!("\u{feff}{good}"))),
        ("invalid UTF-8", [b"{\"name\":\"\xff\xfe\",".as_slice(), &good.as_bytes()[1..]].concat()),
        ("overlong UTF-8", [b"{\"x\":\"\xc0\x80\",".as_slice(), &good.as_bytes()[1..]].concat()),
        ("a lone surrogate", bytes(&good.replace("Test Person", "\\ud800"))),
        ("a control character", bytes(&good.replace("Test Person", "a\u{1}b"))),
        ("NaN", with(r#""extra":NaN"#)),
        ("a number beyond all", with(r#""extra":1e999999"#)),
        ("deep", bytes(&deep(20_000))),
        ("deep within", with(&format!(r#""extra":{}"#, deep(20_000)))),
        ("cut", bytes(&good[..good.len() - 1])),
    ];
    for (name, body) in bodies {
        let answer = client.request("POST", "/v1/auth/signup", Some(body)).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text);
        answer.assert_error(400, "INVALID_REQUEST");
    }
    // Nothing of it made an account.
    for email in ["strict@example.com", "first@example.com"] {
        client.post("/v1/auth/signup", person(email)).await.expect(201);
    }
}

#[tokio::test]
async fn every_field_that_is_wrong_is_named() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[]).await;
    let client = server.client();
    let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(p, c)| ((*p).to_owned(), (*c).to_owned())).collect()
    };
    let answer =
        client.post("/v1/auth/signup", json!({"name": " ", "email": "nobody", "password": "short1"})).await;
    let found = answer.assert_error(422, "VALIDATION_ERROR").field_errors();
    for expected in pairs(&[("/email", "format"), ("/name", "required"), ("/password", "too_short")]) {
        assert!(found.contains(&expected), "{expected:?}: {}", answer.text);
    }
    for (body, expected) in [
        (
            json!({"name": "A", "email": "a@example.com", "password": PASSWORD, "role": "admin"}),
            ("/role", "unknown"),
        ),
        (json!({"name": "A", "email": "a@example.com"}), ("/password", "required")),
        (json!({"name": "A", "email": 7, "password": PASSWORD}), ("/email", "type")),
    ] {
        let answer = client.post("/v1/auth/signup", body).await;
        let found = answer.assert_error(400, "INVALID_REQUEST").field_errors();
        assert_eq!(found, pairs(&[expected]), "{}", answer.text);
    }
    let email = format!("{}@example.com", "x".repeat(300));
    let answer = client
        .post(
            "/v1/auth/signup",
            json!({"name": "n".repeat(201), "email": email, "password": "p".repeat(129)}),
        )
        .await;
    let found = answer.assert_error(422, "VALIDATION_ERROR").field_errors();
    assert_eq!(found, pairs(&[("/email", "too_long"), ("/name", "too_long"), ("/password", "too_long")]));
}

on_both! {
    async fn u_0000_never_reaches_the_store(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let tokens = newcomer(&client, "nul@example.com").await;
        let caller = client.bearer(&tokens.access);
        let nul = "a\u{0}b";
        let bodies = [
            ("/v1/auth/signup", json!({"name": nul, "email": "nul2@example.com", "password": PASSWORD})),
            ("/v1/auth/signup", json!({"name": "A", "email": "n\u{0}l@example.com", "password": PASSWORD})),
            ("/v1/auth/login", json!({"email": "n\u{0}l@example.com", "password": PASSWORD})),
            ("/v1/auth/refresh", json!({"refresh_token": nul})),
            ("/v1/auth/password", json!({"current_password": nul, "new_password": nul})),
            ("/v1/auth/step-up", json!({"password": nul})),
        ];
        for (path, body) in bodies {
            let answer = caller.post(path, body).await;
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.text);
            answer.assert_error_shape();
        }
        for body in [json!({"name": nul}), json!({"profile": {"k": nul}}), json!({"profile": {nul: 1}})] {
            let answer = caller.patch("/v1/auth/me", body).await;
            assert!(matches!(answer.status, 400 | 422), "{}", answer.text);
            answer.assert_error_shape();
        }
        caller.post("/v1/auth/logout", json!({"refresh_token": nul})).await;
        caller.header("user-agent", "x").get("/v1/auth/sessions").await.expect(200);
        me(&client, &tokens.access).await.expect(200);
    }

    async fn s_13_extra_members_are_refused_and_change_nothing(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let tokens = newcomer(&client, "plain@example.com").await;
        let caller = client.bearer(&tokens.access);
        let before = caller.get("/v1/auth/me").await.expect(200);
        for (name, value) in [
            ("role", json!("super_admin")),
            ("roles", json!(["super_admin"])),
            ("email_verified", json!(true)),
            ("id", json!("018f9f7e-0000-7000-8000-000000000000")),
            ("org_id", json!("018f9f7e-0000-7000-8000-000000000000")),
            ("mfa", json!(false)),
            ("locked_until", json!(null)),
            ("status", json!("active")),
            ("created_at", json!("2020-01-01T00:00:00Z")),
        ] {
            let mut body = person("extra@example.com");
            body[name] = value.clone();
            client.post("/v1/auth/signup", body).await.assert_error(400, "INVALID_REQUEST");
            let answer = caller.patch("/v1/auth/me", json!({"name": "Other", name: value})).await;
            answer.assert_error(400, "INVALID_REQUEST");
        }
        assert_eq!(caller.get("/v1/auth/me").await.body, before.body);
        client.post("/v1/auth/signup", person("extra@example.com")).await.expect(201);
    }
}

/// One hash is made to cost far more than an answer may take: an answer in time proves that none was run.
#[tokio::test]
async fn s_7_large_input_costs_no_hash() {
    let store = Store::new(Backend::Sqlite).await;
    let costly = [("ARGON2_MEMORY_KIB", "262144"), ("ARGON2_ITERATIONS", "8")];
    let server = launch(&store, &costly).start().await;
    let client = server.client();
    let large = "p".repeat(1024 * 1024);
    let long = "p".repeat(60 * 1024);
    let fast = async |path: &str, body: Value, expected: u16| {
        let start = Instant::now();
        let answer = client.post(path, body).await;
        let spent = start.elapsed();
        assert_eq!(answer.status, expected, "{path}: {}", answer.text);
        answer.assert_error_shape();
        assert!(spent < Duration::from_millis(400), "{path} took {spent:?}");
    };
    for (text, status) in [(&large, 413), (&long, 422)] {
        fast("/v1/auth/login", json!({"email": "a@example.com", "password": text}), status).await;
        fast("/v1/auth/login", json!({"email": text, "password": "whatever"}), status).await;
        let body = json!({"name": "A", "email": "a@example.com", "password": text});
        fast("/v1/auth/signup", body, status).await;
        let body = json!({"name": "A", "email": text, "password": PASSWORD});
        fast("/v1/auth/signup", body, status).await;
        let body = json!({"name": text, "email": "a@example.com", "password": PASSWORD});
        fast("/v1/auth/signup", body, status).await;
    }
    let token = json!({"refresh_token": format!("akr_{long}")});
    fast("/v1/auth/refresh", token, 401).await;
    // The control: with these settings a hash does take that long.
    let start = Instant::now();
    let answer =
        client.post("/v1/auth/login", json!({"email": "a@example.com", "password": "whatever"})).await;
    answer.assert_error(401, "INVALID_CREDENTIALS");
    assert!(start.elapsed() > Duration::from_millis(400), "one hash took {:?}", start.elapsed());
}

#[tokio::test]
async fn a_body_larger_than_announced_limits_is_cut_off_while_it_comes() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[]).await;
    // Chunked, so that no length tells it in advance; never more than a megabyte is sent.
    let mut connection = Connection::open(server.address()).await.unwrap();
    let head = "POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    connection.send(head.as_bytes()).await.unwrap();
    let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
    for _ in 0..128 {
        if connection.send(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let received = connection.read(Duration::from_secs(2)).await;
    // A closed socket with unread input may lose the answer on its way.
    assert!(received.closed || received.statuses() == [413], "{}", received.text());
    newcomer(&server.client(), "after@example.com").await;
}

/// Text of every script, at every length that is allowed, comes back as it was sent.
#[tokio::test]
async fn text_of_any_script_comes_back_as_sent() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[]).await;
    let client = server.client();
    for (i, name) in [
        "Zoë Ångström",
        "李小龍",
        "محمد علي",
        "😀 Emoji",
        "\u{1d4d0}",
        &"ж".repeat(200),
        "O'Hara; DROP TABLE users--",
        "<script>alert(1)</script>",
        "%00 ${jndi:x} {{7*7}}",
    ]
    .iter()
    .enumerate()
    {
        let email = format!("script-{i}@example.com");
        let body = json!({"name": name, "email": email, "password": PASSWORD});
        let user = client.post("/v1/auth/signup", body).await.expect(201);
        assert_eq!(user.str("/name"), *name);
        let tokens = sign_in(&client, &email).await;
        assert_eq!(me(&client, &tokens.access).await.str("/name"), *name);
    }
    for email in ["jörg@example.com", "user@bücher.example", "a+b!#$%&'*-/=?^_`{|}~@example.com"] {
        client.post("/v1/auth/signup", person(email)).await.expect(201);
        sign_in(&client, email).await;
    }
}
