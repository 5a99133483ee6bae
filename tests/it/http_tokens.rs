//! Access tokens that nobody issued, and tokens that come by another way than the one header.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use authkit_tests::{Backend, Client, ServerProcess, Store, raw};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::app::{Tokens, claims, header, hs256, jwt, me, newcomer, serve, settled_logs};

/// A key as `openssl rand -base64 32` makes it.
const JWT_SECRET: &str = "v7Qm3x0KpYt9dZ1bWc5RfHj2LgSn8uEa4oXiVrTqB6M=";

async fn with(alg: &str) -> (Store, ServerProcess, Client, Tokens) {
    let store = Store::new(Backend::Sqlite).await;
    let mut env = vec![("JWT_ALG", alg)];
    if alg == "HS256" {
        env.push(("JWT_SECRET", JWT_SECRET));
    }
    let server = serve(&store, &env).await;
    let client = server.client();
    let tokens = newcomer(&client, "bearer@example.com").await;
    me(&client, &tokens.access).await.expect(200);
    (store, server, client, tokens)
}

#[track_caller]
fn changed(value: &Value, name: &str, to: Value) -> Value {
    let mut value = value.clone();
    value[name] = to;
    value
}

#[track_caller]
fn without(value: &Value, name: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(name).unwrap_or_else(|| panic!("no {name}"));
    value
}

async fn refused(client: &Client, what: &str, token: &str) {
    let answer = me(client, token).await;
    assert_eq!(answer.status, 401, "{what} was taken: {}", answer.text);
    answer.assert_error(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn s_47_no_algorithm_is_no_signature() {
    for alg in ["EdDSA", "ES256", "HS256"] {
        let (_store, _server, client, tokens) = with(alg).await;
        let (head, body) = (header(&tokens.access), claims(&tokens.access));
        let signature = tokens.access.rsplit('.').next().unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for none in ["none", "None", "nOnE", "NONE", "", "null", "HS512", "RS256"] {
            let head = changed(&head, "alg", json!(none));
            refused(&client, none, &jwt(&head, &body, |_| Vec::new())).await;
            refused(&client, none, &jwt(&head, &body, |_| signature.clone())).await;
        }
        let bare = without(&head, "alg");
        refused(&client, "no alg", &jwt(&bare, &body, |_| signature.clone())).await;
        refused(&client, "null alg", &jwt(&changed(&head, "alg", Value::Null), &body, |_| signature.clone()))
            .await;
        refused(&client, "no signature", &jwt(&head, &body, |_| Vec::new())).await;
        me(&client, &tokens.access).await.expect(200);
    }
}

#[tokio::test]
async fn s_48_a_public_key_is_no_hmac_secret() {
    for (alg, prefix) in [
        // The headers of SubjectPublicKeyInfo (RFC 8410; RFC 5480 with P-256).
        ("EdDSA", "302a300506032b6570032100"),
        ("ES256", "3059301306072a8648ce3d020106082a8648ce3d030107034200"),
    ] {
        let (_store, _server, client, tokens) = with(alg).await;
        let jwks = client.get("/.well-known/jwks.json").await.expect(200);
        let kid = header(&tokens.access)["kid"].clone();
        let key =
            jwks.body["keys"].as_array().unwrap().iter().find(|k| k["kid"] == kid).expect("the active key");
        assert!(key.get("d").is_none() && key.get("k").is_none(), "{key}");
        let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let point = if alg == "EdDSA" {
            coordinate("x")
        } else {
            [vec![4], coordinate("x"), coordinate("y")].concat()
        };
        let der: Vec<u8> = [hex(prefix), point.clone()].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", STANDARD.encode(&der));
        let body = claims(&tokens.access);
        for (what, secret) in [
            ("point", point),
            ("DER", der),
            ("PEM", pem.clone().into_bytes()),
            ("PEM with a line end", format!("{pem}\n").into_bytes()),
            ("JWK", key.to_string().into_bytes()),
            ("x", key["x"].as_str().unwrap().as_bytes().to_vec()),
            ("nothing", Vec::new()),
        ] {
            for hmac in ["HS256", alg] {
                let head = changed(&header(&tokens.access), "alg", json!(hmac));
                refused(&client, what, &jwt(&head, &body, hs256(&secret))).await;
            }
        }
    }
}

#[tokio::test]
async fn s_49_a_token_brings_no_key_of_its_own() {
    let (_store, _server, client, tokens) = with("HS256").await;
    let (head, body) = (header(&tokens.access), claims(&tokens.access));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let own = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(JWT_SECRET), "alg": "HS256"});
    let sign = hs256(JWT_SECRET.as_bytes());
    // Signed by the right key: the member alone is what makes it refused.
    me(&client, &jwt(&head, &body, &sign)).await.expect(200);
    for (name, value) in [
        ("jwk", own),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("x")),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        refused(&client, name, &jwt(&changed(&head, name, value), &body, &sign)).await;
    }
    for kid in [
        json!("../../../../dev/null"),
        json!("' OR 1=1 --"),
        json!("\u{0}"),
        json!(url),
        json!(""),
        json!(1),
        json!([head["kid"]]),
        json!("k".repeat(6000)),
        json!(format!("{}x", head["kid"].as_str().unwrap())),
    ] {
        refused(&client, "kid", &jwt(&changed(&head, "kid", kid), &body, &sign)).await;
    }
    refused(&client, "no kid", &jwt(&without(&head, "kid"), &body, &sign)).await;
    // 1 MiB does not even pass as a header.
    let huge = jwt(&changed(&head, "kid", json!("k".repeat(1024 * 1024))), &body, &sign);
    if let Ok(answer) = client.bearer(&huge).try_request("GET", "/v1/auth/me", None).await {
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
    let called = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
    assert!(called.is_err(), "the server fetched a key that a token named");
    me(&client, &tokens.access).await.expect(200);
}

#[tokio::test]
async fn s_50_52_claims_that_are_wrong_or_missing() {
    let (_store, _server, client, tokens) = with("HS256").await;
    let (head, body) = (header(&tokens.access), claims(&tokens.access));
    let sign = hs256(JWT_SECRET.as_bytes());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(head["typ"], "at+jwt");
    assert_eq!((&body["iss"], &body["aud"]), (&json!("http://localhost:8000"), &json!("authkit")));
    for claim in ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp", "auth_time", "amr", "roles", "ver"]
    {
        refused(&client, claim, &jwt(&head, &without(&body, claim), &sign)).await;
        refused(&client, claim, &jwt(&head, &changed(&body, claim, Value::Null), &sign)).await;
    }
    for (claim, value) in [
        ("iss", json!("http://localhost:8000/")),
        ("iss", json!("https://evil.example")),
        ("aud", json!("authkit2")),
        ("aud", json!(["authkit"])),
        ("aud", json!(["authkit", "other"])),
        ("sub", json!("someone")),
        ("sub", json!("018f9f7e-0000-7000-8000-000000000000")),
        ("sid", json!("not-an-id")),
        ("jti", json!("")),
        ("exp", json!(now - 1)),
        ("exp", json!(now)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!("9999999999")),
        ("exp", json!(1e300)),
        ("iat", json!(now + 61)),
        ("nbf", json!(now + 61)),
        ("nbf", json!(u64::MAX)),
        ("roles", json!("super_admin")),
        ("ver", json!("1")),
    ] {
        // Another user's id is well-formed; routes that only look at the token could not know. `me` reads the account.
        refused(&client, claim, &jwt(&head, &changed(&body, claim, value), &sign)).await;
    }
    for typ in ["JWT", "jwt", "rt+jwt", "mfa+jwt", ""] {
        refused(&client, typ, &jwt(&changed(&head, "typ", json!(typ)), &body, &sign)).await;
    }
    refused(&client, "no typ", &jwt(&without(&head, "typ"), &body, &sign)).await;
    // A clock that runs a little ahead is forgiven.
    for claim in ["iat", "nbf"] {
        me(&client, &jwt(&head, &changed(&body, claim, json!(now + 20)), &sign)).await.expect(200);
    }
    refused(
        &client,
        "another key",
        &jwt(&head, &body, hs256(b"v7Qm3x0KpYt9dZ1bWc5RfHj2LgSn8uEa4oXiVrTqB6N=")),
    )
    .await;
}

#[tokio::test]
async fn s_50_refresh_and_garbled_tokens_open_nothing() {
    for alg in ["EdDSA", "ES256"] {
        let (_store, _server, client, tokens) = with(alg).await;
        let good = &tokens.access;
        let parts: Vec<_> = good.split('.').collect();
        let tail = |n: usize| format!("{}{}", &good[..good.len() - n], "A".repeat(n));
        for token in [
            tokens.refresh.clone(),
            String::new(),
            ".".into(),
            "..".into(),
            "...".into(),
            good[..good.len() - 1].into(),
            format!("{good}="),
            format!("{good}."),
            format!("{good}.{good}"),
            tail(4),
            format!("{}.{}.{}", parts[0], parts[0], parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}.{}", parts[0], parts[1].to_uppercase(), parts[2]),
            "x".repeat(9000),
        ] {
            refused(&client, "garbled", &token).await;
        }
        let swapped = crate::app::refresh(&client, good).await;
        swapped.assert_error(401, "REFRESH_INVALID");
        me(&client, good).await.expect(200);
    }
}

#[tokio::test]
async fn s_59_a_token_in_the_address_is_ignored() {
    let (_store, server, client, tokens) = with("EdDSA").await;
    for name in ["access_token", "token", "authorization", "bearer", "Authorization"] {
        let answer = client.get(&format!("/v1/auth/me?{name}={}", tokens.access)).await;
        answer.assert_error(401, "UNAUTHENTICATED");
    }
    assert!(!settled_logs(&server).await.contains(&tokens.access), "the log has a token");
}

#[tokio::test]
async fn s_60_two_credentials_are_never_mixed() {
    let (_store, server, client, ada) = with("EdDSA").await;
    let bob = newcomer(&client, "other-bearer@example.com").await;
    let send = async |headers: &str| {
        let request = format!("GET /v1/auth/me HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
        let bytes =
            raw::exchange(server.address(), request.as_bytes(), Duration::from_secs(2)).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (text.get(9..12).unwrap_or_default().to_owned(), text)
    };
    for (one, two) in [(&ada, &bob), (&bob, &ada), (&ada, &ada)] {
        let both =
            format!("authorization: Bearer {}\r\nauthorization: Bearer {}\r\n", one.access, two.access);
        let (status, text) = send(&both).await;
        assert!(matches!(status.as_str(), "400" | "401"), "{text}");
        let joined = format!("authorization: Bearer {}, Bearer {}\r\n", one.access, two.access);
        let (status, text) = send(&joined).await;
        assert!(matches!(status.as_str(), "400" | "401"), "{text}");
    }
    // A scheme's name ignores case (RFC 9110 section 11.1); one that is not ours is no credential.
    for scheme in ["bearer", "BEARER", "bEaReR"] {
        let (status, text) = send(&format!("authorization: {scheme} {}\r\n", ada.access)).await;
        assert!(status == "200" && text.contains("bearer@example.com"), "{text}");
    }
    for line in [
        format!("Basic {}", ada.access),
        format!("Token {}", ada.access),
        format!("Bearer{}", ada.access),
        format!("Bearer\t{}", ada.access),
        format!("Bearer {} x", ada.access),
        format!("Bearer \"{}\"", ada.access),
        ada.access.clone(),
        "Bearer".into(),
        "Bearer ".into(),
        "Bearer \u{ff}".into(),
    ] {
        let (status, text) = send(&format!("authorization: {line}\r\n")).await;
        assert!(matches!(status.as_str(), "400" | "401"), "{line}: {text}");
    }
    // A cookie is no credential here.
    let cookie = client.cookies(&[("__Host-authkit_access", &ada.access)]).get("/v1/auth/me").await;
    cookie.assert_error(401, "UNAUTHENTICATED");
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
